"""Grants of owners: shares to people by name, and links."""

from __future__ import annotations

from collections.abc import Callable, Collection

from msgspec.structs import replace
from typing_extensions import override

from controller.core.model import Person, Role, SessionId, UserId
from controller.core.records import Link, Share
from controller.store import CLOSED_MOST, LINKS_MOST, GrantStore, kept_links
from controller.store.kubernetes.objects import Records, taken
from controller.store.kubernetes.records import GRANTS, Grants, HeldLink


class GrantRecords(Records, GrantStore):
    """Grants of owners."""

    @override
    async def add_share(self, share: Share) -> bool:
        kept = False

        def work(found: Grants | None) -> Grants | None:
            nonlocal kept
            grants = found or Grants()
            kept = grants.has_room_for(share)
            if not kept:
                return found
            return replace(grants, shares=grants.shares | {share.uid: share})

        await self._change(GRANTS, share.session, work)
        return kept

    @override
    async def remove_share(self, session: SessionId, uid: UserId, *, bar: bool) -> None:
        def work(found: Grants | None) -> Grants | None:
            before = found or Grants()
            grants = _without(before, uid)
            if bar and uid in before.shares:
                links = {
                    one: replace(held, closed_to=held.closed_to | {uid})
                    for one, held in grants.links.items()
                }
                closed = sum(len(held.closed_to) for held in links.values())
                grants = replace(grants, links={} if closed > CLOSED_MOST else links)
            return _any(grants)

        await self._change(GRANTS, session, work)

    @override
    async def lower_share(self, session: SessionId, uid: UserId) -> None:
        await self._change_share(session, uid, lambda share: replace(share, role=Role.VIEW))

    @override
    async def set_asks(self, session: SessionId, uid: UserId) -> None:
        await self._change_share(session, uid, lambda share: replace(share, asks=True))

    @override
    async def remove_person(self, uid: UserId) -> None:
        # Not from the mirror: a new invitation must end, too.
        for grants in await self._list(GRANTS):
            share = grants.shares.get(uid)
            if share is not None:
                await self._change(
                    GRANTS, share.session, lambda now: now and _any(_without(now, uid))
                )

    @override
    async def shares(self) -> list[Share]:
        return [share for one in await self._all(GRANTS) for share in one.shares.values()]

    @override
    async def add_link(self, link: Link, digest: str) -> bool:
        if await self.find_link(digest) is not None:
            raise taken()
        added = False

        def work(found: Grants | None) -> Grants | None:
            nonlocal added
            grants = found or Grants()
            there = sorted((one.link for one in grants.links.values()), key=lambda one: one.created)
            kept = kept_links(there, link.created)
            links = {one.id: grants.links[one.id] for one in kept}
            added = sum(one.is_open(link.created) for one in kept) < LINKS_MOST
            if added:
                links |= {link.id: HeldLink(link, digest)}
            return _any(replace(grants, links=links))

        await self._change(GRANTS, link.session, work)
        return added

    @override
    async def remove_link(self, session: SessionId, link: str) -> None:
        def work(found: Grants | None) -> Grants | None:
            grants = found or Grants()
            links = {one: held for one, held in grants.links.items() if one != link}
            return _any(replace(grants, links=links))

        await self._change(GRANTS, session, work)

    @override
    async def links(self, session: SessionId) -> list[Link]:
        found = await self._get(GRANTS, session) or Grants()
        return sorted((held.link for held in found.links.values()), key=lambda one: one.created)

    @override
    async def find_link(self, digest: str) -> Link | None:
        for grants in await self._all(GRANTS):
            for held in grants.links.values():
                if held.digest == digest:
                    return held.link
        return None

    @override
    async def use_link(self, digest: str, person: Person, now: float) -> Share | None:
        known = await self.find_link(digest)
        if known is None:
            return None
        uid = person.uid
        share: Share | None = None

        def work(found: Grants | None) -> Grants | None:
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
            return Grants(found.shares | {uid: share}, found.links | {known.id: held})

        await self._change(GRANTS, known.session, work)
        return share

    @override
    async def remove_grants(self, keep: Collection[SessionId], before: float) -> None:
        def work(found: Grants | None) -> Grants | None:
            grants = found or Grants()
            if any(share.created < before for share in grants.shares.values()):
                grants = replace(grants, shares={})
            if any(held.link.created < before for held in grants.links.values()):
                grants = replace(grants, links={})
            return _any(grants)

        sessions = {
            session
            for grants in await self._all(GRANTS)
            for session in (
                *(share.session for share in grants.shares.values()),
                *(held.link.session for held in grants.links.values()),
            )
        }
        for session in sorted(sessions.difference(keep)):
            await self._change(GRANTS, session, work)

    async def _change_share(
        self, session: SessionId, uid: UserId, change: Callable[[Share], Share]
    ) -> None:
        def work(found: Grants | None) -> Grants | None:
            share = found.shares.get(uid) if found else None
            if found is None or share is None:
                return found
            return replace(found, shares=found.shares | {uid: change(share)})

        await self._change(GRANTS, session, work)


def _any(grants: Grants) -> Grants | None:
    return grants if grants != Grants() else None


def _without(grants: Grants, uid: UserId) -> Grants:
    return replace(
        grants, shares={one: share for one, share in grants.shares.items() if one != uid}
    )
