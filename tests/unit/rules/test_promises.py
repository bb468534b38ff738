"""What holds whatever is known of a session: nobody is stopped untold, and ready means ready."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.core.model import Observed, Phase
from controller.core.records import Reason
from controller.core.sentence import Sentence
from controller.rules.lifecycle import (
    POLL_FRESH,
    UNREACHED,
    Activity,
    Keep,
    Limits,
    Remove,
    Repair,
    Warn,
    Warned,
    decide,
    phase_of,
)
from tests.support.samples import session
from tests.unit.rules.facts import BORN, DAY, LIMITS, ORPHAN, READY, UP, lifetime_warned, used

moments = st.floats(0, 1e7)
warnings = st.none() | st.builds(
    Warned, st.sampled_from([Reason.IDLE, Reason.LIFETIME]), moments, moments
)
activities = st.builds(
    Activity,
    first_seen=moments,
    last_active=moments,
    age_then=st.floats(0, 2 * DAY),
    failed_since=st.none() | moments,
    warned=warnings,
    ahead=st.booleans(),
    polled=moments,
)
anything = st.builds(
    Observed,
    session=st.just(session()),
    running=st.booleans(),
    healthy=st.booleans(),
    complete=st.booleans(),
    deleting=st.booleans(),
    orphan=st.booleans(),
    exit_code=st.none() | st.integers(0, 255),
    served=st.booleans(),
    refused=st.sampled_from([None, Sentence("It cannot be started.")]),
)
some_limits = st.builds(
    Limits,
    start=st.floats(1, 1000),
    idle=st.just(0.0) | st.floats(1, 1e5),
    lifetime=st.just(0.0) | st.floats(1, 1e6),
    failed=st.floats(0, 1000),
    warning=st.floats(0, 1000),
    ahead=st.floats(0, 1000),
)


@given(anything, activities, moments, some_limits)
def test_no_stop_out_of_the_blue(
    seen: Observed, activity: Activity, now: float, limits: Limits
) -> None:
    """Whatever is known: an idle stop was announced, its time has come, and nobody came back."""
    if decide(seen, activity, now, limits) == Remove(Reason.IDLE):
        assert phase_of(seen, now - activity.first_seen, limits) is Phase.READY
        assert limits.idle
        assert activity.idle(now) >= limits.idle_warning
        assert not activity.ahead
        assert activity.warned is not None
        assert activity.warned.stop <= now
        assert activity.last_active <= activity.warned.at
        assert now - activity.polled <= POLL_FRESH


@given(anything, activities, moments, some_limits)
def test_no_end_of_what_could_be_saved(
    seen: Observed, activity: Activity, now: float, limits: Limits
) -> None:
    """Whatever is known: what runs and was ready is told, reached or an hour over its time."""
    if decide(seen, activity, now, limits) == Remove(Reason.LIFETIME):
        if not (seen.running and seen.served):
            return
        late = activity.age(now) >= limits.lifetime + UNREACHED
        assert late or (activity.warned and now - activity.polled <= POLL_FRESH)


@pytest.mark.parametrize(
    "seen",
    [
        READY,
        replace(READY, healthy=False),
        replace(READY, complete=False),
        replace(READY, running=False),
        replace(READY, served=False),
    ],
)
@pytest.mark.parametrize("now", [DAY - 10, DAY, DAY + 289])
def test_a_promise_is_kept(seen: Observed, now: float) -> None:
    """A session runs until the announced stop, even if it falters meanwhile."""
    told = used(now, warned=lifetime_warned(DAY - 10, DAY + 290))
    young = replace(told, first_seen=DAY - 20, age_then=DAY - 20)
    assert decide(seen, young, now, LIMITS) in {Keep(), Repair()}


@given(anything, activities, moments, some_limits)
def test_warnings_have_their_length(
    seen: Observed, activity: Activity, now: float, limits: Limits
) -> None:
    """Whatever is known: a warning is of now, and its stop is as far away as it must be."""
    decision = decide(seen, activity, now, limits)
    if isinstance(decision, Warn):
        of_age = decision.warned.reason is Reason.LIFETIME
        length = limits.lifetime_warning if of_age else limits.idle_warning
        assert decision.warned.at == now
        assert decision.warned.stop >= now + length


@given(
    st.floats(0, 1e9),
    st.floats(0, DAY - 301),
    st.floats(0, 1499),
)
def test_after_a_restart(clock: float, age: float, later: float) -> None:
    """Of whom nothing is remembered after a restart has the whole idle time again."""
    adopted = Activity(first_seen=clock, last_active=clock, age_then=age)
    now = min(clock + later, clock + DAY - 301 - age)
    assert decide(READY, adopted, now, LIMITS) == Keep()


@given(seen=anything, watched=st.floats(0, 1e6))
def test_ready_means_ready(seen: Observed, watched: float) -> None:
    """In no combination of facts is a session ready that is not running, whole and served."""
    if phase_of(seen, watched, LIMITS) is Phase.READY:
        assert seen.running
        assert seen.healthy
        assert seen.complete
        assert seen.served
        assert not seen.deleting
        assert seen.exit_code is None


@given(age=st.floats(0, 29), seen=st.sampled_from([BORN, UP, READY, ORPHAN]))
def test_a_launch_is_left_alone(age: float, seen: Observed) -> None:
    """Nothing under half a minute old is touched: its launch may be under way elsewhere."""
    young = Activity(first_seen=5, last_active=5, age_then=age)
    assert decide(seen, young, 5, LIMITS) == Keep()
