"""The administrators' table: it follows what happens, and many sessions are acted on at once."""

from __future__ import annotations

from urllib.parse import parse_qsl

from msgspec.structs import replace
from playwright.sync_api import Browser, Page, expect

from tests.pages.server import RENDERER, Hub
from tests.support.page_views.admin import ADMIN, ADMIN_STOP
from tests.support.page_views.home import HOME


def test_sessions_are_ticked_and_asked_about(hub: Hub, page: Page) -> None:
    """One by one or all at once: how many are selected is said, and the question is about them."""
    hub.pages["/admin"] = RENDERER.page(ADMIN)
    hub.pages["/admin/act"] = RENDERER.page(ADMIN_STOP)
    page.goto(f"{hub.url}/admin")
    first = page.locator(f"#tick-{ADMIN.rows[0].id}")
    every = page.get_by_role("checkbox", name="All on this page")
    first.focus()
    page.keyboard.press("Space")
    expect(page.locator("#ticked")).to_have_text("With the 1 selected:")
    expect(every).not_to_be_checked()
    every.check()
    expect(page.locator("#ticked")).to_have_text("With the 5 selected:")
    first.uncheck()
    page.get_by_role("button", name="Stop…").click()
    expect(page.get_by_role("button", name="Stop them")).to_be_visible()
    sent = parse_qsl(hub.queries[-1])
    assert [value for name, value in sent if name == "id"] == [one.id for one in ADMIN.rows[1:]]
    assert ("act", "stop") in sent
    assert ("back", "/admin") in sent
    assert hub.posts == []


def test_the_table_follows_and_keeps_what_is_ticked(hub: Hub, page: Page) -> None:
    """A change arrives by itself; rows that stay keep their tick and the focus."""
    hub.pages["/admin"] = RENDERER.page(ADMIN)
    page.goto(f"{hub.url}/admin")
    kept = page.locator(f"#tick-{ADMIN.rows[1].id}")
    page.locator(f"#tick-{ADMIN.rows[0].id}").check()
    kept.check()
    kept.focus()
    fewer = replace(ADMIN, rows=(replace(ADMIN.rows[1], cpu=None), *ADMIN.rows[2:]))
    hub.pages["/admin"] = RENDERER.page(fewer)
    hub.events.put(("sessions", {}))
    expect(page.locator("#rows tr")).to_have_count(4)
    expect(kept).to_be_checked()
    expect(kept).to_be_focused()
    expect(page.locator("#ticked")).to_have_text("With the 1 selected:")


def test_sessions_are_governed_without_script(hub: Hub, browser: Browser) -> None:
    """Searching, sorting, ticking, asking and doing need no script."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    hub.pages["/admin"] = RENDERER.page(ADMIN)
    hub.pages["/admin/act"] = RENDERER.page(replace(ADMIN_STOP, act="message"))
    hub.pages["/"] = RENDERER.page(HOME)
    page.goto(f"{hub.url}/admin")
    page.get_by_role("searchbox").or_(page.locator("#q")).fill("alice")
    page.get_by_role("button", name="Search").click()
    assert dict(parse_qsl(hub.queries[-1])) == {"q": "alice", "sort": "started"}
    page.get_by_role("link", name="Memory").click()
    assert hub.queries[-1] == "sort=memory"
    page.locator(f"#tick-{ADMIN.rows[0].id}").check()
    page.get_by_role("button", name="Message…").click()
    page.get_by_label("Message").fill("Lunch is ready")
    page.get_by_role("button", name="Send").click()
    path, sent = hub.posts[-1]
    assert path == "/admin/act"
    assert (sent["act"], sent["text"], sent["csrf"]) == ("message", "Lunch is ready", "c5rf")
    assert sent["ids"].split(",") == [one.id for one in ADMIN.rows]
    context.close()
