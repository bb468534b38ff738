"""When a gate may judge by what it knows."""

from __future__ import annotations

import anyio
import pytest

from controller.gate.freshness import SILENCE_SECONDS, Freshness, boot_clock
from controller.rules.roster import ALONE_SECONDS


class Clock:
    """A clock that the test moves on."""

    def __init__(self) -> None:
        """Begin somewhere."""
        self.seconds = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    """Give a clock."""
    return Clock()


@pytest.fixture
def freshness(clock: Clock) -> Freshness:
    """Give a gate's, that has heard nothing."""
    return Freshness(clock)


def test_nothing_heard(freshness: Freshness) -> None:
    """A gate that has just started lets nobody pass, also if its controller goes away."""
    assert not freshness.may_judge()
    freshness.close()
    assert not freshness.may_judge()
    assert not freshness.alone


def test_answered(freshness: Freshness, clock: Clock) -> None:
    """A gate judges for three seconds after each question that was answered, and no longer."""
    freshness.hear(clock())
    clock.seconds += SILENCE_SECONDS
    assert freshness.may_judge()
    clock.seconds += 0.001
    assert not freshness.may_judge()
    freshness.hear(clock())
    assert freshness.may_judge()


def test_late_answers(freshness: Freshness, clock: Clock) -> None:
    """A gate that stood still is not made fresh by answers that waited for it."""
    asked = clock()
    freshness.hear(asked)
    clock.seconds += 60
    for late in (asked + 0.5, asked + 1.0, asked + 1.5):
        freshness.hear(late)
        assert not freshness.may_judge()


def test_controller_gone(freshness: Freshness, clock: Clock) -> None:
    """Without a controller a gate goes on for twelve hours."""
    freshness.hear(clock())
    clock.seconds += SILENCE_SECONDS
    freshness.close()
    assert freshness.alone
    clock.seconds += ALONE_SECONDS
    assert freshness.may_judge()
    clock.seconds += 0.001
    assert not freshness.may_judge()


def test_gone_and_back(freshness: Freshness, clock: Clock) -> None:
    """Once a controller is back, three seconds count again."""
    freshness.hear(clock())
    freshness.close()
    clock.seconds += 3600
    freshness.hear(clock())
    assert not freshness.alone
    assert freshness.may_judge()
    clock.seconds += SILENCE_SECONDS + 0.001
    assert not freshness.may_judge()


def test_twelve_hours_are_from_the_first_end(freshness: Freshness, clock: Clock) -> None:
    """Connections that are closed again and again give no new twelve hours."""
    freshness.hear(clock())
    freshness.close()
    clock.seconds += ALONE_SECONDS / 2
    freshness.close()
    clock.seconds += ALONE_SECONDS / 2 + 1
    assert not freshness.may_judge()


def test_a_controller_that_is_not_reached(freshness: Freshness, clock: Clock) -> None:
    """A gate that is alone, and then learns that there may be a controller, lets nobody pass."""
    freshness.hear(clock())
    freshness.doubt()
    assert freshness.may_judge()  # that one has just answered
    freshness.close()
    freshness.doubt()
    assert not freshness.may_judge()
    assert not freshness.alone
    freshness.close()
    assert not freshness.may_judge()
    freshness.hear(clock())
    assert freshness.may_judge()


def test_cut_off_and_closed(freshness: Freshness, clock: Clock) -> None:
    """A gate that was cut off, or stood still, and finds its stream closed lets nobody pass."""
    freshness.hear(clock())
    clock.seconds += SILENCE_SECONDS + 0.001
    freshness.close()
    assert not freshness.alone
    assert not freshness.may_judge()


@pytest.mark.anyio
async def test_late_for_a_moment(freshness: Freshness, clock: Clock) -> None:
    """A gate that stood still for a while lets requests wait for what it hears next."""
    freshness.hear(clock())
    clock.seconds += 60
    waited: list[bool] = []

    async def wait() -> None:
        await freshness.wait()
        waited.append(freshness.may_judge())

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        freshness.hear(clock() - 59)  # what waited for it while it stood still
        await anyio.wait_all_tasks_blocked()
        assert waited == []
        freshness.hear(clock())
    assert waited == [True, True]
    assert freshness.may_come


@pytest.mark.anyio
async def test_waited_in_vain(clock: Clock) -> None:
    """While a controller hangs only the first requests wait, and not for long."""
    freshness = Freshness(clock, patience=0.01)
    freshness.hear(clock())
    clock.seconds += 60
    await freshness.wait()
    assert not freshness.may_judge()
    assert not freshness.may_come
    with anyio.fail_after(5):
        await freshness.wait()
    freshness.hear(clock())
    assert freshness.may_come


def test_clock_that_goes_back(freshness: Freshness, clock: Clock) -> None:
    """Times that cannot be are no reason to let anybody pass."""
    freshness.hear(clock())
    clock.seconds -= 1
    assert not freshness.may_judge()
    clock.seconds += 1
    freshness.close()
    clock.seconds -= 1
    assert not freshness.may_judge()


def test_boot_clock() -> None:
    """The clock of a gate runs on, and tells seconds."""
    assert 0 < boot_clock() <= boot_clock()


def test_resumed(freshness: Freshness, clock: Clock) -> None:
    """What an earlier start knew counts until then, and no longer."""
    contact = clock() - 60
    freshness.resume(contact, contact + 600)
    assert freshness.may_judge()
    assert freshness.alone
    clock.seconds = contact + 600
    assert freshness.may_judge()
    clock.seconds += 0.001
    assert not freshness.may_judge()
    freshness.close()
    assert not freshness.may_judge()


def test_resumed_and_followed(freshness: Freshness, clock: Clock) -> None:
    """Once a controller was heard all is as always: alone again, it goes on for twelve hours."""
    freshness.resume(clock(), clock() + 600)
    clock.seconds += 30
    freshness.hear(clock())
    assert not freshness.alone
    assert freshness.close()
    clock.seconds += ALONE_SECONDS
    assert freshness.may_judge()


def test_resumed_in_doubt(freshness: Freshness, clock: Clock) -> None:
    """Once there may be a controller what an earlier start knew counts no more."""
    freshness.resume(clock(), clock() + 600)
    freshness.doubt()
    assert not freshness.may_judge()


def test_not_resumed_after_it_has_heard(freshness: Freshness, clock: Clock) -> None:
    """What an earlier start knew never makes fresh what this one knows."""
    freshness.hear(clock())
    clock.seconds += SILENCE_SECONDS + 1
    freshness.resume(clock(), clock() + 600)
    assert not freshness.may_judge()
    assert not freshness.alone
