"""What others notice of a flood, beside the same without (``python -m bench.floods``).

On the running stack. One address, and where it helps one person, asks for all that it can get:
half-sent forms, headers that never end, the dearest pages, event streams, log-ins, links. At the
end there are ten sessions whose programs answer as none should. Somebody else logs in meanwhile,
opens the hub's page and works in a session; each is timed before the flood and in it. The flood has
half a processor of its own, so on two cores the ratios are the worse for it. What the flood itself
was answered stands in the last column.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import click
import docker
from bench.measure import machine, table
from docker import DockerClient
from e2e.stack import INSTANCE, URL, Member, place_of

from tests.support.waits import until

IMAGE = "slicerhub-test/echo"
FLOODER = Path(__file__).with_name("flooder.py")
HALF_A_CORE = 500_000_000  # nanoseconds of a second
RISE_SECONDS = 3  # until a flood has risen: Traefik's own bursts are used up then
MEMORY = "256m"
IN_SESSION = 300  # requests in a session, each judged by verify: enough for a p99
HOSTILE = 10


class Flood(NamedTuple):
    """What one address does. ``heads``: of its requests, in turn; ``drip``: what follows, by bytes.

    ``rise``: seconds within which its connections begin.
    """

    title: str
    heads: tuple[str, ...]
    at_once: int
    drip: str = ""
    rise: float = 0.0


class Times(NamedTuple):
    """How long things took somebody else, in milliseconds: medians, and in the session the p99."""

    login: float
    page: float
    session: float


def head(method: str, path: str, *lines: str, body: str = "", end: str = "\r\n\r\n") -> str:
    """Return a request as it is sent; with ``end`` empty the headers have none."""
    length = [f"Content-Length: {len(body)}"] if body else []
    usual = [f"{method} {path} HTTP/1.1", f"Host: {urlsplit(URL).netloc}", "Connection: close"]
    return "\r\n".join([*usual, *length, *lines]) + end + body


def floods(alice: Member, session: dict[str, Any]) -> list[Flood]:
    """Return all of them; ``alice`` is the person whose log-in some of them use."""
    form = "Content-Type: application/x-www-form-urlencoded"
    known = f"Authorization: Bearer {alice.token}"
    is_json = "Content-Type: application/json"
    guess = json.dumps({"username": "alice", "password": "wrong"})
    link = json.dumps({"role": "view", "expires_in": 3600})
    half = head("POST", "/login", form, f"Origin: {URL}", "Content-Length: 1000")
    return [
        Flood("half-sent log-ins", (half + "username=",), 500),
        Flood("headers without end", (head("GET", "/login", end="\r\n"),), 1000, drip="X: y\r\n"),
        the_apis_page(),
        Flood("one person's first page", (head("GET", "/", f"Cookie: {alice.cookie}"),), 64),
        Flood("one person's event streams", (head("GET", "/api/v1/events", known),), 1000),
        Flood("wrong passwords", (head("POST", "/api/v1/login", is_json, body=guess),), 64),
        Flood(
            "one person's links",
            (head("POST", f"/api/v1/sessions/{session['id']}/links", known, is_json, body=link),),
            64,
        ),
    ]


def the_apis_page() -> Flood:
    """Return a flood of the dearest page that needs no log-in."""
    return Flood("the API's page", (head("GET", "/api/docs"),), 64)


@contextmanager
def raging(engine: DockerClient, flood: Flood) -> Generator[dict[str, int]]:
    """Let a flood go on; what it was answered is known at the end."""
    wanted = {name: getattr(flood, name) for name in ("heads", "at_once", "drip", "rise")}
    containers: Any = engine.containers
    container = containers.run(
        IMAGE,
        ["python", "-c", FLOODER.read_text("utf-8"), json.dumps(wanted)],
        network=f"{INSTANCE}_companions",
        nano_cpus=HALF_A_CORE,
        mem_limit=MEMORY,
        detach=True,
    )
    answers: dict[str, int] = {}
    try:
        time.sleep(flood.rise + RISE_SECONDS)
        yield answers
        container.stop(timeout=10)
        said = container.logs(stdout=True, stderr=False).decode()
        if not said:
            raise click.ClickException(f"{flood.title}: {container.logs().decode()}")
        answers |= json.loads(said.splitlines()[-1])
    finally:
        container.remove(force=True)


@contextmanager
def misbehaving(alice: Member) -> Generator[dict[str, int]]:
    """Let ten sessions answer as no program should, each in another way."""
    names = [f"{number}{' all' if number % 2 else ''}" for number in range(HOSTILE)]
    begun = [alice.begin("hostile", name)["id"] for name in names]
    try:
        until(lambda: "ready" in map(alice.phase, begun), what="the first of them")
        yield {"sessions": HOSTILE}
    finally:
        for session_id in begun:
            alice.api.delete(f"/api/v1/sessions/{session_id}?save=false")


def milliseconds(act: Callable[[], None]) -> float:
    """Return how long something takes."""
    begun = time.monotonic()
    act()
    return (time.monotonic() - begun) * 1000


def somebody_elses(bob: Member, place: str, times: int) -> Times:
    """Return how long log-in, page and work take somebody whom the flood does not concern.

    It is another one who logs in: one person's oldest log-ins end when there are too many.
    """

    def login() -> None:
        with Member("carol"):
            pass

    def get(url: str) -> None:
        answer = bob.browser.get(url)
        if not answer.is_success:
            raise click.ClickException(f"{url} answers {answer.status_code}.")

    return Times(
        median(milliseconds(login) / 2 for _ in range(times)),  # by the API and by the page
        median(milliseconds(lambda: get("/")) for _ in range(times)),
        quantiles((milliseconds(lambda: get(place)) for _ in range(IN_SESSION)), n=100)[-1],
    )


def told(answers: dict[str, int]) -> str:
    """Say what a flood was answered."""
    return ", ".join(f"{status}: {number}" for status, number in sorted(answers.items()) if number)


@click.command()
@click.option("--times", default=9, show_default=True, help="How often each thing is done.")
def main(times: int) -> None:
    """Measure each flood on the running stack."""
    engine = docker.from_env()
    alice, bob = Member("alice"), Member("bob")
    rows: list[tuple[str, ...]] = []
    before = machine()
    try:
        place = place_of(bob.launch("echo", "floods"))
        session = alice.launch("echo", "floods")
        trials = [
            (f"{flood.title} ({flood.at_once} at once)", raging(engine, flood))
            for flood in floods(alice, session)
        ]
        trials.append(("hostile sessions", misbehaving(alice)))
        for title, trial in trials:
            quiet = somebody_elses(bob, place, times)
            with trial as answers:
                loud = somebody_elses(bob, place, times)
            each = [f"{now:.0f} ({now / was:.1f})" for was, now in zip(quiet, loud, strict=True)]
            rows.append((title, *each, told(answers)))
    finally:
        for member in (alice, bob):
            member.stop_all()
            member.leave()
        engine.close()
    table(
        "Somebody else in a flood: ms, and how many times as long as before it"
        f" (before: {before}; after: {machine()})",
        ("flood", "log-in", "page", "in a session, p99", "it was answered"),
        rows,
    )


if __name__ == "__main__":
    main()
