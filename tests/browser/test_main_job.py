"""The main job by a real browser on the running stack: from the log-in to the brain and back.

The pictures of the README come from the first test. With SLICERHUB_PICTURES naming a folder it
keeps what it sees there. Against a stack as ``./deploy/up`` starts it (bob's files are removed):

    SLICERHUB_TEST_URL=http://localhost:8080 SLICERHUB_TEST_INSTANCE=slicerhub \
    SLICERHUB_PICTURES=deploy/pictures pytest tests/browser/test_main_job.py -k whole_job
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Literal, NamedTuple

import docker
import pytest
from docker import DockerClient
from e2e.stack import INSTANCE, URL, Member, container_of, until
from PIL import Image, ImageChops, ImageStat
from playwright.sync_api import Browser, BrowserContext, Locator, Page, ViewportSize, expect

from tests.chromium import Complaints, chromium

DESK = ViewportSize(width=1280, height=800)
START_MS = 90_000  # for a session on a busy machine
DRAWN = 300  # colours at least in a picture of the brain; an empty view has one, or a gradient
CORTEX = 0.05  # of the 3D view at least is the brown of the volume rendering
MOVED = 0.02  # of the 3D view at least looks different from another side
STILL = 6  # the same picture so many times: nothing is being drawn any more
DARK, LIGHT = 80, 200  # mean brightness of a page, of 255
HOSTILE = "<img src=x onerror=alert(1)>"

# Notes what the progress page shows, whenever it changes; a tab keeps such notes from page to page.
NOTE_STEPS = """document.addEventListener("DOMContentLoaded", () => {
    const list = document.querySelector("#steps");
    if (!list) return;
    const noted = [];
    const note = () => {
        noted.push([...list.children].map((step) => step.dataset.state));
        sessionStorage.setItem("noted", JSON.stringify(noted));
    };
    new MutationObserver(note).observe(list, { subtree: true, childList: true, attributes: true });
    note();
});"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def engine() -> Iterator[DockerClient]:
    """The engine that the stack runs on."""
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="module")
def bob(engine: DockerClient) -> Iterator[Member]:
    """Somebody who has never been here: nothing of his runs, and he has no files."""
    member = Member("bob")
    member.stop_all()
    labels = [f"slicerhub.instance={INSTANCE}", "slicerhub.owner=bob"]
    for volume in engine.volumes.list(filters={"label": labels}):
        volume.remove()
    yield member
    member.stop_all()
    member.leave()


def hubs_own(url: str) -> bool:
    """Tell whether an address belongs to the hub and not to a session."""
    return not url.startswith(f"{URL}/s/")


class Window(NamedTuple):
    """A browser window of one person: clean, with one tab, and what its console says."""

    context: BrowserContext
    page: Page
    complaints: Complaints


def open_window(
    browser: Browser,
    *,
    like: Window | None = None,
    scheme: Literal["light", "dark"] = "light",
    size: ViewportSize = DESK,
) -> Window:
    """Open a window; with ``like`` whoever is logged in there is logged in here, too."""
    context = browser.new_context(
        viewport=size,
        color_scheme=scheme,
        locale="en-GB",
        timezone_id="UTC",
        storage_state=like.context.storage_state() if like else None,
    )
    context.set_default_timeout(15_000)
    page = context.new_page()
    return Window(context, page, Complaints(page, hubs_own))


@pytest.fixture
def window(browser: Browser) -> Iterator[Window]:
    """A window of somebody who is not logged in; a complaint about a page fails the test."""
    opened = open_window(browser)
    yield opened
    opened.context.close()
    assert opened.complaints.heard == []


def log_in(page: Page, name: str, password: str) -> None:
    """Log in by keyboard alone: the demo's people, whose password is their name."""
    page.goto(URL)
    expect(page.get_by_label("User name")).to_be_focused()
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(password)
    page.keyboard.press("Enter")


class View:
    """One of Slicer's views, as the browser shows it."""

    def __init__(self, shown: Locator) -> None:
        """``shown``: the element that holds the frames."""
        self.shown = shown

    def look(self) -> Image.Image:
        """Return what is seen now."""
        return Image.open(BytesIO(self.shown.screenshot())).convert("RGB")

    def rest(self) -> Image.Image:
        """Return what is seen once nothing more is drawn."""
        last, same = self.look(), 0

        def resting() -> bool:
            nonlocal last, same
            now = self.look()
            same = same + 1 if now.tobytes() == last.tobytes() else 0
            last = now
            return same >= STILL

        until(resting, seconds=30, what="a view at rest")
        return last


def colours_of(picture: Image.Image) -> int:
    """Return how many colours a picture has."""
    return len(picture.getcolors(picture.width * picture.height) or [])


def brown_of(picture: Image.Image) -> float:
    """Return which share of a picture is brown: red well above blue, as no slice is."""
    red, _, blue = picture.split()
    return share(ImageChops.subtract(red, blue), above=20)


def changed(before: Image.Image, after: Image.Image) -> float:
    """Return which share of two pictures differs so that one sees it."""
    return share(ImageChops.difference(before, after).convert("L"), above=24)


def share(channel: Image.Image, *, above: int) -> float:
    """Return which share of a channel's points is brighter than ``above`` (of 255)."""
    return sum(channel.histogram()[above + 1 :]) / (channel.width * channel.height)


def frames_of(page: Page) -> Locator:
    """Return what Slicer shows its views in."""
    return page.locator("img.image-display-area")


def views_of(page: Page) -> tuple[View, list[View]]:
    """Wait until Slicer shows the brain; return the 3D view and the three planes."""
    frames = frames_of(page)
    expect(frames).to_have_count(4, timeout=30_000)
    views = [View(frames.nth(index)) for index in range(4)]

    def drawn() -> tuple[View, list[View]] | None:
        seen = [(view, view.look()) for view in views]
        if any(
            colours_of(picture) < (DRAWN if brown_of(picture) else 60)
            or ImageStat.Stat(picture.convert("L")).stddev[0] < 10
            for _, picture in seen
        ):
            return None
        solid = [view for view, picture in seen if brown_of(picture) > CORTEX]
        planes = [view for view, picture in seen if not brown_of(picture)]
        return (solid[0], planes) if len(solid) == 1 and len(planes) == 3 else None

    return until(drawn, seconds=60, what="the brain in all four views")


def drag(page: Page, view: View) -> None:
    """Pull with the mouse from the middle of a view to the right."""
    box = view.shown.bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 120, y + 30, steps=10)
    page.mouse.up()


def keep_picture(page: Page, name: str, *, full_page: bool = False) -> None:
    """Keep what is seen for the README, if anybody asked for it."""
    folder = os.environ.get("SLICERHUB_PICTURES")
    if folder:
        picture = Image.open(BytesIO(page.screenshot(full_page=full_page))).convert("RGB")
        few = picture.quantize(256, dither=Image.Dither.FLOYDSTEINBERG)
        Path(folder).mkdir(parents=True, exist_ok=True)
        few.save(Path(folder) / f"{name}.png", optimize=True)


def session_at(page: Page) -> str:
    """Return the id of the session whose page is open."""
    found = re.fullmatch(re.escape(URL) + r"/s/([^/]+)/.*", page.url)
    assert found, page.url
    return found[1]


def start_slicer(page: Page) -> str:
    """Press the large button and wait until Slicer opens by itself; return the session's id."""
    page.get_by_role("button", name="Start Slicer").click()
    expect(page.get_by_role("heading", name="Starting Slicer")).to_be_visible()
    keep_picture(page, "starting")
    failure = page.locator("main .failure")
    expect(failure.or_(frames_of(page).first)).to_be_visible(timeout=START_MS)
    if failure.count():
        pytest.fail(failure.inner_text())
    return session_at(page)


def open_files(page: Page) -> None:
    """Open the panel with the person's files."""
    page.locator("button:has(.mdi-folder-open-outline)").first.click()


def upload(page: Page, file: Path) -> None:
    """Put a file into the person's folder, by the panel."""
    open_files(page)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Upload files").click()
    chooser.value.set_files(file)
    expect(page.get_by_text(file.name).first).to_be_visible()


def content_of(engine: DockerClient, session_id: str, name: str) -> str:
    """Return what stands in a file of a session, as the session itself reads it."""
    found = container_of(engine, session_id).exec_run(
        ["find", "/home/slicer", "-name", name, "-exec", "cat", "{}", "+"]
    )
    assert found.exit_code == 0, found.output
    return found.output.decode()


def test_the_whole_job_from_the_log_in_to_the_files_of_the_second_day(
    browser: Browser, window: Window, bob: Member, engine: DockerClient, tmp_path: Path
) -> None:
    """Log in, start Slicer, turn the brain, leave a file, stop; start again and find all of it."""
    assert bob.api.get("/api/v1/sessions").json()["items"] == []
    page = window.page
    page.add_init_script(NOTE_STEPS)
    page.goto(URL)
    keep_picture(page, "login", full_page=True)
    log_in(page, "bob", "bob")
    expect(page.get_by_role("heading", name="Nothing is running")).to_be_visible()

    first = start_slicer(page)
    noted: list[list[str]] = page.evaluate("JSON.parse(sessionStorage.getItem('noted'))")
    done = [states.count("done") for states in noted]
    assert done == sorted(done)
    assert done[0] < done[-1] == len(noted[-1])
    assert any("active" in states for states in noted)

    solid, _ = views_of(page)
    before = solid.rest()
    keep_picture(page, "session")
    drag(page, solid)
    until(lambda: changed(before, solid.look()) > MOVED, what="the brain from another side")
    assert brown_of(solid.rest()) > CORTEX
    note = tmp_path / "findings.txt"
    note.write_text("left hippocampus smaller than right\n")
    upload(page, note)

    page.go_back()
    card = page.locator(f"#session-{first}")
    expect(card.locator(".phase")).to_have_text("ready")
    expect(card.get_by_role("link", name="Open")).to_be_visible()
    keep_picture(page, "home")

    # A second window, in which nothing is pressed, has to learn of the stop by itself.
    other = open_window(browser, like=window)
    other.page.goto(URL)
    expect(other.page.locator(f"#session-{first}")).to_be_visible()
    other.page.evaluate("window.same = true")
    card.get_by_role("link", name="Stop").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Stop Slicer?")
    dialog.get_by_role("button", name="Stop it").click()
    for one in (page, other.page):
        expect(one.get_by_role("heading", name="Nothing is running")).to_be_visible(timeout=30_000)
        expect(one.locator(f"#session-{first}")).to_have_count(0)
    assert other.page.evaluate("window.same") is True
    other.context.close()
    assert other.complaints.heard == []

    second = start_slicer(page)
    assert second != first
    page.get_by_role("button", name="Open it").click(timeout=30_000)
    views_of(page)
    open_files(page)
    expect(page.get_by_text(note.name).first).to_be_visible()
    assert content_of(engine, second, note.name) == note.read_text()


def test_a_wrong_password_is_told_in_one_sentence(window: Window) -> None:
    """The name stays, the cursor stands in the password, and it is not said which was wrong."""
    log_in(window.page, "bob", "not his password")
    expect(window.page.get_by_role("alert")).to_have_text(
        "User name or password is wrong, or this account may not use the hub."
    )
    expect(window.page.get_by_label("User name")).to_have_value("bob")
    expect(window.page.get_by_label("Password", exact=True)).to_be_focused()
    expect(window.page.get_by_label("Password", exact=True)).to_have_value("")
    # Chromium itself notes every page of that status.
    assert ["401" in text for text in window.complaints.heard] == [True]
    window.complaints.heard.clear()


def test_markup_in_a_name_is_only_text(window: Window, bob: Member) -> None:
    """A session that is called like an attack is shown by that name, on every page it is on."""
    bob.stop_all()
    page = window.page
    page.on("dialog", lambda _: window.complaints.heard.append("the name was run as a script"))
    log_in(page, "bob", "bob")
    page.get_by_text("Give it a name").click()
    page.get_by_label("Name").fill(HOSTILE)
    page.get_by_role("button", name="Start Echo").click()
    expect(page.get_by_role("heading", name=f"Starting Echo · {HOSTILE}")).to_be_visible()
    assert page.locator("img").count() == 0
    page.wait_for_url(f"{URL}/s/**", timeout=START_MS)
    session_id = session_at(page)
    page.goto(URL)
    card = page.locator(f"#session-{session_id}")
    expect(card.get_by_role("heading", name=f"Echo · {HOSTILE}", exact=True)).to_be_visible()
    card.get_by_role("link", name="Stop").click()
    expect(page.get_by_role("dialog")).to_contain_text(f"Stop Echo · {HOSTILE}?")
    assert page.locator("img").count() == 0
    page.goto(f"{URL}/sessions/{session_id}/stop")
    expect(page.get_by_role("heading", name=f"Stop Echo · {HOSTILE}?")).to_be_visible()
    assert page.locator("img").count() == 0
    page.get_by_role("button", name="Stop it").click()
    expect(card).to_have_count(0, timeout=30_000)


def test_a_running_session_is_seen_on_phone_and_desk_by_day_and_by_night(
    browser: Browser, window: Window, bob: Member
) -> None:
    """Nothing sticks out sideways, Open can be pressed, and dark is dark."""
    session_id = bob.launch("echo", "a name as long as a name may ever beeee")["id"]
    log_in(window.page, "bob", "bob")
    expect(window.page.get_by_role("heading", name="Your sessions")).to_be_visible()
    shades: dict[str, float] = {}
    for scheme in ("light", "dark"):
        for width in (360, 1440):
            look = open_window(
                browser, like=window, scheme=scheme, size=ViewportSize(width=width, height=800)
            )
            look.page.goto(URL)
            card = look.page.locator(f"#session-{session_id}")
            expect(card.locator(".phase")).to_have_text("ready")
            expect(card.get_by_role("link", name="Open")).to_be_in_viewport(ratio=1)
            assert look.page.evaluate("document.documentElement.scrollWidth") <= width
            seen = Image.open(BytesIO(look.page.screenshot())).convert("L")
            shades[scheme] = ImageStat.Stat(seen).mean[0]
            look.context.close()
            assert look.complaints.heard == []
    assert shades["dark"] < DARK
    assert shades["light"] > LIGHT
    bob.stop(session_id)
