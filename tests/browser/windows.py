"""People with browsers: their windows, and what Slicer shows in them."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
from e2e.stack import URL, session_id_at
from PIL import Image, ImageChops, ImageStat
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route, ViewportSize, expect

from tests.support.chromium import Complaints
from tests.support.waits import until

DESK = ViewportSize(width=1280, height=800)
NEWS = f"{URL}/api/v1/sessions/*/events"  # of the start of a session
START_MS = 270_000  # as long as the hub itself lets a start take, and half of it for the page
DRAWN = 300  # colours at least in a picture of the brain; an empty view has one, or a gradient
CORTEX = 0.05  # of the 3D view at least is the brown of the volume rendering
MOVED = 0.02  # of the 3D view at least looks different from another side
COLOURED = 0.1  # of a plane at least is coloured where a segment lies over the scan
STILL = 6  # the same picture so many times: nothing is being drawn any more
LONG_STILL = 20  # and nothing is on its way, on a busy machine either


def hubs_own(url: str) -> bool:
    """Tell whether an address belongs to the hub and not to a session."""
    return session_id_at(url) is None


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
    """Open a window; with ``like`` the person logged in there is logged in here, too."""
    context = browser.new_context(
        viewport=size,
        color_scheme=scheme,
        locale="en-GB",
        timezone_id="UTC",
        storage_state=like.context.storage_state() if like else None,
    )
    context.set_default_timeout(30_000)
    page = context.new_page()
    return Window(context, page, Complaints(page, hubs_own))


def notes_of(page: Page) -> list[Any]:
    """Return a list that grows by what scripts of the page tell ``noteDown``, wherever it goes."""
    noted: list[Any] = []

    def note_down(one: Any) -> None:  # noqa: ANN401 - as the page says it
        noted.append(one)

    page.expose_function("noteDown", note_down)  # pyright: ignore[reportUnknownMemberType]
    return noted


def log_in(page: Page, name: str, password: str, *, at: str = URL) -> None:
    """Log in by keyboard alone: the demo's people, whose password is their name."""
    page.goto(at)
    expect(page.get_by_label("User name")).to_be_focused()
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(password)
    page.keyboard.press("Enter")


def tab_to(wanted: Locator) -> None:
    """Press Tab until an element has the focus."""
    expect(wanted).to_be_visible()

    def there() -> bool:
        if wanted.evaluate("one => one === document.activeElement"):
            return True
        wanted.page.keyboard.press("Tab")
        return False

    until(there, what="the focus on what is wanted")


def choose(wanted: Locator) -> None:
    """Go to a link or a button by the keyboard, and press it."""
    tab_to(wanted)
    wanted.page.keyboard.press("Enter")


class View:
    """One of Slicer's views, as the browser shows it."""

    def __init__(self, shown: Locator) -> None:
        """``shown``: the element that holds the frames."""
        self.shown = shown

    def look(self) -> Image.Image:
        """Return what is seen now."""
        return Image.open(BytesIO(self.shown.screenshot())).convert("RGB")

    def rest(self, still: int = STILL) -> Image.Image:
        """Return what is seen once nothing more is drawn: so many times the same picture."""
        last, same = self.look(), 0

        def resting() -> bool:
            nonlocal last, same
            now = self.look()
            same = same + 1 if now.tobytes() == last.tobytes() else 0
            last = now
            return same >= still

        until(resting, seconds=90, what="a view at rest")
        return last


def colours_of(picture: Image.Image) -> int:
    """Return how many colours a picture has."""
    return len(picture.getcolors(picture.width * picture.height) or [])


def brown_of(picture: Image.Image) -> float:
    """Return which share of a picture is brown: red well above blue, as no slice is."""
    red, _, blue = picture.split()
    return share(ImageChops.subtract(red, blue), above=20)


def coloured_of(picture: Image.Image) -> float:
    """Return which share of a picture has a colour; the slices of a scan are grey."""
    red, green, blue = picture.split()
    most = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    least = ImageChops.darker(ImageChops.darker(red, green), blue)
    return share(ImageChops.subtract(most, least), above=12)


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
    expect(frames).to_have_count(4, timeout=START_MS)
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

    return until(drawn, seconds=90, what="the brain in all four views")


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
    found = session_id_at(page.url)
    assert found, page.url
    return found


@contextmanager
def held_at_the_progress(page: Page) -> Generator[None]:
    """Keep the page that tells of a start open while in here, however soon the session is there.

    It goes on by the news that the session is ready; these come after this.
    """
    held: list[Route] | None = []

    def hold(news: Route) -> None:
        if held is None:
            news.continue_()
        else:
            held.append(news)

    page.route(NEWS, hold)
    yield
    waiting, held = held, None
    for news in waiting:
        news.continue_()
    page.unroute(NEWS, hold)


def start_slicer(page: Page) -> str:
    """Press the large button and wait until Slicer opens by itself; return the session's id."""
    with held_at_the_progress(page):
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


def press(page: Page, icon: str) -> None:
    """Press the first of Slicer's buttons that shows this icon."""
    page.locator(f"button:has(.{icon})").first.click()


def segment(page: Page) -> None:
    """Make a segment by threshold, as the tools suggest it."""
    press(page, "mdi-brush")
    page.get_by_role("button", name="Add segment").click()
    press(page, "mdi-auto-fix")
    page.get_by_role("button", name="Apply", exact=True).click()
    wait_for_segment(page)


def wait_for_segment(page: Page) -> None:
    """Wait until a segment is seen over the scan."""
    frames = frames_of(page)
    expect(frames).to_have_count(4, timeout=START_MS)
    views = [View(frames.nth(index)) for index in range(4)]
    until(
        # The brain in 3D has a colour anyway; a plane that cuts little of the segment may not.
        lambda: sum(coloured_of(view.look()) > COLOURED for view in views) >= 3,
        seconds=90,
        what="the segment in the planes",
    )
