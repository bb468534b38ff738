"""Too much, too many, twice (rows 25, 39, 40)."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import httpx
from docker import DockerClient
from e2e.stack import INSTANCE, URL, part
from security.attacker import (
    COOKIE,
    HUB_HOST,
    MEGABYTE,
    Person,
    at_once,
    base_of,
    door,
    host_of,
    knock,
    memory_of,
    raw,
)

from tests.support.waits import until

REFUSED = {400, 401, 403, 413, 414, 431}
PLACES = 5  # of the profile "few", as slicerhub.toml says
LINE_MAX = 4096  # characters of a line of the log


def statuses(data: bytes) -> list[int]:
    """Return what was answered on a raw socket."""
    return [int(one) for one in re.findall(rb"HTTP/1\.[01] (\d{3}) ", data)]


def sent(host: str, head: str, body: bytes = b"") -> list[int]:
    """Send a request; return the statuses of what is answered."""
    return statuses(raw(f"{head}\r\nHost: {host}\r\n".encode() + body, patience=30))


def test_row_25_far_too_much_of_anything(
    alice: Person, victim: dict[str, Any], engine: DockerClient
) -> None:
    """Megabytes in names, cookies, headers, addresses and bodies are refused and leave no trace."""
    huge = "a" * MEGABYTE
    before, logged = memory_of(engine), len(part(engine, "controller").logs())
    host, base = host_of(victim["id"]), base_of(victim["id"])
    answers: dict[str, list[int]] = {}
    for name, body in {
        "a name of a megabyte": json.dumps({"username": huge, "password": "x"}),
        "a name of 50 kB": json.dumps({"username": huge[:50_000], "password": "x"}),
        "a name of 300": json.dumps({"username": huge[:300], "password": "x"}),
        "a password of 50 kB": json.dumps({"username": "x", "password": huge[:50_000]}),
        "nested": "[" * 50_000,
        "many keys": "{" + ",".join(f'"k{number}": 1' for number in range(4000)) + "}",
    }.items():
        post = "POST /api/v1/login HTTP/1.1\r\nContent-Type: application/json\r\n"
        post += f"Content-Length: {len(body)}\r\nConnection: close"
        answers[name] = sent(HUB_HOST, post, b"\r\n" + body.encode())
    form = f"username={huge[:60_000]}&password=x&next=/".encode()
    head = "POST /login HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    head += f"Origin: {URL}\r\nContent-Length: {len(form)}\r\nConnection: close"
    answers["a form's name of 60 kB"] = sent(HUB_HOST, head, b"\r\n" + form)
    chunked = "POST /api/v1/login HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close"
    answers["chunks without end"] = sent(
        HUB_HOST, chunked, b"\r\n" + (b"10000\r\n" + b"a" * 65536 + b"\r\n") * 32
    )
    for place, path in ((HUB_HOST, "/"), (HUB_HOST, "/login"), (host, base)):
        get = f"GET {path} HTTP/1.1\r\nConnection: close"
        for name, more in {
            "a cookie of a megabyte": f"Cookie: {COOKIE}={huge}",
            "a header of a megabyte": f"X: {huge}",
            "ten thousand headers": "\r\n".join(f"X{number}: y" for number in range(20_000)),
            "ten thousand cookies": "Cookie: " + "; ".join(f"{COOKIE}=x" for _ in range(20_000)),
        }.items():
            answers[f"{name} at {path}"] = sent(place, f"{get}\r\n{more}", b"\r\n")
        answers[f"an address of a megabyte at {path}"] = sent(
            place, f"GET {path}?{huge} HTTP/1.1\r\nConnection: close", b"\r\n"
        )
    wrong = {name: found for name, found in answers.items() if not set(found) <= REFUSED}
    assert wrong == {}
    # Who sends megabytes may find the line cut; whoever sends less is told.
    assert not [name for name, found in answers.items() if not found and " kB" in name]
    # What is large and yet no attack upon the front door is refused by verify, or does no harm.
    for name in ("Accept", "Authorization", "Origin", "Cookie"):
        answer = knock(door(alice, victim).as_stranger(), headers={name: "a" * 20_000})
        assert answer.status_code in REFUSED, name
    with httpx.Client(base_url=URL, timeout=30) as client:
        answer = client.get("/login", params={"next": "/" + "a" * 30_000})
        assert answer.status_code == 200
        assert len(answer.content) < 20_000
    lines = part(engine, "controller").logs()[logged:].decode(errors="replace").splitlines()
    assert max((len(line) for line in lines), default=0) <= LINE_MAX
    assert not [line for line in lines if "aaaaaaaaaa" in line and len(line) > 1000]
    until(lambda: memory_of(engine) - before < 64 * MEGABYTE, what="the memory to be free again")


def test_row_39_fifty_at_once_for_five_places(
    alice: Person, bob: Person, carol: Person, engine: DockerClient
) -> None:
    """Five get a session; each other one is told so, and when to try again."""
    people = [alice, bob, carol]

    def launch(number: int) -> httpx.Response:
        wanted = {"profile": "few", "name": f"few {number}"}
        return people[number % 3].api.post("/api/v1/sessions", json=wanted)

    labels = [f"slicerhub.instance={INSTANCE}", "slicerhub.profile=few"]

    def containers() -> set[str]:
        found = engine.containers.list(all=True, filters={"label": labels}, ignore_removed=True)
        return {one.labels["slicerhub.session"] for one in found}

    try:
        answers = at_once([lambda number=number: launch(number) for number in range(50)])
        assert Counter(one.status_code for one in answers) == {202: PLACES, 429: 50 - PLACES}
        for one in answers:
            if one.status_code == 429:
                assert int(one.headers["retry-after"]) > 0
        made = {one.json()["id"] for one in answers if one.status_code == 202}
        # A busy engine makes some of them only after the answer.
        until(lambda: made <= containers(), what="a container for each of them")
        assert containers() == made
    finally:
        at_once([lambda one=one: one.stop_all() for one in people])


def test_row_39_one_person_has_a_limit(bob: Person, carol: Person) -> None:
    """Somebody with a limit of their own gets so many at once and no more."""
    assert carol.api.put("/api/v1/admin/users/bob/quota", json={"sessions": 2}).status_code == 204
    try:
        answers = at_once(
            [
                lambda number=number: bob.api.post(
                    "/api/v1/sessions", json={"profile": "echo", "name": f"mine {number}"}
                )
                for number in range(12)
            ]
        )
        assert Counter(one.status_code for one in answers) == {202: 2, 429: 10}
    finally:
        answer = carol.api.put("/api/v1/admin/users/bob/quota", json={"sessions": None})
        assert answer.status_code == 204
        bob.stop_all()


def test_row_40_twenty_clicks_are_one_session(alice: Person, engine: DockerClient) -> None:
    """By the API and by the page at the same time: one session, one id, one container."""
    mark = alice.csrf()
    name = "clicked twice"

    def click(number: int) -> str:
        if number % 2:
            answer = alice.api.post("/api/v1/sessions", json={"profile": "echo", "name": name})
            assert answer.status_code in {202, 409}, answer.text
            told = answer.json()
            return told["id"] if answer.status_code == 202 else told["session"]
        fields = {"profile": "echo", "name": name, "csrf": mark}
        answer = httpx.post(
            f"{URL}/launch",
            data=fields,
            headers={"Origin": URL, "Cookie": alice.cookie},
            timeout=60,
        )
        assert answer.status_code == 303, answer.text
        return answer.headers["location"].rpartition("/")[2]

    ids = set(at_once([lambda number=number: click(number) for number in range(20)]))
    assert len(ids) == 1
    alice.wait(ids.pop(), "ready")
    labels = [f"slicerhub.instance={INSTANCE}", f"slicerhub.name={name}"]
    assert len(engine.containers.list(all=True, filters={"label": labels})) == 1
    alice.stop_all()
