"""Somebody else's session: entering, guessing it, staying in it, acting in it (rows 6-9, 19)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from docker import DockerClient
from e2e.stack import URL, is_closed, is_open, part
from security.attacker import (
    DENIED,
    HUB_HOST,
    SECRETS,
    Person,
    door,
    handshake,
    knock,
    navigation,
    open_socket,
)

from tests.support import asking
from tests.support.inside import inside, is_written
from tests.support.waits import until

CUT_SECONDS = 5  # within which an open view is closed: the hub's promise
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
UNKNOWN = "a" * 26
AGE = """
import sqlite3, sys
with sqlite3.connect("/data/store.sqlite") as store:
    store.execute("UPDATE link SET expires = expires - 60 WHERE id = ?", sys.argv[1:])
"""


@pytest.fixture(scope="module")
def slicer(alice: Person) -> dict[str, Any]:
    """A session of alice's with the real Slicer, which can let single people go."""
    return alice.launch("slicer", "shown")


@pytest.fixture
def shown(alice: Person, bob: Person, slicer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The same, while bob is invited to view."""
    assert bob
    alice.invite(slicer, "bob", "view")
    yield slicer
    alice.api.delete(f"/api/v1/sessions/{slicer['id']}/shares/bob")


@pytest.mark.parametrize("method", METHODS)
def test_row_06_somebody_else_gets_nothing(
    bob: Person, victim: dict[str, Any], marker: str, method: str
) -> None:
    """Bob, with his cookie or his script's token, is told 403 and sees no byte of alice's."""
    at = door(bob, victim)
    bearer = {"Authorization": f"Bearer {bob.token}"}
    for answer in (
        knock(at, method),
        knock(at, method, "deep/er?x=1"),
        knock(at.as_stranger(), method, headers=bearer),
    ):
        assert answer.status_code in DENIED
        assert marker not in str(answer.headers) + answer.text
    assert knock(at.as_stranger(), method, headers=bearer).status_code == 403


def test_row_06_nor_by_websocket(bob: Person, victim: dict[str, Any]) -> None:
    """Nor does a handshake of bob's."""
    at = door(bob, victim)
    assert handshake(at) in DENIED
    assert handshake(at.as_stranger(), headers={"Authorization": f"Bearer {bob.token}"}) == 403


def test_row_06_nor_somebody_who_once_was_invited(
    alice: Person, bob: Person, victim: dict[str, Any], marker: str
) -> None:
    """What let bob in while he was invited is worth nothing afterwards."""
    alice.invite(victim, "bob", "view")
    at = door(bob, victim)
    assert knock(at).status_code == 200
    assert alice.api.delete(f"/api/v1/sessions/{victim['id']}/shares/bob").status_code == 200
    for method in METHODS:
        answer = knock(at, method)
        assert answer.status_code == 403
        assert marker not in str(answer.headers) + answer.text
    assert handshake(at) == 403


def test_row_06_his_own_cookie_does_not_fit_elsewhere(
    alice: Person, bob: Person, victim: dict[str, Any], marker: str
) -> None:
    """What lets bob into a session of his own lets him into no other one."""
    own = bob.launch("echo", "own")
    mine, theirs = door(bob, own), door(alice, victim)
    assert knock(mine).status_code == 200
    for answer in (
        knock(theirs._replace(cookie=mine.cookie)),
        knock(mine._replace(base=theirs.base, host=theirs.host)),
    ):
        assert answer.status_code in {401, 403}
        assert marker not in answer.text
    bob.stop(own["id"])


def faces(bob: Person, session_id: str) -> list[tuple[int, bytes, frozenset[tuple[str, str]]]]:
    """Return all that bob gets to see of an id, without what changes by itself."""
    bearer = {"Authorization": f"Bearer {bob.token}", "Host": HUB_HOST}
    at = door(bob, session_id)
    answers = [
        navigation(at),
        knock(at),
        knock(at, "POST"),
        asking.get(f"{URL}/api/v1/sessions/{session_id}", headers=bearer),
        httpx.delete(f"{URL}/api/v1/sessions/{session_id}", headers=bearer),
        asking.get(f"{URL}/api/v1/sessions/{session_id}/events", headers=bearer),
        bob.browser.get(f"/starting/{session_id}"),
        bob.browser.get(f"/s/{session_id}/"),
        bob.browser.get(f"/enter/{session_id}?next=%2F&state={'0' * 64}"),
        bob.browser.get(f"/sessions/{session_id}/share"),
    ]
    return [
        (
            one.status_code,
            one.content.replace(session_id.encode(), b"ID"),
            frozenset(
                (name, value.replace(session_id, "ID"))
                for name, value in one.headers.items()
                if name not in {"date", "set-cookie", "location"}
            ),
        )
        for one in answers
    ]


def test_row_07_ids_cannot_be_told_apart(alice: Person, victim: dict[str, Any]) -> None:
    """Unknown, stopped and foreign ids get the same status, headers and bytes everywhere."""
    stopped = alice.launch("echo", "stopped")["id"]
    alice.stop(stopped)
    # Somebody who has not been in any of them: whoever has knows that it is there.
    with Person("bob") as bob:
        foreign = faces(bob, victim["id"])
        assert {status for status, _, _ in foreign} <= DENIED | {302, 404}
        assert faces(bob, UNKNOWN) == foreign
        until(lambda: faces(bob, stopped) == foreign, what="the end of a stopped one's traces")
    assert len(victim["id"]) == 26, "128 bits in base 32"


def test_row_08_taken_back_is_taken_back(alice: Person, bob: Person, shown: dict[str, Any]) -> None:
    """The next request is refused, the open view is cut; the owner's own goes on."""
    guests, owners = door(bob, shown), door(alice, shown)
    with open_socket(owners) as own, open_socket(guests) as guest:
        assert is_open(own)
        assert is_open(guest)
        answer = alice.api.delete(f"/api/v1/sessions/{shown['id']}/shares/bob")
        assert answer.json() == {"cut": True}
        assert knock(guests).status_code == 403
        assert handshake(guests) == 403
        until(lambda: is_closed(guest), seconds=CUT_SECONDS, what="the end of bob's view")
        assert is_open(own)


def test_row_09_guests_are_no_owners(
    alice: Person, bob: Person, carol: Person, shown: dict[str, Any]
) -> None:
    """With control bob can neither stop, restart nor share, by the API nor by the pages."""
    alice.invite(shown, "bob", "control")
    where, page = f"/api/v1/sessions/{shown['id']}", f"/sessions/{shown['id']}"
    for method, path, body in (
        ("DELETE", where, None),
        ("POST", f"{where}/restart", None),
        ("GET", f"{where}/shares", None),
        ("PUT", f"{where}/shares/carol", {"role": "view"}),
        ("PUT", f"{where}/shares/bob", {"role": "control"}),
        ("POST", f"{where}/links", {"role": "view"}),
        ("GET", f"{where}/links", None),
    ):
        assert bob.api.request(method, path, json=body).status_code == 403, (method, path)
    for act in ("stop", "restart", "share", "links"):
        assert bob.act(f"{page}/{act}", user="carol", role="view").status_code == 403, act
    assert bob.api.delete(f"/api/v1/admin/sessions/{shown['id']}").status_code == 403
    assert alice.phase(shown["id"]) == "ready"
    assert knock(door(carol, shown)).status_code in DENIED


def make_link(owner: Person, session: dict[str, Any], **wanted: object) -> str:
    """Make a link, and return its code."""
    answer = owner.api.post(
        f"/api/v1/sessions/{session['id']}/links", json={"role": "view", **wanted}
    )
    assert answer.status_code == 201, answer.text
    code: str = answer.json()["url"].rpartition("/")[2]
    SECRETS.add(code)
    return code


def test_row_09_a_link_is_good_once_and_in_its_time(
    alice: Person, bob: Person, carol: Person, victim: dict[str, Any], engine: DockerClient
) -> None:
    """A second use, a late one and a guessed one are refused; the code is stored nowhere."""
    code = make_link(alice, victim, max_uses=1)
    assert bob.api.post("/api/v1/join", json={"code": code}).status_code == 200
    assert carol.api.post("/api/v1/join", json={"code": code}).status_code in {403, 410}
    assert carol.act(f"/join/{code}").status_code in {403, 410}
    controller = part(engine, "controller")
    assert not is_written(controller, code, "/data"), "the link's code is in the hub's records"
    late = make_link(alice, victim, expires_in=60)
    where = f"/api/v1/sessions/{victim['id']}/links"
    (link,) = alice.api.get(where).json()["items"]
    inside(part(engine, "controller"), "python", "-c", AGE, link["id"])
    assert carol.api.post("/api/v1/join", json={"code": late}).status_code in {403, 410}
    assert carol.api.post("/api/v1/join", json={"code": "A" * 22}).status_code in {403, 410}
    assert knock(door(carol, victim)).status_code in DENIED
    alice.api.delete(f"/api/v1/sessions/{victim['id']}/shares/bob")


def foreign_origins(bob: Person, victim: dict[str, Any]) -> dict[str, str]:
    """Return origins that are not the one of alice's session."""
    found = {
        "missing": "",
        "null": "null",
        "evil": "http://evil.example",
        "another port": "http://localhost:1",
        "https": URL.replace("http:", "https:"),
        "a beginning": f"{URL}.evil.example",
        "an end": f"http://evil{HUB_HOST}",
        "two": f"{URL} {URL}",
        "a path": f"{URL}/",
        "another session": door(bob, UNKNOWN).origin,
        "the hub": URL,
    }
    own = door(bob, victim).origin
    return {what: one for what, one in found.items() if one != own}


def test_row_19_a_foreign_page_opens_no_websocket(
    alice: Person, bob: Person, victim: dict[str, Any]
) -> None:
    """With alice's cookie a handshake is let through from her session's own origin only."""
    at = door(alice, victim)
    assert handshake(at) == 101
    for what, origin in foreign_origins(bob, victim).items():
        assert handshake(at._replace(origin=origin)) == 403, what
