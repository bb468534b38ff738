"""How much one session's owner can have written down: names that are names, and not without end."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from controller.core.model import Person, SessionId, UserId
from controller.store import LINKS_MOST, SHARES_MOST
from tests.support.hub import World, problem

pytestmark = pytest.mark.anyio

ALL = {"role": "view"}
NO_NAMES = ("", " ", "x" * 65, "bob\x00", "bob*", "a/../b", "\ufdfa" * 10, "(uid=*)")


def shares_of(session_id: SessionId) -> str:
    """Return where a session's invitations are."""
    return f"/api/v1/sessions/{session_id}/shares"


async def links_of(script: httpx.AsyncClient, made: SessionId) -> list[Any]:
    """Return the links of a session that are open."""
    return (await script.get(f"/api/v1/sessions/{made}/links")).json()["items"]


async def test_what_is_no_name_is_not_written_down(fresh: World) -> None:
    """To invite, to take back, to change: whatever can be nobody's name is refused at once."""
    fresh.directory.can_find = False  # then any name may be invited
    made = await fresh.session("alice")
    alice, carol = await fresh.script("alice"), await fresh.script("carol")
    page = await fresh.browser("alice")
    for name in NO_NAMES:
        for act in ("share", "share/change", "share/remove"):
            answer = await page.act(f"/sessions/{made}/{act}", user=name, role="view")
            assert answer.status_code == 400, (act, name)
    for name in ("x" * 65, "bob*", "%EF%B7%BA" * 10):
        for method, path, body in (
            ("PUT", f"{shares_of(made)}/{name}", ALL),
            ("DELETE", f"{shares_of(made)}/{name}", None),
        ):
            answer = await alice.request(method, path, json=body)
            assert answer.status_code == 400, (method, name)
            assert "not a user name" in problem(answer)["detail"]
        for method, path, body in (
            ("PUT", f"/api/v1/admin/users/{name}/quota", {"sessions": 1}),
            ("POST", f"/api/v1/admin/users/{name}/logout", None),
            ("DELETE", f"/api/v1/admin/users/{name}/files", None),
        ):
            answer = await carol.request(method, path, json=body)
            assert answer.status_code == 400, (path, name)
    assert await fresh.store.shares() == []
    assert fresh.app.sessions.rule_book.rules.quotas == {}


async def test_invitations_are_so_many(fresh: World) -> None:
    """Two hundred are invited to a session; one more is once an invitation was taken back."""
    fresh.directory.can_find = False
    made, other = await fresh.session("alice"), await fresh.session("alice")
    alice = await fresh.script("alice")
    for number in range(SHARES_MOST):
        answer = await alice.put(f"{shares_of(made)}/guest{number}", json=ALL)
        assert answer.status_code == 200, answer.text
    refused = await alice.put(f"{shares_of(made)}/bob", json=ALL)
    assert refused.status_code == 409
    assert "Take an invitation back" in problem(refused)["detail"]
    assert fresh.app.grants.role_of(made, UserId("bob")) is None
    page = await (await fresh.browser("alice")).act(
        f"/sessions/{made}/share", user="bob", role="view"
    )
    assert page.status_code == 409
    assert "Take an invitation back" in page.text
    again = await alice.put(f"{shares_of(made)}/guest7", json={"role": "control"})
    assert again.status_code == 200
    assert (await alice.put(f"{shares_of(other)}/bob", json=ALL)).status_code == 200
    link = (await alice.post(f"/api/v1/sessions/{made}/links", json=ALL)).json()["url"]
    join = {"code": link.rpartition("/")[2]}
    bob = await fresh.script("bob")
    full = await bob.post("/api/v1/join", json=join)
    assert full.status_code == 409
    assert "Ask its owner" in problem(full)["detail"]
    assert (await alice.delete(f"{shares_of(made)}/guest3")).status_code == 200
    assert (await bob.post("/api/v1/join", json=join)).status_code == 200


async def test_links_are_so_many(fresh: World) -> None:
    """Fifty links to a session are open at a time; of those that are over nothing is kept."""
    made = await fresh.session("alice")
    alice = await fresh.script("alice")
    where = f"/api/v1/sessions/{made}/links"
    for number in range(LINKS_MOST):
        asked = ALL | {"expires_in": 60 if number else 3600}
        assert (await alice.post(where, json=asked)).status_code == 201
    refused = await alice.post(where, json=ALL)
    assert refused.status_code == 409
    assert "End one to make another" in problem(refused)["detail"]
    page = await (await fresh.browser("alice")).act(
        f"/sessions/{made}/links", role="view", expires="3600"
    )
    assert page.status_code == 409
    assert "End one to make another" in page.text
    first = (await links_of(alice, made))[0]["id"]
    assert (await alice.delete(f"{where}/{first}")).status_code == 204
    assert (await alice.post(where, json=ALL)).status_code == 201
    fresh.clock.advance(61)
    assert (await alice.post(where, json=ALL)).status_code == 201
    assert len(await fresh.store.links(made)) == 2


async def test_only_the_invited_are_shut_out(fresh: World) -> None:
    """To take back from somebody who was never invited leaves nothing at the links."""
    fresh.directory.can_find = False
    made = await fresh.session("alice")
    alice = await fresh.script("alice")
    url = (await alice.post(f"/api/v1/sessions/{made}/links", json=ALL)).json()["url"]
    for name in ("bob", *(f"nobody{number}" for number in range(20))):
        assert (await alice.delete(f"{shares_of(made)}/{name}")).status_code == 200
    bob = Person(UserId("bob"), "Bob Baker")
    assert (await fresh.app.grant_records.links.redeem(url.rpartition("/")[2], bob)).uid == "bob"
    assert (await alice.delete(f"{shares_of(made)}/bob")).status_code == 200
    answer = await (await fresh.script("bob")).post(
        "/api/v1/join", json={"code": url.rpartition("/")[2]}
    )
    assert answer.status_code == 410
