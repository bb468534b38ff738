"""What a session lacks, and which cards are free."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.core.model import Person, Session, UserId
from controller.rules import quotas
from controller.rules.quotas import Resource, Shortfall
from controller.settings.loading import SLICER
from controller.settings.schema import Limits, Settings
from tests.support.samples import session, settings

HUB = settings()
SMALL = replace(SLICER, id="small", default=True, cpus=2.0, memory_mib=4096)
BIG = replace(SLICER, id="big", default=False, cpus=6.0, memory_mib=16_384, max_sessions=2)
GPU = replace(SLICER, id="gpu", default=False, cpus=1.0, memory_mib=1024, gpus=1)
GPUS = replace(GPU, id="gpus", gpus=2)


def bounded(**limits: object) -> Settings:
    """Return settings with these limits and no others."""
    wide = Limits(sessions_per_user=99, sessions_total=99)
    return replace(HUB, profiles=(SMALL, BIG, GPU, GPUS), limits=replace(wide, **limits))


def of(
    number: int, profile: str = "small", owner: str = "", *, groups: str = "", gpus: str = ""
) -> Session:
    """Return a session, of a person of its own unless one is named."""
    made = session(number, owner=owner or f"person-{number}", profile=profile, name=str(number))
    return replace(made, groups=tuple(groups.split()), gpus=tuple(gpus.split()))


ALICES = [of(1, owner="alice"), of(2, "big", owner="alice")]
NEXT = of(9, owner="alice")


@pytest.mark.parametrize(
    ("wanted", "running", "limits", "shortfall"),
    [
        (NEXT, [], {}, None),
        (NEXT, ALICES, {}, None),
        # One's own.
        (NEXT, ALICES, {"sessions_per_user": 3}, None),
        (NEXT, ALICES, {"sessions_per_user": 2}, Shortfall(Resource.OWN, "2")),
        (of(9, owner="bob"), ALICES, {"sessions_per_user": 1}, None),
        (NEXT, ALICES, {"sessions_per_user": 1, "sessions_total": 1}, Shortfall(Resource.OWN, "2")),
        # All people's.
        (NEXT, [of(1), of(2)], {"sessions_total": 3}, None),
        (NEXT, [of(1), of(2), of(3)], {"sessions_total": 3}, Shortfall(Resource.TOTAL)),
        (
            of(9, "big"),
            [of(1, "big"), of(2, "big")],
            {"sessions_total": 2},
            Shortfall(Resource.TOTAL),
        ),
        # The profile's.
        (of(9, "big"), [of(1, "big"), of(2), of(3)], {}, None),
        (of(9, "big"), [of(1, "big"), of(2, "big")], {}, Shortfall(Resource.PROFILE, "big")),
        (of(9, "small"), [of(1, "big"), of(2, "big")], {}, None),
        # A group's.
        (of(9, groups="a"), [of(1, groups="a")], {"groups": {"a": 2}}, None),
        (
            of(9, groups="a"),
            [of(1, groups="a")],
            {"groups": {"a": 1}},
            Shortfall(Resource.GROUP, "a"),
        ),
        (of(9, groups="b"), [of(1, groups="a")], {"groups": {"a": 1, "b": 1}}, None),
        (
            of(9, groups="a b"),
            [of(1, groups="b")],
            {"groups": {"a": 1, "b": 1}},
            Shortfall(Resource.GROUP, "b"),
        ),
        (of(9, groups="a"), [of(1, groups="a")], {"groups": {}}, None),
        (of(9), [of(1, groups="a")], {"groups": {"a": 1}}, None),
        # Cores and memory of all together; 0 is no limit, and exactly full is not too much.
        (of(9), [of(1), of(2, "big")], {"cpus": 10.0}, None),
        (of(9), [of(1), of(2, "big")], {"cpus": 9.9}, Shortfall(Resource.CPUS)),
        (of(9), [of(1), of(2, "big")], {"memory_mib": 24_576}, None),
        (of(9), [of(1), of(2, "big")], {"memory_mib": 24_575}, Shortfall(Resource.MEMORY)),
        (of(9), [of(1, "gone"), of(2, "gone")], {"cpus": 2.0, "memory_mib": 4096}, None),
        # Graphics cards.
        (of(9, "gpu"), [], {"gpus": ("0", "1")}, None),
        (of(9, "gpu"), [of(1, "gpu", gpus="1")], {"gpus": ("0", "1")}, None),
        (of(9, "gpus"), [of(1, "gpu", gpus="1")], {"gpus": ("0", "1")}, Shortfall(Resource.GPUS)),
        (of(9, "gpu"), [of(1, "gpus", gpus="1 0")], {"gpus": ("0", "1")}, Shortfall(Resource.GPUS)),
        (of(9, "small"), [of(1, "gpus", gpus="1 0")], {"gpus": ("0", "1")}, None),
        (of(9, "gpu"), [of(1, "gpu", gpus="7")], {"gpus": ("0",)}, None),
        (of(9, "gpus"), [of(1, "gpus")], {"gpus": ()}, None),
    ],
)
def test_what_is_lacking(
    wanted: Session, running: list[Session], limits: dict[str, object], shortfall: Shortfall | None
) -> None:
    """Nobody has more than their share, nothing more than there is; one's own limit is told first.

    What a profile or group may have does not hinder others.
    """
    assert shortfall == quotas.shortfall_of(wanted, running, bounded(**limits))


@pytest.mark.parametrize(
    ("groups", "limited"),
    [
        (set[str](), ()),
        ({"students"}, ("Students",)),
        ({"STUDENTS", "gpu"}, ("Students", "gpu")),
        ({"Gpu", "staff"}, ("gpu",)),
        ({"student", "gpus"}, ()),
    ],
)
def test_limited_groups(groups: set[str], limited: tuple[str, ...]) -> None:
    """A session counts for those of its owner's groups that have a limit, however they are typed.

    They are named as in the configuration, so that all members count together.
    """
    person = Person(UserId("olga"), "Olga", frozenset(groups))
    assert limited == quotas.limited_groups(person, Limits(groups={"gpu": 1, "Students": 3}))


@pytest.mark.parametrize(
    ("configured", "held", "free"),
    [
        ("", "", ""),
        ("0 1 2", "", "0 1 2"),
        ("2 0 1", "0", "2 1"),
        ("0 1", "1 0", ""),
        ("0", "9", "0"),
    ],
)
def test_free_gpus(configured: str, held: str, free: str) -> None:
    """A card that a session holds is nobody else's; the others come in their order."""
    running = [of(number, "gpu", gpus=gpu) for number, gpu in enumerate(held.split())]
    assert quotas.free_gpus(configured.split(), running) == tuple(free.split())


@given(st.lists(st.sampled_from("0123"), unique=True), st.lists(st.sets(st.sampled_from("01234"))))
def test_any_free_gpus(configured: list[str], leases: list[set[str]]) -> None:
    """A card is offered if it is configured and no session holds it."""
    sessions = [
        replace(session(number), gpus=tuple(sorted(gpus))) for number, gpus in enumerate(leases)
    ]
    free = [one for one in configured if not any(one in gpus for gpus in leases)]
    assert list(quotas.free_gpus(configured, sessions)) == free
