"""A verdict among very many, beside one among a few (``python -m bench.many``).

Gates in this process get a snapshot as a controller sends it, and are asked in turn by plain calls,
as a gate's connections ask: one that knows 5 people and 5 sessions, and three that know 10,000
people and 6,000 sessions. Of those people the same 5 ask, or 500 in turn, which is who works at
once, or all of them, each with a token of their own. The first 6,000 ask for their own session, the
others for one to which they are invited. Headers are made anew for each request, outside of the
time, and what is printed is processor time: no server and no network is in it.

What is known costs nothing; the more people ask, the less of what is kept of them is in the
processor's own caches. Where more ask than a gate remembers, each verdict verifies a signature. The
memory is what one more person at work makes a gate keep.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Generator, Sequence
from itertools import cycle, islice
from statistics import median
from typing import NamedTuple

import click
import msgspec
from bench.measure import machine, table

from controller.core.model import Person, Phase, Role, SessionId, UserId
from controller.core.records import Login
from controller.gate.answers import Answer, Headers
from controller.gate.facts import (
    Extra,
    Facts,
    FromController,
    Guest,
    SessionFacts,
    Site,
    Snapshot,
    settings_for_gates,
    snapshot_of,
)
from controller.gate_app import GateMemory
from controller.monitoring.gate_metrics import GateMetrics
from controller.people.tokens import Audience, Claims
from controller.rules.cookies import entry_cookie, login_cookie
from controller.settings.schema import PATH_MODE, Settings
from controller.web.answers import closed_pages
from controller.web.render import Renderer
from tests.support.hub import ORIGIN, RING
from tests.support.samples import session_id, settings

FEW, AT_WORK, PEOPLE, SESSIONS = 5, 500, 10_000, 6_000
ASKING = (FEW, AT_WORK, PEOPLE)
MOST = 1.1  # times the few's
VERDICTS = 10_000  # of each gate in each round: everybody once
_BATCH = 100  # whose headers are made beforehand; they fit into the processor's cache
_DAY = 86_400.0  # seconds
_KIB = 1024


class Request(NamedTuple):
    """What somebody asks, and with what Traefik asks about it."""

    path: str
    lines: tuple[tuple[str, str], ...]

    def headers(self) -> Headers:
        """Return the headers as they come from the wire."""
        return [(name.encode(), value.encode()) for name, value in self.lines]


def configured(*, path_mode: bool) -> Settings:
    """Return the hub's settings in one of the modes of routing."""
    if path_mode:
        return settings(public_url=ORIGIN, session_domain=PATH_MODE)
    return settings(public_url=ORIGIN)


def logins(people: int, now: float) -> dict[str, Login]:
    """Return a log-in of each person."""
    groups = frozenset({"slicer-users", "radiology"})
    return {
        f"sid-{number:029}": Login(
            f"sid-{number:029}",
            Person(UserId(f"user{number}"), f"Person {number}", groups),
            created=now,
            expires=now + _DAY,
            key=RING.keys[0].kid,
        )
        for number in range(people)
    }


def visits(people: int, sessions: int) -> Generator[tuple[int, SessionId]]:
    """Yield who asks for which session."""
    for number in range(people):
        yield number, session_id(number % sessions + 1)


def snapshot(known: dict[str, Login], sessions: int, site: Site) -> Snapshot:
    """Return what a gate hears first, as it comes from the wire."""
    guests: dict[SessionId, dict[UserId, Guest]] = {}
    for number, visited in visits(len(known), sessions):
        if number >= sessions:
            guests.setdefault(visited, {})[UserId(f"user{number}")] = Guest(Role.CONTROL)
    facts = Facts(
        sessions={
            made: SessionFacts(made, UserId(f"user{number}"), Phase.READY, guests.get(made, {}))
            for number, made in visits(sessions, sessions)
        },
        logins=known,
        revision=0,
        extra=Extra(
            keys=msgspec.msgpack.encode(RING.public()),
            entries=msgspec.msgpack.encode(RING.entries()),
        ),
    )
    told = msgspec.msgpack.encode(snapshot_of(facts, number=1, site=site))
    heard = msgspec.msgpack.decode(told, type=FromController)
    assert isinstance(heard, Snapshot)
    return heard


def requests(known: dict[str, Login], sessions: int, mode: Settings) -> list[Request]:
    """Return one request of each person, with a token that is really signed."""
    made: list[Request] = []
    at_own_host = bool(mode.sessions_at)
    cookie = (entry_cookie if at_own_host else login_cookie)(mode.instance, secure=mode.secure)
    audience = Audience.ENTRY if at_own_host else Audience.LOGIN
    for login, (number, visited) in zip(known.values(), visits(len(known), sessions), strict=True):
        claims = Claims(
            sub=login.person.uid,
            sid=login.sid,
            aud=audience,
            iat=login.created,
            exp=login.expires,
            session=visited if at_own_host else "",
        )
        # What a page of the session loads, as most requests are.
        lines = {
            "x-forwarded-method": "GET",
            "x-forwarded-uri": "/page/part.js" if at_own_host else f"/s/{visited}/page/part.js",
            "x-forwarded-host": f"{visited}.{mode.sessions_at}:8080"
            if at_own_host
            else "localhost:8080",
            "x-forwarded-proto": "http",
            "x-forwarded-for": f"10.0.{number // 250}.{number % 250}",
            "accept": "*/*",
            "sec-fetch-site": "same-origin",
            "sec-fetch-mode": "no-cors",
            "sec-fetch-dest": "script",
            "cookie": f"{cookie}={RING.issue(claims)}; view={number}",
        }
        made.append(Request(f"/verify/{visited}", tuple(lines.items())))
    return made


class Gate:
    """A gate that knows some people, of whom some ask in turn."""

    def __init__(self, told: Snapshot, asking: Sequence[Request]) -> None:
        """``told``: all that it knows."""
        self._memory = GateMemory(GateMetrics(fresh=lambda: True, alone=lambda: False))
        self._memory.replace(told)
        self._next = cycle(asking)

    def cost(self, verdicts: int) -> float:
        """Give so many; return the microseconds of processor time of each."""
        verify = self._memory.verify
        assert verify
        spent = 0
        for _ in range(verdicts // _BATCH):
            batch = [(one.path, one.headers()) for one in islice(self._next, _BATCH)]
            found: list[Answer] = []
            begun = time.process_time_ns()
            for path, headers in batch:
                answer = verify.answer(path, headers)
                answer.wire  # noqa: B018 - made once for each answer that is kept, like there
                found.append(answer)
            spent += time.process_time_ns() - begun
            refused = [one.status for one in found if one.status != 200]
            if refused:
                raise click.ClickException(f"the gate answers {refused[0]}")
        self._memory.report()  # as a gate does from time to time; it would grow otherwise
        return spent / verdicts / 1000


def kept(gate: Gate, verdicts: int) -> float:
    """Return the KiB that each of so many people who ask for the first time make a gate keep."""
    gc.collect()
    tracemalloc.start()
    gate.cost(verdicts)
    gc.collect()
    now, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return now / verdicts / _KIB


def compare(rounds: int, *, path_mode: bool) -> list[str]:
    """Return a line of the table."""
    mode = configured(path_mode=path_mode)
    site = Site(settings_for_gates(mode), closed_pages(Renderer(), mode))
    known = logins(PEOPLE, time.time())
    few = dict(islice(known.items(), FEW))
    everything = snapshot(known, SESSIONS, site)
    everybody = requests(known, SESSIONS, mode)
    size = kept(Gate(everything, everybody[: PEOPLE // 10]), PEOPLE // 10)
    gates = [
        Gate(snapshot(few, FEW, site), requests(few, FEW, mode)),
        *(Gate(everything, everybody[:number]) for number in ASKING),
    ]
    for gate in gates:
        gate.cost(VERDICTS)
    gc.collect()
    gc.freeze()  # as the gate does
    seen = [tuple(gate.cost(VERDICTS) for gate in gates) for _ in range(rounds)]
    gc.unfreeze()
    costs = [median(column) for column in zip(*seen, strict=True)]
    ratios = [median(one[at] / one[0] for one in seen) for at in range(1, len(gates))]
    return [
        "one host (path mode)" if path_mode else "hosts of their own",
        *(f"{one:.1f}" for one in costs),
        *(f"{one:.2f}" for one in ratios),
        f"{size:.1f}",
    ]


@click.command()
@click.option("--rounds", default=15, show_default=True, help="How often each is measured.")
def main(rounds: int) -> None:
    """Compare in this process; it needs no stack."""
    before = machine()
    rows = [compare(rounds, path_mode=path_mode) for path_mode in (False, True)]
    table(
        f"Processor time of a verdict in us, {PEOPLE} people and {SESSIONS} sessions beside {FEW},"
        f" medians of {rounds} rounds (before: {before}; after: {machine()})",
        [
            "sessions are at",
            f"{FEW} of {FEW} ask",
            *(f"{number} of {PEOPLE}" for number in ASKING),
            *(f"ratio of {number}" for number in ASKING),
            "KiB each",
        ],
        rows,
    )
    click.echo(f"  wanted: {MOST} times at most")


if __name__ == "__main__":
    main()
