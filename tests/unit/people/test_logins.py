"""Who is logged in, and from when until when."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial

import anyio
import pytest
from msgspec.structs import replace

from controller.core.errors import NotReadyYet
from controller.core.model import Person, UserId
from controller.core.records import CONTROLLER
from controller.rules.credentials import Credentials
from tests.support.fakes.directory import PEOPLE
from tests.support.people import Desk

ALICE, BOB = UserId("alice"), UserId("bob")


@pytest.fixture
async def desk() -> AsyncGenerator[Desk, None]:
    """Give log-ins without any."""
    made = Desk()
    yield made
    made.store.close()


@pytest.mark.anyio
async def test_revoked(desk: Desk) -> None:
    """Whose log-ins are revoked is out everywhere at once and for good; others stay."""
    first, second, bobs = [await desk.enter(one) for one in ("alice", "alice", "bob")]
    assert await desk.logins.revoke(ALICE) == 2
    assert await desk.logins.revoke(ALICE) == 0
    assert await desk.logins.revoke(UserId("nobody")) == 0
    for logins in (desk.logins, await desk.restart()):
        assert logins.proofs.by_bearer(first) is None
        assert logins.proofs.by_bearer(second) is None
        assert logins.proofs.by_bearer(bobs) is not None
        assert logins.standing.people() == {BOB}


@pytest.mark.anyio
async def test_read_again_meanwhile(desk: Desk) -> None:
    """While a controller reads its records again nobody is logged out, and nobody comes back."""
    kept: list[Credentials] = []

    async def come_and_go(number: int) -> None:
        stays, goes = await desk.enter("alice"), await desk.enter("bob")
        leaving = desk.logins.proofs.by_bearer(goes)
        assert leaving is not None
        await desk.logins.leave(leaving, by=CONTROLLER, reason=f"test {number}")
        assert desk.logins.proofs.by_bearer(goes) is None
        kept.append(stays)

    async def read() -> None:
        for _ in range(50):
            await desk.logins.following.load()
            assert all(desk.logins.proofs.by_bearer(one) is not None for one in kept)

    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(come_and_go, number)
            group.start_soon(read)
    for logins in (desk.logins, await desk.restart()):
        assert len([one for one in kept if logins.proofs.by_bearer(one) is not None]) == 5
        assert logins.standing.people() == {ALICE}


@pytest.mark.anyio
async def test_refreshed(desk: Desk) -> None:
    """What the directory says anew of somebody counts at once, and after a restart."""
    first, second, bobs = [await desk.enter(one) for one in ("alice", "alice", "bob")]
    promoted = Person(ALICE, "Alice Archer-Ames", frozenset({"slicer-admins"}), admin=True)
    await desk.logins.following.refresh(promoted)
    await desk.logins.following.refresh(Person(UserId("nobody"), "Nobody"))
    for logins in (desk.logins, await desk.restart()):
        for header, person in ((first, promoted), (second, promoted), (bobs, PEOPLE["bob"])):
            login = logins.proofs.by_bearer(header)
            assert login is not None
            assert login.person == person
    assert {one.person for one in await desk.store.logins(0)} == {promoted, PEOPLE["bob"]}


@pytest.mark.anyio
async def test_refreshed_while_leaving(desk: Desk) -> None:
    """A log-out counts also while the person is being looked up again."""
    header = await desk.enter("alice")
    login = desk.logins.proofs.by_bearer(header)
    assert login is not None
    changed = replace(PEOPLE["alice"], display_name="Alice Ames")
    async with anyio.create_task_group() as group:
        group.start_soon(desk.logins.following.refresh, changed)
        group.start_soon(partial(desk.logins.leave, login, by=CONTROLLER, reason="asked"))
    assert (await desk.restart()).proofs.by_bearer(header) is None
    assert desk.logins.proofs.by_bearer(header) is None
    assert desk.logins.standing.people() == frozenset()


@pytest.mark.anyio
async def test_people(desk: Desk) -> None:
    """The people who are logged in are told each once, and only as long as they are."""
    assert desk.logins.standing.people() == frozenset()
    for one in ("alice", "alice", "bob"):
        await desk.enter(one)
    assert desk.logins.standing.people() == {ALICE, BOB}
    desk.clock.advance(12 * 3600 - 1)
    assert desk.logins.standing.people() == {ALICE, BOB}
    await desk.enter("carol")
    desk.clock.advance(1)
    assert desk.logins.standing.people() == {UserId("carol")}
    assert (await desk.restart()).standing.people() == {UserId("carol")}
    await desk.logins.following.sweep()
    assert [one.person for one in await desk.store.logins(0)] == [PEOPLE["carol"]]


@pytest.mark.anyio
async def test_is_in(desk: Desk) -> None:
    """Somebody is in as long as one of their log-ins stands, whatever became of the others."""
    assert not desk.logins.standing.is_in(ALICE)
    first, second = await desk.enter("alice"), await desk.enter("alice")
    for header in (first, second):
        assert desk.logins.standing.is_in(ALICE)
        login = desk.logins.proofs.by_bearer(header)
        assert login is not None
        await desk.logins.leave(login, by=CONTROLLER, reason="asked")
    assert not desk.logins.standing.is_in(ALICE)
    await desk.enter("alice")
    again = await desk.restart()
    assert again.standing.is_in(ALICE)
    desk.clock.advance(12 * 3600)
    assert not again.standing.is_in(ALICE)
    await again.following.sweep()
    assert not again.standing.is_in(ALICE)


@pytest.mark.anyio
async def test_nobody_before_the_store_is_read(desk: Desk) -> None:
    """A controller that has not read its records yet lets nobody in, and asks them to wait."""
    header = await desk.enter("alice")
    again = desk.another()
    assert again.standing.people() == frozenset()
    with pytest.raises(NotReadyYet):
        again.proofs.by_bearer(header)
    await again.following.load()
    assert again.proofs.by_bearer(header) is not None
