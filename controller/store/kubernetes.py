"""The store on a cluster: what several controllers must agree on, in objects of their namespace.

Records are ConfigMaps of the hub's own namespace. They hold names, ids and hashes: nothing in them
lets a reader in without the key ring, so the controller needs no right to read Secrets but that
one, which has a fixed name. How they are cut decides who can get in whose way:

- a log-in, and a ticket of the line, is an object of its own: made once, deleted once;
- what a session's owner has granted is one object a session: a link's uses, and who is shut out
  of it, change together or not at all;
- what a person is told and has chosen is one object a person;
- failed log-ins are spread over sixteen objects, so that nobody can fill the cluster with names;
- the times of starts are one object, what administrators have decided is one, and what each
  controller knows of sessions is one object a controller: nobody else writes it.

Each change reads the object and writes it back with its resourceVersion; who comes second is
refused by the cluster (409), reads again and decides again. Questions are answered from a mirror
as long as ``changes`` is followed, and by the cluster else. The cluster counts all changes in one
row, the resourceVersions: whoever reads log-ins is told up to which of them the mirror has heard,
and can tell a log-in that it has not heard of from one that has ended. Grants are not owned by the
session's Pod: that is in another namespace, where an ownerReference cannot point;
``remove_grants`` sweeps.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, Callable, Collection, Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

import anyio
import msgspec
from msgspec.structs import replace

from controller.cluster.client import Api, ConflictError, MissingError, Thing, decoded
from controller.cluster.watching import Source, follow
from controller.core import labels
from controller.core.errors import ConfigError, EngineUnavailable, StoreUnavailable
from controller.core.labels import key as label_key
from controller.core.model import Person, Role, SessionId, UserId
from controller.core.records import (
    Drain,
    Link,
    Login,
    Memo,
    Message,
    Notice,
    Reading,
    Rules,
    Share,
    Ticket,
)
from controller.people.tokens import KeyRing, new_key_ring, parse_key_ring
from controller.settings.schema import SHARED_ROUND_MOST, Settings
from controller.store import (
    CLOSED_MOST,
    LINKS_MOST,
    NOTICES_KEPT,
    SHARES_MOST,
    STARTS_KEPT,
    kept_links,
)

_T = TypeVar("_T", bound=msgspec.Struct)

RECORD = label_key("slicerhub.record")

_INSTANCE = label_key(labels.INSTANCE)

_BODY = "body"

_KEYS = "keys.json"

_TRIES = 20  # of a change that others are quicker with each time

_AGAIN_SECONDS = 0.02

_SETTLE_SECONDS = 0.05  # one act makes several changes; and a Pod is seen before its ticket goes

_DELETED_KEPT = 1000  # objects whose late news is told apart from new ones

_FAILURE_OBJECTS = 16

_MEMOS_FRESH_SECONDS = 2.0 * SHARED_ROUND_MOST  # whoever wrote none for so long does not run

_MEMOS_KEPT_SECONDS = 3600.0  # of a controller that is gone, for the one that comes after it


class _Object(msgspec.Struct, frozen=True):
    """A ConfigMap, as far as it is looked at."""

    metadata: Thing
    data: dict[str, str] | None = None

    @property
    def kind(self) -> str:
        return (self.metadata.labels or {}).get(RECORD, "")

    @property
    def body(self) -> str:
        return (self.data or {}).get(_BODY, "")

    @property
    def version(self) -> int:
        return _version(self.metadata)


class _Objects(msgspec.Struct, frozen=True):
    metadata: Thing
    items: tuple[_Object, ...] | None = None  # some servers say null for none


class _HeldLink(msgspec.Struct, frozen=True):
    link: Link
    digest: str
    closed_to: frozenset[UserId] = frozenset()  # who used it, or was shut out


class _Grants(msgspec.Struct, frozen=True):
    """Of one session."""

    shares: dict[UserId, Share] = {}
    links: dict[str, _HeldLink] = {}

    def has_room_for(self, share: Share) -> bool:
        others = sum(not one.look for one in self.shares.values() if one.uid != share.uid)
        return share.look or others < SHARES_MOST


class _Failures(msgspec.Struct, frozen=True):
    """Some of them, oldest first, by key."""

    times: dict[str, list[float]] = {}


class _Desk(msgspec.Struct, frozen=True):
    """Of one person."""

    notices: list[Notice] = []  # the newest first
    ahead: frozenset[str] = frozenset()


class _Starts(msgspec.Struct, frozen=True):
    """Times and seconds, by profile."""

    starts: dict[str, list[tuple[float, float]]] = {}


class _Memos(msgspec.Struct, frozen=True):
    """What one controller knew. ``at``: seconds since the epoch."""

    by: str
    at: float
    memos: dict[SessionId, Memo] = {}


class _Kind(msgspec.Struct, Generic[_T], frozen=True):
    """A kind of records. ``told``: whether its changes concern those who follow."""

    name: str
    type: type[_T]
    told: bool


_LOGIN = _Kind("login", Login, told=True)

_GRANTS = _Kind("grants", _Grants, told=True)

_TICKET = _Kind("ticket", Ticket, told=True)

_DESK = _Kind("person", _Desk, told=True)

_FAILURES = _Kind("failures", _Failures, told=False)

_STARTS = _Kind("starts", _Starts, told=False)

_MEMOS = _Kind("memos", _Memos, told=False)

_RULES = _Kind("rules", Rules, told=True)

_TOLD = frozenset(kind.name for kind in (_LOGIN, _GRANTS, _TICKET, _DESK, _RULES))


class KubernetesStore:
    """See Store."""

    def __init__(self, settings: Settings, *, identity: str, wall: Callable[[], float]) -> None:
        """Nothing is asked of the cluster yet.

        ``identity``: this controller's name among those of the instance; ``wall``: seconds since
        the epoch.
        """
        self._instance = settings.instance
        self._identity = identity
        self._wall = wall
        self._api = Api(settings.kubernetes)
        self._mirror = _Mirror()
        self._turns: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()
        self._forgotten = 0.0  # failures until then are over

    async def aclose(self) -> None:
        """See Store."""
        await self._api.aclose()

    # -- who follows -----------------------------------------------------------------------

    async def changes(self) -> AsyncGenerator[None, None]:
        """See Store. As long as it is followed, questions are answered from memory."""
        source = Source("records", self._path, self._selector())
        async with anyio.create_task_group() as group:
            group.start_soon(follow, self._api, source, self._mirror)
            try:
                while True:
                    await self._mirror.news.wait()
                    await anyio.sleep(_SETTLE_SECONDS)
                    self._mirror.news = anyio.Event()
                    yield
            except GeneratorExit:
                pass  # whoever followed has closed this; the group would make a fault of it
            finally:
                self._mirror.lose(listed=False)
                group.cancel_scope.cancel()

    # -- log-ins ---------------------------------------------------------------------------

    async def add_login(self, login: Login) -> int:
        """See Store."""
        return await self._add(_LOGIN, _hashed(login.sid), login)

    async def remove_login(self, sid: str) -> None:
        """See Store."""
        await self._change(_LOGIN, _hashed(sid), lambda _: None)

    async def logins(self, now: float) -> list[Login]:
        """See Store."""
        found = await self._all(_LOGIN)
        for login in found:
            if login.expires <= now:
                await self.remove_login(login.sid)
        return [login for login in found if login.expires > now]

    async def read_logins(self) -> Reading:
        """See Store."""
        with _mapped():
            if self._mirror.known:
                found, revision = self._mirror.of_kind(_LOGIN.name), self._mirror.heard
            else:
                listed = await self._listed(_LOGIN)
                found, revision = listed.items or (), _version(listed.metadata)
            return Reading(
                tuple(replace(_body(_LOGIN, one), revision=one.version) for one in found), revision
            )

    async def set_person(self, person: Person) -> None:
        """See Store."""
        for login in await self._all(_LOGIN):
            if login.person.uid == person.uid:
                await self._change(
                    _LOGIN, _hashed(login.sid), lambda now: now and replace(now, person=person)
                )

    async def set_seen(self, sid: str, at: float) -> None:
        """See Store."""
        await self._change(
            _LOGIN, _hashed(sid), lambda now: now and replace(now, seen=max(now.seen, at))
        )

    async def add_failure(self, who: str, now: float) -> None:
        """See Store."""

        def work(found: _Failures | None) -> _Failures:
            times = self._standing(found)
            return _Failures(times | {who: sorted([*times.get(who, ()), now])})

        await self._change(_FAILURES, _shard(who), work)

    async def failures(self, who: str, since: float) -> list[float]:
        """See Store. Asks the cluster: guesses are counted wherever they were made."""
        self._forgotten = max(self._forgotten, since)
        found = await self._read(_FAILURES, _shard(who))
        return [at for at in (found.times if found else {}).get(who, ()) if at > since]

    async def clear_failures(self, who: str) -> None:
        """See Store."""

        def work(found: _Failures | None) -> _Failures | None:
            times = {key: at for key, at in self._standing(found).items() if key != who}
            return _Failures(times) if times else None

        await self._change(_FAILURES, _shard(who), work)

    async def all_failures(self, since: float) -> dict[str, list[float]]:
        """See Store. Asks the cluster, as ``failures`` does."""
        self._forgotten = max(self._forgotten, since)
        found: dict[str, list[float]] = {}
        for one in await self._list(_FAILURES):
            found |= self._standing(one)
        return {who: late for who, at in found.items() if (late := [t for t in at if t > since])}

    def _standing(self, found: _Failures | None) -> dict[str, list[float]]:
        kept = {
            who: [one for one in at if one > self._forgotten]
            for who, at in (found.times if found else {}).items()
        }
        return {who: at for who, at in kept.items() if at}

    # -- people ----------------------------------------------------------------------------

    async def add_notice(self, uid: UserId, text: str, more: str, now: float) -> None:
        """See Store."""

        def work(found: _Desk | None) -> _Desk:
            desk = found or _Desk()
            last = desk.notices[0].number if desk.notices else 0
            # By the clock, so that a number is not given again to another after all are gone.
            notice = Notice(max(last + 1, int(now)), now, text, more)
            return replace(desk, notices=[notice, *desk.notices][:NOTICES_KEPT])

        await self._change(_DESK, _hashed(uid), work)

    async def notices(self, uid: UserId) -> list[Notice]:
        """See Store."""
        return (await self._get(_DESK, _hashed(uid)) or _Desk()).notices

    async def remove_notice(self, uid: UserId, number: int) -> None:
        """See Store."""

        def work(found: _Desk | None) -> _Desk | None:
            desk = found or _Desk()
            return _kept(replace(desk, notices=[n for n in desk.notices if n.number != number]))

        await self._change(_DESK, _hashed(uid), work)

    async def set_ahead(self, uid: UserId, profile: str, *, on: bool) -> None:
        """See Store."""

        def work(found: _Desk | None) -> _Desk | None:
            desk = found or _Desk()
            return _kept(
                replace(desk, ahead=(desk.ahead | {profile}) if on else desk.ahead - {profile})
            )

        await self._change(_DESK, _hashed(uid), work)

    async def ahead(self, uid: UserId) -> frozenset[str]:
        """See Store."""
        return (await self._get(_DESK, _hashed(uid)) or _Desk()).ahead

    # -- rules -----------------------------------------------------------------------------

    async def rules(self) -> Rules:
        """See Store."""
        return await self._get(_RULES, "all") or Rules()

    async def set_drain(self, drain: Drain | None) -> None:
        """See Store."""
        await self._change(_RULES, "all", lambda now: _ruled(replace(now or Rules(), drain=drain)))

    async def set_quota(self, uid: UserId, sessions: int | None) -> None:
        """See Store."""

        def work(found: Rules | None) -> Rules | None:
            rules = found or Rules()
            others = {one: most for one, most in rules.quotas.items() if one != uid}
            own = {} if sessions is None else {uid: sessions}
            return _ruled(replace(rules, quotas=others | own))

        await self._change(_RULES, "all", work)

    async def set_message(self, session: SessionId, message: Message | None) -> None:
        """See Store."""

        def work(found: Rules | None) -> Rules | None:
            rules = found or Rules()
            others = {one: said for one, said in rules.messages.items() if one != session}
            own = {} if message is None else {session: message}
            return _ruled(replace(rules, messages=others | own))

        await self._change(_RULES, "all", work)

    # -- starts ----------------------------------------------------------------------------

    async def add_start(self, profile: str, seconds: float, now: float) -> None:
        """See Store."""

        def work(found: _Starts | None) -> _Starts:
            starts = found.starts if found else {}
            newest = sorted([*starts.get(profile, ()), (now, seconds)])[-STARTS_KEPT:]
            return _Starts(starts | {profile: newest})

        await self._change(_STARTS, "all", work)

    async def starts(self, profile: str) -> list[float]:
        """See Store."""
        found = await self._get(_STARTS, "all") or _Starts()
        return [seconds for _, seconds in found.starts.get(profile, ())]

    # -- grants ----------------------------------------------------------------------------

    async def add_share(self, share: Share) -> bool:
        """See Store."""
        kept = False

        def work(found: _Grants | None) -> _Grants | None:
            nonlocal kept
            grants = found or _Grants()
            kept = grants.has_room_for(share)
            if not kept:
                return found
            return replace(grants, shares=grants.shares | {share.uid: share})

        await self._change(_GRANTS, share.session, work)
        return kept

    async def remove_share(self, session: SessionId, uid: UserId, *, bar: bool) -> None:
        """See Store."""

        def work(found: _Grants | None) -> _Grants | None:
            before = found or _Grants()
            grants = _without(before, uid)
            if bar and uid in before.shares:
                links = {
                    one: replace(held, closed_to=held.closed_to | {uid})
                    for one, held in grants.links.items()
                }
                closed = sum(len(held.closed_to) for held in links.values())
                grants = replace(grants, links={} if closed > CLOSED_MOST else links)
            return _any(grants)

        await self._change(_GRANTS, session, work)

    async def lower_share(self, session: SessionId, uid: UserId) -> None:
        """See Store."""
        await self._change_share(session, uid, lambda share: replace(share, role=Role.VIEW))

    async def set_asks(self, session: SessionId, uid: UserId) -> None:
        """See Store."""
        await self._change_share(session, uid, lambda share: replace(share, asks=True))

    async def _change_share(
        self, session: SessionId, uid: UserId, change: Callable[[Share], Share]
    ) -> None:
        def work(found: _Grants | None) -> _Grants | None:
            share = found.shares.get(uid) if found else None
            if found is None or share is None:
                return found
            return replace(found, shares=found.shares | {uid: change(share)})

        await self._change(_GRANTS, session, work)

    async def remove_person(self, uid: UserId) -> None:
        """See Store."""
        # Not from the mirror: an invitation of this moment must go, too.
        for grants in await self._list(_GRANTS):
            share = grants.shares.get(uid)
            if share is not None:
                await self._change(
                    _GRANTS, share.session, lambda now: now and _any(_without(now, uid))
                )

    async def shares(self) -> list[Share]:
        """See Store."""
        return [share for one in await self._all(_GRANTS) for share in one.shares.values()]

    async def add_link(self, link: Link, digest: str) -> bool:
        """See Store."""
        if await self.find_link(digest) is not None:
            raise _taken()
        added = False

        def work(found: _Grants | None) -> _Grants | None:
            nonlocal added
            grants = found or _Grants()
            there = sorted((one.link for one in grants.links.values()), key=lambda one: one.created)
            kept = kept_links(there, link.created)
            links = {one.id: grants.links[one.id] for one in kept}
            added = sum(one.is_open(link.created) for one in kept) < LINKS_MOST
            if added:
                links |= {link.id: _HeldLink(link, digest)}
            return _any(replace(grants, links=links))

        await self._change(_GRANTS, link.session, work)
        return added

    async def remove_link(self, session: SessionId, link: str) -> None:
        """See Store."""

        def work(found: _Grants | None) -> _Grants | None:
            grants = found or _Grants()
            links = {one: held for one, held in grants.links.items() if one != link}
            return _any(replace(grants, links=links))

        await self._change(_GRANTS, session, work)

    async def links(self, session: SessionId) -> list[Link]:
        """See Store."""
        found = await self._get(_GRANTS, session) or _Grants()
        return sorted((held.link for held in found.links.values()), key=lambda one: one.created)

    async def find_link(self, digest: str) -> Link | None:
        """See Store."""
        for grants in await self._all(_GRANTS):
            for held in grants.links.values():
                if held.digest == digest:
                    return held.link
        return None

    async def use_link(self, digest: str, person: Person, now: float) -> Share | None:
        """See Store."""
        known = await self.find_link(digest)
        if known is None:
            return None
        uid = person.uid
        share: Share | None = None

        def work(found: _Grants | None) -> _Grants | None:
            nonlocal share
            share = None
            held = found.links.get(known.id) if found else None
            if found is None or held is None or uid in held.closed_to or not held.link.is_open(now):
                return found
            offered = held.link.share_for(person, now)
            if not found.has_room_for(offered):
                return found
            share = offered
            held = replace(
                held,
                link=replace(held.link, uses=held.link.uses + 1),
                closed_to=held.closed_to | {uid},
            )
            return _Grants(found.shares | {uid: share}, found.links | {known.id: held})

        await self._change(_GRANTS, known.session, work)
        return share

    async def remove_grants(self, keep: Collection[SessionId], before: float) -> None:
        """See Store."""

        def work(found: _Grants | None) -> _Grants | None:
            grants = found or _Grants()
            if any(share.created < before for share in grants.shares.values()):
                grants = replace(grants, shares={})
            if any(held.link.created < before for held in grants.links.values()):
                grants = replace(grants, links={})
            return _any(grants)

        sessions = {
            session
            for grants in await self._all(_GRANTS)
            for session in (
                *(share.session for share in grants.shares.values()),
                *(held.link.session for held in grants.links.values()),
            )
        }
        for session in sorted(sessions.difference(keep)):
            await self._change(_GRANTS, session, work)

    # -- what controllers tell each other --------------------------------------------------

    async def put_memos(self, memos: Mapping[SessionId, Memo]) -> None:
        """See Store."""
        now = self._wall()
        own = _Memos(self._identity, now, dict(memos)) if memos else None
        await self._change(_MEMOS, _hashed(self._identity), lambda _: own)
        for one in await self._all(_MEMOS):
            if one.by != self._identity and one.at < now - _MEMOS_KEPT_SECONDS:
                await self._change(_MEMOS, _hashed(one.by), lambda _: None)

    async def memos(self) -> dict[SessionId, Memo]:
        """See Store."""
        return _merged(await self._all(_MEMOS))

    async def others_memos(self) -> dict[SessionId, Memo]:
        """See Store. Their clocks may differ by seconds, as clocks of one cluster do."""
        now = self._wall()
        fresh: list[_Memos] = []
        for one in await self._all(_MEMOS):
            ago = max(0.0, now - one.at)
            if one.by == self._identity or ago >= _MEMOS_FRESH_SECONDS:
                continue
            aged = {id_: memo.aged(ago) for id_, memo in one.memos.items()}
            fresh.append(replace(one, memos=aged))
        return _merged(fresh)

    # -- the line --------------------------------------------------------------------------

    async def add_ticket(self, ticket: Ticket) -> None:
        """See Store."""
        await self._add(_TICKET, ticket.session.id, ticket)

    async def remove_ticket(self, session: SessionId) -> None:
        """See Store."""
        await self._change(_TICKET, session, lambda _: None)

    async def tickets(self) -> list[Ticket]:
        """See Store."""
        return sorted(await self._all(_TICKET), key=lambda one: (one.since, one.session.id))

    # -- keys ------------------------------------------------------------------------------

    async def key_ring(self, *, make: bool = True) -> KeyRing:
        """Return the key ring that all controllers share; the first one makes it.

        It is the Secret ``<instance>-keys``, which may be there without content: so the hub's Role
        need not name any other. Raises StoreUnavailable, and ConfigError for a key ring that is
        not safe, or not there unless it is to be made.
        """

        def made(found: KeyRing | None) -> KeyRing:
            return found or (new_key_ring(self._wall()) if make else self._no_keys())

        return await self._change_keys(made)

    async def change_key_ring(self, change: Callable[[KeyRing], KeyRing]) -> KeyRing:
        """See ``keys``. Of two at once, the second one changes what the first one has made.

        Raises StoreUnavailable and ConfigError.
        """
        return await self._change_keys(lambda found: change(found or self._no_keys()))

    def _no_keys(self) -> KeyRing:
        raise ConfigError([f"There are no keys in the Secret {self._keys_name}."])

    @property
    def _keys_name(self) -> str:
        return f"{self._instance}-keys"

    async def _change_keys(self, change: Callable[[KeyRing | None], KeyRing]) -> KeyRing:
        name = self._keys_name
        for _ in range(_TRIES):
            with _mapped():
                path = f"/api/v1/namespaces/{self._api.own_namespace()}/secrets"
                secret = await self._secret(f"{path}/{name}")
                data: dict[str, str] = (secret or {}).get("data") or {}
                found = None
                if _KEYS in data:
                    found = parse_key_ring(b64decode(data[_KEYS]), f"the Secret {name}")
                ring = change(found)
                if ring == found:
                    return ring
                data[_KEYS] = b64encode(msgspec.json.encode(ring)).decode()
                with suppress(ConflictError):  # somebody was quicker: what they made is read now
                    await self._put_secret(path, secret, name, data)
                    return ring
        raise _busy()

    async def _secret(self, path: str) -> dict[str, Any] | None:
        try:
            return decoded(await self._api.request("GET", path), dict[str, Any])
        except MissingError:
            return None

    async def _put_secret(
        self, path: str, found: dict[str, Any] | None, name: str, data: dict[str, str]
    ) -> None:
        if found is not None:  # with all that whoever made it wrote on it
            await self._api.request("PUT", f"{path}/{name}", body=found | {"data": data})
            return
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "labels": {_INSTANCE: self._instance}},
            "type": "Opaque",
            "data": data,
        }
        await self._api.request("POST", path, body=body)

    async def ping(self) -> None:
        """See Store."""
        with _mapped():
            await self._api.request("GET", self._path(), query={**self._selector(), "limit": "1"})

    # -- records ---------------------------------------------------------------------------

    def _path(self, name: str = "") -> str:
        path = f"/api/v1/namespaces/{self._api.own_namespace()}/configmaps"
        return f"{path}/{name}" if name else path

    def _selector(self, kind: str = "") -> dict[str, str]:
        record = f"{RECORD}={kind}" if kind else RECORD
        return {"labelSelector": f"{_INSTANCE}={self._instance},{record}"}

    def _name(self, kind: _Kind[_T], place: str) -> str:
        return f"{self._instance}-{kind.name}-{place}"

    async def _all(self, kind: _Kind[_T]) -> list[_T]:
        """Return all records of a kind, from the mirror if that is followed."""
        if not self._mirror.known:
            return await self._list(kind)
        with _mapped():
            return [_body(kind, one) for one in self._mirror.of_kind(kind.name)]

    async def _list(self, kind: _Kind[_T]) -> list[_T]:
        with _mapped():
            return [_body(kind, one) for one in (await self._listed(kind)).items or ()]

    async def _listed(self, kind: _Kind[_T]) -> _Objects:
        query = self._selector(kind.name)
        return decoded(await self._api.request("GET", self._path(), query=query), _Objects)

    async def _get(self, kind: _Kind[_T], place: str) -> _T | None:
        """Return one record, from the mirror if that is followed."""
        if not self._mirror.known:
            return await self._read(kind, place)
        found = self._mirror.named(self._name(kind, place))
        with _mapped():
            return _body(kind, found) if found else None

    async def _read(self, kind: _Kind[_T], place: str) -> _T | None:
        with _mapped():
            found = await self._find(self._name(kind, place))
            return self._own(kind, found) if found else None

    async def _find(self, name: str) -> _Object | None:
        try:
            return decoded(await self._api.request("GET", self._path(name)), _Object)
        except MissingError:
            return None

    def _own(self, kind: _Kind[_T], found: _Object) -> _T:
        marks = found.metadata.labels or {}
        if (marks.get(_INSTANCE), marks.get(RECORD)) != (self._instance, kind.name):
            raise EngineUnavailable(
                f"There is a ConfigMap {found.metadata.name} already, which is not the hub's."
            )
        return _body(kind, found)

    async def _add(self, kind: _Kind[_T], place: str, body: _T) -> int:
        """Make a record; return its version. Raises StoreUnavailable if it is there already."""
        with _mapped():
            try:
                return await self._post(self._name(kind, place), kind, body)
            except ConflictError as error:
                raise _taken() from error

    async def _change(
        self, kind: _Kind[_T], place: str, work: Callable[[_T | None], _T | None]
    ) -> None:
        """Put what ``work`` makes of a record in its place; None: none.

        ``work`` is asked again if somebody else changed the record meanwhile.
        """
        name = self._name(kind, place)
        turn = self._turns.setdefault(name, anyio.Lock())
        async with turn:
            for _ in range(_TRIES):
                with _mapped():
                    found = await self._find(name)
                    before = self._own(kind, found) if found else None
                    after = work(before)
                    if after == before:
                        return
                    try:
                        await self._write(name, kind, found, after)
                    except (ConflictError, MissingError):
                        pass  # somebody else was quicker
                    else:
                        return
                await anyio.sleep(_AGAIN_SECONDS)
        raise _busy()

    async def _write(
        self, name: str, kind: _Kind[_T], found: _Object | None, after: _T | None
    ) -> None:
        if found is None and after is not None:
            await self._post(name, kind, after)
        elif found is not None and after is not None:
            body = self._object(name, kind, after)
            body["metadata"]["resourceVersion"] = found.metadata.resource_version
            made = await self._api.request("PUT", self._path(name), body=body)
            self._mirror.take(decoded(made, _Object))
        elif found is not None:
            body = {
                "apiVersion": "v1",
                "kind": "DeleteOptions",
                "preconditions": {
                    "uid": found.metadata.uid,
                    "resourceVersion": found.metadata.resource_version,
                },
            }
            await self._api.request("DELETE", self._path(name), body=body)
            self._mirror.drop(found)

    async def _post(self, name: str, kind: _Kind[_T], body: _T) -> int:
        made = await self._api.request("POST", self._path(), body=self._object(name, kind, body))
        one = decoded(made, _Object)
        self._mirror.take(one)
        return one.version

    def _object(self, name: str, kind: _Kind[_T], body: _T) -> dict[str, Any]:
        marks = {_INSTANCE: self._instance, RECORD: kind.name}
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "labels": marks},
            "data": {_BODY: msgspec.json.encode(body).decode()},
        }


class _Mirror:
    """All records, as far as a watch and this controller's own writing have told."""

    def __init__(self) -> None:
        self.known = False  # the last list was had, and is followed
        # All changes up to this version are known, whoever made them. What was written here says
        # nothing of it: others may have made changes before, of which no news has come yet.
        self.heard = 0
        self.news = anyio.Event()
        self._items: dict[str, _Object] = {}
        self._deleted: dict[str, None] = {}  # uids, the newest last

    def of_kind(self, kind: str) -> list[_Object]:
        return [one for one in self._items.values() if one.kind == kind]

    def named(self, name: str) -> _Object | None:
        return self._items.get(name)

    def replace(self, listed: bytes) -> None:
        found = decoded(listed, _Objects)
        version = _version(found.metadata)
        # What was written here while the list was on its way is newer than it.
        newer = [one for one in self._items.values() if one.version > version]
        self._items = {}
        for one in (*(found.items or ()), *newer):
            self.take(one)
        self.known = True
        self.heard = version
        self.news.set()

    def change(self, changed: bytes, *, gone: bool) -> None:
        one = decoded(changed, _Object)
        if gone:
            self.drop(one)
        else:
            self.take(one)
        self.heard = max(self.heard, one.version)  # a watch tells changes in their order

    def lose(self, *, listed: bool) -> None:
        # The cluster itself is asked as long as others' changes are not heard of.
        del listed
        self.known = False

    def take(self, one: _Object) -> None:
        """Keep an object, unless this is old news of it."""
        there = self._items.get(one.metadata.name)
        if one.metadata.uid in self._deleted or (there and there.version >= one.version):
            return
        self._items[one.metadata.name] = one
        self._tell(one)

    def drop(self, one: _Object) -> None:
        there = self._items.get(one.metadata.name)
        if there and there.metadata.uid == one.metadata.uid:
            del self._items[one.metadata.name]
        self._deleted[one.metadata.uid] = None
        if len(self._deleted) > _DELETED_KEPT:
            del self._deleted[next(iter(self._deleted))]
        self._tell(one)

    def _tell(self, one: _Object) -> None:
        if one.kind in _TOLD:
            self.news.set()


def _version(metadata: Thing) -> int:
    return int(metadata.resource_version or 0)


def _body(kind: _Kind[_T], found: _Object) -> _T:
    return msgspec.json.decode(found.body, type=kind.type)


def _hashed(text: str) -> str:
    """Return what stands for a text in an object's name."""
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def _shard(who: str) -> str:
    return str(int(_hashed(who), 16) % _FAILURE_OBJECTS)


def _kept(desk: _Desk) -> _Desk | None:
    return desk if desk != _Desk() else None


def _ruled(rules: Rules) -> Rules | None:
    return rules if rules != Rules() else None


def _any(grants: _Grants) -> _Grants | None:
    return grants if grants != _Grants() else None


def _without(grants: _Grants, uid: UserId) -> _Grants:
    return replace(
        grants, shares={one: share for one, share in grants.shares.items() if one != uid}
    )


def _merged(found: Collection[_Memos]) -> dict[SessionId, Memo]:
    """Return the newest memo of each session, as idle as whoever saw it used last says."""
    memos: dict[SessionId, Memo] = {}
    for one in sorted(found, key=lambda one: one.at):
        for session, memo in one.memos.items():
            before = memos.get(session, memo)
            latest = memo if memo.idle <= before.idle else before
            memos[session] = replace(
                memo,
                idle=latest.idle,
                sign=latest.sign,
                kept_by=latest.kept_by,
                extra=max(memo.extra, before.extra),
                warned=memo.warned or before.warned,
            )
    return memos


def _taken() -> StoreUnavailable:
    return StoreUnavailable("The hub's records have that already. Try again.")


def _busy() -> StoreUnavailable:
    return StoreUnavailable("The hub's records are being changed by many at once. Try again.")


@contextmanager
def _mapped() -> Generator[None, None, None]:
    """Turn the cluster's and the decoder's errors into ours, here and nowhere else."""
    try:
        yield
    except (EngineUnavailable, msgspec.DecodeError) as error:
        unusable = StoreUnavailable(
            "The hub's own records cannot be used. Nobody new can log in; the administrator must "
            "see to the cluster."
        )
        unusable.add_note(f"The cluster says: {error}")
        raise unusable from error
