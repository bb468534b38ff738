"""What a run of the tests does, as lanes: steps one after the other, beside those of other lanes.

What shares something stands in one lane: a stack with its people, the engine's labs, the cluster.
Pure: it decides what is run and with which settings; `tests.support.run` runs it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path

import msgspec

from tests.support.choice import Take

ROOT = Path(__file__).parents[2]

PARTS = (
    *("unit", "http", "pages", "ldap", "contract", "faults", "docker", "e2e", "tls", "browser"),
    *("kubernetes", "security", "soak", "outages", "load"),
)
"""Each part of ``deploy/test``; its tests are the folder of that name in ``tests/``."""

THOROUGH = frozenset({"soak", "outages", "load"})
"""Parts that are a second proof as a whole: a short run takes a quarter of their tests."""

ENGINES = ("contract", "faults", "docker", "tls", "kubernetes")  # they need images, and no stack
STACKS = ("e2e", "browser", "security", "soak", "outages", "load")


class Run(msgspec.Struct, frozen=True):
    """What somebody wants to be run, and where."""

    parts: tuple[str, ...]
    take: Take
    turn: int  # the number of commits: which quarter of the rest is run
    python: str
    cores: int
    instance: str  # of the end-to-end tests' stack; the others' begin alike
    port: int  # the first of ten that the stacks may take
    pool: str  # a network that the stacks share, in CIDR notation
    cache: str  # a folder: where logs are kept
    stories: int  # that the model of faults tells
    soak: float  # minutes
    authority: str  # a file with one certificate that nobody here shows
    mode: str = ""  # of routing in the end-to-end tests: "path", a domain, or empty
    options: tuple[str, ...] = ()  # of pytest's


class Step(msgspec.Struct, frozen=True):
    """One command."""

    name: str
    words: tuple[str, ...]
    environment: Mapping[str, str] = {}
    tests: bool = False  # it is pytest: whatever comes of it, the lane goes on
    asks: bool = False  # it is pytest that only collects: without a test the lane ends here
    always: bool = False  # it clears up: it is run whatever has happened before


class Lane(msgspec.Struct, frozen=True):
    """Steps that are run one after the other."""

    name: str
    steps: tuple[Step, ...]
    after: frozenset[str] = frozenset()  # lanes that must have ended well before
    alone: bool = False  # it takes the whole machine: it begins when all others have ended
    slots: int = 1  # that it takes of the run's


class Stack(msgspec.Struct, frozen=True):
    """A stack of the tests' own: its names and settings."""

    instance: str
    port: int
    pool: str
    files: tuple[str, ...]  # of Compose
    config: str
    log: str

    def environment(self, mode: str = "") -> dict[str, str]:
        """Return the settings of compose.yaml. ``mode``: of routing."""
        return {
            "SLICERHUB_INSTANCE": self.instance,
            "SLICERHUB_PORT": str(self.port),
            "SLICERHUB_NETWORK_POOL": self.pool,
            "SLICERHUB_BIND": "127.0.0.1",
            "SLICERHUB_DOMAIN": "localhost",
            "SLICERHUB_SESSION_DOMAIN": mode,
            "SLICERHUB_CONFIG_FILE": str(ROOT / self.config),
            "COMPOSE_FILE": ":".join(("compose.yaml", *self.files)),
            "COMPOSE_PATH_SEPARATOR": ":",
            "SLICERHUB_TEST_LOG": self.log,
        }

    def of_tests(self, mode: str = "") -> dict[str, str]:
        """Return the same for tests that use it.

        The program refuses SLICERHUB_* variables that it does not know, and compose.yaml's are not
        its: they go by other names.
        """
        there = self.environment(mode)
        for name in ("INSTANCE", "PORT", "NETWORK_POOL", "BIND", "DOMAIN"):
            del there[f"SLICERHUB_{name}"]
        return there | {
            "SLICERHUB_TEST_URL": f"http://localhost:{self.port}",
            "SLICERHUB_TEST_INSTANCE": self.instance,
            "SLICERHUB_TEST_NETWORK_POOL": self.pool,
        }


E2E = "tests/e2e/compose.yaml"  # what all stacks of the tests have: an echo for a Slicer

ALL_IMAGES = (E2E, "tests/security/compose.yaml", "tests/outages/compose.yaml")


STACK_NAMES: Mapping[str, tuple[str, str]] = {  # -> what its instance ends with, its settings
    "e2e": ("", "e2e"),
    "security": ("attack", "security"),
    "outages": ("outage", "outages"),
    "load": ("load", "load"),
    "security-path": ("path", "security"),
}


def stack_of(run: Run, name: str) -> Stack:
    """Return one of the stacks, which may run at the same time."""
    number = [*STACK_NAMES].index(name)
    suffix, folder = STACK_NAMES[name]
    instance = f"{run.instance.removesuffix('-test')[:9]}-{suffix}" if suffix else run.instance
    pools = [*ipaddress.ip_network(run.pool).subnets(prefixlen_diff=3)]
    return Stack(
        instance=instance,
        port=run.port + 2 * number,
        pool=str(pools[number]),
        files=(E2E,) if folder == "e2e" else (E2E, f"tests/{folder}/compose.yaml"),
        config=f"tests/{folder}/slicerhub.toml",
        log=str(Path(run.cache) / f"{instance}.log"),
    )


def lanes(run: Run) -> tuple[Lane, ...]:
    """Return all lanes of a run: what others wait for, then those that take longest."""
    found = (
        _programs(run),
        _images(run),
        _pure(run),
        _stack(run),
        _cluster(run),
        _attacks(run),
        _on_the_engine(run, "sessions", "docker"),
        _restarts(run),
        _outages(run),
        _path(run),
        _labs(run),
        _on_the_engine(run, "certificates", "tls"),
        _load(run),
    )
    return tuple(lane for lane in found if lane.steps)


def pytest(  # the program's own name
    run: Run,
    part: str,
    *,
    name: str = "",
    environment: Mapping[str, str] | None = None,
    take: Take | None = None,
    beneath: tuple[str, ...] = (),
    paths: tuple[str, ...] = (),
    more: tuple[str, ...] = (),
) -> Step:
    """Return the step that runs a part's tests. ``beneath``: what runs the command."""
    chosen = take or ("quarter" if run.take == "short" and part in THOROUGH else run.take)
    where = paths or (f"tests/{part}",)
    words = (run.python, "-m", "pytest", *where, f"--take={chosen}", f"--turn={run.turn}")
    return Step(
        name or part,
        (*beneath, *words, *more, *run.options),
        {
            "SLICERHUB_TEST_PART": name or part,
            "SLICERHUB_TEST_STRICT": "1",
            "SLICERHUB_HYPOTHESIS": "short" if run.take == "short" else "long",
            "SLICERHUB_FAULTS_STORIES": str(run.stories),
            "SLICERHUB_SOAK_MINUTES": f"{run.soak:g}",
            "SLICERHUB_FUZZ_SECONDS": "15" if run.take == "short" else "40",
            # httpx reads all authorities of the world for each request that is sent without a
            # client of its own: 35 ms of computing, thousands of times, for plain HTTP.
            "SSL_CERT_FILE": run.authority,
            **(environment or {}),
        },
        tests=True,
    )


def _pure(run: Run) -> Lane:
    spread = (f"--numprocesses={run.cores}", "--dist=worksteal")
    parts = [part for part in ("unit", "http", "pages") if part in run.parts]
    steps = [Step("static checks", ("tests/support/checks",), tests=True)]
    if "unit" in parts:
        locks = ("requirements.lock", "deploy/slicer/requirements.lock")
        asked = (run.python, "tests/support/advisories.py", *locks)
        steps.append(Step("known vulnerabilities of what is installed", asked, tests=True))
    steps += [pytest(run, part, more=spread) for part in parts]
    if "ldap" in run.parts:
        steps.append(pytest(run, "ldap"))
    return Lane("pure", tuple(steps))


def _images(run: Run) -> Lane:
    if not set(run.parts) & {*ENGINES, *STACKS}:
        return Lane("images", ())
    environment = {"COMPOSE_FILE": ":".join(("compose.yaml", *ALL_IMAGES))}
    words = ("docker", "compose", "build")
    return Lane("images", (Step("building the images", words, environment),))


def _on_the_engine(run: Run, name: str, *parts: str) -> Lane:
    steps = [pytest(run, part) for part in parts if part in run.parts]
    return Lane(name, tuple(steps), frozenset({"images"}))


def _labs(run: Run) -> Lane:
    """Instances of the hub on the engine that share a pool of networks."""
    return _on_the_engine(run, "labs", "contract", "faults")


def _up(stack: Stack, name: str, mode: str = "") -> Step:
    return Step(name, ("tests/support/stack", "up"), stack.environment(mode))


def _down(stack: Stack) -> tuple[Step, ...]:
    there = stack.environment()
    return (
        Step("looking for secrets in what it said", ("tests/support/stack", "log"), there),
        Step("removing the stack", ("tests/support/stack", "down"), there, always=True),
    )


def _stack(run: Run) -> Lane:
    parts = [part for part in ("e2e", "browser") if part in run.parts]
    if not parts:
        return Lane("stack", ())
    stack = stack_of(run, "e2e")
    there = stack.of_tests(run.mode)
    steps = [pytest(run, part, environment=there) for part in parts]
    start = _up(stack, "starting the stack", mode=run.mode)
    return Lane("stack", (start, *steps, *_down(stack)), frozenset({"images"}))


def _attacks(run: Run) -> Lane:
    """The hub that is attacked has settings of its own, here in subdomain mode."""
    if "security" not in run.parts:
        return Lane("attacks", ())
    stack = stack_of(run, "security")
    tests = pytest(run, "security", environment=stack.of_tests())
    steps = (_up(stack, "starting the stack"), tests, *_down(stack))
    return Lane("attacks", steps, frozenset({"images"}))


def _path(run: Run) -> Lane:
    """The same attacks on a hub in path mode."""
    if "security" not in run.parts:
        return Lane("path", ())
    stack = stack_of(run, "security-path")
    take: Take = "all" if run.take == "all" else "quarter"
    there = stack.of_tests("path")
    tests = pytest(run, "security", name="security-path", environment=there, take=take)
    start = _up(stack, "starting the stack", mode="path")
    return Lane("path", (start, tests, *_down(stack)), frozenset({"images"}))


def _programs(run: Run) -> Lane:
    if "kubernetes" not in run.parts:
        return Lane("programs", ())
    words = ("tests/kubernetes/cluster", "build")
    # On a bare machine it computes on all cores for twelve minutes.
    return Lane("programs", (Step("building the cluster's programs", words),), slots=2)


def _cluster(run: Run) -> Lane:
    if "kubernetes" not in run.parts:
        return Lane("cluster", ())
    script = "tests/kubernetes/cluster"
    within = ("bash", "-c", f'set -e; settings=$({script} env); eval "$settings"; exec "$@"', "-")
    steps = (
        Step("starting the cluster", (script, "up")),
        pytest(run, "kubernetes", beneath=within),
        Step("removing the cluster", (script, "down"), always=True),
    )
    return Lane("cluster", steps, frozenset({"programs", "images"}))


def _if_any(step: Step) -> Step:
    """Return the step that finds out whether there is a test to run, before much is started."""
    return Step(
        f"looking for tests of {step.name}",
        (*step.words, "--collect-only", "--quiet"),
        {name: text for name, text in step.environment.items() if name != "SLICERHUB_TEST_PART"},
        asks=True,
    )


def _outages(run: Run) -> Lane:
    if "outages" not in run.parts:
        return Lane("outages", ())
    stack = stack_of(run, "outages")
    tests = pytest(run, "outages", environment=stack.of_tests(run.mode))
    start = _up(stack, "starting the stack", mode=run.mode)
    return Lane("outages", (_if_any(tests), start, tests, *_down(stack)), frozenset({"images"}))


def _restarts(run: Run) -> Lane:
    """The same hub on an engine of its own, which is restarted; it has its own network, too."""
    if "outages" not in run.parts:
        return Lane("restarts", ())
    stack = stack_of(run, "outages")
    engine = "tests/outages/engine"
    images = ("controller:0.1.0", "ldap:0.1.0", "engine-proxy:0.1.0")
    given = (*(f"slicerhub/{one}" for one in images), "traefik:v3.7", "slicerhub-test/echo")
    start = ("docker", "compose", "up", "--no-build", "--detach", "--wait", "traefik")
    tests = pytest(
        run,
        "outages",
        name="restarts",
        environment=stack.of_tests(run.mode) | {"SLICERHUB_RESTART_ENGINE": str(ROOT / engine)},
        paths=("tests/outages/test_engine.py",),
    )
    steps = (
        _if_any(tests),
        Step("starting an engine to be restarted", (engine, "up", *given)),
        Step("starting the stack on it", (engine, "run", *start), stack.environment(run.mode)),
        msgspec.structs.replace(tests, words=(engine, "run", *tests.words)),
        Step("removing that engine", (engine, "down"), always=True),
    )
    return Lane("restarts", steps, frozenset({"images"}))


def _load(run: Run) -> Lane:
    stack = stack_of(run, "load")
    parts = [part for part in ("soak", "load") if part in run.parts]
    tests = [pytest(run, part, environment=stack.of_tests(run.mode)) for part in parts]
    if not tests:
        return Lane("load", ())
    start = _up(stack, "starting the stack", mode=run.mode)
    any_of_them = pytest(run, "load", paths=tuple(f"tests/{part}" for part in parts))
    steps = (_if_any(any_of_them), start, *tests, *_down(stack))
    return Lane("load", steps, frozenset({"images"}), alone=True)
