"""What a gate keeps on a disk while no controller is there, for its own next start. Pure.

Only a gate that goes on alone has such a file, and only until a controller has told it anew: what
was taken back later can never be found there. It is good for ten minutes in the same run of the
machine, and owners alone pass by it.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from controller.gate.facts import PROTOCOL, Snapshot

KEPT_SECONDS = 600.0
"""After the last contact with a controller, for which a start of the gate may go on by it."""


class KeptSnapshot(msgspec.Struct, frozen=True):
    """A snapshot, and how old it is."""

    snapshot: Snapshot
    contact: float  # seconds since the machine began, when a controller was last heard
    machine: str  # id of the machine's own start, for which that clock counts
    protocol: int = PROTOCOL


def for_owners(snapshot: Snapshot) -> Snapshot:
    """Return what lets owners into their sessions, and nobody else; it signs nothing."""
    return replace(
        snapshot,
        sessions=tuple(replace(one, guests={}) for one in snapshot.sessions),
        logins=tuple(replace(one, address="", agent="") for one in snapshot.logins),
        extra=replace(snapshot.extra, entries=b"", companions=(), traefik=b""),
    )


def good_until(contact: float) -> float:
    """Return until when what was known at the last contact counts in a later start."""
    return contact + KEPT_SECONDS


def is_good(kept: KeptSnapshot, *, now: float, machine: str) -> bool:
    """Tell whether a start of the gate may go on by it, if no controller is there.

    ``now``: seconds since the machine began; ``machine``: id of that start, "": not known.
    """
    return (
        kept.protocol == PROTOCOL
        and machine != ""
        and kept.machine == machine
        and 0 <= kept.contact <= now <= good_until(kept.contact)
    )
