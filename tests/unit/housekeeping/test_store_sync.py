"""What was written down counts from the start on, and what others write counts soon after."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import anyio
import pytest
from typing_extensions import override

from controller.core.errors import NotWrittenDown
from controller.core.model import Role, SessionId
from controller.core.records import CONTROLLER, Drain, Share
from controller.housekeeping.store_sync import StoreSync
from controller.people.logins import Logins
from controller.people.tokens import Audience, Keys
from controller.rules.credentials import Credentials
from tests.support.fakes.directory import FakeDirectory
from tests.support.fakes.parts import BOB, Parts
from tests.support.fakes.records import Records
from tests.support.hub import RING, eventually
from tests.support.samples import session_id

pytestmark = pytest.mark.anyio


class Told(Records):
    """Records of several controllers: the test tells when another one has written."""

    def __init__(self) -> None:
        """Nobody has written anything."""
        super().__init__()
        self._news = anyio.Event()

    def tell(self) -> None:
        """Say that another controller has written."""
        self._news.set()

    @override
    async def changes(self) -> AsyncGenerator[None, None]:
        while True:
            await self._news.wait()
            self._news = anyio.Event()
            yield


class Controller:
    """What one controller knows of the records."""

    def __init__(self, store: Told) -> None:
        """Nothing is read yet."""
        parts = Parts(store=store)
        self.withdrawn: set[SessionId] = set()
        self.grants = parts.grants
        self.sessions = parts.sessions
        self.logins = Logins(
            parts.settings,
            FakeDirectory(),
            store,
            Keys(RING),
            audit=parts.audit,
            metrics=parts.metrics,
            wall=parts.epoch,
        )
        self.sync = StoreSync(
            store,
            logins=self.logins,
            grant_records=parts.grant_records,
            queue=self.sessions.queue,
            rule_book=self.sessions.rule_book,
            withdrawn=self.withdrawn.update,
            again_seconds=0.001,
        )


SHARED = session_id(1)


def invitation() -> Share:
    """Return an invitation of Bob's."""
    return Share(SHARED, BOB.uid, Role.VIEW, BOB.display_name, created=1.0)


async def test_what_was_written_down_counts() -> None:
    """Log-ins and invitations outlive a restart, and a drain goes on."""
    store = Told()
    before = Controller(store)
    await before.sync.load()
    fresh = await before.logins.entering.enter(
        "bob", "bob", address="10.0.0.1", audience=Audience.API
    )
    await store.add_share(invitation())
    await store.set_drain(Drain(BOB.uid, 1.0, "New disks.", None))
    after = Controller(store)
    await after.sync.load()
    assert after.logins.proofs.by_bearer(Credentials(bearer=fresh.token)) is not None
    assert after.grants.role_of(SHARED, BOB.uid) is Role.VIEW
    assert after.sessions.drain is not None


async def test_records_that_are_away_are_asked_again() -> None:
    """A controller that starts before its records can be read reads them as soon as they can be."""
    store = Told()
    await store.add_share(invitation())
    one = Controller(store)
    store.away = True
    async with anyio.create_task_group() as group:
        group.start_soon(one.sync.load)
        await anyio.sleep(0.01)
        assert one.grants.role_of(SHARED, BOB.uid) is None
        store.away = False
    assert one.grants.role_of(SHARED, BOB.uid) is Role.VIEW


async def test_what_others_write_counts() -> None:
    """An invitation, and its end, of another controller count here once it tells of them."""
    store = Told()
    one = Controller(store)
    await one.sync.load()
    async with anyio.create_task_group() as group:
        group.start_soon(one.sync.run)
        await store.add_share(invitation())
        store.tell()
        await eventually(lambda: one.grants.role_of(SHARED, BOB.uid) is Role.VIEW)
        await store.remove_share(SHARED, BOB.uid, bar=False)
        store.tell()
        await eventually(lambda: one.grants.role_of(SHARED, BOB.uid) is None)
        await eventually(lambda: one.withdrawn == {SHARED})
        group.cancel_scope.cancel()


async def test_news_that_cannot_be_read_are_waited_for() -> None:
    """What is known holds on while the records are away, and the next news count again."""
    store = Told()
    one = Controller(store)
    await store.add_share(invitation())
    await one.sync.load()
    async with anyio.create_task_group() as group:
        group.start_soon(one.sync.run)
        store.away = True
        store.tell()
        await anyio.sleep(0.01)
        assert one.grants.role_of(SHARED, BOB.uid) is Role.VIEW
        store.away = False
        await store.set_drain(Drain(BOB.uid, 1.0, "", None))
        store.tell()
        await eventually(lambda: one.sessions.drain is not None)
        group.cancel_scope.cancel()


async def test_what_has_ended_is_written_down_at_last() -> None:
    """What was ended while the records were away does not come back after the end."""
    store = Told()
    one = Controller(store)
    await one.sync.load()
    fresh = await one.logins.entering.enter("bob", "bob", address="10.0.0.1", audience=Audience.API)
    store.away = True
    with pytest.raises(NotWrittenDown):
        await one.logins.leave(fresh.login, by=CONTROLLER, reason="asked")
    await one.sync.write_down()  # away still: it is put into the log, and nothing is raised
    store.away = False
    await one.sync.write_down()
    assert await store.logins(0) == []
