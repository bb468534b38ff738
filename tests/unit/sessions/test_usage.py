"""Whether a session counts as used, and what of that outlives the controller."""

from __future__ import annotations

from datetime import timedelta

import pytest

from controller.core.errors import NoSuchSession
from controller.core.model import Observed, Role, UserId
from controller.core.records import Actor, Memo, Reason, Sign
from controller.rules.lifecycle import Warned
from tests.support.fakes.parts import Parts, configured
from tests.support.samples import session

pytestmark = pytest.mark.anyio


@pytest.fixture
def parts() -> Parts:
    """Give the parts of a hub with one session, Alice's, that runs."""
    made = Parts(configured(admin_extend_hours="2"))
    made.show(Observed(session=session(created_at=made.now), running=True))
    return made


def seen(parts: Parts) -> Observed:
    """Return that session."""
    (found,) = parts.sessions.all()
    return found


def idle(parts: Parts) -> float:
    """Return for how long it has not been used, in seconds."""
    return (parts.now - parts.sessions.usage.last_activity(seen(parts))).total_seconds()


def test_a_request_is_a_sign_of_life(parts: Parts) -> None:
    """Time goes by without use until somebody uses it."""
    parts.spend(60)
    assert idle(parts) == 60
    parts.sessions.touch(seen(parts).session.id)
    assert idle(parts) == 0


@pytest.mark.parametrize(
    ("used", "last_input", "sign"),
    [
        (False, None, Sign.SEEN),
        (True, None, Sign.COMPUTING),
        (False, "12:00", Sign.INPUT),
        (True, "12:00", Sign.INPUT),
    ],
)
def test_what_a_poll_shows(parts: Parts, used: bool, last_input: str | None, sign: Sign) -> None:
    """Computing and new input count as use; a poll that shows neither does not."""
    parts.spend(60)
    usage = parts.sessions.usage
    usage.note_poll(seen(parts).session.id, used=used, last_input=last_input)
    activity = usage.of(seen(parts))
    assert activity is not None
    assert activity.sign is sign
    assert idle(parts) == (60 if sign is Sign.SEEN else 0)
    parts.spend(60)
    usage.note_poll(seen(parts).session.id, used=False, last_input=last_input)
    assert idle(parts) == (120 if sign is Sign.SEEN else 60)  # the same word is no new input


async def test_an_extension_has_an_end(parts: Parts) -> None:
    """Administrators add no more than is configured, however often they do."""
    usage = parts.sessions.usage
    assert await usage.extend(seen(parts), 3600) == 3600
    assert await usage.extend(seen(parts), 36_000) == 7200
    assert usage.extension(seen(parts)) == 7200
    gone = Observed(session=session(9))
    with pytest.raises(NoSuchSession):
        await usage.extend(gone, 1)


async def test_the_next_controller_remembers(parts: Parts) -> None:
    """How long it has been idle, who kept it and what was added outlive the controller."""
    usage = parts.sessions.usage
    parts.spend(100)
    usage.touch(seen(parts).session.id, Sign.KEPT, kept_by="alice")
    await usage.extend(seen(parts), 60)
    parts.spend(40)
    await parts.sessions.write_down()
    next_one = Parts(parts.settings)
    next_one.store = parts.store
    next_one.now = parts.now + timedelta(seconds=5)
    memos = await parts.store.memos()
    next_one.sessions.usage._memos = memos  # pyright: ignore[reportPrivateUsage] - as read at its start
    next_one.show(Observed(session=seen(parts).session, running=True))
    activity = next_one.sessions.usage.of(seen(next_one))
    assert activity is not None
    assert (activity.sign, activity.kept_by, activity.extra) == (Sign.KEPT, "alice", 60)
    assert activity.idle(next_one.seconds) == 40


async def test_use_by_way_of_another_controller_counts(parts: Parts) -> None:
    """What was used elsewhere is not idle here; what others know less of changes nothing."""
    parts.leading = False
    at = seen(parts).session.id

    async def others() -> dict[object, Memo]:
        return {at: Memo(age=100.0, idle=3.0, served=True, sign=Sign.INPUT, kept_by="")}

    parts.spend(60)
    parts.store.others_memos = others  # pyright: ignore[reportAttributeAccessIssue] - one file has no others
    await parts.sessions.hear_others()
    assert idle(parts) == 3
    parts.sessions.touch(at)
    await parts.sessions.hear_others()
    assert idle(parts) == 0


def test_a_warning_is_shown_with_its_moment(parts: Parts) -> None:
    """The owner's page says when it stops, and why, until that is taken back."""
    usage, at = parts.sessions.usage, seen(parts).session.id
    assert usage.warned(seen(parts)) is None
    usage.set_warned(at, Warned(Reason.IDLE, parts.seconds, parts.seconds + 300))
    assert usage.warned(seen(parts)) == (Reason.IDLE, parts.now + timedelta(seconds=300))
    usage.set_warned(at, None)
    assert usage.warned(seen(parts)) is None


def test_who_is_inside(parts: Parts) -> None:
    """Somebody who has entered is known by their log-in until their invitation is over."""
    usage, at = parts.sessions.usage, seen(parts).session.id
    usage.enter(at, "s1", Role.VIEW, Actor("bob"))
    assert usage.is_inside(at, "s1")
    assert usage.has_entered("s1")
    assert not usage.has_entered("s2")
    usage.forget_guest(at, UserId("bob"))
    assert not usage.is_inside(at, "s1")
