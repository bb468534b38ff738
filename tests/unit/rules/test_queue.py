"""The queue before a full server: fair between people, and nobody waits for ever."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.core.model import Session
from controller.core.records import Ticket
from controller.rules import queue, quotas
from controller.rules.queue import QueuePosition
from controller.rules.quotas import Resource
from controller.settings.loading import SLICER
from controller.settings.schema import Limits, Settings
from tests.support.samples import session, session_id, settings

SMALL = replace(SLICER, id="small", default=True, cpus=2.0, memory_mib=4096, queue=True)
BIG = replace(SMALL, id="big", default=False, cpus=6.0)
RARE = replace(SMALL, id="rare", default=False, max_sessions=1)
GPU = replace(SMALL, id="gpu", default=False, gpus=1)
GPUS = replace(GPU, id="gpus", gpus=2)
WIDE = Limits(sessions_per_user=9, sessions_total=99)


def hub(**limits: object) -> Settings:
    """Return settings with these limits and no others."""
    profiles = (SMALL, BIG, RARE, GPU, GPUS)
    return replace(settings(), profiles=profiles, limits=replace(WIDE, **limits))


def of(
    number: int, profile: str = "small", owner: str = "", *, groups: str = "", gpus: str = ""
) -> Session:
    """Return a session, of a person of its own unless one is named."""
    made = session(number, owner=owner or f"person-{number}", profile=profile, name=str(number))
    return replace(made, groups=tuple(groups.split()), gpus=tuple(gpus.split()))


def line(*sessions: Session) -> list[Ticket]:
    """Return tickets that were drawn in this order."""
    return [Ticket(one, 1000.0 + number) for number, one in enumerate(sessions)]


def numbers(tickets: list[Ticket]) -> str:
    """Return the sessions' names in the order of the queue."""
    return " ".join(one.session.name for one in tickets)


@pytest.mark.parametrize(
    ("waiting", "running", "order"),
    [
        ("", "", ""),
        ("a b c", "", "1 2 3"),
        # Everyone's first before anyone's second.
        ("a a a b", "", "1 4 2 3"),
        ("a a b b c", "", "1 3 5 2 4"),
        # Who has a session already has had a turn.
        ("a b", "a", "2 1"),
        ("a a b c", "a", "3 4 1 2"),
        ("a b b", "a a", "2 3 1"),
        ("a b b b", "a a", "2 3 1 4"),
        ("a b", "c c c", "1 2"),
        ("a b", "a b", "1 2"),
    ],
)
def test_order(waiting: str, running: str, order: str) -> None:
    """People without a running session come first; among equals the one who came first."""
    tickets = line(*(of(n, owner=one) for n, one in enumerate(waiting.split(), start=1)))
    have = [of(50 + n, owner=one) for n, one in enumerate(running.split())]
    assert order == numbers(queue.in_order(tickets, have))
    assert order == numbers(queue.in_order(tickets[::-1], have))


@pytest.mark.parametrize(
    ("waiting", "running", "limits", "wanted"),
    [
        ([], [], {}, None),
        ([of(1), of(2)], [], {}, 1),
        ([of(1)], [of(9)], {"sessions_total": 1}, None),
        ([of(1)], [of(9)], {"sessions_total": 2}, 1),
        # The hungry one is first in the queue: the small one does not take what it waits for.
        ([of(1, "big"), of(2)], [of(9)], {"cpus": 6.0}, None),
        ([of(1, "big"), of(2)], [], {"cpus": 6.0}, 1),
        ([of(1), of(2, "big")], [of(9)], {"cpus": 6.0}, 1),
        ([of(1, "big"), of(2)], [of(9)], {"memory_mib": 8191}, None),
        # Cards: who wants one waits behind who wants two; who wants none goes ahead.
        ([of(1, "gpus"), of(2, "gpu")], [of(9, "gpu", gpus="0")], {"gpus": ("0", "1")}, None),
        ([of(1, "gpus"), of(2)], [of(9, "gpu", gpus="0")], {"gpus": ("0", "1")}, 2),
        ([of(1, "gpu"), of(2, "gpus")], [of(9, "gpu", gpus="0")], {"gpus": ("0", "1")}, 1),
        # A full profile or group, or one's own limit, keeps nobody else.
        ([of(1, "rare"), of(2, "rare"), of(3)], [of(9, "rare")], {}, 3),
        ([of(1, groups="a"), of(2)], [of(9, groups="a")], {"groups": {"a": 1}}, 2),
        (
            [of(1, owner="al"), of(2)],
            [of(9, owner="al"), of(8)],
            {"sessions_per_user": 1},
            2,
        ),
        ([of(1, owner="al")], [of(9, owner="al")], {"sessions_per_user": 1}, None),
        # A profile that is no longer configured.
        ([of(1, "gone"), of(2)], [], {}, 2),
        ([of(1, "gone")], [], {}, None),
    ],
)
def test_next(
    waiting: list[Session], running: list[Session], limits: dict[str, object], wanted: int | None
) -> None:
    """A place goes to the first that can use it, without taking what an earlier one waits for."""
    found = queue.next_of(line(*waiting), running, hub(**limits))
    assert (found.session.id if found else None) == (session_id(wanted) if wanted else None)


def test_nobody_is_starved_by_turns() -> None:
    """A session that needs places of two groups is not overtaken by those that need one of them."""
    limits = hub(groups={"a": 1, "b": 1})
    both = of(1, groups="a b")
    waiting = line(both, of(2, groups="a"), of(3, groups="b"))
    # The place of "a" has become free; that of "b" is taken still.
    found = queue.next_of(waiting, [of(9, groups="b")], limits)
    assert found is None
    found = queue.next_of(waiting, [], limits)
    assert found is not None
    assert found.session == both


def test_places() -> None:
    """Everyone sees where they stand and what they wait for."""
    limits = hub(groups={"a": 1}, gpus=("0",), sessions_total=3)
    waiting = line(
        of(1, "gpu"), of(2, groups="a"), of(3), of(4, "gone"), of(5, owner="x"), of(6, owner="x")
    )
    running = [of(9, "gpu", gpus="0", groups="a")]
    assert queue.places(waiting, running, limits) == {
        session_id(1): QueuePosition(1, Resource.GPUS),
        session_id(2): QueuePosition(2, Resource.GROUP),
        session_id(3): QueuePosition(3, None),
        session_id(4): QueuePosition(4, None),
        session_id(5): QueuePosition(5, None),
        session_id(6): QueuePosition(6, None),
    }
    full = queue.places(waiting[2:3], [*running, of(8), of(7)], limits)
    assert full == {session_id(3): QueuePosition(1, Resource.TOTAL)}
    hungry = queue.places(line(of(1, "big")), [of(9)], hub(cpus=7.0))
    assert hungry == {session_id(1): QueuePosition(1, Resource.CPUS)}
    assert queue.places([], running, limits) == {}


kinds = st.tuples(
    st.sampled_from(["small", "big", "rare", "gpu", "gpus"]), st.sampled_from(["", "a", "b", "a b"])
)
some_limits = st.fixed_dictionaries(
    {
        "sessions_per_user": st.integers(1, 3),
        "sessions_total": st.integers(1, 6),
        "cpus": st.sampled_from([0.0, 6.0, 9.0]),
        "memory_mib": st.sampled_from([0, 4096, 10_000]),
        "gpus": st.sampled_from([("0", "1"), ("0", "1", "2")]),
        "groups": st.sampled_from([{}, {"a": 1}, {"a": 1, "b": 1}, {"a": 2, "b": 1}]),
    }
)


def serve(waiting: list[Ticket], running: list[Session], limits: Settings) -> None:
    """Begin what there is room for, as the controller does."""
    while (ticket := queue.next_of(waiting, running, limits)) is not None:
        assert quotas.shortfall_of(ticket.session, running, limits) is None
        wanted = limits.profile(ticket.session.profile)
        assert wanted is not None
        free = quotas.free_gpus(limits.limits.gpus, running)
        assert len(free) >= wanted.gpus
        waiting.remove(ticket)
        running.append(replace(ticket.session, gpus=free[: wanted.gpus]))


def check(running: list[Session], limits: Settings) -> None:
    """Assert that no limit is exceeded."""
    most = limits.limits
    profiles = [one for item in running if (one := limits.profile(item.profile))]
    owners = [one.owner for one in running]
    cards = [gpu for one in running for gpu in one.gpus]
    assert all(owners.count(one) <= most.sessions_per_user for one in owners)
    assert len(running) <= most.sessions_total
    assert not most.cpus or sum(one.cpus for one in profiles) <= most.cpus
    assert not most.memory_mib or sum(one.memory_mib for one in profiles) <= most.memory_mib
    assert len(set(cards)) == len(cards)
    assert len(cards) == sum(one.gpus for one in profiles)
    assert [one.id for one in profiles].count("rare") <= 1
    for group, number in most.groups.items():
        assert sum(1 for one in running if group in one.groups) <= number


@given(st.lists(st.tuples(kinds, st.sampled_from("pqrs")), max_size=12), some_limits, st.randoms())
def test_the_line_drains(
    wanted: list[tuple[tuple[str, str], str]], bounds: dict[str, object], dice: random.Random
) -> None:
    """As long as sessions end, everybody is served some day, and no limit is ever exceeded."""
    limits = hub(**bounds)
    waiting = line(
        *(of(n, kind, who, groups=groups) for n, ((kind, groups), who) in enumerate(wanted, 1))
    )
    running: list[Session] = []
    served = 0
    serve(waiting, running, limits)
    while running:
        check(running, limits)
        running.remove(dice.choice(running))
        served += 1
        serve(waiting, running, limits)
    assert waiting == []
    assert served == len(wanted)


@given(kinds, st.lists(kinds, min_size=1, max_size=6), some_limits, st.randoms())
def test_a_crowd_cannot_starve_anybody(
    mine: tuple[str, str],
    crowd: list[tuple[str, str]],
    bounds: dict[str, object],
    dice: random.Random,
) -> None:
    """However many come after, and whatever they want: the first is served in time."""
    limits = hub(**bounds)
    first = of(1, mine[0], "first", groups=mine[1])
    number = 1
    waiting: list[Ticket] = []
    running: list[Session] = []

    def crowded() -> None:
        nonlocal number
        for kind, groups in crowd:
            if sum(1 for one in waiting if one.session.profile == kind) < len(crowd):
                number += 1
                waiting.append(Ticket(of(number, kind, groups=groups), 1000.0 + number))

    crowded()
    serve(waiting, running, limits)
    ticket = Ticket(first, 500.0)
    waiting.append(ticket)
    for _ in range(12):  # generations: all who run have gone
        for one in dice.sample(running, len(running)):
            running.remove(one)
            crowded()
            serve(waiting, running, limits)
            check(running, limits)
    assert ticket not in waiting
