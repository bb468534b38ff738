"""Showing a session to others, through the real Traefik: who gets in, and how that ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from docker import DockerClient
from e2e.stack import (
    OUTSIDE,
    PAGE,
    URL,
    Member,
    handshake,
    is_closed,
    is_open,
    open_socket,
    part,
    place_of,
)

from tests.support import asking
from tests.support.inside import inside, is_written
from tests.support.waits import until

CUT_SECONDS = 5  # within which an open view is closed (the hub's promise, not this machine's pace)
AGE = """
import sqlite3, sys
with sqlite3.connect("/data/store.sqlite") as store:
    store.execute("UPDATE link SET expires = expires - 60 WHERE id = ?", sys.argv[1:])
"""


@pytest.fixture(scope="module")
def slicer(alice: Member) -> dict[str, Any]:
    """A session of alice's with the real Slicer, which can let single people go."""
    return alice.launch("slicer", "shown")


@pytest.fixture
def shown(alice: Member, bob: Member, slicer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The same, while bob is invited to look on."""
    assert bob
    alice.invite(slicer, "bob", "view")
    yield slicer
    take_back(alice, slicer, "bob")


def make_link(owner: Member, session: dict[str, Any], **wanted: object) -> str:
    """Make a link to look on, and return its code."""
    answer = owner.api.post(
        f"/api/v1/sessions/{session['id']}/links", json={"role": "view", **wanted}
    )
    assert answer.status_code == 201, answer.text
    url: str = answer.json()["url"]
    assert url.startswith(f"{URL}/join/")
    return url.rpartition("/")[2]


def take_back(owner: Member, session: dict[str, Any], user: str) -> bool:
    """Take an invitation back; return whether the hub says that it cut what was open."""
    answer = owner.api.delete(f"/api/v1/sessions/{session['id']}/shares/{user}")
    assert answer.status_code == 200, answer.text
    cut: bool = answer.json()["cut"]
    return cut


def connected(owner: Member, session: dict[str, Any]) -> dict[str, bool]:
    """Return who is invited, and whether they are there now."""
    answer = owner.api.get(f"/api/v1/sessions/{session['id']}/shares")
    return {one["user"]: one["connected"] for one in answer.json()["items"]}


def role_told(headers: list[list[str]]) -> str:
    """Return the role that a session was told of a request."""
    return {name.lower(): value for name, value in headers}["x-slicerhub-role"]


def test_the_invited_get_in_with_their_role(
    alice: Member, bob: Member, echo: dict[str, Any]
) -> None:
    """Page and WebSocket are open to a guest, and the session is told what they may, each time."""
    path = place_of(echo)
    assert bob.browser.get(path).status_code == 403
    assert handshake(path, bob.cookie_in(echo)) == OUTSIDE
    for role in ("view", "control"):
        alice.invite(echo, "bob", role)
        assert role_told(bob.browser.get(path).json()["headers"]) == role
        assert role_told(bob.api.get(path).json()["headers"]) == role
        with open_socket(path, bob.cookie_in(echo)) as socket:
            assert role_told(json.loads(socket.recv())) == role
        found = bob.api.get("/api/v1/sessions").json()["items"]
        assert [(one["id"], one["role"]) for one in found] == [(echo["id"], role)]
    assert role_told(alice.browser.get(path).json()["headers"]) == "owner"
    take_back(alice, echo, "bob")


def test_what_cannot_be_cut_ends_with_a_restart(
    alice: Member, bob: Member, echo: dict[str, Any]
) -> None:
    """An application that cannot let go of one person says so; started anew it is rid of them."""
    foreign = alice.launch("echo", "foreign")
    alice.invite(foreign, "bob", "view")
    path, cookie = place_of(foreign), bob.cookie_in(foreign)
    with open_socket(path, cookie) as socket:
        socket.recv()
        assert take_back(alice, foreign, "bob") is False
        assert bob.browser.get(path).status_code == 403
        assert handshake(path, cookie) == 403
        socket.send("open until the restart")
        assert socket.recv() == "open until the restart"
        answer = alice.api.post(f"/api/v1/sessions/{foreign['id']}/restart")
        assert answer.status_code == 202
        until(lambda: is_closed(socket), what="the end of the old session")

    def anew() -> dict[str, Any] | None:
        own = alice.api.get("/api/v1/sessions").json()["items"]
        return next(
            (one for one in own if one["name"] == "foreign" and one["id"] != foreign["id"]), None
        )

    after = alice.wait(until(anew, what="the new session")["id"], "ready")
    assert alice.browser.get(place_of(after)).status_code == 200
    assert alice.browser.get(path).status_code == 403
    assert bob.browser.get(place_of(after)).status_code == 403
    assert alice.phase(echo["id"]) == "ready"
    alice.stop(after["id"])


def test_who_looks_on_changes_nothing(alice: Member, bob: Member, shown: dict[str, Any]) -> None:
    """The real session lets a viewer in, and lets nobody but those with control write files."""
    path = place_of(shown)
    file = f"{path}files/My%20files/from-bob.txt"
    assert bob.browser.get(path).status_code == 200
    assert bob.api.put(file, content=b"note").status_code == 403
    alice.invite(shown, "bob", "control")
    assert bob.api.put(file, content=b"note").status_code == 201
    assert alice.api.get(file).content == b"note"
    alice.invite(shown, "bob", "view")
    assert bob.api.put(file, content=b"other").status_code == 403
    assert bob.api.get(file).status_code == 403
    assert alice.api.get(file).content == b"note"


def test_another_role_is_there_at_once(alice: Member, bob: Member, shown: dict[str, Any]) -> None:
    """With another role a guest's open view is closed and may come back; nobody else notices."""
    path, cookie = f"{place_of(shown)}ws", bob.cookie_in(shown)
    with (
        open_socket(path, alice.cookie_in(shown)) as owners,
        open_socket(path, cookie) as guests,
    ):
        until(lambda: connected(alice, shown) == {"bob": True}, what="bob among those present")
        alice.invite(shown, "bob", "control")
        until(lambda: is_closed(guests), seconds=CUT_SECONDS, what="the end of the old view")
        with open_socket(path, cookie) as again:
            assert is_open(again)
        assert is_open(owners)


def test_taken_back_is_taken_back(alice: Member, bob: Member, shown: dict[str, Any]) -> None:
    """The next request is refused, the open view is cut, and the owner's goes on undisturbed."""
    path, cookie = f"{place_of(shown)}ws", bob.cookie_in(shown)
    with (
        open_socket(path, alice.cookie_in(shown)) as owners,
        open_socket(path, cookie) as guests,
    ):
        assert is_open(owners)
        assert is_open(guests)
        assert take_back(alice, shown, "bob") is True
        assert bob.browser.get(place_of(shown)).status_code == 403
        assert handshake(path, cookie) == 403
        until(lambda: is_closed(guests), seconds=CUT_SECONDS, what="the end of bob's view")
        assert is_open(owners)
    assert connected(alice, shown) == {}
    assert bob.api.get("/api/v1/sessions").json()["items"] == []


def test_logging_out_cuts_what_is_open(alice: Member, shown: dict[str, Any]) -> None:
    """The view of a log-in that has ended is cut; another log-in of theirs may come back."""
    path = f"{place_of(shown)}ws"
    with Member("bob") as again, Member("bob") as other:
        ended = again.cookie_in(shown)
        with (
            open_socket(path, alice.cookie_in(shown)) as owners,
            open_socket(path, ended) as socket,
        ):
            assert is_open(socket)
            assert again.act("/logout").status_code == 303
            assert handshake(path, ended) == 401
            until(lambda: is_closed(socket), seconds=CUT_SECONDS, what="the end of the view")
            assert handshake(path, other.cookie_in(shown)) == 101
            assert is_open(owners)


def test_guests_are_no_owners(
    alice: Member, bob: Member, carol: Member, shown: dict[str, Any]
) -> None:
    """Even with control a guest can neither stop nor restart nor share it, nor see who else may."""
    alice.invite(shown, "bob", "control")
    where = f"/api/v1/sessions/{shown['id']}"
    for method, path, body in (
        ("DELETE", where, None),
        ("POST", f"{where}/restart", None),
        ("GET", f"{where}/shares", None),
        ("PUT", f"{where}/shares/carol", {"role": "view"}),
        ("POST", f"{where}/links", {"role": "view"}),
    ):
        assert bob.api.request(method, path, json=body).status_code == 403, (method, path)
    page = f"/sessions/{shown['id']}"
    assert bob.browser.get(f"{page}/share").status_code == 403
    assert bob.act(f"{page}/stop").status_code == 403
    assert bob.act(f"{page}/share", user="carol", role="view").status_code == 403
    assert carol.browser.get(place_of(shown)).status_code == 403
    assert alice.phase(shown["id"]) == "ready"


def test_a_link_lets_in_once(
    alice: Member, bob: Member, carol: Member, slicer: dict[str, Any], engine: DockerClient
) -> None:
    """A person with a link logs in, reads who shows what, and joins; the next one is told."""
    code = make_link(alice, slicer, max_uses=1)
    asked = asking.get(f"{URL}/join/{code}", headers=PAGE)
    assert asked.status_code == 302
    assert asked.headers["location"] == f"/login?next=%2Fjoin%2F{code}"
    offer = bob.browser.get(f"/join/{code}").text
    assert "alice" in offer
    assert "Slicer · shown" in offer
    assert bob.browser.get(place_of(slicer)).status_code == 403
    joined = bob.act(f"/join/{code}")
    assert (joined.status_code, joined.headers["location"]) == (303, f"/starting/{slicer['id']}")
    assert bob.browser.get(place_of(slicer)).status_code == 200
    refused(carol, code)
    assert carol.browser.get(place_of(slicer)).status_code == 403
    controller = part(engine, "controller")
    assert not is_written(controller, code, "/data"), "the link's code is in the hub's records"
    take_back(alice, slicer, "bob")
    refused(bob, code)


def refused(member: Member, code: str) -> None:
    """Check that a link is over, for scripts and on the page, and that it is said what to do."""
    answer = member.api.post("/api/v1/join", json={"code": code})
    assert answer.status_code == 410
    assert "Ask for a new one" in answer.json()["detail"]
    page = member.browser.get(f"/join/{code}")
    assert page.status_code == 410
    assert "Ask for a new one" in page.text


def test_a_link_that_its_owner_ended(alice: Member, carol: Member, echo: dict[str, Any]) -> None:
    """A link that was ended lets nobody in any more."""
    code = make_link(alice, echo, max_uses=5)
    where = f"/api/v1/sessions/{echo['id']}/links"
    (link,) = [one for one in alice.api.get(where).json()["items"] if one["max_uses"] == 5]
    assert alice.api.delete(f"{where}/{link['id']}").status_code == 204
    refused(carol, code)


def test_a_link_that_came_of_age(
    alice: Member, carol: Member, echo: dict[str, Any], engine: DockerClient
) -> None:
    """A link ends by itself at its time, and says so."""
    code = make_link(alice, echo, expires_in=60)
    assert carol.browser.get(f"/join/{code}").status_code == 200
    where = f"/api/v1/sessions/{echo['id']}/links"
    (link,) = alice.api.get(where).json()["items"]
    # Nobody waits for a minute here: the hub's own record of it is made a minute older.
    inside(part(engine, "controller"), "python", "-c", AGE, link["id"])
    refused(carol, code)
    assert alice.api.get(where).json()["items"] == []
    assert carol.browser.get(place_of(echo)).status_code == 403
