"""Records as ConfigMaps, and a mirror of them that a watch keeps up to date."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Callable, Collection, Generator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import anyio
import msgspec

from controller.cluster.client import Api, ConflictError, MissingError, Thing, decoded
from controller.cluster.watching import Source, follow
from controller.core import labels
from controller.core.errors import EngineUnavailable, StoreUnavailable
from controller.core.labels import key as label_key
from controller.core.sentence import Sentence
from controller.monitoring.faults import until_closed
from controller.settings.schema import Settings
from controller.store.kubernetes.records import TOLD, Kind

_T = TypeVar("_T", bound=msgspec.Struct)

RECORD = label_key("slicerhub.record")

INSTANCE = label_key(labels.INSTANCE)

_BODY = "body"

UNUSABLE = Sentence(
    "The hub cannot use its own records. Nobody new can log in. The administrator must check the "
    "cluster."
)

TRIES = 20  # attempts at a change that loses against others

_AGAIN_SECONDS = 0.02

_SETTLE_SECONDS = (
    0.05  # seconds; one act makes several changes, and a Pod appears before its ticket goes
)

_HEARD_SECONDS = 5.0  # for this controller's own change to come back by the watch

_DELETED_KEPT = 1000  # deleted objects that are remembered, to ignore late news of them


class Object(msgspec.Struct, frozen=True):
    """The parts of a ConfigMap that are read."""

    metadata: Thing
    data: dict[str, str] | None = None

    @property
    def kind(self) -> str:
        """Return which kind of record it is."""
        return (self.metadata.labels or {}).get(RECORD, "")

    @property
    def body(self) -> str:
        """Return the record as it was written."""
        return (self.data or {}).get(_BODY, "")

    @property
    def version(self) -> int:
        """Return the version of the cluster's state that the list is of."""
        return version_of(self.metadata)


class _Objects(msgspec.Struct, frozen=True):
    metadata: Thing
    items: tuple[Object, ...] | None = None  # some servers say null for none


class Records:
    """Records as ConfigMaps: each change reads one and writes it back with its version."""

    def __init__(self, settings: Settings, *, identity: str, wall: Callable[[], float]) -> None:
        """No request is made yet.

        ``identity``: this controller's name among those of the instance; ``wall``: seconds since
        the epoch.
        """
        self._instance = settings.instance
        self._identity = identity
        self._wall = wall
        self.api = Api(settings.kubernetes)
        self._mirror = _Mirror(TOLD)
        self._turns: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()
        self._forgotten = 0.0  # failures before this have expired

    async def aclose(self) -> None:
        """Let go of the connection; a later call opens it again."""
        await self.api.aclose()

    async def changes(self) -> AsyncGenerator[None, None]:
        """Yield whenever another controller may have changed what is kept.

        While it is followed, reads come from memory.
        """
        source = Source("records", self._path, self._selector())
        async with anyio.create_task_group() as group:
            group.start_soon(follow, self.api, source, self._mirror)
            with until_closed(group):
                try:
                    while True:
                        await self._mirror.news.wait()
                        await anyio.sleep(_SETTLE_SECONDS)
                        self._mirror.news = anyio.Event()
                        yield
                finally:
                    self._mirror.lose(listed=False)

    def _path(self, name: str = "") -> str:
        path = f"/api/v1/namespaces/{self.api.own_namespace()}/configmaps"
        return f"{path}/{name}" if name else path

    def _selector(self, kind: str = "") -> dict[str, str]:
        record = f"{RECORD}={kind}" if kind else RECORD
        return {"labelSelector": f"{INSTANCE}={self._instance},{record}"}

    def _name(self, kind: Kind[_T], place: str) -> str:
        return f"{self._instance}-{kind.name}-{place}"

    async def _all(self, kind: Kind[_T]) -> list[_T]:
        """Return all records of a kind, from the mirror if it is followed."""
        if not self._mirror.known:
            return await self._list(kind)
        with mapped():
            return [body(kind, one) for one in self._mirror.of_kind(kind.name)]

    async def _list(self, kind: Kind[_T]) -> list[_T]:
        with mapped():
            return [body(kind, one) for one in (await self._listed(kind)).items or ()]

    async def _listed(self, kind: Kind[_T]) -> _Objects:
        query = self._selector(kind.name)
        return decoded(await self.api.request("GET", self._path(), query=query), _Objects)

    async def _get(self, kind: Kind[_T], place: str) -> _T | None:
        """Return one record, from the mirror if it is followed."""
        if not self._mirror.known:
            return await self._read(kind, place)
        found = self._mirror.named(self._name(kind, place))
        with mapped():
            return body(kind, found) if found else None

    async def _read(self, kind: Kind[_T], place: str) -> _T | None:
        with mapped():
            found = await self._find(self._name(kind, place))
            return self._own(kind, found) if found else None

    async def _find(self, name: str) -> Object | None:
        try:
            return decoded(await self.api.request("GET", self._path(name)), Object)
        except MissingError:
            return None

    def _own(self, kind: Kind[_T], found: Object) -> _T:
        marks = found.metadata.labels or {}
        if (marks.get(INSTANCE), marks.get(RECORD)) != (self._instance, kind.name):
            raise EngineUnavailable(
                "The ConfigMap {name} already exists and is not the hub's.",
                name=found.metadata.name,
            )
        return body(kind, found)

    async def _add(self, kind: Kind[_T], place: str, body: _T) -> int:
        """Make a record; return its version. Raises StoreUnavailable if it exists."""
        with mapped():
            try:
                return await self._post(self._name(kind, place), kind, body)
            except ConflictError as error:
                raise taken() from error

    async def _change(
        self, kind: Kind[_T], place: str, work: Callable[[_T | None], _T | None]
    ) -> int:
        """Replace a record by what ``work`` returns for it; None: remove it.

        ``work`` is called again if somebody else changed the record meanwhile. Returns the version
        that was written; 0: nothing, or a removal.
        """
        name = self._name(kind, place)
        turn = self._turns.setdefault(name, anyio.Lock())
        async with turn:
            for _ in range(TRIES):
                with mapped():
                    found = await self._find(name)
                    before = self._own(kind, found) if found else None
                    after = work(before)
                    if after == before:
                        return 0
                    with suppress(ConflictError, MissingError):  # another controller was quicker
                        return await self._write(name, kind, found, after)
                await anyio.sleep(_AGAIN_SECONDS)
        raise busy()

    async def _write(
        self, name: str, kind: Kind[_T], found: Object | None, after: _T | None
    ) -> int:
        if found is None and after is not None:
            return await self._post(name, kind, after)
        if found is not None and after is not None:
            body = self._object(name, kind, after)
            body["metadata"]["resourceVersion"] = found.metadata.resource_version
            made = decoded(await self.api.request("PUT", self._path(name), body=body), Object)
            self._mirror.take(made)
            return made.version
        if found is not None:
            body = {
                "apiVersion": "v1",
                "kind": "DeleteOptions",
                "preconditions": {
                    "uid": found.metadata.uid,
                    "resourceVersion": found.metadata.resource_version,
                },
            }
            await self.api.request("DELETE", self._path(name), body=body)
            self._mirror.drop(found)
        return 0

    async def _post(self, name: str, kind: Kind[_T], body: _T) -> int:
        made = await self.api.request("POST", self._path(), body=self._object(name, kind, body))
        one = decoded(made, Object)
        self._mirror.take(one)
        return one.version

    async def _until_heard(self, version: int) -> None:
        """Wait until all that any controller wrote up to a version is known, or is not followed.

        What is not followed is read from the cluster. Raises StoreUnavailable if it takes too long.
        """
        with anyio.move_on_after(_HEARD_SECONDS):
            while self._mirror.known and self._mirror.heard < version:
                await self._mirror.further.wait()
            return
        raise StoreUnavailable("News of the hub's records do not arrive. Try again.")

    def _object(self, name: str, kind: Kind[_T], body: _T) -> dict[str, Any]:
        marks = {INSTANCE: self._instance, RECORD: kind.name}
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "labels": marks},
            "data": {_BODY: msgspec.json.encode(body).decode()},
        }


class _Mirror:
    """All records, as far as they are known from a watch and from this controller's own writes."""

    def __init__(self, told: Collection[str]) -> None:
        """``told``: the kinds whose changes are reported to followers."""
        self._told = told
        self.known = False  # the last list was read, and is followed
        # All changes up to this version are known, by any controller. This controller's own writes
        # do not count: earlier changes of others may not have arrived yet.
        self.heard = 0
        self.news = anyio.Event()
        self.further = anyio.Event()  # more is heard, or it is followed no more
        self._items: dict[str, Object] = {}
        self._deleted: dict[str, None] = {}  # uids, the newest last

    def of_kind(self, kind: str) -> list[Object]:
        return [one for one in self._items.values() if one.kind == kind]

    def named(self, name: str) -> Object | None:
        return self._items.get(name)

    def replace(self, listed: bytes) -> None:
        found = decoded(listed, _Objects)
        version = version_of(found.metadata)
        # This controller's writes during the request are newer than the list.
        newer = [one for one in self._items.values() if one.version > version]
        self._items = {}
        for one in (*(found.items or ()), *newer):
            self.take(one)
        self.known = True
        self._hear(version)
        self.news.set()

    def change(self, changed: bytes, *, gone: bool) -> None:
        one = decoded(changed, Object)
        if gone:
            self.drop(one)
        else:
            self.take(one)
        self._hear(max(self.heard, one.version))  # a watch tells changes in their order

    def lose(self, *, listed: bool) -> None:
        # Reads go to the cluster while changes of others do not arrive.
        del listed
        self.known = False
        self._hear(self.heard)

    def _hear(self, version: int) -> None:
        self.heard = version
        self.further.set()
        self.further = anyio.Event()

    def take(self, one: Object) -> None:
        """Keep an object, unless a newer version of it is known."""
        there = self._items.get(one.metadata.name)
        if one.metadata.uid in self._deleted or (there and there.version >= one.version):
            return
        self._items[one.metadata.name] = one
        self._tell(one)

    def drop(self, one: Object) -> None:
        there = self._items.get(one.metadata.name)
        if there and there.metadata.uid == one.metadata.uid:
            del self._items[one.metadata.name]
        self._deleted[one.metadata.uid] = None
        if len(self._deleted) > _DELETED_KEPT:
            del self._deleted[next(iter(self._deleted))]
        self._tell(one)

    def _tell(self, one: Object) -> None:
        if one.kind in self._told:
            self.news.set()


def hashed(text: str) -> str:
    """Return the form of a text in an object's name."""
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def version_of(metadata: Thing) -> int:
    """Return the version of the cluster's state that an object is of."""
    return int(metadata.resource_version or 0)


def body(kind: Kind[_T], found: Object) -> _T:
    """Return the record that an object holds. Raises msgspec.DecodeError."""
    return msgspec.json.decode(found.body, type=kind.type)


def taken() -> StoreUnavailable:
    """Return the refusal of a record that already exists."""
    return StoreUnavailable("This record already exists. Try again.")


def busy() -> StoreUnavailable:
    """Return the refusal of a change that lost against others each time."""
    return StoreUnavailable("Too many changes to the hub's records at once. Try again.")


@contextmanager
def mapped(meaning: Sentence = UNUSABLE) -> Generator[None, None, None]:
    """Turn the cluster's and the decoder's errors into the hub's, here and nowhere else.

    ``meaning``: what follows from one.
    """
    try:
        yield
    except (EngineUnavailable, msgspec.DecodeError) as error:
        unusable = StoreUnavailable(meaning)
        unusable.add_note(f"The cluster says: {error}")
        raise unusable from error
