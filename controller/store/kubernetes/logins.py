"""Valid log-ins, and failed attempts."""

from __future__ import annotations

from msgspec.structs import replace
from typing_extensions import override

from controller.core.model import Person
from controller.core.records import Login, Reading
from controller.store import LoginStore
from controller.store.kubernetes.objects import Records, body, hashed, mapped, version_of
from controller.store.kubernetes.records import FAILURES, LOGIN, Failures

_FAILURE_OBJECTS = 16


class LoginRecords(Records, LoginStore):
    """Valid log-ins, and failed attempts."""

    @override
    async def add_login(self, login: Login) -> int:
        return await self._add(LOGIN, hashed(login.sid), login)

    @override
    async def remove_login(self, sid: str) -> None:
        await self._change(LOGIN, hashed(sid), lambda _: None)

    @override
    async def logins(self, now: float) -> list[Login]:
        found = await self._all(LOGIN)
        for login in found:
            if login.expires <= now:
                await self.remove_login(login.sid)
        return [login for login in found if login.expires > now]

    @override
    async def read_logins(self) -> Reading:
        with mapped():
            if self._mirror.known:
                found, revision = self._mirror.of_kind(LOGIN.name), self._mirror.heard
            else:
                listed = await self._listed(LOGIN)
                found, revision = listed.items or (), version_of(listed.metadata)
            return Reading(
                tuple(replace(body(LOGIN, one), revision=one.version) for one in found), revision
            )

    @override
    async def set_person(self, person: Person) -> None:
        for login in await self._all(LOGIN):
            if login.person.uid == person.uid:
                await self._change(
                    LOGIN, hashed(login.sid), lambda now: now and replace(now, person=person)
                )

    @override
    async def set_seen(self, sid: str, at: float) -> None:
        await self._change(
            LOGIN, hashed(sid), lambda now: now and replace(now, seen=max(now.seen, at))
        )

    @override
    async def add_failure(self, who: str, now: float) -> None:
        def work(found: Failures | None) -> Failures:
            times = self._standing(found)
            return Failures(times | {who: sorted([*times.get(who, ()), now])})

        await self._change(FAILURES, _shard(who), work)

    @override
    async def failures(self, who: str, since: float) -> list[float]:
        """Asks the cluster, to count attempts at every controller."""
        self._forgotten = max(self._forgotten, since)
        found = await self._read(FAILURES, _shard(who))
        return [at for at in (found.times if found else {}).get(who, ()) if at > since]

    @override
    async def clear_failures(self, who: str) -> None:
        def work(found: Failures | None) -> Failures | None:
            times = {key: at for key, at in self._standing(found).items() if key != who}
            return Failures(times) if times else None

        await self._change(FAILURES, _shard(who), work)

    @override
    async def all_failures(self, since: float) -> dict[str, list[float]]:
        """Asks the cluster, as ``failures`` does."""
        self._forgotten = max(self._forgotten, since)
        found: dict[str, list[float]] = {}
        for one in await self._list(FAILURES):
            found |= self._standing(one)
        return {who: late for who, at in found.items() if (late := [t for t in at if t > since])}

    def _standing(self, found: Failures | None) -> dict[str, list[float]]:
        kept = {
            who: [one for one in at if one > self._forgotten]
            for who, at in (found.times if found else {}).items()
        }
        return {who: at for who, at in kept.items() if at}


def _shard(who: str) -> str:
    return str(int(hashed(who), 16) % _FAILURE_OBJECTS)
