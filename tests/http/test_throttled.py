"""Administrators see whose log-ins are refused, and let somebody try again."""

from __future__ import annotations

import anyio
import pytest
from structlog.testing import capture_logs

from tests.support.hub import Browser, World, location, problem

pytestmark = pytest.mark.anyio

EVE = "10.6.0.1"


async def guess(hub: World, user: str, address: str, number: int = 5) -> Browser:
    """Fail so often, all at once; return the browser that did it."""
    browser = await hub.browser(address=address)
    async with anyio.create_task_group() as group:
        for one in range(number):
            group.start_soon(browser.log_in, user, f"wrong {one}")
    return browser


async def test_seen_and_released(fresh: World) -> None:
    """Refused log-ins are listed with name, address, failures and until when; one press helps."""
    eve = await guess(fresh, "Alice", EVE)
    assert (await eve.log_in("alice", "alice")).status_code == 429
    carol = await fresh.browser("carol")
    page = (await carol.get("/admin/throttled")).text
    assert "alice" in page
    assert EVE in page
    script = await fresh.script("carol")
    (item,) = (await script.get("/api/v1/admin/throttled")).json()["items"]
    assert (item["user"], item["address"], item["failures"]) == ("alice", EVE, 5)
    with capture_logs() as logs:
        answer = await carol.act("/admin/throttled/release", id=item["id"])
    assert location(answer) == "/admin/throttled?done=release"
    (act,) = [one for one in logs if one.get("act") == "admin_release"]
    assert (act["who"], act["whose"], act["address"], act["failures"]) == ("carol", "alice", EVE, 5)
    assert (await eve.log_in("alice", "alice")).status_code == 303
    again = await carol.act("/admin/throttled/release", id=item["id"])
    assert location(again) == "/admin/throttled?done=released"
    assert "refused at present" in (await carol.get("/admin/throttled")).text


async def test_by_api(fresh: World) -> None:
    """Scripts of administrators do the same; for what is not refused the answer says so."""
    eve = await guess(fresh, "bob", "2001:db8::1")
    script = await fresh.script("carol")
    (item,) = (await script.get("/api/v1/admin/throttled")).json()["items"]
    assert item["address"] == "2001:db8::/64"
    assert (await script.delete(f"/api/v1/admin/throttled/{item['id']}")).status_code == 204
    answer = await script.delete(f"/api/v1/admin/throttled/{item['id']}")
    assert answer.status_code == 404
    problem(answer)
    assert (await eve.log_in("bob", "bob")).status_code == 303


async def test_network_of_an_attacker(fresh: World) -> None:
    """Rotating through the addresses of one IPv6 network gives no more guesses."""
    async with anyio.create_task_group() as group:
        for number in range(5):
            browser = await fresh.browser(address=f"2001:db8:0:1::{number}")
            group.start_soon(browser.log_in, "alice", "wrong")
    attacker = await fresh.browser(address="2001:db8:0:1::ffff")
    assert (await attacker.log_in("alice", "alice")).status_code == 429
    neighbour = await fresh.browser(address="2001:db8:0:2::1")
    assert (await neighbour.log_in("alice", "alice")).status_code == 303


async def test_at_once(fresh: World) -> None:
    """Of many guesses sent at the same moment the directory sees no more than the limit."""
    await guess(fresh, "alice", EVE, number=40)
    (item,) = (await (await fresh.script("carol")).get("/api/v1/admin/throttled")).json()["items"]
    assert item["failures"] == 5
