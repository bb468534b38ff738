"""The pages in a real browser: every state at every width in both colour schemes.

The pages come from a small server of this file, under the policy that the hub sends, so that
what is tried here is what the pages, the stylesheet and the script do, and nothing else.
Set ``SLICERHUB_SCREENSHOTS`` to a folder to keep a picture of each state.
"""

from __future__ import annotations

import json
import os
import queue
import re
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from controller.core.errors import Unavailable
from controller.core.model import Phase, Role
from controller.gate import answers
from controller.web import render
from controller.web.pages.forms import error_view
from controller.web.pages.home import HomeView
from controller.web.pages.sharing import ShareView
from controller.web.render import Renderer
from tests.support.chromium import Complaints, checker, chromium
from tests.support.page_views import (
    ADMIN,
    ADMIN_STOP,
    AHEAD,
    BOB,
    CONFIRM,
    DANA,
    EMPTY,
    FRESH,
    HOME,
    HOSTILE,
    IDLE_NOTICE,
    JOIN,
    LINED,
    LINK,
    LOGIN,
    LOGINS,
    OVERDUE,
    PAGES,
    QUEUED,
    READY,
    RESTART,
    SHARE,
    SHARED,
    SHARED_OUT,
    STARTING,
    STARTING_FAILED,
    STARTING_VIEW,
    STEPS,
    UNUSED,
)

RENDERER = Renderer()
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
SHARE_PATH = f"/sessions/{READY.id}/share"
LINKS_PATH = f"/sessions/{READY.id}/links"
RESTART_PATH = f"/sessions/{READY.id}/restart"
SMALLEST_TARGET = 44  # CSS pixels, in each direction


class Hub(ThreadingHTTPServer):
    """A server that gives out rendered pages and whatever events a test puts in."""

    daemon_threads = True

    def __init__(self) -> None:
        """Listen on a free port of the loopback."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages: dict[str, str] = {}
        self.moved: dict[str, str] = {}
        self.posts: list[tuple[str, dict[str, str]]] = []
        self.events: queue.Queue[tuple[str, object] | None] = queue.Queue()
        self.after_post: dict[str, str] = {}  # what the first page becomes by a POST
        self.answers: dict[str, str] = {}  # to a POST, instead of the way to the first page
        self.queries: list[str] = []
        self.faults: list[str] = []
        self.away = False

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        """Note what went wrong in an answer; a browser that hangs up is no fault."""
        fault = sys.exc_info()[1]
        if not isinstance(fault, ConnectionError):
            self.faults.append(repr(fault))


class Handler(BaseHTTPRequestHandler):
    """Answers from the dictionaries of ``Hub``."""

    server: Hub  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        """A page, a static file or a stream of events."""
        path, query = urlsplit(self.path)[2:4]
        if query:
            self.server.queries.append(query)
        if path.endswith("/events"):
            self._stream()
        elif path.startswith(RENDERER.static):
            file = render.STATIC_FOLDER / Path(path).name
            self._answer(200, TYPES[file.suffix], file.read_bytes())
        elif path in self.server.moved:
            self.send_response(302)
            self.send_header("Location", self.server.moved[path])
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif path in self.server.pages and not self.server.away:
            self._page(200, self.server.pages[path])
        else:
            self._page(503 if self.server.away else 404, "<!doctype html><title>none</title>")

    def do_POST(self) -> None:
        """Note what was sent, and go home unless there is an answer."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.posts.append((self.path, dict(parse_qsl(body, keep_blank_values=True))))
        self.server.pages["/"] = self.server.after_post.get(self.path, self.server.pages["/"])
        if self.path in self.server.answers:
            self._page(200, self.server.answers[self.path])
            return
        self.send_response(303)
        self.send_header("Location", "/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name there)
        """Keep quiet."""

    def _page(self, status: int, text: str) -> None:
        self._answer(status, "text/html; charset=utf-8", text.encode())

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", answers.CONTENT_SECURITY_POLICY)
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        if self.server.away:
            self._page(503, "")
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(b": open\n\n")
        while (event := self.server.events.get()) is not None:
            name, data = event
            self.wfile.write(f"event: {name}\ndata: {json.dumps(data)}\n\n".encode())


@pytest.fixture
def hub() -> Iterator[Hub]:
    """The server, fresh for each test."""
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    for _ in range(20):
        server.events.put(None)
    server.shutdown()
    server.server_close()
    thread.join()
    assert server.faults == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def axe() -> str:
    """The accessibility checker's script."""
    return checker()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser window of a desk, with a clean profile."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 860}, locale="en-GB", timezone_id="UTC"
    )
    context.set_default_timeout(30_000)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A tab; whatever its console complains about fails the test."""
    page = context.new_page()
    complaints = Complaints(page)
    yield page
    lost = re.compile(r"Failed to load resource|ERR_")
    assert [text for text in complaints.heard if not lost.search(text)] == []


def home_at(hub: Hub, view: HomeView) -> None:
    """Let the hub's first page be this one."""
    hub.pages["/"] = RENDERER.page(view)


TARGETS = (
    "a.button, a.brand, a.tool, button, summary, label:has([type=radio]), input:not([type]), "
    "[type=number], select"
)
TOO_SMALL = """([targets, least]) => [...document.querySelectorAll(targets)]
    .filter(element => element.checkVisibility())
    .map(element => [element.innerText, element.getBoundingClientRect()])
    .filter(([, box]) => box.width < least || box.height < least)
    .map(([text, box]) => `${text} ${box.width} x ${box.height}`)"""


@pytest.fixture(scope="module", params=["light", "dark"])
def still(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A tab without motion in one colour scheme, for all tests: a new one takes a second."""
    context = browser.new_context(
        color_scheme=request.param, reduced_motion="reduce", locale="en-GB", timezone_id="UTC"
    )
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("name", sorted(PAGES))
def test_every_state_is_sound_at_every_width(
    hub: Hub, still: Page, axe: str, name: str, request: pytest.FixtureRequest
) -> None:
    """No complaint about the policy, no sideways scrolling, nothing for axe to object to."""
    for path in ("/here", "/", SHARE_PATH, "/admin"):
        hub.pages[path] = PAGES[name](RENDERER)
    complaints = Complaints(still)
    still.goto(f"{hub.url}/here")
    still.evaluate(axe)
    for width in (1920, 1280, 360):
        still.set_viewport_size({"width": width, "height": 800})
        if folder := os.environ.get("SLICERHUB_SCREENSHOTS"):
            scheme = request.node.callspec.params["still"]
            still.screenshot(path=Path(folder) / f"{name}-{width}-{scheme}.png", full_page=True)
        assert still.evaluate("document.documentElement.scrollWidth") <= width
        assert still.evaluate(TOO_SMALL, [TARGETS, SMALLEST_TARGET]) == []
    for fold in still.locator("main details:not([open]) > summary").all():
        fold.click()
    assert still.evaluate("document.documentElement.scrollWidth") <= 360
    assert still.evaluate("document.getAnimations().length") == 0
    found: list[dict[str, Any]] = still.evaluate("axe.run().then(result => result.violations)")
    assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found] == []
    # What it still loads must not be answered by the server of the next test.
    still.goto("about:blank")
    assert complaints.heard == []


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


@pytest.mark.parametrize("name", ["home_many", "admin"])
def test_every_control_of_a_full_page_is_reached_with_a_visible_ring(
    hub: Hub, page: Page, name: str
) -> None:
    """Tab goes through everything that can be used, in order, and always shows where it is."""
    hub.pages["/"] = hub.pages["/admin"] = PAGES[name](RENDERER)
    page.goto(hub.url)
    usable = page.locator(
        "a[href]:visible, button:enabled:visible, summary:visible, input:not([type=hidden]):visible"
    )
    wanted = usable.evaluate_all("all => all.map(one => one.id || one.textContent.trim())")
    assert len(wanted) >= 19
    walked: list[str] = []
    for _ in wanted:
        page.keyboard.press("Tab")
        name, ring = page.evaluate(
            """() => { const on = document.activeElement; const look = getComputedStyle(on);
                return [on.id || on.textContent.trim(),
                        look.outlineStyle !== "none" && parseFloat(look.outlineWidth) >= 2]; }"""
        )
        assert ring, name
        walked.append(name)
    assert walked == wanted


def test_sessions_are_ticked_and_asked_about(hub: Hub, page: Page) -> None:
    """One by one or all at once: how many are ticked is said, and the question is about them."""
    hub.pages["/admin"] = RENDERER.page(ADMIN)
    hub.pages["/admin/act"] = RENDERER.page(ADMIN_STOP)
    page.goto(f"{hub.url}/admin")
    first = page.locator(f"#tick-{ADMIN.rows[0].id}")
    every = page.get_by_role("checkbox", name="All on this page")
    first.focus()
    page.keyboard.press("Space")
    expect(page.locator("#ticked")).to_have_text("With the 1 ticked:")
    expect(every).not_to_be_checked()
    every.check()
    expect(page.locator("#ticked")).to_have_text("With the 5 ticked:")
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
    expect(page.locator("#ticked")).to_have_text("With the 1 ticked:")


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
    """Whoever stands on a button keeps standing there when a card above it goes away."""
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
    expect(page.get_by_role("link", name="Follow Slicer")).to_be_visible()
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
    """The place is told as it changes, and turns into the steps when it is one's turn."""
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
    dialog.get_by_label("For").first.select_option("one hour")
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
    expect(dialog.get_by_role("status")).to_have_text("The link is copied.")
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
    """Whoever asks stands at the top; giving, taking back and removing are one press each."""
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
