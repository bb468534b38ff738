"""The engines that must behave alike, and the stores."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from msgspec.structs import replace

from controller.core import labels
from controller.core.model import Observed, Offer, Route, Session
from controller.engines import Orchestrator
from controller.engines.docker.engine import DockerOrchestrator
from controller.engines.memory import Fetch, MemoryOrchestrator
from controller.rules import companions
from controller.settings.schema import Settings
from controller.store import Store
from controller.store.sqlite.store import SqliteStore
from tests.support.engine import Lab, lab
from tests.support.registry import forget, publish, registry

DEADLINE = 90.0  # seconds; the machine may be busy with other things

Opened = Callable[[], Store]


class MemoryEngine:
    """The engine in memory, and how things happen in it."""

    measures = True
    knows_sizes = True

    def __init__(self, settings: Settings) -> None:
        """Begin empty, with the profiles of the real one."""
        self.settings = settings
        self.orchestrator = MemoryOrchestrator(settings)

    async def end(self, session: Session) -> Session:
        """Make a session whose program ends by itself with exit code 3 after saying "last"."""
        await self.orchestrator.ensure(session)
        self.orchestrator.crash(session.id, exit_code=3, message="last")
        return session

    async def offer(self, app: str, rule: str) -> None:
        """Let the engine see a service that names the hub's guard."""
        route = Route(rule=rule, guarded=True)
        offered = Offer(where=app, app=app, title=f"The {app}", groups="staff", routes=(route,))
        self.orchestrator.offers.append(offered)

    async def withdraw(self, app: str) -> None:
        """Let it see that service no more."""
        left = [one for one in self.orchestrator.offers if one.app != app]
        self.orchestrator.offers = left


class DockerEngine:
    """The real engine, and how things happen in it."""

    measures = True
    knows_sizes = True

    def __init__(self, made: Lab, settings: Settings) -> None:
        """Use this instance."""
        self.settings = settings
        self.orchestrator: DockerOrchestrator = made.orchestrator(settings)
        self._lab = made

    async def end(self, session: Session) -> Session:
        """Make a session whose program ends by itself with exit code 3 after saying "last"."""
        await self.orchestrator.ensure(session)
        await until_ended(self.orchestrator, session)
        return session

    async def offer(self, app: str, rule: str) -> None:
        """Run a container that names the hub's guard."""
        router = f"traefik.http.routers.{app}"
        said = {
            labels.APP: app,
            labels.TITLE: f"The {app}",
            labels.GROUPS: "staff",
            f"{router}.rule": rule,
            f"{router}.middlewares": f"{companions.guard_name(app)}@http",
        }
        await anyio.to_thread.run_sync(self._lab.start_companion, app, said)

    async def withdraw(self, app: str) -> None:
        """Remove that container."""
        await anyio.to_thread.run_sync(self._lab.stop_companion, app)


async def until_ended(orchestrator: Orchestrator, session: Session) -> Observed:
    """Wait until a session's program has ended."""
    with anyio.fail_after(DEADLINE):
        while True:
            seen = await orchestrator.get(session.id)
            if seen is not None and seen.exit_code is not None:
                return seen
            await anyio.sleep(0.05)


@pytest.fixture(scope="session")
def engine_lab() -> Generator[Lab, None, None]:
    """Give an instance on the real engine."""
    with lab() as made:
        yield made


@pytest.fixture
def docker_lab(engine_lab: Lab) -> Generator[Lab, None, None]:
    """Give the instance on the real engine, without sessions before and after."""
    yield engine_lab
    engine_lab.clean()


@pytest.fixture(params=["memory", "docker"])
async def engine(
    request: pytest.FixtureRequest, docker_lab: Lab, anyio_backend: str
) -> MemoryEngine | DockerEngine:
    """Give each engine in turn."""
    assert anyio_backend == "asyncio"
    if request.param == "memory":
        return MemoryEngine(docker_lab.settings)
    return DockerEngine(docker_lab, docker_lab.settings)


@pytest.fixture(scope="module")
def remote_image(
    engine_lab: Lab,
    tmp_path_factory: pytest.TempPathFactory,
    free_tcp_port_factory: Callable[[], int],
) -> Generator[str, None, None]:
    """Give the name of an image that is in a real registry."""
    with registry(tmp_path_factory.mktemp("registry"), free_tcp_port_factory()) as address:
        name = f"{address}/{engine_lab.instance}:remote"
        publish(engine_lab.api, name)
        yield name
        forget(engine_lab.api, name)


def with_remote(made: Lab, image: str) -> Settings:
    """Return the lab's settings with the profiles "remote", of this image, and "nowhere"."""
    good = made.settings.profiles[0]
    remote = replace(good, id="remote", image=image, default=False)
    nowhere = replace(remote, id="nowhere", image=f"{image}-none")
    return replace(made.settings, profiles=(*made.settings.profiles, remote, nowhere))


@pytest.fixture(params=["memory", "docker"])
async def distant_engine(
    request: pytest.FixtureRequest, docker_lab: Lab, remote_image: str, anyio_backend: str
) -> MemoryEngine | DockerEngine:
    """Give each engine in turn, with two profiles whose programs it has not got.

    That of "remote" can be fetched; that of "nowhere" cannot.
    """
    assert anyio_backend == "asyncio"
    settings = with_remote(docker_lab, remote_image)
    if request.param == "memory":
        engine = MemoryEngine(settings)
        engine.orchestrator.missing["remote"] = Fetch(told=("Fetching the program",))
        engine.orchestrator.missing["nowhere"] = Fetch(refusal="manifest unknown")
        return engine
    forget(docker_lab.api, remote_image)
    return DockerEngine(docker_lab, settings)


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncGenerator[Opened, None]:
    """Give a way to open the same records once more, as another controller or a later one does."""
    made: list[SqliteStore] = []

    def again() -> SqliteStore:
        made.append(SqliteStore(tmp_path / "store.sqlite"))
        return made[-1]

    yield again
    for one in made:
        one.close()


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Store, None, None]:
    """Give a new store of each kind."""
    made = SqliteStore(tmp_path / "store.sqlite" if request.param == "file" else ":memory:")
    yield made
    made.close()
