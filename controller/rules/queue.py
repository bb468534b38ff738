"""The line before a full server: who is next. Pure.

A ticket is the session as it will be, and since when it waits. The line is fair between people:
everyone's first ticket comes before anyone's second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from controller.core.model import QueuePosition, Session, SessionId
from controller.core.records import Ticket
from controller.rules import quotas
from controller.rules.quotas import Resource
from controller.settings.schema import Settings

_EVERYONES = frozenset({Resource.TOTAL, Resource.CPUS, Resource.MEMORY})


def in_order(tickets: Sequence[Ticket], running: Sequence[Session]) -> list[Ticket]:
    """Return the line, the next one first.

    Sessions that a person has already count like tickets before their own: who has nothing goes
    before who has something; among equals the one who came first.
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
    """Return whom a place is for now, or None.

    Nobody is passed by somebody who takes what they wait for: a lack of what everyone needs stops
    the whole line; of what only some need, all that the earlier one needs is kept for them.
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
    """Who has which graphics card, and who is next for one."""

    held: dict[str, Session | None]  # every configured card by its id; None: free
    line: list[Ticket]  # those who wait and want cards, the next one first


def lease_book(
    tickets: Sequence[Ticket], running: Sequence[Session], settings: Settings
) -> LeaseBook:
    """Return the book of the configured graphics cards; it is empty if none are."""
    holders = {gpu: session for session in running for gpu in session.gpus}
    gpus = settings.limits.gpus
    wants = {one.id for one in settings.profiles if one.gpus}
    line = [one for one in in_order(tickets, running) if one.session.profile in wants]
    return LeaseBook({gpu: holders.get(gpu) for gpu in gpus}, line if gpus else [])


def places(
    tickets: Sequence[Ticket], running: Sequence[Session], settings: Settings
) -> dict[SessionId, QueuePosition]:
    """Return where each one stands and what it waits for."""
    found: dict[SessionId, QueuePosition] = {}
    for number, ticket in enumerate(in_order(tickets, running), start=1):
        known = settings.profile(ticket.session.profile) is not None
        shortfall = quotas.shortfall_of(ticket.session, running, settings) if known else None
        waits_for = shortfall.waits_for if shortfall else "its turn"
        found[ticket.session.id] = QueuePosition(number, waits_for)
    return found
