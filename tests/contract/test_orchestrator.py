"""What every engine must do, shown with each of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import Protocol

import anyio
import pytest
from msgspec.structs import replace

from controller.core.errors import FilesInUse, ImageRefused, SessionExists
from controller.core.model import (
    Mount,
    Observed,
    Route,
    Session,
    SessionId,
    Usage,
    UserId,
    volume_name,
)
from controller.core.sentence import Phrase
from controller.engines import Orchestrator
from controller.settings.schema import Settings
from tests.support import samples

pytestmark = pytest.mark.anyio

NO_GRACE = timedelta(0)
DEADLINE = 90.0  # seconds; the machine may be busy with other things


class Engine(Protocol):
    """An engine under test."""

    settings: Settings
    measures: bool  # it can tell what a session takes
    knows_sizes: bool  # of files, from the first moment on

    @property
    def orchestrator(self) -> Orchestrator:
        """Return what is tested."""
        ...

    async def end(self, session: Session) -> Session:
        """Make a session whose program ends by itself with exit code 3 after saying "last"."""
        ...

    async def offer(self, app: str, rule: str) -> None:
        """Run a service for the group "staff" that names the hub's guard for this rule."""
        ...

    async def withdraw(self, app: str) -> None:
        """Remove that service."""
        ...


def session(
    number: int = 1, *, owner: str = "alice", name: str = "thesis", profile: str = "good"
) -> Session:
    """Return a session of a profile that every engine can start."""
    return samples.session(number, owner=owner, name=name, profile=profile)


async def test_ensure(engine: Engine) -> None:
    """A session that was started runs, is whole, and is exactly what it was started as."""
    made = session()
    await engine.orchestrator.ensure(made)
    await running(engine, made)
    assert await engine.orchestrator.get(made.id) == Observed(session=made, running=True)


async def test_nothing_there(engine: Engine) -> None:
    """An empty engine has no sessions and makes none up."""
    assert await engine.orchestrator.list() == []
    assert await engine.orchestrator.get(samples.session_id(9)) is None
    assert await lines(engine, samples.session_id(9)) == []
    assert await engine.orchestrator.usage(samples.session_id(9)) is None


async def test_ensure_again(engine: Engine) -> None:
    """Asking twice, one after the other or at once, makes no second session and no fault."""
    made = session()
    await engine.orchestrator.ensure(made)
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(engine.orchestrator.ensure, made)
    await running(engine, made)


async def test_one_session_of_a_name(engine: Engine) -> None:
    """A second session of the same person and name is refused, and the first one is named."""
    await engine.orchestrator.ensure(session(1))
    for other in (session(2), session(3, name="THESIS")):
        with pytest.raises(SessionExists) as caught:
            await engine.orchestrator.ensure(other)
        assert caught.value.session_id == samples.session_id(1)
    await engine.orchestrator.ensure(session(4, name="other"))
    await engine.orchestrator.ensure(session(5, owner="bob"))
    found = {one.session.id for one in await engine.orchestrator.list()}
    assert found == {samples.session_id(number) for number in (1, 4, 5)}


async def test_twenty_at_once(engine: Engine) -> None:
    """Twenty launches of one name at once make exactly one session; the others learn which."""
    made: list[SessionId] = []
    refused: list[str] = []

    async def launch(number: int) -> None:
        one = session(number)
        try:
            await engine.orchestrator.ensure(one)
        except SessionExists as error:
            refused.append(error.session_id)
        else:
            made.append(one.id)

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(launch, number)
    assert len(made) == 1
    assert refused == made * 19
    await running(engine, replace(session(), id=made[0]))


async def test_refused_profiles(engine: Engine) -> None:
    """A profile that there is no more is refused, and nothing is left of the try."""
    with pytest.raises(ImageRefused):
        await engine.orchestrator.ensure(session(profile="gone"))
    with pytest.raises(ImageRefused):
        await engine.orchestrator.check("gone")
    await engine.orchestrator.check("good")
    assert await engine.orchestrator.list() == []


async def test_volumes_are_remembered(engine: Engine) -> None:
    """Which files of groups a session was given is known from the engine alone."""
    made = replace(
        session(), volumes=(Mount("atlas", writable=False), Mount("cases", writable=True))
    )
    await engine.orchestrator.ensure(made)
    await running(engine, made)


async def test_files(engine: Engine) -> None:
    """Whose files there are is known; they go if that is asked for and no session has them."""
    alice, bob = UserId("alice"), UserId("bob")
    await engine.orchestrator.ensure(session())
    await engine.orchestrator.ensure(session(2, owner="bob"))
    found = {one.owner: one for one in await engine.orchestrator.volumes()}
    assert {alice, bob} <= found.keys()
    assert found[alice].name == volume_name(engine.settings.instance, alice)
    assert found[alice].size is not None or not engine.knows_sizes
    with pytest.raises(FilesInUse):
        await engine.orchestrator.remove_volume(alice)
    await engine.orchestrator.remove(session().id, grace=NO_GRACE)
    await engine.orchestrator.remove_volume(alice)
    await engine.orchestrator.remove_volume(alice)
    left = {one.owner for one in await engine.orchestrator.volumes()}
    assert alice not in left
    assert bob in left


async def test_fetch(distant_engine: Engine) -> None:
    """A program that is not there is fetched, which can be followed in words, and then starts."""
    orchestrator, told = distant_engine.orchestrator, list[Phrase]()
    for call in (orchestrator.check("remote"), orchestrator.ensure(session(profile="remote"))):
        with pytest.raises(ImageRefused):
            await call
    await orchestrator.fetch("remote", told.append)
    assert told
    assert not re.search("image|container|pull", " ".join(map(str, told)), re.IGNORECASE)
    await orchestrator.check("remote")
    await orchestrator.ensure(session(profile="remote"))
    told.clear()
    await orchestrator.fetch("remote", told.append)
    await orchestrator.fetch("good", told.append)
    assert not told


async def test_fetch_at_once(distant_engine: Engine) -> None:
    """Of many who need the same program, each hears of it and each can start it afterwards."""
    told: dict[int, list[Phrase]] = {number: [] for number in range(4)}
    async with anyio.create_task_group() as group:
        for one in told.values():
            group.start_soon(distant_engine.orchestrator.fetch, "remote", one.append)
    assert all(told.values())
    await distant_engine.orchestrator.check("remote")


async def test_nothing_to_fetch(distant_engine: Engine) -> None:
    """A program that cannot be had is refused, with the reason for the administrator."""
    with pytest.raises(ImageRefused, match="Tell the administrator") as caught:
        await distant_engine.orchestrator.fetch("nowhere", lambda _: None)
    assert "manifest unknown" in caught.value.cause
    with pytest.raises(ImageRefused):
        await distant_engine.orchestrator.fetch("gone", lambda _: None)


async def test_remove(engine: Engine) -> None:
    """A removed session is gone and its name free; removing again, or nothing, is success."""
    await engine.orchestrator.ensure(session(1))
    await engine.orchestrator.ensure(session(2, name="other"))
    for _ in range(2):
        await engine.orchestrator.remove(samples.session_id(1), grace=NO_GRACE)
        (seen,) = await engine.orchestrator.list()
        assert seen.session.id == samples.session_id(2)
    await engine.orchestrator.remove(samples.session_id(9), grace=NO_GRACE)
    await engine.orchestrator.ensure(session(3))
    assert len(await engine.orchestrator.list()) == 2


async def test_remove_at_once(engine: Engine) -> None:
    """Several controllers that remove the same session do not hinder each other."""
    await engine.orchestrator.ensure(session())

    async def remove() -> None:
        await engine.orchestrator.remove(session().id, grace=NO_GRACE)

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(remove)
    assert await engine.orchestrator.list() == []


async def test_ended(engine: Engine) -> None:
    """A program that ended is seen with its exit code and time, and its last lines are there."""
    made = await engine.end(session(profile="ending"))
    seen = await engine.orchestrator.get(made.id)
    assert seen is not None
    assert not seen.running
    assert seen.exit_code == 3
    assert seen.ended_at is not None
    assert (await lines(engine, made.id))[-1] == "last"
    assert await lines(engine, made.id, tail=1) == ["last"]
    await engine.orchestrator.remove(made.id, grace=NO_GRACE)
    assert await engine.orchestrator.list() == []
    assert await lines(engine, made.id) == []


async def test_an_ended_session_is_not_started_again(engine: Engine) -> None:
    """What ended stays ended until it is removed: nobody's failure is hidden by a new start."""
    made = await engine.end(session(profile="ending"))
    with pytest.raises(SessionExists):
        await engine.orchestrator.ensure(session(2, profile="good"))
    seen = await engine.orchestrator.get(made.id)
    assert seen is not None
    assert seen.exit_code == 3


async def test_usage(engine: Engine) -> None:
    """What a running session takes is known after a while, as numbers that can be.

    An engine that cannot measure says that it does not know.
    """
    made = session()
    await engine.orchestrator.ensure(made)
    if not engine.measures:
        assert await engine.orchestrator.usage(made.id) is None
        return
    found: Usage | None = None
    with anyio.fail_after(DEADLINE):
        while found is None:
            found = await engine.orchestrator.usage(made.id)
            await anyio.sleep(0.2)
    assert 0 <= found.cpu_percent < 6400
    assert 0 <= found.memory_bytes <= 64 * 2**20


async def test_watch(engine: Engine) -> None:
    """Who watches gets the whole state now, and again after each change by anybody."""
    snapshots: list[Sequence[Observed]] = []

    async def follow() -> None:
        async with aclosing(engine.orchestrator.watch()) as watching:
            async for snapshot in watching:
                snapshots.append(snapshot)  # noqa: PERF401 - it never ends

    first, second = session(1), session(2, name="other", profile="ending")
    await engine.orchestrator.ensure(first)
    async with anyio.create_task_group() as group:
        group.start_soon(follow)
        await soon(lambda: ids(snapshots) == {first.id})
        await engine.end(second)
        await soon(lambda: ids(snapshots) == {first.id, second.id})
        await soon(lambda: any(one.exit_code == 3 for one in snapshots[-1]))
        await engine.orchestrator.remove(first.id, grace=NO_GRACE)
        await soon(lambda: ids(snapshots) == {second.id})
        await engine.orchestrator.remove(second.id, grace=NO_GRACE)
        await soon(lambda: ids(snapshots) == set())
        group.cancel_scope.cancel()


async def test_watch_left_between_two_looks(engine: Engine) -> None:
    """Who stops to watch while a snapshot is being looked at leaves nothing running behind."""
    with anyio.CancelScope() as scope:
        async with aclosing(engine.orchestrator.watch()) as watching:
            assert await anext(watching) == []
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught


async def test_companions(engine: Engine) -> None:
    """A service that wants the hub's log-in is seen as it was labelled, and is no session."""
    rule = "PathPrefix(`/apps/wiki/`)"
    assert await engine.orchestrator.apps() == []
    await engine.offer("wiki", rule)
    (seen,) = await engine.orchestrator.apps()
    assert (seen.app, seen.title, seen.groups) == ("wiki", "The wiki", "staff")
    assert seen.routes == (Route(rule=rule, guarded=True),)
    assert seen.where
    assert seen.claims == ()
    assert await engine.orchestrator.list() == []
    await engine.withdraw("wiki")
    assert await engine.orchestrator.apps() == []


async def test_ping(engine: Engine) -> None:
    """An engine that is there answers."""
    await engine.orchestrator.ping()


async def running(engine: Engine, made: Session) -> None:
    """Wait until this session is all that there is, runs and is whole."""
    expected = [Observed(session=made, running=True)]
    seen: Sequence[Observed] = ()
    with anyio.move_on_after(DEADLINE):
        while True:
            seen = await engine.orchestrator.list()
            if seen == expected:
                break
            await anyio.sleep(0.05)
    assert seen == expected


def ids(snapshots: list[Sequence[Observed]]) -> set[SessionId] | None:
    """Return the ids in the newest snapshot."""
    return {one.session.id for one in snapshots[-1]} if snapshots else None


async def soon(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    with anyio.fail_after(DEADLINE):
        while not condition():  # noqa: ASYNC110 - snapshots have no event of their own
            await anyio.sleep(0.02)


async def lines(engine: Engine, session_id: SessionId, *, tail: int = 100) -> list[str]:
    """Return the last lines of a session."""
    return [line async for line in engine.orchestrator.logs(session_id, tail=tail)]
