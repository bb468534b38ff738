"""How much one address may ask: more than people do, less than a flood, at the real Traefik."""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from docker import DockerClient
from e2e.stack import INSTANCE, URL, Member, place_of

from tests.support import asking
from tests.support.waits import until

# Runs in a container, so that it has an address of its own, and nobody else's share is used up.
SENDER = """
import http.client, json, sys
from concurrent.futures import ThreadPoolExecutor
asked = json.loads(sys.argv[1])
def ask(one):
    method, path, headers, body = one
    link = http.client.HTTPConnection("traefik", 8080, timeout=60)
    link.request(method, path, body.encode(), headers)
    answer = link.getresponse()
    answer.read()
    link.close()
    return answer.status, answer.getheader("Retry-After"), answer.getheader("X-Retry-In")
with ThreadPoolExecutor(int(sys.argv[2])) as pool:
    print(json.dumps(list(pool.map(ask, asked))))
"""
# The same, but it never sends more than the beginning of each body.
HOLDER = """
import socket, sys, threading
head = sys.argv[1].encode()
held = []
for _ in range(int(sys.argv[2])):
    link = socket.create_connection(("traefik", 8080), timeout=60)
    link.sendall(head + b"username=")
    held.append(link)
print("held", flush=True)
threading.Event().wait()
"""
ECHO_IMAGE = "slicerhub-test/echo"
HOST = URL.removeprefix("http://")
Asked = tuple[str, str, dict[str, str], str]


def send(
    engine: DockerClient, asked: list[Asked], *, at_once: int = 40
) -> list[tuple[int, str | None, str | None]]:
    """Send all of these at once, from an address that nobody has; status and when to try again."""
    containers: Any = engine.containers
    said: bytes = containers.run(
        ECHO_IMAGE,
        ["python", "-c", SENDER, json.dumps(asked), str(at_once)],
        network=f"{INSTANCE}_companions",
        remove=True,
    )
    return [(one[0], one[1], one[2]) for one in json.loads(said)]


@contextmanager
def holding(engine: DockerClient, path: str, count: int) -> Generator[None]:
    """Hold half-sent requests to this path, from an address that nobody has."""
    kind = "application/x-www-form-urlencoded"
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nOrigin: {URL}\r\nContent-Type: {kind}\r\n"
    containers: Any = engine.containers
    holder = containers.run(
        ECHO_IMAGE,
        ["python", "-c", HOLDER, f"{head}Content-Length: 1000\r\n\r\n", str(count)],
        network=f"{INSTANCE}_companions",
        detach=True,
    )
    try:
        until(lambda: b"held" in holder.logs(), what="the half-sent requests")
        yield
    finally:
        holder.remove(force=True)


def form(user: str, password: str) -> Asked:
    """Log in as the page does."""
    kind = "application/x-www-form-urlencoded"
    headers = {"Host": HOST, "Origin": URL, "Accept": "text/html", "Content-Type": kind}
    return "POST", "/login", headers, f"username={user}&password={password}&next=/"


def test_a_class_behind_one_address_gets_in(engine: DockerClient, stack: str) -> None:
    """Forty people of one class all log in at once, twenty mistype first, and nobody is put off."""
    assert stack
    page: Asked = ("GET", "/login", {"Host": HOST, "Accept": "text/html"}, "")
    mistyped = [form(f"pupil{number}", "mistyped") for number in range(20)]
    people = ["alice", "bob", "carol"]
    right = [form(people[number % 3], people[number % 3]) for number in range(40)]
    statuses = [status for status, _, _ in send(engine, [*[page] * 40, *mistyped, *right])]
    assert statuses[:40] == [200] * 40
    assert 429 not in statuses
    assert statuses[60:] == [303] * 40


def test_a_flood_of_logins_is_refused_and_disturbs_nobody(engine: DockerClient, stack: str) -> None:
    """Who sends hundreds is told when to try again; somebody else logs in meanwhile."""
    assert stack
    headers = {"Host": HOST, "Content-Type": "application/json"}
    for path in ("/api/v1/login", "/api/v1/login/", "/launch", "/join/nothing"):
        answers = send(engine, [("POST", path, headers, "{}")] * 400)
        refused = [one for one in answers if one[0] == 429 and one[2] is not None]
        assert 0 < len(refused) < len(answers), path
        assert all(int(after or 0) > 0 for _, after, _ in refused)
        with Member("bob") as bob:
            assert bob.api.get("/api/v1/me").status_code == 200


@pytest.mark.row(55)
def test_half_sent_bodies_keep_nobody_out(engine: DockerClient, stack: str) -> None:
    """While three addresses hold as many half-sent log-ins as they may, somebody else logs in."""
    assert stack
    with ExitStack() as held:
        for _ in range(3):
            held.enter_context(holding(engine, "/login", 90))
            held.enter_context(holding(engine, "/api/v1/login", 90))
        with Member("bob") as bob:
            assert bob.api.get("/api/v1/me").status_code == 200
        assert [one[0] for one in send(engine, [form("alice", "alice")])] == [303]


def test_a_flood_of_pages_is_refused_and_disturbs_nobody(
    engine: DockerClient, alice: Member, echo: dict[str, Any]
) -> None:
    """Who asks for pages by the thousand is put off; a session and what pages need are not."""
    page: Asked = ("GET", "/api/docs", {"Host": HOST}, "")
    answers = send(engine, [page] * 1500, at_once=200)
    refused = [one for one in answers if one[0] == 429 and one[2] is not None]
    assert 0 < len(refused) < len(answers)
    assert alice.browser.get(place_of(echo)).status_code == 200
    found = re.search(r"/static/[^\"]+\.css", alice.browser.get("/").text)
    assert found
    style: Asked = ("GET", found[0], {"Host": HOST}, "")
    assert {one[0] for one in send(engine, [style] * 400, at_once=200)} == {200}


def test_large_bodies_end_at_the_door(alice: Member, echo: dict[str, Any]) -> None:
    """Nobody sends the hub more than a form holds; into a session goes what its owner likes."""
    large = b"a" * 300_000
    for path in ("/login", "/api/v1/login", "/launch", "/api/v1/sessions", "/join/nothing"):
        answer = asking.post(URL + path, content=large)
        assert answer.status_code == 413, path
    answer = alice.browser.request("POST", place_of(echo), content=large)
    assert answer.status_code == 200
    assert answer.json()["size"] == len(large)
