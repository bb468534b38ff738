"""Two people with real browsers on one session of the running stack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from browser.windows import (
    LONG_STILL,
    MOVED,
    View,
    Window,
    changed,
    choose,
    drag,
    log_in,
    open_window,
    views_of,
)
from docker import DockerClient
from e2e.stack import URL, Member, place_of, remove_files
from playwright.sync_api import Browser, Page, expect

from tests.support.waits import until

READY_MS = 60_000  # for something that the session itself has to do, on a busy machine


@pytest.fixture(scope="module")
def alice(engine: DockerClient) -> Iterator[Member]:
    """Who shows, and has no files yet: her session opens the sample by itself."""
    with Member("alice") as member:
        member.stop_all()
        remove_files(engine, "alice")
        yield member
        member.stop_all()


@pytest.fixture
def guest(browser: Browser) -> Iterator[Window]:
    """A window of somebody else, who is not logged in."""
    opened = open_window(browser)
    yield opened
    opened.context.close()
    assert opened.complaints.heard == []


@pytest.fixture(scope="module")
def slicer(alice: Member) -> dict[str, Any]:
    """A session of alice's with the real Slicer."""
    return alice.launch("slicer", "shown")


@pytest.fixture(scope="module")
def echo(alice: Member) -> dict[str, Any]:
    """A session of alice's whose application is quickly there."""
    return alice.launch("echo", "quick")


def card_of(page: Page, session: dict[str, Any]) -> str:
    """Return how the session's card is found on the first page."""
    expect(page.locator(f"#session-{session['id']}")).to_be_visible()
    return f"#session-{session['id']}"


def look_on(page: Page) -> View:
    """Wait until a page shows the brain, and return its 3D view."""
    solid, _ = views_of(page)
    return solid


def turn(page: Page, view: View, *, seen: View) -> None:
    """Turn the brain on one page, and wait until ``seen`` shows another side of it."""
    before = seen.rest()
    drag(page, view)
    until(lambda: changed(before, seen.look()) > MOVED, what="the brain from another side")


def make_link(page: Page, session: dict[str, Any]) -> str:
    """Log in as the owner, make a link by two clicks, and return it."""
    log_in(page, "alice", "alice")
    page.locator(card_of(page, session)).get_by_role("link", name="Share").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Make a link").click()
    link = dialog.get_by_label("Link", exact=True)
    expect(link).to_be_focused()
    expect(dialog.get_by_role("img", name="The link as a QR code")).to_be_visible()
    address = link.input_value()
    assert address.startswith(f"{URL}/join/")
    return address


def test_shown_by_link_lent_and_taken_back(
    window: Window, guest: Window, slicer: dict[str, Any]
) -> None:
    """Two clicks make a link; who has it watches, is given control, and is out at one click."""
    address = make_link(window.page, slicer)
    guests = guest.page
    log_in(guests, "bob", "bob", at=address)
    expect(guests.get_by_role("heading", name="alice shows you Slicer · shown")).to_be_visible()
    expect(guests.get_by_text("You may view it; you can change nothing.")).to_be_visible()
    guests.get_by_role("button", name="Join").click()

    inside = window.context.new_page()
    inside.goto(place_of(slicer))
    owners_view = look_on(inside)
    guests_view = look_on(guests)
    expect(guests.get_by_text("You are viewing; alice has control.")).to_be_visible()
    expect(inside.get_by_text("bob · viewing")).to_be_visible()
    turn(inside, owners_view, seen=guests_view)
    before = owners_view.rest(LONG_STILL)  # pictures of the owner's own drag may come late
    drag(guests, guests_view)
    assert changed(before, owners_view.rest()) <= MOVED, "a viewer turned the brain"

    guests.get_by_role("button", name="Ask for control").click()
    expect(inside.get_by_text("bob asks for control.")).to_be_visible()
    with window.context.expect_page() as opened:
        inside.get_by_role("link", name="Give control").click()
    share = opened.value
    share.get_by_role("button", name="Give control to Bob Example").first.click()
    expect(share.get_by_role("button", name="Take control back from Bob Example")).to_be_visible()
    expect(inside.get_by_text("bob · can control")).to_be_visible(timeout=READY_MS)
    expect(inside.get_by_text("bob asks for control.")).to_have_count(0)
    guests_view, owners_view = look_on(guests), look_on(inside)
    expect(guests.get_by_text("You are viewing")).to_have_count(0)
    turn(guests, guests_view, seen=owners_view)

    share.get_by_role("button", name="Remove Bob Example").click()
    expect(guests.get_by_text("Your access to this session has ended.")).to_be_visible()
    expect(share.get_by_role("button", name="Remove Bob Example")).to_have_count(0)
    expect(inside.get_by_text("bob · can control")).to_have_count(0)
    turn(inside, owners_view, seen=owners_view)
    expect(inside.locator("#ended")).to_have_count(0)
    guests.get_by_role("link", name="Go to your sessions").click()
    expect(guests.get_by_role("heading", name="Nothing is running")).to_be_visible()
    expect(guests.get_by_text("Shared with you")).to_have_count(0)
    guests.goto(address)
    guests.get_by_role("button", name="Join").click()
    expect(guests.get_by_text("Ask for a new one")).to_be_visible()
    # Chromium itself notes every page of that status.
    assert all("410" in text for text in guest.complaints.heard)
    guest.complaints.heard.clear()


def test_asking_from_the_first_page(
    window: Window, guest: Window, alice: Member, echo: dict[str, Any]
) -> None:
    """A guest asks on their own first page; the owner reads it where they share, and gives it."""
    alice.invite(echo, "bob", "view")
    log_in(guest.page, "bob", "bob")
    card = guest.page.locator(f"#shared-{echo['id']}")
    expect(card).to_contain_text("you may view")
    log_in(window.page, "alice", "alice")
    window.page.locator(card_of(window.page, echo)).get_by_role("link", name="Share").click()
    dialog = window.page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", name="Share Echo · quick")).to_be_visible()
    card.get_by_role("button", name="Ask for control").click()
    expect(card).to_contain_text("you asked for control")
    expect(dialog.get_by_text("Bob Example asks for control.")).to_be_visible()
    dialog.get_by_role("button", name="Give control to Bob Example").first.click()
    expect(card).to_contain_text("you have control")
    expect(dialog.get_by_text("asks for control")).to_have_count(0)
    card.get_by_role("button", name="Leave").click()
    expect(card).to_have_count(0)
    expect(dialog.locator("#share-guest-bob")).to_have_count(0)


def test_sharing_by_the_keyboard_alone(
    window: Window, guest: Window, alice: Member, echo: dict[str, Any]
) -> None:
    """Open the dialog, invite by name, give control, remove, close: no mouse is needed."""
    alice.api.delete(f"/api/v1/sessions/{echo['id']}/shares/bob")
    page = window.page
    keys = page.keyboard
    log_in(page, "alice", "alice")
    choose(page.locator(f"#share-{echo['id']}"))
    expect(page.locator("#share-user")).to_be_focused()
    keys.type("bob")
    keys.press("Tab")
    keys.press("ArrowDown")
    expect(page.locator("#share-role")).to_have_value("control")
    keys.press("ArrowUp")
    choose(page.locator("#share-add"))
    expect(page.locator("#share-guest-bob")).to_be_visible()
    log_in(guest.page, "bob", "bob")
    card = guest.page.locator(f"#shared-{echo['id']}")
    expect(card).to_contain_text("you may view")
    choose(page.locator("#share-role-bob"))
    expect(card).to_contain_text("you have control")
    choose(page.locator("#share-remove-bob"))
    expect(page.locator("#share-guest-bob")).to_have_count(0)
    expect(card).to_have_count(0)
    keys.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator(f"#share-{echo['id']}")).to_be_focused()
