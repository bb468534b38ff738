"""Sessions as an engine shows them, what is known of their use, and the usual limits."""

from __future__ import annotations

from msgspec.structs import replace

from controller.core.model import Observed
from controller.core.records import Reason
from controller.core.sentence import Phrase, Sentence
from controller.rules.lifecycle import Activity, Limits, Warned
from tests.support.samples import session

LIMITS = Limits(start=180, idle=1800, lifetime=86_400, failed=600)

BORN = Observed(session(), complete=False)
UP = Observed(session(), running=True)
READY = replace(UP, served=True)
ENDED = Observed(session(), exit_code=1)
STOPPING = replace(READY, deleting=True)
ORPHAN = Observed(session(), complete=False, orphan=True)
REFUSED = replace(BORN, refused=Sentence("It cannot be started."))
FETCHING = replace(BORN, progress=Phrase("Fetching the program: 3 of 9 GB."))

DAY = 86_400.0
FRESH = Activity(first_seen=0, last_active=0)
FAILED_AT_100 = replace(FRESH, failed_since=100)


def idle_warned(at: float, stop: float) -> Warned:
    """Return the warning of a stop for idleness."""
    return Warned(Reason.IDLE, at, stop)


def lifetime_warned(at: float, stop: float) -> Warned:
    """Return the warning of a stop for age."""
    return Warned(Reason.LIFETIME, at, stop)


def used(at: float, *, warned: Warned | None = None, polled: float | None = None) -> Activity:
    """Return what is known of a session born at 0; without ``polled`` polls never fail."""
    return replace(FRESH, last_active=at, warned=warned, polled=polled or 100 * DAY)
