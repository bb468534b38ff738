"""What counts of the invitations at this moment, whatever the store has been told of it."""

from __future__ import annotations

import pytest

from controller.core.model import Role, SessionId, UserId
from controller.core.records import Share
from controller.sessions.grants import Grants, Withdrawal
from controller.store import SHARES_MOST
from tests.support.samples import session_id

ONE, TWO = session_id(1), session_id(2)
BOB, CAROL = UserId("bob"), UserId("carol")


class Guests:
    """Grants without a store, and the time that they go by."""

    def __init__(self) -> None:
        """Begin with Bob in two sessions, and Carol, who may control, in one of them."""
        self.now = 1000.0
        self.grants = Grants(wall=lambda: self.now)
        self.grants.replace(
            [share(ONE, BOB), share(ONE, CAROL, Role.CONTROL, created=1.0), share(TWO, BOB)]
        )

    def names(self, session: SessionId = ONE) -> list[str]:
        """Return who is invited to a session."""
        return [one.uid for one in self.grants.of_session(session)]

    def write(self) -> None:
        """Tell the store all that it is owed."""
        for withdrawal, taken in self.grants.owed().items():
            self.grants.settle(withdrawal, taken)


def share(
    session: SessionId,
    uid: UserId,
    role: Role = Role.VIEW,
    *,
    created: float = 0.0,
    expires: float | None = None,
    look: bool = False,
) -> Share:
    """Return an invitation."""
    return Share(session, uid, role, uid.title(), created, expires, look=look)


@pytest.fixture
def guests() -> Guests:
    """Give those grants."""
    return Guests()


def test_nobody_is_invited_where_nothing_counts() -> None:
    """Where sharing is switched off no invitation of before lets anybody in."""
    grants = Grants(count=False, wall=lambda: 0.0)
    grants.put(share(ONE, BOB))
    assert grants.role_of(ONE, BOB) is None
    assert grants.of_session(ONE) == grants.of_person(BOB) == []
    assert grants.stored(ONE, BOB) is not None


def test_the_oldest_come_first(guests: Guests) -> None:
    """Guests are listed in the order in which they were invited."""
    guests.grants.put(share(ONE, UserId("anna"), created=0.5))
    assert guests.names() == ["bob", "anna", "carol"]


@pytest.mark.parametrize("written", [False, True])
def test_who_is_taken_back_is_out(guests: Guests, *, written: bool) -> None:
    """Only that guest, only of that session, before it is written down and afterwards."""
    (was,) = guests.grants.withdraw(ONE, BOB)
    if written:
        guests.write()
    assert (was.session, was.uid) == (ONE, BOB)
    assert guests.names() == ["carol"]
    assert guests.names(TWO) == ["bob"]
    assert guests.grants.withdraw(ONE, BOB) == []
    assert not guests.grants.is_closed(ONE)


def test_a_session_is_closed(guests: Guests) -> None:
    """All its guests are out and its links are to go; other sessions stay as they are."""
    assert {one.uid for one in guests.grants.withdraw_session(ONE)} == {BOB, CAROL}
    assert guests.names() == []
    assert guests.names(TWO) == ["bob"]
    assert guests.grants.is_closed(ONE)
    assert not guests.grants.is_closed(TWO)


def test_a_person_is_out_everywhere(guests: Guests) -> None:
    """A person who may no longer use the hub is invited to nothing."""
    assert {one.session for one in guests.grants.withdraw_person(BOB)} == {ONE, TWO}
    assert guests.grants.of_person(BOB) == []
    assert guests.names() == ["carol"]


@pytest.mark.parametrize("written", [False, True])
def test_control_is_taken(guests: Guests, *, written: bool) -> None:
    """A guest whose control is taken back still views, and is not thrown out."""
    guests.grants.lower(ONE, CAROL)
    if written:
        guests.write()
    assert guests.grants.role_of(ONE, CAROL) is Role.VIEW
    assert guests.names() == ["bob", "carol"]


def test_it_ends_by_itself(guests: Guests) -> None:
    """At its time an invitation is over at once; a round is told of it once."""
    guests.grants.put(share(TWO, CAROL, expires=1010.0))
    assert guests.grants.expire() == []
    guests.now = 1010.0
    assert guests.grants.role_of(TWO, CAROL) is None
    assert [one.uid for one in guests.grants.expire()] == [CAROL]
    assert guests.grants.expire() == []
    assert Withdrawal(TWO, CAROL, bar=False) in guests.grants.owed()


def test_taken_again_while_it_is_written_down(guests: Guests) -> None:
    """What is taken a second time is owed a second time: somebody may be invited in between."""
    guests.grants.withdraw(ONE, BOB)
    ((first, taken),) = guests.grants.owed().items()
    guests.grants.withdraw(ONE, BOB)
    guests.grants.settle(first, taken)
    assert guests.grants.owed() == {first: guests.grants.taken}
    guests.write()
    assert guests.grants.owed() == {}


def test_invited_anew_after_it_was_written_down(guests: Guests) -> None:
    """Nothing of an earlier end bars a later invitation."""
    guests.grants.withdraw(ONE, BOB)
    guests.write()
    guests.grants.put(share(ONE, BOB, Role.CONTROL))
    assert guests.grants.role_of(ONE, BOB) is Role.CONTROL


def test_what_another_controller_took(guests: Guests) -> None:
    """It says in which sessions somebody may do less now, so that they are looked into."""
    first = [share(ONE, BOB), share(ONE, CAROL, Role.CONTROL), share(TWO, BOB)]
    assert guests.grants.replace(first) == set()
    more = [share(ONE, BOB, Role.CONTROL), share(ONE, CAROL, Role.CONTROL), share(TWO, CAROL)]
    assert guests.grants.replace(more) == {TWO}
    assert guests.grants.replace([share(ONE, BOB), share(TWO, CAROL)]) == {ONE}


def test_a_reading_brings_nobody_back(guests: Guests) -> None:
    """A guest removed here stays out though the store does not know of it yet."""
    guests.grants.withdraw(ONE, BOB)
    guests.grants.replace([share(ONE, BOB)])
    assert guests.grants.role_of(ONE, BOB) is None


def test_when_it_is_full(guests: Guests) -> None:
    """Administrators who view take no guest's place."""
    for number in range(SHARES_MOST - 1):
        guests.grants.put(share(TWO, UserId(f"guest{number}"), look=number == 0))
    assert not guests.grants.is_full(TWO)
    guests.grants.put(share(TWO, CAROL))
    assert guests.grants.is_full(TWO)


def test_sessions_that_are_gone(guests: Guests) -> None:
    """Their guests are forgotten, unless they were invited so lately that it may not be seen."""
    guests.grants.put(share(TWO, CAROL, created=990.0))
    guests.grants.keep(set(), since=980.0)
    assert guests.names() == []
    assert guests.names(TWO) == ["bob", "carol"]
