"""A machine of the cluster vanishes: no packet comes from it, and none gets there."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager

import httpx
import pytest

from tests.kubernetes.deployment import Deployment
from tests.kubernetes.visitors import KNOCKS, PAGE, Person, client, is_open
from tests.kubernetes.waiting import until
from tests.support.waits import until_steady

CLIENTS = 4
STEADY_SECONDS = 3.0  # without a refusal: the other Traefik is asked no more
PATIENCE = 10  # seconds: a tenth of what a connection to nowhere would take

pytestmark = pytest.mark.thorough(quarter=3)  # it takes a minute until the cluster gives it up


class Waits:
    """What some clients were answered that ask on and on, and how long they waited at most."""

    def __init__(self) -> None:
        """Nobody has asked yet."""
        self.answers: Counter[int] = Counter()
        self.longest = 0.0


@contextmanager
def asking(url: str, path: str, headers: Mapping[str, str]) -> Generator[Waits]:
    """Let clients ask meanwhile; a time-out counts as status 0."""
    waits, over = Waits(), threading.Event()

    def ask() -> None:
        with client(url, headers=headers) as one:
            while not over.wait(0.05):
                began = time.monotonic()
                try:
                    status = one.get(path, timeout=PATIENCE).status_code
                except httpx.TransportError:
                    status = 0
                waits.answers[status] += 1
                waits.longest = max(waits.longest, time.monotonic() - began)

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield waits
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_all_elsewhere_is_served(hub: Deployment, alice: Person, bob: Person) -> None:
    """With a gate and a controller gone, pages and sessions elsewhere are answered at once.

    What is taken back then counts, and once the machine is back all is as before.
    """
    hub.spread("controller")
    hub.spread("gate")
    with hub.only_on("one"):
        session = alice.begin("elsewhere")
        alice.wait(session, "ready")
    hub.restart_traefik()  # it keeps no connection to a gate that was the only one for a moment
    until_steady(
        lambda: alice.is_reached(session), steady=STEADY_SECONDS, what="the session itself"
    )
    login = {"Cookie": alice.login_cookie}
    with (
        alice.socket(session) as socket,
        asking(hub.url, f"/s/{session}/-/ready", login) as inside,
        asking(hub.url, "/", PAGE | login) as pages,
    ):
        until(lambda: inside.answers[200] > KNOCKS < pages.answers[200], "answers")
        with hub.without_machine():
            until(lambda: not hub.is_ready("two"), "the cluster to notice")
            before = inside.answers.total(), pages.answers.total()
            until(lambda: inside.answers.total() > before[0] + KNOCKS, "answers after that")
            until(lambda: pages.answers.total() > before[1] + KNOCKS, "pages after that")
            assert is_open(socket)
        until(lambda: hub.is_ready("two"), "the machine to be back")
        hub.wait_available()
    for what, waits in ("session", inside), ("pages", pages):
        print(f"{what}, a machine gone: {dict(waits.answers)}, {waits.longest:.2f} s at most")  # noqa: T201 - numbers for people
        assert waits.answers.keys() == {200}, (what, waits.answers)
    until(lambda: alice.sees(session), "the session in the list")
    assert bob.handshake(session) == 403
    alice.stop(session)
