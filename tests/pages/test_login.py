"""The log-in and the list of log-ins: by the keyboard, and with what helps somebody who types."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, Page, expect

from tests.pages.server import RENDERER, Hub, home_at
from tests.support.page_views.home import EMPTY
from tests.support.page_views.login import LOGIN, LOGINS


def test_logging_in_needs_only_the_keyboard(hub: Hub, page: Page) -> None:
    """Type the name, Tab, type the password, Enter."""
    hub.pages["/login"] = RENDERER.page(replace(LOGIN, next="/s/x/"))
    home_at(hub, EMPTY)
    page.goto(f"{hub.url}/login")
    expect(page.get_by_label("User name")).to_be_focused()
    page.keyboard.type("alice")
    page.keyboard.press("Tab")
    page.keyboard.type("pass word")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Nothing is running")).to_be_visible()
    assert hub.posts == [
        ("/login", {"username": "alice", "password": "pass word", "next": "/s/x/"})
    ]


def test_the_password_can_be_looked_at_and_caps_lock_is_told(hub: Hub, page: Page) -> None:
    """One press shows what was typed, another hides it; Caps Lock is said while it is on."""
    hub.pages["/login"] = RENDERER.page(LOGIN)
    page.goto(f"{hub.url}/login")
    field = page.get_by_label("Password", exact=True)
    field.fill("secret")
    page.get_by_role("button", name="Show password").click()
    expect(field).to_have_attribute("type", "text")
    expect(field).to_be_focused()
    page.get_by_role("button", name="Hide password").click()
    expect(field).to_have_attribute("type", "password")
    for on in (True, False):
        field.evaluate(
            """(field, on) => field.dispatchEvent(
                new KeyboardEvent("keydown", {key: "A", modifierCapsLock: on}))""",
            on,
        )
        expect(page.locator("#capslock")).to_have_text("Caps Lock is on." if on else "")


@pytest.mark.parametrize("script", [True, False])
def test_log_ins_are_ended_with_the_keyboard(hub: Hub, browser: Browser, script: bool) -> None:
    """The menu leads there; each log-in, and all of them, end by a key, also without script."""
    home_at(hub, EMPTY)
    hub.pages["/logins"] = RENDERER.page(LOGINS)
    context = browser.new_context(java_script_enabled=script)
    page = context.new_page()
    page.goto(hub.url)
    page.locator("summary.who").press("Enter")
    page.get_by_role("link", name="Where you are logged in").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Where you are logged in")
    page.get_by_role("button", name="Log out Script from 10.14.3.77").press("Enter")
    page.wait_for_url(f"{hub.url}/")
    for name in ("Log out everywhere else", "Log me out everywhere"):
        page.goto(f"{hub.url}/logins")
        page.get_by_role("button", name=name).press("Enter")
        page.wait_for_url(f"{hub.url}/")
    assert hub.posts == [
        ("/logins/end", {"csrf": "c5rf", "id": "5" * 32}),
        ("/logins/all", {"csrf": "c5rf", "but_here": "1"}),
        ("/logins/all", {"csrf": "c5rf", "but_here": ""}),
    ]
    context.close()
