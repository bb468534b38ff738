"""Which log-ins stand, and that each end is reported, whatever ended it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from controller.core.errors import NoSuchLogin
from controller.core.model import Person, UserId
from controller.core.records import Login, Reading
from controller.people.standing import NEWS_SECONDS, Standing, login_id
from controller.people.tokens import LEEWAY
from tests.support.hub import Clock

ALICE, BOB = UserId("alice"), UserId("bob")
HOUR = 3600.0


class Known:
    """Log-ins that stand, and what is told of their ends."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self.clock = Clock()
        self.standing = Standing(self.clock.wall)
        self.told: list[tuple[str, bool]] = []
        self.standing.when_ended(
            lambda logins, asked: self.told.extend((one.sid, asked) for one in logins)
        )

    def login(self, sid: str, uid: UserId = ALICE, *, revision: int = 0) -> Login:
        """Return a log-in of this moment that stands from now on."""
        now = self.clock.wall()
        made = Login(sid, Person(uid, uid), created=now, expires=now + HOUR, revision=revision)
        self.standing.put(made)
        return made

    def follow(self, *logins: Login, revision: int = 0) -> None:
        """Read these from the store."""
        self.standing.follow(Reading(logins, revision), proven=lambda _: True)


@pytest.fixture
def known() -> Known:
    """Give a place without log-ins."""
    return Known()


ENDS: dict[str, tuple[Callable[[Known, Login], None], bool]] = {
    "asked for": (lambda known, one: known.standing.end([one], asked=True), True),
    "for good": (lambda known, one: known.standing.end([one], asked=True, for_good=True), True),
    "for others": (lambda known, one: known.standing.end([one], asked=False), False),
    "not read any more": (lambda known, _: known.follow(known.standing.all_of(BOB)[0]), False),
}


@pytest.mark.parametrize("way", ENDS)
def test_each_end_is_told(known: Known, way: str) -> None:
    """The subscriber that cuts is told once of a log-in that is gone; no other is touched."""
    one, other = known.login("one"), known.login("other", BOB)
    end, asked = ENDS[way]
    end(known, one)
    assert known.told == [("one", asked)]
    assert not known.standing.stands(one)
    assert known.standing.stands(other)
    assert known.standing.people() == {BOB}


def test_everybody_is_told(known: Known) -> None:
    """However many have to do something at an end, each hears of it; of nothing they hear nothing.

    By then it stands no longer: a request that comes meanwhile is refused.
    """
    one = known.login("one")
    stood: list[bool] = []
    known.standing.when_ended(lambda logins, _: stood.extend(map(known.standing.stands, logins)))
    known.standing.end([], asked=True)
    assert (known.told, stood) == ([], [])
    known.standing.end([one], asked=True)
    assert (known.told, stood) == ([("one", True)], [False])


@pytest.mark.parametrize("for_good", [True, False])
def test_what_has_ended_here_stays_so(known: Known, *, for_good: bool) -> None:
    """A store that has not heard of an end brings nobody back; one's word counts else."""
    one = known.login("one")
    known.standing.end([one], asked=True, for_good=for_good)
    assert known.standing.is_over("one") is for_good
    known.follow(one)
    assert known.standing.stands(one) is not for_good


def test_ends_are_forgotten(known: Known) -> None:
    """An end is remembered until the log-in would have been over by itself."""
    known.standing.end([known.login("one")], asked=True, for_good=True)
    known.clock.advance(HOUR - 1)
    known.standing.forget_over()
    assert known.standing.is_over("one")
    known.clock.advance(1)
    known.standing.forget_over()
    assert not known.standing.is_over("one")


def test_what_was_read(known: Known) -> None:
    """What the store says counts, but for what it has not heard of yet and what no key proves."""
    young, old = known.login("young", revision=5), known.login("old", revision=4)
    read = Reading((replace(old, sid="read"), replace(old, sid="unproven")), 4)
    assert not known.standing.known
    known.standing.follow(read, proven=lambda one: one.sid != "unproven")
    assert {one.sid for one in known.standing.all()} == {"young", "read"}
    assert known.told == [("old", False)]
    assert (known.standing.known, known.standing.revision) == (True, 4)
    known.clock.advance(NEWS_SECONDS + LEEWAY + 1)
    known.standing.follow(read, proven=lambda one: one.sid != "unproven")
    assert not known.standing.stands(young)


def test_use(known: Known) -> None:
    """The last used log-in is shown first; one whose time is over is used no more."""
    first, second = known.login("first"), known.login("second")
    known.clock.advance(60)
    assert known.standing.use(first) == first
    assert [one.sid for one in known.standing.of_person(ALICE)] == ["first", "second"]
    assert known.standing.of_person(ALICE)[0].seen == known.clock.wall()
    assert known.standing.used() == [("first", known.clock.wall())]
    known.standing.end([first], asked=True)
    assert known.standing.used() == []
    known.clock.advance(HOUR)
    assert known.standing.use(second) is None
    assert known.standing.of_person(ALICE) == []


def test_one_is_found_by_its_public_name(known: Known) -> None:
    """People name their own log-ins by what proves nothing, and nobody else's at all."""
    one = known.login("one")
    assert known.standing.find(ALICE, login_id(one)) == replace(one, seen=one.created)
    assert "one" not in login_id(one)
    with pytest.raises(NoSuchLogin):
        known.standing.find(BOB, login_id(one))
    with pytest.raises(NoSuchLogin):
        known.standing.find(ALICE, "one")


def test_what_the_directory_says_last(known: Known) -> None:
    """A person is who the directory said last; of who has left, who they were."""
    one = known.login("one")
    renamed = Person(ALICE, "Alice Ames")
    known.standing.put(replace(one, person=renamed))
    assert known.standing.person_of(one) == renamed
    assert [each.person for each in known.standing.all_of(ALICE)] == [renamed]
    known.standing.end([one], asked=True)
    assert known.standing.person_of(one) == one.person
