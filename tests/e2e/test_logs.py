"""What the real stack writes down, and what it must not."""

from __future__ import annotations

import json
import secrets
from typing import Any

import httpx
from docker import DockerClient
from e2e.stack import PAGE, Member, part, place_of

from tests.support.waits import until


def acts(engine: DockerClient, **wanted: str) -> list[dict[str, Any]]:
    """Return the record of acts as the controller prints it, as far as it is like this."""
    lines = part(engine, "controller").logs().decode().splitlines()
    said = [json.loads(line) for line in lines if '"audit"' in line]
    marked = [one for one in said if one.get("log") == "audit"]
    return [one for one in marked if wanted.items() <= one.items()]


def test_a_links_code_is_in_no_log(engine: DockerClient, stack: str) -> None:
    """A person who reads Traefik's log, or the hub's, cannot come in by somebody's link."""
    code, marker = (secrets.token_urlsafe(16) for _ in range(2))
    where = f"{stack}/join/{code}"
    with httpx.Client(headers={**PAGE, "Referer": where}, follow_redirects=True) as browser:
        assert str(browser.get(where).url).endswith(f"next=%2Fjoin%2F{code}")
        assert browser.get(f"{stack}/starting/{marker}").status_code == 200

    def logged() -> str:
        text = part(engine, "traefik").logs().decode()
        return text if marker in text else ""

    text = until(logged, what="the access log")
    assert code not in text
    assert code not in part(engine, "controller").logs().decode()


def test_acts_are_on_record(engine: DockerClient, alice: Member, echo: dict[str, Any]) -> None:
    """Who opened a session, and from where, stands in the log as Traefik saw it."""
    for _ in range(2):
        assert alice.browser.get(place_of(echo), headers=PAGE).status_code == 200
    its = {"whose": "alice", "session": echo["id"]}
    (opened,) = until(
        lambda: acts(engine, act="open", who="alice", **its), what="the record of the opening"
    )
    (started,) = acts(engine, act="start", who="alice", **its)
    (ready,) = acts(engine, act="ready", who="controller", **its)
    assert started["at"] < ready["at"] < opened["at"]
    assert opened["from"] == started["from"]
    assert opened["from"]
    assert opened["role"] == "owner"
