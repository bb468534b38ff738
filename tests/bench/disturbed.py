"""Requests in sessions while much goes on, beside quiet (``python -m bench.disturbed``).

On the running stack. At a steady rate a gate is asked what Traefik asks it, and so are three pages:
one of a session through Traefik; one of a small server behind a Traefik of the bench's own, which
asks the same gates; and the same page there without being asked about, which is what the machine
itself does to it (``front_door``). First in quiet, then while all of this goes on at once, and in
quiet again:

- 500 pages are open, by event streams of fifty log-ins;
- one address floods the dearest page that needs no log-in;
- fifty sessions are launched in a row and stopped again, of which those pages are told;
- the directory takes connections and answers nothing.

A time counts from the moment at which the request was due, so that a request that had to wait for
the one before it counts, too. The floods and the launches share the machine's processors with what
is measured: on two cores that is most of what the page without a check shows. Who asks comes first
there, if the bench may say so (root): how late it got its own turn is no fault of who answers.
"""

from __future__ import annotations

import http.client
import os
import secrets
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from http import HTTPStatus
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event as SyncEvent
from statistics import median, quantiles
from threading import Event
from typing import NamedTuple
from urllib.parse import urlsplit

import click
import docker
import httpx
from bench.floods import Flood, head, raging, the_apis_page, told
from bench.front_door import (
    PROFILE,
    address_on_edge,
    labels_for,
    page_server,
    traefik_of,
    wait_until_routed,
)
from bench.measure import machine, table
from docker import DockerClient
from e2e.stack import URL, Member, container_of, part, place_of

from tests.support.breakage import frozen

PAGES = 500
STREAMS_EACH = 10  # of one log-in, as many as the hub lets it have
LAUNCHES = 50
PEOPLE = ("alice", "bob", "carol")  # of the demo directory; one person may have 25 log-ins
LANES = 4  # connections for each page that is asked for
RATE = 100  # requests per second of each page
MOST = 2.0  # times the quiet p99
_RISE_SECONDS = 10.0  # in which the streams are opened: one address may ask 100 times a second
_LOGIN_SECONDS = 120.0  # for the limit of log-ins, which what ran before may have used up
_OPEN = 0.98  # of the pages, at the end: one may be about to be opened again
_REST_SECONDS = 5.0
_LOOK_SECONDS = 0.05
_PATIENCE = 30.0  # seconds, as Traefik's own for verify

Target = tuple[str, int, str, dict[str, str]]
"""Whom to ask: host, port, path and headers."""

Milliseconds = dict[str, list[float]]
"""Of each request, by the name of what was asked for."""


class Asked(NamedTuple):
    """What came of asking for a while."""

    times: Milliseconds
    failures: dict[str, int]


def ask(target: Target, first: float, over: Callable[[], bool]) -> tuple[list[float], int]:
    """Ask on one connection at a steady rate until it is over; return milliseconds and failures."""
    host, port, path, headers = target
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))  # of this thread
    connection = http.client.HTTPConnection(host, port, timeout=_PATIENCE)
    times: list[float] = []
    failures = 0
    due = first
    while not over():
        time.sleep(max(0.0, due - time.monotonic()))
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            failures += answer.status != HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            failures += 1
            connection.close()
        times.append((time.monotonic() - due) * 1000)
        due += LANES / RATE
    connection.close()
    return times, failures


def ask_together(targets: Mapping[str, Target], over: SyncEvent, told: Connection) -> None:
    """Ask for all pages at once until it is over, and tell what came of it."""
    begun = time.monotonic() + 1 / RATE
    found = Asked({name: [] for name in targets}, dict.fromkeys(targets, 0))
    with ThreadPoolExecutor(LANES * len(targets)) as pool:
        asking = [
            (name, pool.submit(ask, target, begun + lane / RATE, over.is_set))
            for name, target in targets.items()
            for lane in range(LANES)
        ]
        for name, done in asking:
            times, failures = done.result()
            found.times[name].extend(times)
            found.failures[name] += failures
    told.send(found)


def ask_all(targets: Mapping[str, Target], over: Callable[[], bool]) -> Asked:
    """Ask for all pages at once until it is over.

    By a process of its own: a thread of this one that launches, and waits for the processor, would
    hold the interpreter's lock meanwhile.
    """
    context = get_context("spawn")
    ended, (hears, tells) = context.Event(), context.Pipe(duplex=False)
    asking = context.Process(target=ask_together, args=(dict(targets), ended, tells), daemon=True)
    asking.start()
    tells.close()
    while asking.is_alive() and not over():
        time.sleep(_LOOK_SECONDS)
    ended.set()
    found: Asked = hears.recv()
    asking.join()
    return found


def in_quiet(targets: Mapping[str, Target], seconds: float) -> Asked:
    """Ask for so long while nothing else goes on."""
    time.sleep(_REST_SECONDS)
    end = time.monotonic() + seconds
    return ask_all(targets, lambda: time.monotonic() >= end)


def tokens(number: int) -> list[str]:
    """Log people in so many times."""
    found: list[str] = []
    deadline = time.monotonic() + _LOGIN_SECONDS
    with httpx.Client(base_url=URL, timeout=_PATIENCE, trust_env=False) as client:
        while len(found) < number:
            name = PEOPLE[len(found) % len(PEOPLE)]
            answer = client.post("/api/v1/login", json={"username": name, "password": name})
            if answer.status_code == HTTPStatus.OK:
                found.append(answer.json()["token"])
            elif answer.status_code == HTTPStatus.TOO_MANY_REQUESTS and time.monotonic() < deadline:
                time.sleep(float(answer.headers.get("retry-after", "1")))
            else:
                raise click.ClickException(f"log-in {len(found)} was answered {answer.status_code}")
    return found


def log_out(ended: Sequence[str]) -> None:
    """End these log-ins."""
    with httpx.Client(base_url=URL, timeout=_PATIENCE, trust_env=False) as client:
        for token in ended:
            client.post("/api/v1/logout", headers={"Authorization": f"Bearer {token}"})


def open_pages(known: Sequence[str]) -> Flood:
    """Return the pages that are open, as streams of these log-ins."""
    heads = tuple(
        head("GET", "/api/v1/events", f"Authorization: Bearer {token}") for token in known
    )
    return Flood("open pages", heads, PAGES, rise=_RISE_SECONDS)


def launch(member: Member, over: Event) -> int:
    """Launch sessions in a row, and stop each as soon as it is ready; return how many."""
    for number in range(LAUNCHES):
        if over.is_set():
            return number
        member.stop(member.launch(PROFILE, f"disturbing {number}")["id"])
    return LAUNCHES


@contextmanager
def launching(member: Member) -> Generator[Future[int]]:
    """Let somebody launch meanwhile; what was begun is over afterwards."""
    over = Event()
    with ThreadPoolExecutor(1) as pool:
        try:
            yield pool.submit(launch, member, over)
        finally:
            over.set()


def disturbed(engine: DockerClient, targets: Mapping[str, Target], busy: Member) -> Asked:
    """Ask while all of it goes on, until the last launch is over."""
    known = tokens(PAGES // STREAMS_EACH)
    pages, flood = open_pages(known), the_apis_page()
    try:
        with ExitStack() as stack:
            opened = stack.enter_context(raging(engine, pages))
            answered = stack.enter_context(raging(engine, flood))
            stack.enter_context(frozen(engine, "ldap"))
            launches = stack.enter_context(launching(busy))
            found = ask_all(targets, launches.done)
            click.echo(f"  {launches.result()} launches, while the directory was silent")
    finally:
        log_out(known)
    click.echo(f"  {pages.title}: {told(opened)}\n  {flood.title}: {told(answered)}")
    if opened.get("held", 0) < _OPEN * PAGES:
        raise click.ClickException(f"only {opened.get('held', 0)} of {PAGES} pages were open")
    return found


def target_at(url: str, headers: dict[str, str]) -> Target:
    """Return whom to ask for an address."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 80, parts.path, headers


@contextmanager
def targets_of(engine: DockerClient, member: Member, name: str) -> Generator[dict[str, Target]]:
    """Start what is asked; it is gone afterwards."""
    session = member.launch(PROFILE, name)
    place = urlsplit(place_of(session))
    headers = {"Host": place.netloc} | member.cookie_in(session)
    like: dict[str, str] = container_of(engine, session["id"]).labels
    with (
        page_server(engine, labels_for(like, session["id"], name, 1), name),
        traefik_of(engine, name) as front,
    ):
        # At their own addresses, so that no forwarder of the engine is between.
        real, own, gate = (
            address_on_edge(one) for one in (part(engine, "traefik"), front, part(engine, "gate-1"))
        )
        urls = {
            "a session": f"http://{real}:8080{place.path}",
            "a page, with auth": f"http://{own}:8080/{name}/shut/0/",
            "the page without": f"http://{own}:8080/{name}/open/0/",
        }
        for url in list(urls.values())[1:]:
            wait_until_routed(url, headers)
        question = {
            "X-Forwarded-Method": "GET",
            "X-Forwarded-Proto": "http",
            "X-Forwarded-Host": place.netloc,
            "X-Forwarded-Uri": place.path,
            "X-Forwarded-For": "10.0.0.1",
            "Cookie": headers.get("Cookie", ""),
        }
        asked = target_at(f"http://{gate}:8001/verify/{session['id']}", question)
        pages = {title: target_at(url, headers) for title, url in urls.items()}
        yield {"a gate": asked} | pages


def rows(quiet: Sequence[Asked], loud: Asked) -> list[list[str]]:
    """Return the lines of the table."""
    found: list[list[str]] = []
    for name, times in loud.times.items():
        before = [time for one in quiet for time in one.times[name]]
        p99, p99_before = (quantiles(one, n=100)[-1] for one in (times, before))
        p50, p50_before = median(times), median(before)
        failures = sum(one.failures[name] for one in (*quiet, loud))
        found.append(
            [
                name,
                f"{p50_before:.1f}",
                f"{p99_before:.1f}",
                f"{p50:.1f}",
                f"{p99:.1f}",
                f"{p50 / p50_before:.2f}",
                f"{p99 / p99_before:.2f}",
                str(failures),
            ]
        )
    return found


@click.command()
@click.option("--seconds", default=30, show_default=True, help="How long each quiet time is.")
def main(seconds: int) -> None:
    """Measure on the running stack."""
    before = machine()
    engine = docker.from_env()
    works, busy = Member("alice"), Member("carol")
    name = f"bench-{secrets.token_hex(4)}"
    try:
        with targets_of(engine, works, name) as targets:
            in_quiet(targets, _REST_SECONDS)
            first = in_quiet(targets, seconds)
            loud = disturbed(engine, targets, busy)
            quiet = [first, in_quiet(targets, seconds)]
    finally:
        for member in (works, busy):
            member.stop_all()
            member.leave()
        engine.close()
    table(
        f"Requests while much goes on: ms, {RATE} requests per second of each"
        f" (before: {before}; after: {machine()})",
        ["", "quiet p50", "p99", "disturbed p50", "p99", "times: p50", "p99", "failed"],
        rows(quiet, loud),
    )
    click.echo(f"  wanted: {MOST:.0f} times the quiet p99 at most, and no failure")


if __name__ == "__main__":
    main()
