"""What a page does when nothing comes any more: no event by a stream that is open, no answer."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.pages.server import RENDERER, SILENCE, Hub, home_at
from tests.support.page_views.home import EMPTY, HOME
from tests.support.page_views.session import STARTING_VIEW
from tests.support.waits import until

EVENTS = "/api/v1/events"
QUIET_MS = 14_500  # after which a page asks itself whether its stream is dead
LONG_MS = 16_000  # after which it knows that it is
AGAIN_MS = 60_000  # the page's clock goes on from where it was set, as fast as any
LOST = "Connection lost. Trying again…"
COUNTING = """
    window.heartbeats = 0;
    window.EventSource = class extends EventSource {
        constructor(url) {
            super(url);
            this.addEventListener("heartbeat", () => { window.heartbeats += 1; });
        }
    };
"""
IMPATIENT = """
    const timeout = AbortSignal.timeout.bind(AbortSignal);
    AbortSignal.timeout = (milliseconds) => timeout(milliseconds / 10);
"""


def fall_silent(hub: Hub) -> None:
    """Let the open stream say nothing more."""
    hub.events.put(SILENCE)
    until(hub.events.empty, what="the stream to take it")


def test_a_stream_that_falls_silent_is_opened_anew(hub: Hub, page: Page) -> None:
    """What the page missed is there, and a connection that is found again at once is not lost."""
    home_at(hub, HOME)
    page.clock.install()
    page.goto(hub.url)
    expect(page.get_by_role("link", name="Open Slicer · thesis")).to_be_visible()
    until(lambda: hub.streams == 1, what="the stream")
    fall_silent(hub)
    home_at(hub, EMPTY)
    page.clock.fast_forward(LONG_MS)
    expect(page.get_by_role("heading", name="Nothing is running")).to_be_visible(timeout=AGAIN_MS)
    expect(page.locator("#connection")).to_have_text("")
    assert hub.streams == 2


def test_a_machine_that_is_gone_is_told_until_one_answers(hub: Hub, page: Page) -> None:
    """While nobody answers the page says that the connection is lost, and goes on trying."""
    home_at(hub, HOME)
    page.clock.install()
    page.goto(hub.url)
    until(lambda: hub.streams == 1, what="the stream")
    hub.mute.add(EVENTS)
    fall_silent(hub)
    page.clock.fast_forward(LONG_MS)
    line = page.locator("#connection")
    expect(line).to_have_text(LOST, timeout=AGAIN_MS)
    home_at(hub, EMPTY)
    hub.mute.clear()
    page.clock.fast_forward(LONG_MS)
    expect(page.get_by_role("heading", name="Nothing is running")).to_be_visible(timeout=AGAIN_MS)
    expect(line).to_have_text("")


def test_a_start_is_followed_by_another_stream(hub: Hub, page: Page) -> None:
    """A session that became ready behind a silent stream opens all the same."""
    hub.pages["/wait"] = RENDERER.page(STARTING_VIEW)
    hub.pages[STARTING_VIEW.url] = "<!doctype html><title>Slicer</title><h1>A brain</h1>"
    page.clock.install()
    page.goto(f"{hub.url}/wait")
    until(lambda: hub.streams == 1, what="the stream")
    fall_silent(hub)
    hub.events.put(
        (
            "progress",
            {"phase": "ready", "message": "", "url": STARTING_VIEW.url, "elapsed": 9, "steps": []},
        )
    )
    page.clock.fast_forward(LONG_MS)
    expect(page.get_by_role("heading", name="A brain")).to_be_visible(timeout=AGAIN_MS)


def test_a_page_that_slept_keeps_a_stream_that_lives(hub: Hub, page: Page) -> None:
    """That a timer runs late says nothing: what came meanwhile is handled first."""
    home_at(hub, HOME)
    page.add_init_script(COUNTING)
    page.clock.install(time=0)
    page.goto(hub.url)
    page.clock.pause_at(60_000)

    def heartbeats() -> int:
        return page.evaluate("window.heartbeats")

    for _ in range(3):
        before = heartbeats()
        until(lambda: heartbeats() > before, what="a heartbeat")  # noqa: B023 - called at once
        page.clock.fast_forward(QUIET_MS)
    assert hub.streams == 1
    fall_silent(hub)

    def opens_another() -> bool:
        page.clock.fast_forward(LONG_MS)
        return hub.streams > 1

    until(opens_another, what="another stream")


def test_an_answer_that_does_not_come_is_not_waited_for(hub: Hub, page: Page) -> None:
    """A request that hangs does not keep the page from asking again."""
    home_at(hub, HOME)
    page.add_init_script(IMPATIENT)
    page.goto(hub.url)
    expect(page.get_by_role("link", name="Open Slicer · thesis")).to_be_visible()
    until(lambda: hub.streams == 1, what="the stream")
    hub.mute.add("/")
    hub.events.put(("sessions", {}))
    until(lambda: hub.muted == ["/"], what="the request")
    hub.mute.clear()
    home_at(hub, EMPTY)
    expect(page.get_by_role("heading", name="Nothing is running")).to_be_visible(timeout=AGAIN_MS)
    expect(page.locator("#connection")).to_have_text("")
