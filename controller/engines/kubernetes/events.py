"""Follows the Pods of sessions and what happens to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar, cast

from controller.cluster.client import JSON, decoded, items_of, name_of
from controller.core.errors import EngineUnavailable
from controller.engines.kubernetes import progress
from controller.engines.kubernetes.answers import (
    CHILDREN,
    METADATA,
    METADATA_LIST,
    Event,
    Pod,
    Thing,
)

_T = TypeVar("_T")


class Follower(Generic[_T]):
    """Objects of one kind by name, as far as a watch has told."""

    def __init__(
        self, kind: str, what: type[_T], ring: Callable[[], None], *, metadata_only: bool = False
    ) -> None:
        """``ring`` is called at each change; ``metadata_only``: the rest is not sent."""
        self.kind = kind
        self.accept = METADATA if metadata_only else JSON
        self.accept_list = METADATA_LIST if metadata_only else JSON
        self.known = False  # the last list was had
        self.items: dict[str, _T] = {}
        self.faults: dict[str, str] = {}  # of what could not be read, by its name
        self._type = what
        self._ring = ring

    def replace(self, listed: bytes) -> None:
        """Replace all by these."""
        found = items_of(listed)
        self.items, self.faults = {}, {}
        for one in found:
            self._take(one, gone=False)
        self.known = True
        self._ring()

    def change(self, changed: bytes, *, gone: bool) -> None:
        """Take one that is new, changed or gone."""
        self._take(changed, gone=gone)
        self._ring()

    def _take(self, said: bytes, *, gone: bool) -> None:
        try:
            thing = decoded(said, self._type)
        except EngineUnavailable as error:
            name = name_of(said)
            self.items.pop(name, None)
            self.faults.pop(name, None)
            if not gone:
                self.faults[name] = f"{self.kind} {name}: {error}"
        else:
            self.take(thing, gone=gone)
            self.faults.pop(cast("Thing", thing).metadata.name, None)

    def lose(self, *, listed: bool) -> None:
        """Forget all, unless the whole list was read: then it is as good as its age."""
        if not listed:
            self.known = False

    def take(self, thing: _T, *, gone: bool) -> None:
        """Keep one object as it is now, or forget it."""
        name = cast("Thing", thing).metadata.name
        if gone:
            self.items.pop(name, None)
        else:
            self.items[name] = thing


class EventFollower(Follower[Event]):
    """The newest event of each Pod, by the Pod's uid; what is over goes with the next list."""

    def __init__(self, ring: Callable[[], None]) -> None:
        """``ring`` is called at each change."""
        super().__init__("Event", Event, ring)

    def take(self, thing: Event, *, gone: bool) -> None:
        """Keep an event unless it is over; an event that is removed still happened."""
        if not gone:
            note(self.items, thing)


AnyFollower = Follower[Pod] | Follower[Thing] | EventFollower


class Followed:
    """All that a watch follows."""

    def __init__(self, ring: Callable[[], None]) -> None:
        """``ring`` is called at each change of any of them."""
        self._pods = Follower("Pod", Pod, ring)
        self._children = [Follower(kind, Thing, ring, metadata_only=True) for kind in CHILDREN]
        self._events = EventFollower(ring)

    @property
    def followers(self) -> list[AnyFollower]:
        """Return one follower for each kind."""
        return [self._pods, *self._children, self._events]

    @property
    def known(self) -> bool:
        """Whether every list has been read."""
        return all(one.known for one in self.followers)

    def facts(
        self,
    ) -> tuple[list[Pod], set[tuple[str, str, str]], dict[str, Event], list[str]]:
        """Return Pods, their children, the newest event of each, and what cannot be read."""
        children = {
            child
            for kind in self._children
            for one in kind.items.values()
            for child in owned(kind.kind, one)
        }
        found = sorted(self._pods.items.values(), key=lambda one: one.metadata.name)
        unread = [fault for one in self.followers for fault in one.faults.values()]
        return found, children, self._events.items, unread


def owned(kind: str, thing: Thing) -> list[tuple[str, str, str]]:
    """Return an object as what it is to its owners: kind, name and the owner's uid."""
    return [
        (kind, thing.metadata.name, owner.uid) for owner in thing.metadata.owner_references or ()
    ]


def note(events: dict[str, Event], event: Event) -> None:
    """Keep the newest event of each object."""
    uid = event.involved_object.uid
    if progress.newer(event, events.get(uid)):
        events[uid] = event
