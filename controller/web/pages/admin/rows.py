"""A session as a row of the administrators' tables."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from controller.administration.table import Entry
from controller.core.model import Phase
from controller.rules import sentences
from controller.rules.felt import BOUNDS_MS, Speed
from controller.rules.keeping import KeepReason


class Bar(msgspec.Struct, frozen=True):
    """How much of something is taken, as digits and as a bar."""

    text: str
    percent: float  # of what may be taken; over 100 is drawn as 100


class FeltCell(msgspec.Struct, frozen=True):
    """How quick a session feels, such as "42 / 95 ms", and what that means."""

    text: str
    words: str


class AdminRow(msgspec.Struct, frozen=True):
    """Anybody's session in the administrators' table."""

    id: str
    owner: str
    title: str
    phase: Phase
    started: datetime  # UTC
    last_active: datetime  # UTC
    why: KeepReason
    why_at: datetime | None = None  # UTC; the moment in ``why``
    ends: datetime | None = None  # UTC; None: never
    extra: timedelta = timedelta(0)  # by which its lifetime was extended
    cpu: Bar | None = None  # None: not known
    memory: Bar | None = None
    felt: FeltCell | None = None  # None: nothing was felt in the last minute


def row_of(entry: Entry) -> AdminRow:
    """Return a session with what it takes, as far as that is known."""
    usage = entry.usage
    cpu = memory = None
    if usage is not None:
        cores = max(0.0, usage.cpu_percent) / 100
        cpu = Bar(f"{cores:.1f} of {entry.cpus:g}", 100 * cores / entry.cpus)
        used = sentences.bytes_text(usage.memory_bytes)
        most = sentences.bytes_text(entry.memory_bytes)
        share = 100 * usage.memory_bytes / max(1, entry.memory_bytes)
        memory = Bar(f"{used} of {most}", share)
    session = entry.seen.session
    return AdminRow(
        id=session.id,
        owner=session.owner,
        title=entry.title,
        phase=entry.phase,
        started=session.created_at,
        last_active=entry.active_at,
        why=entry.why,
        why_at=entry.why_at,
        ends=entry.ends_at,
        extra=timedelta(seconds=entry.extra),
        cpu=cpu,
        memory=memory,
        felt=_felt_cell(entry.felt) if entry.felt else None,
    )


def _felt_cell(felt: Speed) -> FeltCell:
    half, most = _ms(felt.p50_ms), _ms(felt.p95_ms)
    return FeltCell(
        f"{half} / {most} ms",
        "From the pointer to the picture in the last minute: "
        f"half within {half} ms, 95 % within {most} ms; most of it: {felt.largest}",
    )


def _ms(ms: float) -> str:
    most = BOUNDS_MS[-1]
    return f"{ms:.0f}" if ms < most else f"{most}+"
