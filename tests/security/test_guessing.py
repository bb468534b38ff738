"""Guessing: passwords, and who has an account (rows 20, 21)."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Iterator

import httpx
from docker import DockerClient
from e2e.stack import part
from security.attacker import (
    LIMIT,
    at_once,
    change_directory,
    elapsed,
    someone,
    try_login,
)

from tests.support.breakage import wait_for_hub
from tests.support.inside import inside
from tests.support.waits import until

REFUSAL_SECONDS = 1.0  # before which no refusal is answered
WINDOW = 15  # seconds for which failures count here, as slicerhub.toml says


def guess(url: str, number: int) -> httpx.Response:
    """Try a wrong password, and claim to come from somewhere else each time."""
    claimed = f"203.0.113.{number}"
    return try_login(
        "eve",
        "wrong",
        url=url,
        X_Forwarded_For=claimed,
        X_Real_Ip=claimed,
        Forwarded=f"for={claimed}",
    )


def test_row_20_guessing_ends_soon(engine: DockerClient, machines: Iterator[str]) -> None:
    """After five wrong passwords the right one is refused, too; elsewhere they still log in."""
    guesser, home = next(machines), next(machines)
    with someone(engine, "eve"):
        wrong = at_once([lambda number=number: guess(guesser, number) for number in range(LIMIT)])
        assert [one.status_code for one in wrong] == [401] * LIMIT
        begun = time.monotonic()
        refused = [
            try_login("eve", password, url=guesser, X_Forwarded_For=f"198.51.100.{number}")
            for number, password in enumerate(("eve", "wrong"))
        ]
        assert {one.status_code for one in refused} == {429}
        assert len({without_times(one.text) for one in refused}) == 1
        assert all(1 <= int(one.headers["retry-after"]) <= WINDOW for one in refused)
        # Another name from there, and the same name from elsewhere, are not locked out.
        assert try_login("bob", "bob", url=guesser).status_code == 200
        assert try_login("eve", "eve", url=home).status_code == 200
        until(
            lambda: try_login("eve", "eve", url=guesser).status_code == 200,
            seconds=WINDOW + 5,
            what="the end of the wait",
        )
        assert time.monotonic() - begun < WINDOW + 5


def without_times(text: str) -> str:
    """Return a text without its numbers of seconds."""
    return re.sub(r"\d+ s", "", text)


def test_row_20_spraying_and_a_restart_do_not_help(
    engine: DockerClient, machines: Iterator[str]
) -> None:
    """One address that tries many names is stopped, also after the hub was killed."""
    guesser, home = next(machines), next(machines)
    answers = at_once(
        [
            lambda number=number: try_login(f"name{number}", "summer", url=guesser)
            for number in range(30)
        ]
    )
    assert {one.status_code for one in answers} == {401}
    assert try_login("bob", "bob", url=guesser).status_code == 429
    failures = "import sqlite3; print(*sqlite3.connect('/data/store.sqlite').execute("
    failures += "\"SELECT COUNT(*) FROM failure WHERE who LIKE 'address:%'\").fetchone())"
    controller = part(engine, "controller")
    before = int(inside(controller, "python", "-c", failures))
    assert before >= 30
    controller.kill(signal="SIGKILL")
    controller.start()
    wait_for_hub()
    assert int(inside(controller, "python", "-c", failures)) > 0
    assert try_login("bob", "bob", url=home).status_code == 200


def test_row_21_nobody_learns_who_has_an_account(
    engine: DockerClient, machines: Iterator[str]
) -> None:
    """An unknown name, a wrong password and a barred one get the same bytes at the same pace."""
    change_directory(
        engine,
        "dn: uid=fred,ou=people,dc=example,dc=org\nchangetype: add\nobjectClass: inetOrgPerson\n"
        "uid: fred\ncn: fred\nsn: fred\nuserPassword: fred",
    )
    tries = {
        "unknown": ("nobody-here", "wrong"),
        "wrong password": ("bob", "wrong"),
        "not in the group": ("fred", "fred"),
        "impossible": ("a*)(uid=*", "wrong"),
        "no password": ("bob", ""),
    }
    try:
        rounds = [paces(next(machines), tries) for _ in range(5)]
    finally:
        change_directory(engine, "dn: uid=fred,ou=people,dc=example,dc=org\nchangetype: delete")
    assert {answer.status_code for one in rounds for answer, _ in one.values()} == {401}
    assert len({answer.content for one in rounds for answer, _ in one.values()}) == 1
    pace = {what: [one[what][1] for one in rounds] for what in tries}
    assert min(min(times) for times in pace.values()) >= REFUSAL_SECONDS
    medians = [statistics.median(times) for times in pace.values()]
    jitter = max(max(times) - min(times) for times in pace.values())
    assert max(medians) - min(medians) <= max(jitter, 0.1), pace


def paces(url: str, tries: dict[str, tuple[str, str]]) -> dict[str, tuple[httpx.Response, float]]:
    """Try all of these at the same time, so that the machine is as busy for each."""
    answers = at_once(
        [
            lambda name=name, password=password: elapsed(lambda: try_login(name, password, url=url))
            for name, password in tries.values()
        ]
    )
    return dict(zip(tries, answers, strict=True))
