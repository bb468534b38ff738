"""The front door: what it is told, and what it reads out of it (rows 10-15)."""

from __future__ import annotations

import re
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from docker import DockerClient
from e2e.stack import PAGE, URL, container_of, part
from security.attacker import (
    DENIED,
    HUB_HOST,
    PORT,
    Door,
    Person,
    answer_to,
    base_of,
    door,
    handshake,
    host_of,
    knock,
    marker_of,
    networks_of,
    raw,
)
from security.corpus import Attack, attacks

from tests.support import asking
from tests.support.reach import reached

AT_ONCE = 12
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})[^\r\n]*\r\n(.*?)\r\n\r\n", re.DOTALL)
# What Traefik itself answers to what is no HTTP that it speaks; the hub never says these.
NOT_THE_HUBS = {501, 505}


@pytest.fixture(scope="module")
def own(bob: Person) -> dict[str, Any]:
    """A session of bob's own."""
    return bob.launch("echo", "own")


@pytest.fixture(scope="module")
def at(bob: Person, own: dict[str, Any], victim: dict[str, Any]) -> Door:
    """How bob comes to alice's session, with every cookie that he has."""
    there = door(bob, victim)
    cookies = dict.fromkeys((*bob.cookie.split("; "), *door(bob, own).cookie.split("; ")))
    return there._replace(cookie="; ".join(cookies))


def places(bob: Person, own: dict[str, Any], victim: dict[str, Any], at: Door) -> dict[str, str]:
    """Return what the corpus is filled with."""
    return {
        "a": base_of(victim["id"]),
        "ahost": host_of(victim["id"]),
        "aid": victim["id"],
        "b": base_of(own["id"]),
        "bhost": host_of(own["id"]),
        "bid": own["id"],
        "hub": HUB_HOST,
        "c": at.cookie,
        "token": bob.token,
    }


class Answer:
    """What came back on a raw socket, perhaps of several requests."""

    def __init__(self, data: bytes) -> None:
        """Find the heads in it."""
        self.data = data
        self.heads = [(int(status), head.lower()) for status, head in STATUS.findall(data)]

    @property
    def statuses(self) -> list[int]:
        """All that was answered."""
        return [status for status, _ in self.heads]

    def faults_of_the_hub(self) -> list[int]:
        """Return the 5xx that the controller, not Traefik, has answered."""
        return [
            status
            for status, head in self.heads
            if status >= 500 and (b"problem+json" in head or b"content-security-policy" in head)
        ]


def shot(attack: Attack) -> tuple[Attack, Answer]:
    """Send one."""
    return attack, Answer(raw(attack.data))


def fire(wanted: list[Attack]) -> list[tuple[Attack, Answer]]:
    """Send all of these, some at a time, each on a connection of its own."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(shot, wanted))


def faults_logged(engine: DockerClient) -> int:
    """Return how many faults of its own the controller has logged."""
    text = part(engine, "controller").logs().decode(errors="replace")
    return len(re.findall(r'"event": "(?:verify_)?fault"', text))


@pytest.fixture(scope="module")
def corpus(bob: Person, own: dict[str, Any], victim: dict[str, Any], at: Door) -> list[Attack]:
    """Three hundred requests of bob's, all different."""
    found = list(attacks(places(bob, own, victim, at)))
    assert len({one.data for one in found}) >= 200
    return found


@pytest.mark.row(10, 12, 14, 48)
def test_row_13_three_hundred_requests_and_not_a_byte(
    alice: Person,
    engine: DockerClient,
    own: dict[str, Any],
    victim: dict[str, Any],
    corpus: list[Attack],
) -> None:
    """Paths, headers, methods, smuggling, pipelines: none brings bob a byte of alice's session.

    Nor anything of what is private, nor a fault of the hub's; and meanwhile alice gets her own
    answers and nobody else's.
    """
    before, mine = faults_logged(engine), door(alice, victim)
    bobs, marker = marker_of(engine, own).encode(), marker_of(engine, victim)
    with unmixed(mine, marker):
        seen = fire(corpus)
    wrong = [
        (attack.name, answer.statuses, answer.data[:300])
        for attack, answer in seen
        if marker.encode() in answer.data
        or answer.faults_of_the_hub()
        or (attack.private and 200 in answer.statuses and bobs not in answer.data)
    ]
    assert wrong == []
    assert faults_logged(engine) == before
    answered = Counter(status for _, answer in seen for status in answer.statuses)
    # The corpus is no shot in the dark: bob's own was served, alice's refused, nonsense sent back.
    assert answered[200]
    assert answered[400]
    assert sum(answered[status] for status in DENIED)
    assert knock(mine).status_code == 200


class unmixed:  # noqa: N801 - reads as a sentence where it stands
    """While somebody uses their session, every answer that they get is their own."""

    def __init__(self, at: Door, marker: str) -> None:
        """``marker`` stands in every right answer."""
        self._at, self._marker = at, marker
        self._over = threading.Event()
        self._wrong: list[str] = []
        self._asked = 0
        self._thread = threading.Thread(target=self._use)

    def _use(self) -> None:
        headers = {"Host": self._at.host, "Cookie": self._at.cookie}
        with httpx.Client(base_url=URL, headers=headers, timeout=60) as client:
            while not self._over.is_set():
                text = f"{self._asked}"
                answer = client.get(f"{self._at.base}mine?{text}")
                self._asked += 1
                if answer.status_code != 200 or answer.json()["target"] != f"/mine?{text}":
                    self._wrong.append(answer.text)

    def __enter__(self) -> None:
        """Begin."""
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        """End, and judge."""
        self._over.set()
        self._thread.join()
        assert self._asked > 10
        assert self._wrong == []


def test_row_10_forwarded_headers_are_not_believed(
    bob: Person, own: dict[str, Any], victim: dict[str, Any], marker: str, at: Door
) -> None:
    """A path, host or method that a header claims leads bob nowhere, in whatever spelling."""
    mine = door(bob, own)
    names = ("Uri", "Host", "Method", "Prefix", "Path", "Server", "Port", "Proto")
    values = (mine.base, mine.host, "OPTIONS", mine.base, mine.base, "traefik", "8001", "https")
    for join in ("-", "_", "."):
        claims = {
            f"X{join}Forwarded{join}{name}": value
            for name, value in zip(names, values, strict=True)
        }
        for headers in (claims, claims | {"Forwarded": f"host={mine.host};for=127.0.0.1"}):
            answer = knock(at, headers=headers)
            assert answer.status_code in DENIED | {400}
            assert marker not in answer.text
            answer = knock(at.as_stranger(), headers=headers)
            assert answer.status_code in {401, 400}
    assert victim


def test_row_10_a_session_is_not_told_what_a_client_claims(
    alice: Person, victim: dict[str, Any]
) -> None:
    """Who somebody is, and from where they come, the session hears from the front door alone."""
    claims = {
        "X-Slicerhub-User": "carol",
        "X-Slicerhub-Role": "service",
        "X-Forwarded-User": "carol",
        "X-Forwarded-For": "203.0.113.9",
        "X-Forwarded-Host": "evil.example",
        "X-Original-Url": "/evil",
        "Forwarded": "for=203.0.113.9;host=evil.example",
    }
    answer = knock(door(alice, victim), headers=claims)
    seen = {name.lower(): value for name, value in answer.json()["headers"]}
    assert seen["x-slicerhub-user"] == "alice"
    assert seen["x-slicerhub-role"] == "owner"
    assert not {"forwarded", "x-original-url", "x-forwarded-user"} & seen.keys()
    assert "203.0.113.9" not in answer.text
    assert "evil" not in answer.text


def test_row_11_verify_is_nowhere_to_be_reached(
    victim: dict[str, Any], engine: DockerClient
) -> None:
    """No port of it is published, and from inside a session its addresses do not answer."""
    for service in ("controller", "ldap", "engine-proxy", "engine-proxy-traefik"):
        ports = part(engine, service).attrs["NetworkSettings"]["Ports"]
        assert not any(ports.values()), service
    published = part(engine, "traefik").attrs["NetworkSettings"]["Ports"]
    found = {port: [one["HostIp"] for one in ways] for port, ways in published.items() if ways}
    assert found == {"8080/tcp": ["127.0.0.1"]}
    addresses = [one["IPAddress"] for one in networks_of(engine, "controller").values()]
    names = ["controller", "verify-0", "verify-15"]
    targets = [f"{one}:{port}" for one in (*addresses, *names) for port in (8000, 8001)]
    assert reached(container_of(engine, victim["id"]), targets) == []


# What a Connection header may ask the front door to take away.
HOP_BY_HOP = [
    "X-Forwarded-Uri",
    "X-Forwarded-Uri, X-Forwarded-Host, X-Forwarded-Method, X-Forwarded-Proto",
    "close, Cookie",
    "Cookie, Authorization",
    "X-Slicerhub-User, X-Slicerhub-Role",
    "Sec-WebSocket-Key, Origin, Sec-Fetch-Mode",
    "Host",
    "keep-alive, X-Forwarded-For, X-Real-Ip",
]


@pytest.mark.parametrize("named", HOP_BY_HOP)
def test_row_12_nothing_is_let_in_for_lack_of_a_header(
    alice: Person, victim: dict[str, Any], marker: str, at: Door, named: str
) -> None:
    """Naming headers to be removed on the way lets neither bob nor a stranger in."""
    for who in (at, at.as_stranger()):
        answer = knock(who, headers={"Connection": named})
        assert answer.status_code in {400, 401, 403}
        assert marker not in answer.text
    # For alice herself it may fail, but who she is cannot be taken away from what her session sees.
    answer = knock(door(alice, victim), headers={"Connection": named})
    if answer.status_code == 200:
        seen = {name.lower(): value for name, value in answer.json()["headers"]}
        assert seen["x-slicerhub-user"] == "alice"
        assert "cookie" not in seen


def test_row_12_nor_a_foreign_websocket(alice: Person, victim: dict[str, Any]) -> None:
    """A handshake stays one, and its origin is asked for, whatever Connection names."""
    evil = door(alice, victim)._replace(origin="http://evil.example")
    for named in ("Upgrade, Origin", "Upgrade, Sec-WebSocket-Key", "Upgrade, Sec-Fetch-Mode"):
        assert handshake(evil, headers={"Connection": named}) != 101


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "FOO", "get", "PURGE"])
def test_row_14_odd_methods_are_refused(alice: Person, victim: dict[str, Any], method: str) -> None:
    """Even alice herself is told that there is no such thing; nothing of it reaches the session."""
    mine = door(alice, victim)
    request = (
        f"{method} {mine.base} HTTP/1.1\r\nHost: {mine.host}\r\nCookie: {mine.cookie}\r\n"
        "Content-Length: 0\r\nConnection: close\r\n\r\n"
    )
    answer = Answer(answer_to(request.encode()))
    assert set(answer.statuses) <= {400, 404, 405, 501}
    assert answer.statuses


def test_row_14_a_method_cannot_be_overridden(alice: Person, victim: dict[str, Any]) -> None:
    """A header or a field that names another method is not believed by the hub."""
    path = f"/api/v1/sessions/{victim['id']}"
    for name in ("X-Http-Method-Override", "X-Http-Method", "X-Method-Override"):
        assert alice.api.get(path, headers={name: "DELETE"}).status_code == 200
        assert alice.api.post(path, headers={name: "DELETE"}).status_code == 405
    assert alice.api.post(f"{path}?_method=DELETE", data={"_method": "DELETE"}).status_code == 405
    assert alice.phase(victim["id"]) == "ready"


HOSTS = [
    "evil.example",
    "evil.example:80",
    f"evil.example:{PORT}",
    "localhost.evil.example",
    f"evil.example#{HUB_HOST}",
    f"{HUB_HOST}@evil.example",
    f"evil.example/{HUB_HOST}",
    "evil.localhost",
    f"evil.{HUB_HOST}",
    f"{'a' * 25}.{HUB_HOST}",
    f"a.{'a' * 26}.{HUB_HOST}",
    "controller",
    "verify-0:8001",
    "[::ffff:127.0.0.1]",
]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("path", ["/", "/login", "/login?next=/x", "/s/aaaa/", "/join/x"])
def test_row_15_another_host_gets_nothing(host: str, path: str) -> None:
    """Neither a page nor a cookie nor a link that leads there."""
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-Host: {host}\r\n"
        "Accept: text/html\r\nConnection: close\r\n\r\n"
    )
    answer = Answer(answer_to(request.encode()))
    (status,) = answer.statuses
    assert status in {400, 404}
    assert b"evil" not in answer.data.lower()
    assert b"set-cookie" not in answer.data.lower()


def test_row_15_links_are_made_of_the_configured_address(
    alice: Person, victim: dict[str, Any]
) -> None:
    """What X-Forwarded-Host claims stands in no redirect, no link and no answer."""
    claims = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
    for answer in (
        asking.get(f"{URL}/", headers={**PAGE, **claims}),
        asking.get(f"{URL}/login", headers={**PAGE, **claims}),
        knock(door(alice, victim).as_stranger(), headers={**PAGE, **claims}),
        alice.api.get(f"/api/v1/sessions/{victim['id']}", headers=claims),
        alice.api.post(
            f"/api/v1/sessions/{victim['id']}/links", json={"role": "view"}, headers=claims
        ),
    ):
        assert "evil" not in answer.text + str(answer.headers)


def test_row_13_a_sessions_marker_is_real(
    engine: DockerClient, alice: Person, victim: dict[str, Any], marker: str
) -> None:
    """The mark that the attacks look for does stand in what alice gets of her session."""
    assert marker == marker_of(engine, victim)
    assert marker in knock(door(alice, victim)).text
