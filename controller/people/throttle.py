"""Slows down guessing of passwords, without letting anybody lock another person out.

Failures are counted in the store for a name at an address, and for an address alone. Nothing is
counted for a name alone, so a person who is refused at one address can log in from another. For
IPv6 the network (/64) counts, because a host can use any address in it.

While a password is being checked it counts as a failure, so that many attempts at once gain nothing
over as many one after the other. A correct password waits for the attempts before it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import anyio
import msgspec

from controller.core.errors import LoginRefused, NotThrottled, TooManyAttempts
from controller.core.model import canonical_uid
from controller.people.directory import clean_username
from controller.settings.schema import Login
from controller.store import Store

_NETWORK_BITS = 64  # of an IPv6 address: what a site gives one of its networks (RFC 4291, 2.5.4)

_ID_LENGTH = 32  # hexadecimal digits

_NO_NAME = "(not a user name)"  # somebody may type a password into the field of the name


class Throttled(msgspec.Struct, frozen=True):
    """Log-ins that are refused for a while. ``until``: seconds since the epoch."""

    id: str
    user: str  # "": any name
    address: str  # or the network
    failures: int
    until: float


class _Counted(msgspec.Struct, frozen=True):
    """The key by which failures are counted. ``user`` "": the address alone."""

    user: str
    address: str

    @property
    def key(self) -> str:
        return f"user:{self.user}@{self.address}" if self.user else f"address:{self.address}"

    @property
    def id(self) -> str:
        return hashlib.sha256(self.key.encode()).hexdigest()[:_ID_LENGTH]


class Throttle:
    """The failed log-ins of this instance."""

    def __init__(self, settings: Login, store: Store, *, wall: Callable[[], float]) -> None:
        """``wall``: seconds since the epoch."""
        self._settings = settings
        self._store = store
        self._wall = wall
        self._trying: Counter[str] = Counter()
        self._tried = anyio.Event()

    @asynccontextmanager
    async def attempt(self, username: str, address: str) -> AsyncGenerator[None, None]:
        """Check a password inside; LoginRefused counts as a failure, success forgets failures.

        Raises TooManyAttempts and StoreUnavailable.
        """
        network = counted_address(address)
        both = (_Counted(name_of(username), network), _Counted("", network))
        await self._begin(both)
        try:
            yield
        except LoginRefused:
            for one in both:
                await self._store.add_failure(one.key, self._wall())
            raise
        else:
            await self._store.clear_failures(both[0].key)
        finally:
            self._trying -= Counter(one.key for one in both)
            self._tried.set()
            self._tried = anyio.Event()

    async def _begin(self, both: tuple[_Counted, _Counted]) -> None:
        while True:
            tried = self._tried
            free = [await self._free(one) for one in both]
            if tried is not self._tried:
                continue  # one of them has failed while this was read
            if all(number > self._trying[one.key] for number, one in zip(free, both, strict=True)):
                self._trying.update(one.key for one in both)
                return
            await tried.wait()

    async def _free(self, one: _Counted) -> int:
        """Return how many more failures are allowed. Raises TooManyAttempts if none is."""
        now, window = self._wall(), self._settings.attempts_seconds
        failures = await self._store.failures(one.key, now - window)
        limit = self._limit(one)
        if len(failures) >= limit:
            raise TooManyAttempts(retry_after=max(1, round(failures[-limit] + window - now)))
        return limit - len(failures)

    def _limit(self, one: _Counted) -> int:
        if one.user:
            return self._settings.attempts_per_user
        return self._settings.attempts_per_address

    async def throttled(self) -> list[Throttled]:
        """Return the log-ins that are refused now, the longest first."""
        window = self._settings.attempts_seconds
        failures = await self._store.all_failures(self._wall() - window)
        found: list[Throttled] = []
        for key, times in failures.items():
            one = _read(key)
            limit = self._limit(one)
            if len(times) >= limit:
                until = times[-limit] + window
                found.append(Throttled(one.id, one.user, one.address, len(times), until))
        return sorted(found, key=lambda one: (-one.until, one.user, one.address))

    async def release(self, throttled_id: str) -> Throttled:
        """Forget failures, so that log-ins are checked again. Raises NotThrottled."""
        for one in await self.throttled():
            if one.id == throttled_id:
                await self._store.clear_failures(_Counted(one.user, one.address).key)
                return one
        raise NotThrottled


def _read(key: str) -> _Counted:
    kind, _, rest = key.partition(":")
    if kind == "address":
        return _Counted("", rest)
    user, _, address = rest.rpartition("@")  # a name may have one, too; an address has none
    return _Counted(user, address)


def name_of(typed: str) -> str:
    """Return a typed user name in the form that may be stored: one short line.

    Variants in case or width are one name. All texts that cannot be a name are one name, too.
    """
    try:
        return canonical_uid(clean_username(typed))
    except LoginRefused:
        return _NO_NAME


def counted_address(address: str) -> str:
    """Return the key by which failures of an address are counted: IPv4 whole, IPv6 by /64."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    match found:
        case IPv4Address():
            return str(found)
        case IPv6Address(ipv4_mapped=IPv4Address() as inner):
            return str(inner)
        case IPv6Address():
            network = IPv6Network((int(found), _NETWORK_BITS), strict=False)
            return str(network)
