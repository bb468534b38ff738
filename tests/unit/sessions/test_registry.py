"""What is known of a session, and for how long, whatever late or early snapshots show."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from controller.core.model import Observed, Phase
from controller.core.records import Reason
from controller.core.sentence import Sentence
from controller.rules.lifecycle import limits_of
from controller.sessions.registry import SETTLE_SECONDS
from tests.support.fakes.parts import Parts
from tests.support.samples import session


@pytest.fixture
def parts() -> Parts:
    """Give the parts of a hub that has read nothing yet."""
    return Parts()


def running(parts: Parts, number: int = 1, **changes: object) -> Observed:
    """Return a session that runs and was created just now."""
    seen = Observed(session=session(number, created_at=parts.now), running=True)
    return replace(seen, **changes)


def test_what_has_ended_does_not_come_back(parts: Parts) -> None:
    """A snapshot from before a stop does not show the session again; one long after it does."""
    seen = running(parts)
    parts.show(seen)
    parts.registry.forget(seen.session.id)
    parts.show(seen)
    assert parts.sessions.all() == []
    parts.spend(SETTLE_SECONDS)
    parts.show(seen)
    assert [one.session.id for one in parts.sessions.all()] == [seen.session.id]


def test_what_may_have_ended_is_shown(parts: Parts) -> None:
    """Where it is not known whether it is gone, the engine's word counts at once."""
    seen = running(parts)
    parts.show(seen)
    parts.registry.forget(seen.session.id)
    parts.registry.recall(seen.session.id)
    parts.show(seen)
    assert len(parts.sessions.all()) == 1


@pytest.mark.parametrize("pending", [None, Reason.ADMIN])
def test_what_stops_is_shown_as_stopping(parts: Parts, pending: Reason | None) -> None:
    """Nobody enters what is being stopped, or is to be, though the engine shows it as running."""
    seen = running(parts)
    parts.show(seen)
    work = parts.registry.work(seen.session.id)
    work.stopping, work.stop_pending = pending is None, pending
    parts.show(seen)
    (found,) = parts.sessions.all()
    assert parts.sessions.phase(found) is Phase.STOPPING


def test_a_stop_that_is_owed_goes_with_its_session(parts: Parts) -> None:
    """Once the engine shows it no more there is nothing to be stopped; memory is given back."""
    seen = running(parts)
    parts.show(seen)
    parts.registry.work(seen.session.id).stop_pending = Reason.IDLE
    parts.show()
    assert list(parts.registry.at_work()) == []
    assert parts.registry.work(seen.session.id).idle


def test_what_was_accepted_outlives_a_late_snapshot(parts: Parts) -> None:
    """A snapshot that does not show a launch yet does not end it; one long after it does."""
    seen = running(parts)
    parts.show(seen)
    known = parts.registry.get(seen.session.id)
    assert known is not None
    known.accepted = parts.seconds
    parts.show()
    assert len(parts.sessions.all()) == 1
    parts.spend(SETTLE_SECONDS)
    parts.show()
    assert parts.sessions.all() == []


def test_a_refused_one_stays_until_it_is_read(parts: Parts) -> None:
    """What the engine has refused is known here only, and no snapshot takes it away."""
    seen = running(parts)
    parts.show(seen)
    parts.registry.put(replace(seen, running=False, refused=Sentence("No such image.")))
    parts.show()
    (found,) = parts.sessions.all()
    assert parts.sessions.phase(found) is Phase.FAILED


def test_leftovers_are_no_sessions(parts: Parts) -> None:
    """What a crash has left is nobody's session."""
    parts.show(running(parts, orphan=True))
    assert parts.sessions.all() == []
    assert len(parts.registry.orphans()) == 1


def test_sessions_of_a_newer_hub_are_left_alone(parts: Parts) -> None:
    """They are counted apart, and nobody enters them."""
    seen = running(parts, newer=True)
    parts.show(seen)
    assert parts.sessions.all() == []
    assert [one.session.id for one in parts.registry.newer] == [seen.session.id]
    assert parts.sessions.access(seen.session.id, seen.session.owner) is None


def test_an_adopted_session_was_ready_before(parts: Parts) -> None:
    """At the start, one that outlived its start limit is not failed for its age."""
    old = replace(running(parts), session=session(created_at=parts.now - timedelta(hours=1)))
    parts.show(old)
    (found,) = parts.sessions.all()
    assert found.served
    assert parts.sessions.phase(found) is Phase.READY


@pytest.mark.anyio
async def test_whoever_follows_hears_of_changes(parts: Parts) -> None:
    """Each change wakes who waits; without one they are woken after the time that they name."""
    changes = parts.registry.changes(at_least_every=0.01)
    assert await anext(changes)
    assert not await anext(changes)
    parts.registry.announce()
    assert await anext(changes)


def test_limits(parts: Parts) -> None:
    """A session has the limits of its profile, and more of its lifetime if that was given to it."""
    seen = running(parts)
    other = replace(seen, session=session(2, profile="no longer configured"))
    parts.show(seen, other)
    profile = parts.settings.profile("slicer")
    assert profile is not None
    usual = limits_of(profile, parts.settings)
    assert parts.registry.limits(seen.session) == usual
    assert parts.registry.limits(other.session) == limits_of(None, parts.settings)
    known = parts.registry.get(seen.session.id)
    assert known is not None
    known.activity = replace(known.activity, extra=60.0)
    assert usual.lifetime
    longer = replace(usual, lifetime=usual.lifetime + 60)
    assert parts.registry.limits(seen.session) == longer
