"""What people are told where a gate may not have heard yet of what they took back."""

from __future__ import annotations

import pytest

from tests.support.hub import World

pytestmark = pytest.mark.anyio


class Deaf:
    """Gates of which one never confirms anything."""

    def __init__(self) -> None:
        """Nobody has waited for them."""
        self.waited = 0

    async def told(self, seconds: float) -> None:
        """Do not wait for them."""
        del seconds

    async def everywhere(self, seconds: float) -> bool:
        """Say that something does not count at each gate yet."""
        del seconds
        self.waited += 1
        return False


@pytest.fixture
def deaf(hub: World) -> Deaf:
    """Give the hub such gates."""
    found = hub.app.everywhere.gates = Deaf()
    return found


async def test_taken_back(hub: World, deaf: Deaf) -> None:
    """Who takes an invitation back reads that it counts, and that it may not do so everywhere."""
    made = await hub.session("alice")
    alice, bob = await hub.script("alice"), await hub.script("bob")
    share = f"/api/v1/sessions/{made}/shares/bob"
    assert (await alice.put(share, json={"role": "view"})).status_code in {200, 201}
    assert deaf.waited == 0  # what is given needs no word
    answer = await alice.delete(share)
    assert answer.status_code == 503
    assert answer.json()["title"] == "Done, but not everywhere yet"
    assert "takes effect now" in answer.json()["detail"]
    assert (await bob.get(f"/api/v1/sessions/{made}")).status_code == 404
    assert (await alice.get(f"/api/v1/sessions/{made}/shares")).json()["items"] == []


async def test_control_taken_back(hub: World, deaf: Deaf) -> None:
    """The same holds for control that is taken from a guest who may still view."""
    made = await hub.session("alice")
    alice = await hub.script("alice")
    share = f"/api/v1/sessions/{made}/shares/bob"
    assert (await alice.put(share, json={"role": "control"})).status_code in {200, 201}
    answer = await alice.put(share, json={"role": "view"})
    assert answer.status_code == 503
    assert deaf.waited == 1
    (guest,) = (await alice.get(f"/api/v1/sessions/{made}/shares")).json()["items"]
    assert guest["role"] == "view"


async def test_logged_out(hub: World, deaf: Deaf) -> None:
    """Who logs out is out, whatever the gates say, and reads what may still be open."""
    alice = await hub.browser("alice")
    answer = await alice.post("/logout", {"csrf": await alice.csrf()})
    assert answer.status_code == 503
    assert "Done, but not everywhere yet" in answer.text
    assert deaf.waited == 1
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert (await alice.get("/")).status_code == 302
