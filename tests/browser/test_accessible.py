"""The hub's pages as they are while it runs: by the keyboard alone, and as a checker sees them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from browser.windows import START_MS, Window, choose, held_at_the_progress, log_in, tab_to
from e2e.stack import SESSIONS, URL, Member
from playwright.sync_api import Page, expect


@pytest.fixture(scope="module")
def alice() -> Iterator[Member]:
    """Whose pages are looked at."""
    with Member("alice") as member:
        member.stop_all()
        yield member
        member.stop_all()


@pytest.fixture(scope="module")
def bob() -> Iterator[Member]:
    """Somebody else."""
    with Member("bob") as member:
        member.stop_all()
        yield member
        member.stop_all()


@pytest.fixture(scope="module")
def taken(bob: Member) -> dict[str, Any]:
    """A session of bob's in the one place of the profile "single"."""
    return bob.launch("single", "first here")


def violations(page: Page, axe: str) -> list[tuple[str, list[str]]]:
    """Return what the checker finds on a page: rules, and the elements that break them."""
    page.evaluate(axe)
    found: list[dict[str, Any]] = page.evaluate("axe.run().then(result => result.violations)")
    return [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found]


def test_no_page_has_anything_for_the_checker(
    window: Window, alice: Member, bob: Member, taken: dict[str, Any], axe: str
) -> None:
    """With sessions of one's own, shown to others, in the queue, of others: all pages are sound."""
    page = window.page
    own = alice.launch("echo", "shown")
    alice.invite(own, "bob", "view")
    waiting = alice.begin("single", "waits")
    bob.invite(taken, "alice", "view")
    answer = bob.api.post(
        f"/api/v1/sessions/{taken['id']}/links", json={"role": "control", "expires_in": 3600}
    )
    pages = {
        "/": "Shared with you",
        f"/sessions/{own['id']}/share": "Invite by name",
        f"/sessions/{own['id']}/stop": "Stop Echo · shown?",
        f"/sessions/{own['id']}/restart": "Echo · shown",
        f"/starting/{waiting['id']}": "Next in the queue",
        answer.json()["url"].removeprefix(URL): "bob shows you",
    }
    page.goto(URL)
    assert violations(page, axe) == []
    log_in(page, "alice", "alice")
    expect(page.get_by_role("heading", name="Your sessions")).to_be_visible()
    for path, words in pages.items():
        page.goto(URL + path)
        expect(page.get_by_text(words).first).to_be_visible()
        assert (path, violations(page, axe)) == (path, [])
    page.goto(f"{URL}/sessions/{'a' * 26}/share")
    assert violations(page, axe) == []
    alice.stop_all()
    assert ["404" in text for text in window.complaints.heard] == [True]
    window.complaints.heard.clear()


def test_everything_by_the_keyboard(window: Window, alice: Member, taken: dict[str, Any]) -> None:
    """Log in, wait in the queue and cancel, start, open, stop, and log out: no mouse is needed."""
    alice.stop_all()
    alice.launch("echo", "here")
    page, keys = window.page, window.page.keyboard
    assert taken["phase"] == "ready"
    log_in(page, "alice", "alice")
    choose(page.locator("#start-single"))
    expect(
        page.get_by_role("heading", name="Waiting to start One place and a line")
    ).to_be_visible()
    expect(page.get_by_role("status").get_by_text("Next in the queue")).to_be_visible()
    choose(page.get_by_role("button", name="Cancel"))
    expect(page.get_by_role("heading", name="Your sessions")).to_be_visible()

    tab_to(page.get_by_label("Name"))
    keys.type("by hand")
    with held_at_the_progress(page):
        choose(page.locator("#start-echo"))
        expect(page.get_by_role("heading", name="Starting Echo · by hand")).to_be_visible()
    page.wait_for_url(SESSIONS, timeout=START_MS)
    page.goto(URL)
    card = page.locator("li.session", has_text="Echo · by hand")
    expect(card.locator(".phase")).to_have_text("ready")
    choose(card.get_by_role("link", name="Open"))
    page.wait_for_url(SESSIONS)
    page.goto(URL)

    stop = card.get_by_role("link", name="Stop")
    choose(stop)
    expect(page.get_by_role("button", name="Keep it running")).to_be_focused()
    keys.press("Escape")
    expect(stop).to_be_focused()
    keys.press("Enter")
    choose(page.get_by_role("button", name="Stop it"))
    expect(card).to_have_count(0, timeout=START_MS)

    choose(page.locator("summary.who"))
    choose(page.get_by_role("button", name="Log out"))
    expect(page.get_by_label("User name")).to_be_focused()
