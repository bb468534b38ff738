"""A directory of three people in memory, for the tests that are not about LDAP."""

from __future__ import annotations

from controller.errors import LoginRefused
from controller.model import Person, UserId, canonical_uid

PEOPLE = {
    "alice": Person(UserId("alice"), "Alice Archer", frozenset({"slicer-users"})),
    "bob": Person(UserId("bob"), "Bob Baker", frozenset({"slicer-users"})),
    "carol": Person(
        UserId("carol"), "Carol Clark", frozenset({"slicer-users", "slicer-admins"}), admin=True
    ),
}


class FakeDirectory:
    """Knows alice, bob and carol; each one's password is the name."""

    can_find = True

    def __init__(self) -> None:
        """``fault``: raised by every call while it is set."""
        self.fault: Exception | None = None

    async def authenticate(self, username: str, password: str) -> Person:
        """See Directory."""
        if self.fault is not None:
            raise self.fault
        person = PEOPLE.get(canonical_uid(username))
        if person is None or password != person.uid:
            raise LoginRefused
        return person

    async def find(self, uid: UserId) -> Person | None:
        """See Directory."""
        if self.fault is not None:
            raise self.fault
        return PEOPLE.get(uid)

    async def ping(self) -> None:
        """See Directory."""
        if self.fault is not None:
            raise self.fault
