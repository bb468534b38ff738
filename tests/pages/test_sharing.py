"""Sharing from the first page: over it or beside it, live, by the keyboard and without script."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl

import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from controller.core.model import Role
from controller.web.pages.sharing import ShareView
from tests.pages.server import RENDERER, Hub, home_at
from tests.support.page_views.common import HOSTILE
from tests.support.page_views.home import AHEAD, EMPTY, HOME, READY, UNUSED
from tests.support.page_views.session import RESTART
from tests.support.page_views.sharing import (
    BOB,
    DANA,
    FRESH,
    JOIN,
    LINK,
    SHARE,
    SHARE_PATH,
    SHARED_OUT,
)

LINKS_PATH = f"/sessions/{READY.id}/links"
RESTART_PATH = f"/sessions/{READY.id}/restart"


def opened_share(hub: Hub, page: Page, view: ShareView) -> Locator:
    """Open the dialog from the first page with the keyboard."""
    home_at(hub, HOME)
    hub.pages[SHARE_PATH] = RENDERER.page(view)
    page.goto(hub.url)
    page.get_by_role("link", name="Share Slicer · thesis").press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("User name")).to_be_focused()
    return dialog


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_sharing_opens_over_the_first_page(
    hub: Hub, page: Page, axe: str, scheme: Literal["light", "dark"]
) -> None:
    """Where there is room it is a dialog; Escape and Close give the focus back."""
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    link = page.get_by_role("link", name="Share Slicer · thesis")
    for leave in ("Escape", "Close"):
        dialog = opened_share(hub, page, replace(SHARED_OUT, fresh=FRESH))
        expect(dialog.get_by_role("heading", name="Share Slicer · thesis")).to_be_visible()
        if leave == "Escape":
            if folder := os.environ.get("SLICERHUB_SCREENSHOTS"):
                page.screenshot(path=Path(folder) / f"share_dialog-{scheme}.png")
            page.evaluate(axe)
            found = page.evaluate("axe.run().then(result => result.violations)")
            assert [rule["id"] for rule in found] == []
            page.keyboard.press("Escape")
        else:
            dialog.get_by_role("link", name="Close").press("Enter")
        expect(dialog).to_be_hidden()
        expect(link).to_be_focused()
    assert page.url == f"{hub.url}/"


def test_on_a_narrow_screen_sharing_is_a_page(hub: Hub, page: Page) -> None:
    """A telephone gets a page of its own, from which "Close" leads back."""
    page.set_viewport_size({"width": 360, "height": 740})
    home_at(hub, HOME)
    hub.pages[SHARE_PATH] = RENDERER.page(SHARE)
    page.goto(hub.url)
    page.get_by_role("link", name="Share Slicer · thesis").click()
    page.wait_for_url(f"{hub.url}{SHARE_PATH}")
    page.get_by_role("link", name="Close").click()
    expect(page.get_by_role("heading", name="Your sessions")).to_be_visible()


def test_somebody_is_invited_by_name_without_leaving_the_dialog(hub: Hub, page: Page) -> None:
    """The person stands in the list, is said aloud, and the field is free for the next."""
    dialog = opened_share(hub, page, SHARE)
    expect(dialog.get_by_text("Nobody is invited yet.")).to_be_visible()
    hub.answers[SHARE_PATH] = hub.pages[SHARE_PATH] = RENDERER.page(replace(SHARE, people=(BOB,)))
    page.keyboard.type("bob")
    dialog.get_by_label("They may").first.select_option("control")
    dialog.get_by_label("How long").first.select_option("one hour")
    dialog.get_by_label("User name").press("Enter")
    expect(dialog.get_by_role("button", name="Remove Bob Example")).to_be_visible()
    expect(dialog.get_by_role("status")).to_have_text("Bob Example: view, connected")
    expect(dialog.get_by_label("User name")).to_have_value("")
    expect(dialog.get_by_label("User name")).to_be_focused()
    fields = {"csrf": "c5rf", "user": "bob", "role": "control", "expires": "3600"}
    assert hub.posts == [(SHARE_PATH, fields)]


def test_a_refused_name_stays_to_be_corrected(hub: Hub, page: Page) -> None:
    """The sentence and what was typed outlast news, and go with the next that succeeds."""
    dialog = opened_share(hub, page, SHARE)
    why = "Nobody of that name may use the hub."
    hub.answers[SHARE_PATH] = RENDERER.page(replace(SHARE, error=why, typed_user="bbo"))
    page.keyboard.type("bbo")
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("alert")).to_have_text(why)
    hub.pages[SHARE_PATH] = RENDERER.page(replace(SHARE, people=(DANA,)))
    hub.events.put(("sessions", {}))
    expect(dialog.get_by_role("button", name="Take control back")).to_be_visible()
    expect(dialog.get_by_role("alert")).to_have_text(why)
    field = dialog.get_by_label("User name")
    expect(field).to_have_value("bbo")
    hub.answers[SHARE_PATH] = RENDERER.page(replace(SHARE, people=(BOB, DANA)))
    field.fill("bob")
    field.press("Enter")
    expect(dialog.get_by_role("button", name="Remove Bob Example")).to_be_visible()
    expect(dialog.get_by_role("alert")).to_have_count(0)
    expect(field).to_have_value("")


def test_a_link_is_made_and_copied(hub: Hub, context: BrowserContext, page: Page) -> None:
    """Two presses make it; it stays through news, and one more has it on the clipboard."""
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    dialog = opened_share(hub, page, SHARE)
    hub.pages[SHARE_PATH] = RENDERER.page(replace(SHARE, links=(LINK,)))
    hub.answers[LINKS_PATH] = RENDERER.page(replace(SHARE, links=(LINK,), fresh=FRESH))
    dialog.get_by_role("button", name="Make a link").click()
    address = dialog.get_by_label("Link", exact=True)
    expect(address).to_have_value(FRESH.url)
    expect(address).to_be_focused()
    expect(dialog.get_by_role("img", name="The link as a QR code")).to_be_visible()
    expect(dialog.get_by_text("used 0 of 1")).to_be_visible()
    hub.pages[SHARE_PATH] = RENDERER.page(replace(SHARE, links=(replace(LINK, uses=1),)))
    hub.events.put(("sessions", {}))
    expect(dialog.get_by_text("used 1 of 1")).to_be_visible()
    expect(address).to_have_value(FRESH.url)
    dialog.get_by_role("button", name="Copy the link").click()
    expect(dialog.get_by_role("status")).to_have_text("The link was copied.")
    assert page.evaluate("navigator.clipboard.readText()") == FRESH.url
    hub.answers[f"{LINKS_PATH}/end"] = RENDERER.page(SHARE)
    dialog.get_by_role("button", name="End this link").click()
    expect(dialog.get_by_text("Nobody is invited yet.")).to_be_visible()
    expect(address).to_have_count(0)
    fields = {"csrf": "c5rf", "role": "view", "expires": "86400", "max_uses": ""}
    ended = {"csrf": "c5rf", "link": LINK.id}
    assert hub.posts == [(LINKS_PATH, fields), (f"{LINKS_PATH}/end", ended)]


def test_names_are_suggested_from_three_characters_on(hub: Hub, page: Page) -> None:
    """People whose names begin like that are offered; fewer characters ask nothing."""
    hub.pages["/api/v1/people"] = json.dumps(
        {
            "items": [
                {"user": "bob", "display_name": HOSTILE},
                {"user": "bobby", "display_name": "B"},
            ]
        }
    )
    dialog = opened_share(hub, page, SHARE)
    offered = dialog.locator("datalist option")
    page.keyboard.type("bo")
    page.keyboard.type("b&")
    expect(offered).to_have_count(2)
    assert offered.evaluate_all("all => all.map(one => [one.value, one.label])") == [
        ["bob", HOSTILE],
        ["bobby", "B"],
    ]
    # News must not take the list from under the hand.
    hub.pages[SHARE_PATH] = RENDERER.page(replace(SHARE, people=(DANA,), can_suggest=True))
    hub.events.put(("sessions", {}))
    expect(dialog.get_by_role("button", name="Remove Dana Example")).to_be_visible()
    expect(offered).to_have_count(2)
    page.keyboard.press("Backspace")
    page.keyboard.press("Backspace")
    expect(offered).to_have_count(0)
    assert hub.queries
    assert all(len(dict(parse_qsl(query))["q"]) >= 3 for query in hub.queries)


def test_control_is_lent_and_taken_back_with_the_keyboard(hub: Hub, page: Page) -> None:
    """Guests who ask come first; giving, taking back and removing are one press each."""
    asks = replace(SHARED_OUT, people=(replace(BOB, asks=True),), links=())
    dialog = opened_share(hub, page, asks)
    expect(dialog.get_by_text("Bob Example asks for control.")).to_be_visible()
    lent = replace(asks, people=(replace(BOB, role=Role.CONTROL),))
    hub.answers[f"{SHARE_PATH}/change"] = RENDERER.page(lent)
    dialog.get_by_role("button", name="Give control to Bob Example").first.press("Enter")
    back = dialog.get_by_role("button", name="Take control back from Bob Example")
    expect(back).to_be_visible()
    expect(dialog.get_by_role("status")).to_have_text("Bob Example: control, connected")
    hub.answers[f"{SHARE_PATH}/change"] = RENDERER.page(replace(asks, people=(BOB,)))
    back.press("Enter")
    expect(dialog.get_by_role("button", name="Give control to Bob Example")).to_be_focused()
    hub.answers[f"{SHARE_PATH}/remove"] = RENDERER.page(SHARE)
    dialog.get_by_role("button", name="Remove Bob Example").press("Enter")
    expect(dialog.get_by_text("Nobody is invited yet.")).to_be_visible()
    assert dialog.evaluate("dialog => dialog.contains(document.activeElement)")
    bob = {"csrf": "c5rf", "user": "bob"}
    assert hub.posts == [
        (f"{SHARE_PATH}/change", {**bob, "role": "control"}),
        (f"{SHARE_PATH}/change", {**bob, "role": "view"}),
        (f"{SHARE_PATH}/remove", bob),
    ]


def test_who_is_connected_is_seen_live_on_the_page_itself(hub: Hub, page: Page) -> None:
    """Somebody joins while the page stands open; a session that ends takes the page along."""
    hub.pages[SHARE_PATH] = RENDERER.page(replace(SHARE, people=(replace(BOB, connected=False),)))
    page.goto(f"{hub.url}{SHARE_PATH}")
    expect(page.get_by_text("Connected now: Alice Example (you)")).to_be_visible()
    hub.pages[SHARE_PATH] = RENDERER.page(replace(SHARED_OUT, people=(BOB,)))
    hub.events.put(("sessions", {}))
    expect(page.get_by_text("Connected now: Alice Example (you), Bob Example")).to_be_visible()
    expect(page.locator("#said")).to_have_text("Bob Example: view, connected")
    del hub.pages[SHARE_PATH]
    hub.events.put(("sessions", {}))
    expect(page).to_have_title("none")


def test_a_session_that_ends_closes_its_dialog(hub: Hub, page: Page) -> None:
    """The first page stands there again, without the session."""
    dialog = opened_share(hub, page, SHARE)
    del hub.pages[SHARE_PATH]
    home_at(hub, EMPTY)
    hub.events.put(("sessions", {}))
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("heading", name="Nothing is running")).to_be_visible()


def test_sharing_and_joining_work_without_a_script(hub: Hub, browser: Browser) -> None:
    """Every form of the new pages is a plain form."""
    home_at(hub, replace(HOME, sessions=(replace(UNUSED, id=READY.id),), profiles=(AHEAD,)))
    for path in (SHARE_PATH, f"{SHARE_PATH}/change"):
        hub.pages[path] = hub.answers[path] = RENDERER.page(
            replace(SHARED_OUT, people=(BOB,), kickable=False)
        )
    hub.answers[LINKS_PATH] = RENDERER.page(replace(SHARE, fresh=FRESH))
    hub.pages[RESTART_PATH] = RENDERER.page(replace(RESTART, id=READY.id))
    hub.pages["/join/x"] = RENDERER.page(replace(JOIN, code="x"))
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(hub.url)
    page.get_by_role("button", name="Keep").click()
    page.get_by_role("switch").click()
    page.get_by_role("link", name="Share").click()
    page.get_by_label("User name").fill("bob")
    with page.expect_navigation():  # to a page that looks the same
        page.keyboard.press("Enter")
    page.get_by_role("button", name="Give control").click()
    page.get_by_label("How often").fill("2")
    page.get_by_role("button", name="Make a link").click()
    expect(page.get_by_label("Link", exact=True)).to_have_value(FRESH.url)
    expect(page.get_by_role("button", name="Copy")).to_have_count(0)
    page.goto(f"{hub.url}{SHARE_PATH}")
    page.get_by_role("link", name="Stop and start again").click()
    page.get_by_role("button", name="Stop and start again").click()
    page.goto(f"{hub.url}/join/x")
    expect(page.get_by_role("heading")).to_have_text("Carol Example shows you Slicer · planning")
    page.get_by_role("button", name="Join").click()
    proof = {"csrf": "c5rf"}
    assert hub.posts == [
        (f"/sessions/{READY.id}/keep", proof),
        ("/ahead", {**proof, "profile": "slicer", "on": ""}),
        (SHARE_PATH, {**proof, "user": "bob", "role": "view", "expires": ""}),
        (f"{SHARE_PATH}/change", {**proof, "user": "bob", "role": "control"}),
        (LINKS_PATH, {**proof, "role": "view", "expires": "86400", "max_uses": "2"}),
        (RESTART_PATH, proof),
        ("/join/x", proof),
    ]
    context.close()
