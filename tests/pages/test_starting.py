"""The progress page: it follows a start to the session, to its failure or to its end."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.pages.server import RENDERER, Hub, home_at
from tests.support.page_views.home import EMPTY, HOME
from tests.support.page_views.session import QUEUED, STARTING_FAILED, STARTING_VIEW, STEPS


def test_the_progress_page_opens_the_session_by_itself(hub: Hub, page: Page) -> None:
    """Steps follow the events; ready means that the session stands there, with nothing pressed."""
    hub.pages["/wait"] = RENDERER.page(STARTING_VIEW)
    hub.pages[STARTING_VIEW.url] = "<!doctype html><title>Slicer</title><h1>A brain</h1>"
    page.goto(f"{hub.url}/wait")
    active = page.locator("#steps [data-state=active]")
    expect(active).to_contain_text("Slicer is loading")
    news = {"phase": "starting", "message": "Nearly there.", "url": STARTING_VIEW.url}
    steps = [{"title": step.title, "state": "done", "detail": ""} for step in STEPS]
    steps[3]["state"] = "active"
    hub.events.put(("progress", {**news, "elapsed": 61.5, "steps": steps}))
    expect(active).to_contain_text("Ready")
    expect(page.get_by_text("Nearly there.")).to_be_visible()
    expect(page.locator("#elapsed")).to_have_text(re.compile(r"1 min \d s"))
    expect(page.locator(".drawing .on")).to_have_count(8)
    hub.events.put(("progress", {**news, "phase": "ready", "elapsed": 62, "steps": steps}))
    expect(page.get_by_role("heading", name="A brain")).to_be_visible()


def test_a_start_that_fails_says_why_and_can_be_tried_again(hub: Hub, page: Page) -> None:
    """The progress page turns into the failure by itself; one press asks for the same again."""
    hub.pages["/wait"] = RENDERER.page(STARTING_VIEW)
    home_at(hub, HOME)
    page.goto(f"{hub.url}/wait")
    hub.pages["/wait"] = RENDERER.page(STARTING_FAILED)
    hub.events.put(
        ("progress", {"phase": "failed", "message": "", "url": "/", "elapsed": 9, "steps": []})
    )
    expect(page.get_by_role("heading", name="Slicer · thesis did not start")).to_be_visible()
    expect(page.get_by_text("it ran out of memory")).to_be_visible()
    expect(page.get_by_text("std::bad_alloc")).to_be_hidden()
    page.get_by_text("Last lines of the log").click()
    expect(page.get_by_text("std::bad_alloc")).to_be_visible()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("heading", name="Your sessions")).to_be_visible()
    assert hub.posts == [("/launch", {"csrf": "c5rf", "profile": "slicer", "name": "thesis"})]


def test_a_session_that_is_gone_does_not_leave_a_progress_page_behind(hub: Hub, page: Page) -> None:
    """If the session ends meanwhile, the page says so instead of counting on for ever."""
    hub.pages["/wait"] = RENDERER.page(STARTING_VIEW)
    home_at(hub, EMPTY)
    page.goto(f"{hub.url}/wait")
    expect(page.get_by_role("heading", name="Starting Slicer · thesis")).to_be_visible()
    hub.events.put(
        ("progress", {"phase": "stopping", "message": "", "url": "/", "elapsed": 9, "steps": []})
    )
    expect(page.get_by_role("heading", name="Nothing is running")).to_be_visible()


def test_a_place_in_line_moves_up_by_itself(hub: Hub, page: Page) -> None:
    """The position is told as it changes, and steps replace it when the session's turn comes."""
    hub.pages["/wait"] = RENDERER.page(QUEUED)
    page.goto(f"{hub.url}/wait")
    spot = page.get_by_role("status").filter(has_text="in the queue")
    expect(spot).to_contain_text("2nd in the queue")
    expect(spot).to_contain_text("waits for a graphics card")
    expect(page.locator("#steps")).to_be_hidden()
    steps = [{"title": step.title, "state": step.state, "detail": step.detail} for step in STEPS]
    news = {"phase": "pending", "message": "", "url": QUEUED.url, "elapsed": 90, "steps": steps}
    for position, words in [
        (13, "13th in the queue"),
        (3, "3rd in the queue"),
        (1, "Next in the queue"),
    ]:
        place = {"position": position, "waits_for": "a free place"}
        hub.events.put(("progress", {**news, "place": place}))
        expect(spot).to_contain_text(words)
        expect(spot).to_contain_text("waits for a free place")
    hub.events.put(("progress", {**news, "phase": "starting", "place": None}))
    expect(page.locator("#steps [data-state=active]")).to_contain_text("Slicer is loading")
    expect(spot).to_have_count(0)
    expect(page.get_by_role("heading", name="Starting Slicer · thesis")).to_be_visible()
    expect(page).to_have_title("Starting Slicer · thesis · 3D Slicer Hub")
    home_at(hub, EMPTY)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading", name="Nothing is running")).to_be_visible()
    assert hub.posts == [(f"/sessions/{QUEUED.id}/stop", {"csrf": "c5rf"})]
