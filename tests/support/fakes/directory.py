"""A directory of three people in memory, for the tests that are not about LDAP."""

from __future__ import annotations

from controller.core.errors import DirectoryUnavailable, LoginRefused
from controller.core.model import Person, UserId, canonical_uid
from controller.people.directory import suggest_prefix

PEOPLE = {
    "alice": Person(UserId("alice"), "Alice Archer", frozenset({"slicer-users"})),
    "bob": Person(UserId("bob"), "Bob Baker", frozenset({"slicer-users"})),
    "carol": Person(
        UserId("carol"), "Carol Clark", frozenset({"slicer-users", "slicer-admins"}), admin=True
    ),
}


class FakeDirectory:
    """Knows alice, bob and carol; each one's password is the name."""

    def __init__(self) -> None:
        """``fault``: raised by every call while it is set; ``can_find``: see Directory.

        ``people`` may be changed; ``departed`` are not found any more. ``unreadable``: people whom
        it cannot tell of. ``asked``: whom it was asked for.
        """
        self.people = dict(PEOPLE)
        self.departed: set[UserId] = set()
        self.unreadable: set[UserId] = set()
        self.asked: list[UserId] = []
        self.fault: Exception | None = None
        self.can_find = True

    async def authenticate(self, username: str, password: str) -> Person:
        """See Directory."""
        if self.fault is not None:
            raise self.fault
        person = self.people.get(canonical_uid(username))
        if person is None or person.uid in self.departed or password != person.uid:
            raise LoginRefused
        return person

    async def find(self, uid: UserId) -> Person | None:
        """See Directory."""
        if self.fault is not None:
            raise self.fault
        self._check_can_find()
        self.asked.append(uid)
        if uid in self.unreadable:
            raise DirectoryUnavailable("The directory does not answer.")
        return None if uid in self.departed else self.people.get(uid)

    async def suggest(self, text: str, limit: int) -> list[Person]:
        """See Directory."""
        if self.fault is not None:
            raise self.fault
        self._check_can_find()
        prefix = suggest_prefix(text).casefold()
        found = [
            one
            for one in sorted(PEOPLE.values(), key=lambda one: one.display_name)
            if one.uid.startswith(prefix) or f" {prefix}" in f" {one.display_name.casefold()}"
        ]
        return found[: max(limit, 0)] if prefix else []

    async def ping(self) -> None:
        """See Directory."""
        if self.fault is not None:
            raise self.fault

    def _check_can_find(self) -> None:
        if not self.can_find:
            raise DirectoryUnavailable("This directory cannot look people up.")
