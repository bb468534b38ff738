"""The first page: it follows what happens, and does not disturb the person at work on it."""

from __future__ import annotations

from msgspec.structs import replace
from playwright.sync_api import Browser, Page, expect

from controller.core.errors import Unavailable
from controller.core.model import Phase
from controller.web.pages.forms import error_view
from tests.pages.server import RENDERER, Hub, home_at
from tests.support.page_views import PAGES
from tests.support.page_views.home import (
    AHEAD,
    EMPTY,
    HOME,
    IDLE_NOTICE,
    LINED,
    OVERDUE,
    READY,
    SHARED,
    STARTING,
    UNUSED,
)
from tests.support.page_views.login import LOGIN
from tests.support.page_views.session import CONFIRM


def test_the_first_tab_skips_to_the_content(hub: Hub, page: Page) -> None:
    """One Tab and Enter, and the next Tab is in the content."""
    home_at(hub, HOME)
    page.goto(hub.url)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Open Slicer · thesis")).to_be_focused()


def test_the_page_changes_under_a_typing_hand_without_disturbing_it(hub: Hub, page: Page) -> None:
    """A session becomes ready, the card says so aloud, and the half-typed name stays."""
    waiting = replace(STARTING, name="late")
    home_at(hub, replace(HOME, sessions=(READY, waiting)))
    page.goto(hub.url)
    name = page.get_by_label("Name")
    name.click()
    page.keyboard.type("plan")
    home_at(
        hub,
        replace(HOME, notices=(IDLE_NOTICE,), sessions=(replace(waiting, phase=Phase.READY),)),
    )
    hub.events.put(("sessions", {}))
    expect(page.get_by_role("link", name="Open Slicer · late")).to_be_visible()
    expect(page.get_by_role("link", name="Open Slicer · thesis")).to_have_count(0)
    expect(page.locator("#said")).to_have_text("Slicer · late: ready")
    page.keyboard.type("ning")
    expect(name).to_have_value("planning")
    expect(name).to_be_focused()
    # From a full page to an empty one the field moves; what was typed moves with it.
    home_at(hub, EMPTY)
    hub.events.put(("sessions", {}))
    expect(page.get_by_role("heading", name="Nothing is running")).to_be_visible()
    expect(page.locator("#name")).to_have_value("planning")


def test_focus_on_a_card_survives_the_end_of_another(hub: Hub, page: Page) -> None:
    """The focus stays on its button when a card above it goes away."""
    other = replace(READY, id="z" * 26, name="other", url="/s/other/")
    home_at(hub, replace(HOME, sessions=(READY, other)))
    page.goto(hub.url)
    stop = page.get_by_role("link", name="Stop Slicer · other")
    stop.focus()
    stop.evaluate("stop => { stop.same = true; stop.onblur = () => { stop.same = false; }; }")
    home_at(hub, replace(HOME, sessions=(other,)))
    hub.events.put(("sessions", {}))
    expect(page.get_by_role("link", name="Open Slicer · thesis")).to_have_count(0)
    expect(stop).to_be_focused()
    assert stop.evaluate("stop => stop.same")


def test_what_a_launch_was_refused_for_stays_on_the_page(hub: Hub, page: Page) -> None:
    """News from the server does not wipe the sentence away before it is read."""
    hub.pages["/launch"] = PAGES["home_name_refused"](RENDERER)
    home_at(hub, replace(HOME, sessions=(READY, STARTING)))
    page.goto(f"{hub.url}/launch")
    expect(page.get_by_role("link", name="Show progress Slicer")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text(
        "A session with this name is already running."
    )
    expect(page.get_by_label("Name")).to_have_value("thesis")


def test_a_lost_connection_is_told_and_found_again(hub: Hub, page: Page) -> None:
    """The line appears while the hub is away, goes when it is back, and the page is up to date."""
    home_at(hub, HOME)
    page.goto(hub.url)
    expect(page.get_by_role("link", name="Open Slicer · thesis")).to_be_visible()
    line = page.locator("#connection")
    expect(line).to_have_text("")
    hub.away = True
    for _ in range(3):
        hub.events.put(None)
    expect(line).to_have_text("Connection lost. Trying again…")
    home_at(hub, EMPTY)
    hub.away = False
    expect(page.get_by_role("heading", name="Nothing is running")).to_be_visible(timeout=20_000)
    expect(line).to_have_text("")


def test_whoever_was_logged_out_elsewhere_comes_to_the_login(hub: Hub, page: Page) -> None:
    """A page of somebody no longer logged in does not stay there as if nothing had happened."""
    home_at(hub, HOME)
    hub.pages["/login"] = RENDERER.page(LOGIN)
    page.goto(hub.url)
    expect(page.get_by_role("heading", name="Your sessions")).to_be_visible()
    hub.moved["/"] = "/login"
    hub.events.put(("sessions", {}))
    page.wait_for_url(f"{hub.url}/login")


def test_stopping_asks_first_and_names_what_stops(hub: Hub, page: Page) -> None:
    """Escape and "Keep" leave it running and give the focus back; "Stop it" stops it, once."""
    home_at(hub, HOME)
    page.goto(hub.url)
    stop = page.get_by_role("link", name="Stop Slicer · thesis")
    dialog = page.get_by_role("dialog")
    for leave in ("Escape", "Enter"):
        stop.focus()
        page.keyboard.press("Enter")
        expect(dialog).to_contain_text("Stop Slicer · thesis?")
        expect(dialog.get_by_role("button", name="Keep it running")).to_be_focused()
        page.keyboard.press(leave)
        expect(dialog).to_be_hidden()
        expect(stop).to_be_focused()
    assert hub.posts == []
    stop.click()
    dialog.get_by_role("button", name="Stop it").dblclick()
    expect(dialog).to_be_hidden()
    assert hub.posts == [(f"/sessions/{READY.id}/stop", {"csrf": "c5rf"})]


def test_everything_works_without_a_script(hub: Hub, browser: Browser) -> None:
    """Without script: a launch by Enter, a stop by its own page, and no control that is dead."""
    home_at(hub, HOME)
    hub.pages[f"/sessions/{READY.id}/stop"] = RENDERER.page(replace(CONFIRM, id=READY.id))
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(hub.url)
    expect(page.locator(".scripted")).to_be_hidden()
    expect(page.get_by_text("started 09:41 UTC")).to_be_visible()
    page.get_by_label("Name").fill("plan")
    with page.expect_navigation():  # to a page that looks the same
        page.keyboard.press("Enter")
    page.get_by_role("link", name="Stop Slicer · thesis").click()
    expect(page.get_by_role("heading", name="Stop Slicer · thesis?")).to_be_visible()
    page.get_by_role("button", name="Stop it").click()
    page.locator("summary", has_text="Account").click()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Your sessions")).to_be_visible()
    assert hub.posts == [
        ("/launch", {"csrf": "c5rf", "name": "plan", "profile": "slicer"}),
        (f"/sessions/{READY.id}/stop", {"csrf": "c5rf"}),
        ("/logout", {"csrf": "c5rf"}),
    ]
    context.close()


def test_a_session_about_to_stop_is_kept_in_place(hub: Hub, page: Page) -> None:
    """The warning is said aloud when it comes; one press keeps the session and it goes."""
    home_at(hub, replace(HOME, sessions=(replace(UNUSED, warning=None),)))
    page.goto(hub.url)
    expect(page.get_by_role("link", name="Open Slicer · atlas")).to_be_visible()
    home_at(hub, replace(HOME, sessions=(UNUSED, OVERDUE)))
    hub.events.put(("sessions", {}))
    expect(page.get_by_text("Stops at 14:10 unless you use it.")).to_be_visible()
    expect(page.get_by_text("This is the longest it may run.")).to_be_visible()
    expect(page.get_by_role("button", name="Keep")).to_have_count(1)
    expect(page.locator("#said")).to_contain_text("It stops soon unless you use it")
    hub.after_post[f"/sessions/{UNUSED.id}/keep"] = RENDERER.page(HOME)
    page.evaluate("window.same = true")
    page.get_by_role("button", name="Keep Slicer · atlas").press("Enter")
    expect(page.get_by_text("Stops at")).to_have_count(0)
    assert hub.posts == [(f"/sessions/{UNUSED.id}/keep", {"csrf": "c5rf"})]
    assert page.evaluate("window.same")


def test_somebody_invited_asks_for_control_and_leaves(hub: Hub, page: Page) -> None:
    """Both are one press on the first page, and it shows what came of them."""
    home_at(hub, replace(HOME, shared=(SHARED,)))
    page.goto(hub.url)
    address = f"/sessions/{SHARED.id}"
    hub.after_post[f"{address}/ask"] = RENDERER.page(
        replace(HOME, shared=(replace(SHARED, asked=True),))
    )
    hub.after_post[f"{address}/leave"] = RENDERER.page(HOME)
    page.get_by_role("button", name="Ask for control of Slicer · planning").click()
    expect(page.get_by_text("you asked for control")).to_be_visible()
    expect(page.get_by_role("button", name="Ask for control")).to_have_count(0)
    page.get_by_role("button", name="Leave Slicer · planning").click()
    expect(page.get_by_role("heading", name="Shared with you")).to_have_count(0)
    assert [path for path, _ in hub.posts] == [f"{address}/ask", f"{address}/leave"]


def test_starting_ahead_is_a_switch(hub: Hub, page: Page) -> None:
    """The switch says its state, and each press sends the other one."""
    home_at(hub, replace(HOME, profiles=(AHEAD, LINED)))
    page.goto(hub.url)
    switch = page.get_by_role("switch", name="Start this when I log in (Slicer)", exact=True)
    expect(switch).to_be_checked()
    off = replace(HOME, profiles=(replace(AHEAD, ahead=False), LINED))
    hub.after_post["/ahead"] = RENDERER.page(off)
    switch.press("Space")
    expect(switch).not_to_be_checked()
    expect(switch).to_be_focused()
    with page.expect_response("**/ahead"):
        switch.press("Space")
    expect(switch).to_be_focused()
    fields = {"csrf": "c5rf", "profile": "slicer"}
    assert hub.posts == [("/ahead", {**fields, "on": ""}), ("/ahead", {**fields, "on": "1"})]


def test_colours_are_chosen_and_remembered(hub: Hub, page: Page) -> None:
    """Dark stays dark on the next page; "as the system" follows the system again."""
    home_at(hub, HOME)
    page.goto(hub.url)
    shade = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(shade)
    page.locator("summary", has_text="Colours").click()
    page.get_by_label("Dark").check(force=True)
    dark = page.evaluate(shade)
    assert dark != light
    page.reload()
    assert page.evaluate(shade) == dark
    page.locator("summary", has_text="Colours").click()
    expect(page.get_by_label("Dark")).to_be_checked()
    page.get_by_label("Same as the system").check(force=True)
    assert page.evaluate(shade) == light
    page.keyboard.press("Escape")
    expect(page.get_by_label("Dark")).to_be_hidden()
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(shade) == dark


def test_a_notice_is_dismissed_in_place(hub: Hub, page: Page) -> None:
    """The notice goes, the hub is told, and the page is not loaded anew."""
    home_at(hub, replace(HOME, notices=(IDLE_NOTICE,)))
    page.goto(hub.url)
    page.evaluate("window.same = true")
    hub.after_post["/notices/n1/dismiss"] = RENDERER.page(HOME)
    page.get_by_role("button", name="Dismiss this notice").click()
    expect(page.get_by_text("Your files are there.")).to_have_count(0)
    assert hub.posts == [("/notices/n1/dismiss", {"csrf": "c5rf"})]
    assert page.evaluate("window.same")


def test_what_was_away_is_tried_again_by_itself(hub: Hub, page: Page) -> None:
    """An "unavailable" page turns into the wanted one as soon as that can be had."""
    away = Unavailable("It does not answer.")
    away.retry_after = 1
    hub.pages["/"] = RENDERER.page(error_view(away, again=True))
    page.goto(hub.url)
    expect(page.get_by_text("It does not answer.")).to_be_visible()
    home_at(hub, HOME)
    expect(page.get_by_role("heading", name="Your sessions")).to_be_visible()
