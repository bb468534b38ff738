"""The queue of sessions that wait for a full server: who is next. Pure.

A ticket is a session that has not started, and the time since when it waits. The queue is fair:
everybody's first ticket comes before anybody's second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from controller.core.model import Session, SessionId
from controller.core.records import Ticket
from controller.rules import quotas
from controller.rules.quotas import Resource
from controller.settings.schema import Settings

_EVERYONES = frozenset({Resource.TOTAL, Resource.CPUS, Resource.MEMORY})


class QueuePosition(msgspec.Struct, frozen=True):
    """Where a session stands in the queue."""

    position: int  # 1: next
    waits_for: Resource | None  # None: its turn


def in_order(tickets: Sequence[Ticket], running: Sequence[Session]) -> list[Ticket]:
    """Return the queue, the next ticket first.

    Running sessions of a person count like earlier tickets: people without a running session come
    first. Among equals the oldest ticket comes first.
    """
    turn = Counter(one.owner for one in running)
    ranked: list[tuple[int, float, str, Ticket]] = []
    for ticket in sorted(tickets, key=lambda one: (one.since, one.session.id)):
        session = ticket.session
        ranked.append((turn[session.owner], ticket.since, session.id, ticket))
        turn[session.owner] += 1
    return [ticket for *_, ticket in sorted(ranked, key=lambda one: one[:3])]


def next_of(
    tickets: Sequence[Ticket], running: Sequence[Session], settings: Settings
) -> Ticket | None:
    """Return the ticket that can start now, or None.

    A later ticket never takes what an earlier one waits for. A shortfall of a resource that every
    session needs stops the whole queue. For one that only some need, it is reserved for the
    earlier ticket.
    """
    kept: list[Session] = []
    for ticket in in_order(tickets, running):
        session = ticket.session
        profile = settings.profile(session.profile)
        if profile is None:
            continue
        shortfall = quotas.shortfall_of(session, running, settings, kept=kept)
        if shortfall is None:
            return ticket
        if shortfall.resource in _EVERYONES:
            return None
        if shortfall.resource is not Resource.OWN:
            free = quotas.free_gpus(settings.limits.gpus, (*running, *kept))
            kept.append(msgspec.structs.replace(session, gpus=free[: profile.gpus]))
    return None


class LeaseBook(msgspec.Struct, frozen=True):
    """Which session has which graphics card, and which one is next."""

    held: dict[str, Session | None]  # every configured card by its id; None: free
    line: list[Ticket]  # the tickets that need cards, the next one first


def lease_book(
    tickets: Sequence[Ticket], running: Sequence[Session], settings: Settings
) -> LeaseBook:
    """Return the book of the configured graphics cards; it is empty if none are."""
    holders = {gpu: session for session in running for gpu in session.gpus}
    gpus = settings.limits.gpus
    wants = {one.id for one in settings.profiles if one.gpus}
    waiting = [one for one in in_order(tickets, running) if one.session.profile in wants]
    return LeaseBook({gpu: holders.get(gpu) for gpu in gpus}, waiting if gpus else [])


def places(
    tickets: Sequence[Ticket], running: Sequence[Session], settings: Settings
) -> dict[SessionId, QueuePosition]:
    """Return the position of each ticket, and what it waits for."""
    found: dict[SessionId, QueuePosition] = {}
    for number, ticket in enumerate(in_order(tickets, running), start=1):
        known = settings.profile(ticket.session.profile) is not None
        shortfall = quotas.shortfall_of(ticket.session, running, settings) if known else None
        waits_for = shortfall.resource if shortfall else None
        found[ticket.session.id] = QueuePosition(number, waits_for)
    return found
