"""A person with a real browser, through the real Traefik, below a path prefix."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from playwright.sync_api import Browser, Page, expect

from tests.support.chromium import Complaints
from tests.support.slicer_session import Page as Client
from tests.support.slicer_session import Session, docker, until, who

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Start = Callable[..., Session]
    Let = Callable[[Session, str, str | None], str]


SEGMENTS = "SegmentEditorState__segment_list__SegmentListState__segments"


def new_page(browser: Browser) -> Page:
    """A page of a browser of its own; the machine may be busy."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.set_default_timeout(90_000)
    return page


def open_page(browser: Browser, address: str) -> tuple[Page, list[str]]:
    """Opens a person's page; the list gathers every request that leaves the session's origin."""
    page = new_page(browser)
    outside: list[str] = []
    origin = address.split("/s/", maxsplit=1)[0]

    def note(request: Any) -> None:  # noqa: ANN401
        if not request.url.startswith((origin, "data:", "blob:")):
            outside.append(request.url)

    page.on("request", note)

    page.goto(address)
    return page, outside


def pixels_of(page: Page) -> list[list[int]]:
    """The pictures of all views as the browser shows them, small: each a list of 0xRRGGBB."""
    script = """() => [...document.querySelectorAll("img")]
        .filter((each) => each.naturalWidth > 100)
        .map((image) => {
            const canvas = document.createElement("canvas");
            canvas.width = canvas.height = 64;
            const context = canvas.getContext("2d", { willReadFrequently: true });
            context.drawImage(image, 0, 0, 64, 64);
            const data = context.getImageData(0, 0, 64, 64).data;
            const pixels = [];
            for (let at = 0; at < data.length; at += 4)
                pixels.push((data[at] << 16) | (data[at + 1] << 8) | data[at + 2]);
            return pixels;
        })"""
    return page.evaluate(script)


def wait_for_page(page: Page, ask: Callable[[], bool], what: str, seconds: float = 90) -> None:
    """Asks the page a few times a second: looking at it costs what drawing it needs."""

    def once() -> bool | None:
        if ask():
            return True
        page.wait_for_timeout(300)
        return None

    until(once, what, seconds)


def wait_for_views(page: Page) -> None:
    """Until four pictures are there and each shows something: not one flat colour."""
    expect(page.get_by_text("3D Slicer", exact=True)).to_be_visible(timeout=90_000)

    def drawn() -> bool:
        pictures = pixels_of(page)
        return len(pictures) >= 4 and all(len(set(each)) > 60 for each in pictures)

    wait_for_page(page, drawn, "all four views show the brain")


def still(page: Page) -> bytes:
    """The page as it is once it has come to rest: two seconds without a change."""

    def resting() -> bytes | None:
        before = page.screenshot()
        page.wait_for_timeout(2000)
        return before if page.screenshot() == before else None

    return until(resting, "the page is at rest")


def test_the_brain_is_drawn_and_nothing_is_fetched_from_outside(
    start: Start, door: Let, browser: Browser
) -> None:
    """From the first click on, through loading, to the brain in 3D and three planes."""
    session = start()
    page, outside = open_page(browser, door(session, "alice", "owner"))
    wait_for_views(page)
    complaints = Complaints(page)
    page.reload()
    wait_for_views(page)
    assert complaints.heard == []
    page.get_by_role("button", name="About trame-slicer").click()
    expect(page.get_by_text("McConnell Brain Imaging Centre")).to_be_visible()
    assert outside == []
    assert page.title() == "3D Slicer"


def test_turning_the_brain_changes_the_picture(
    session: Session, door: Let, browser: Browser
) -> None:
    """A drag in the 3D view is seen there, and counts as input; an idle tab does not."""
    page, _ = open_page(browser, door(session, "alice", "owner"))
    wait_for_views(page)
    still(page)
    idle_since = session.activity["last_input_at"]
    before = still(page)
    assert session.activity["last_input_at"] == idle_since
    page.mouse.move(960, 250)
    page.mouse.down()
    page.mouse.move(1050, 280, steps=8)
    page.mouse.up()
    until(lambda: True if page.screenshot() != before else None, "the picture moved")
    assert session.activity["last_input_at"] != idle_since


def test_a_guest_sees_and_cannot_touch(session: Session, door: Let, browser: Browser) -> None:
    """Two people on one session: the guest sees the brain, is told so, and turns nothing."""
    session_id = docker("exec", session.name, "printenv", "SLICERHUB_SESSION")
    alice, _ = open_page(browser, door(session, "alice", "owner"))
    wait_for_views(alice)
    bob, _ = open_page(browser, door(session, "bob", "view"))
    wait_for_views(bob)
    expect(bob.get_by_text("You are viewing; alice has control.")).to_be_visible()
    expect(alice.get_by_text("bob · viewing")).to_be_visible()
    expect(alice.get_by_text("You are viewing")).to_have_count(0)
    bob.get_by_role("button", name="Ask for control").click()
    expect(alice.get_by_text("bob asks for control.")).to_be_visible()
    give = alice.get_by_role("link", name="Give control")
    expect(give).to_have_attribute("href", f"/sessions/{session_id}/share")
    expect(bob.get_by_role("button", name="Asked for control")).to_be_disabled()
    alice.get_by_role("button", name="Dismiss").click()
    expect(bob.get_by_role("button", name="Ask for control")).to_be_enabled()
    before = still(alice)
    bob.mouse.move(960, 250)
    bob.mouse.down()
    bob.mouse.move(1050, 280, steps=8)
    bob.mouse.up()
    assert still(alice) == before
    door(session, "bob", None)
    assert session.post("/-/kick", {"user": "bob"}).json() == {"closed": 1}
    expect(alice.get_by_text("bob · viewing")).to_have_count(0)


def count_coloured(page: Page) -> int:
    """How many views show colour in a tenth of their picture or more.

    The 3D brain is tan and always counts; a slice of a scan is grey until a segment lies over it.
    """

    def share(pixels: list[int]) -> float:
        spread = [
            max(each) - min(each) for each in ((p >> 16, p >> 8 & 255, p & 255) for p in pixels)
        ]
        return sum(each > 12 for each in spread) / len(spread)

    return sum(share(each) > 0.1 for each in pixels_of(page))


def wait_for_segment(page: Page) -> None:
    """Until a segment lies over the scan in all three slices."""
    wait_for_page(page, lambda: count_coloured(page) >= 3, "the segment is drawn over the scan")


def press(page: Page, icon: str) -> None:
    """Presses the first button that shows this icon."""
    page.locator(f"button:has(.{icon})").first.click()


def test_segment_by_threshold_save_stop_and_go_on(
    start: Start, door: Let, browser: Browser
) -> None:
    """A segmentation by threshold is there again when the next session opens what it offers."""
    session = start().wait_ready()
    volume = docker("inspect", "--format", "{{(index .Mounts 0).Name}}", session.name)
    page, _ = open_page(browser, door(session, "alice", "owner"))
    wait_for_views(page)
    assert count_coloured(page) <= 1
    press(page, "mdi-brush")
    page.get_by_role("button", name="Add segment").click()
    press(page, "mdi-auto-fix")
    page.get_by_role("button", name="Apply", exact=True).click()
    wait_for_segment(page)
    press(page, "mdi-folder-open-outline")
    page.get_by_label("Save scene as").fill("work")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("work.mrb").first).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Save Segmentation as .seg.nrrd").click()
    line = page.locator(".v-list-item", has_text="Segmentation.seg.nrrd")
    with page.expect_download() as download:
        line.locator("a:has(.mdi-download)").click()
    assert download.value.suggested_filename == "Segmentation.seg.nrrd"
    content = download.value.path().read_bytes()
    assert content.startswith(b"NRRD")
    assert b"Segment0_Name:=Segment_1" in content
    page.context.close()
    assert session.stop() == 0
    session.remove()
    again = start(volume=volume).wait_ready()
    assert "work.mrb" in again.list_files("")
    page, _ = open_page(browser, door(again, "alice", "owner"))
    page.get_by_role("button", name="Open it").click()
    wait_for_views(page)
    wait_for_segment(page)
    press(page, "mdi-brush")
    expect(page.locator(".v-navigation-drawer input[type=text]").first).to_have_value("Segment_1")


def test_new_segments_stand_out_from_the_scan(start: Start, door: Let, browser: Browser) -> None:
    """Each new segment has a colour that no other has, neither grey nor dark."""
    session = start().wait_ready()
    page, _ = open_page(browser, door(session, "alice", "owner"))
    press(page, "mdi-brush")
    page.get_by_role("button", name="Add segment").click()
    for number in range(2, 9):
        press(page, "mdi-plus")
        field = page.locator(".v-navigation-drawer input[type=text]").nth(number - 1)
        expect(field).to_have_value(f"Segment_{number}")
    with Client(session, who("alice", "owner")) as client:
        listed = client.state()[SEGMENTS]
    colours = [bytes.fromhex(each["color"].removeprefix("#")) for each in listed]
    assert len(set(colours)) == 8
    assert all(max(colour) - min(colour) >= 40 and max(colour) >= 128 for colour in colours)


# A browser of a busy computer: pictures are decoded late, and not in the order in which they came.
SLOW = """(() => {
    const source = Object.getOwnPropertyDescriptor(HTMLImageElement.prototype, "src");
    let count = 0;
    const set = function (url) {
        const decode = () => source.set.call(this, url);
        if (this.isConnected || !url.startsWith("blob:")) decode();
        else setTimeout(decode, count++ % 2 ? 200 : 1500);
    };
    Object.defineProperty(HTMLImageElement.prototype, "src", { ...source, set });
})();"""


def test_a_slow_browser_ends_with_the_last_picture(
    session: Session, door: Let, browser: Browser
) -> None:
    """Who looks on with a busy computer sees in the end what all others see."""
    quick, _ = open_page(browser, door(session, "alice", "owner"))
    wait_for_views(quick)
    slow = new_page(browser)
    slow.add_init_script(SLOW)
    slow.goto(quick.url)
    wait_for_views(slow)
    before = still(quick)
    quick.mouse.move(960, 250)
    quick.mouse.down()
    quick.mouse.move(1050, 280, steps=8)
    quick.mouse.up()
    until(lambda: True if quick.screenshot() != before else None, "the picture moved")
    still(quick)
    wait_for_page(slow, lambda: pixels_of(slow) == pixels_of(quick), "the same picture")


def test_what_was_typed_counts_for_the_press_after_it(
    start: Start, door: Let, browser: Browser
) -> None:
    """A segment gets the name that was typed, also while the program is busy with a press."""
    session = start().wait_ready()
    page, _ = open_page(browser, door(session, "alice", "owner"))
    press(page, "mdi-brush")
    page.get_by_role("button", name="Add segment").click()
    name = page.locator(".v-navigation-drawer input[type=text]").first
    expect(name).to_have_value("Segment_1")
    with Client(session, who("alice", "owner")) as client:
        docker("pause", session.name)
        press(page, "mdi-cursor-default")
        name.fill("Tumour")
        name.press("Enter")
        docker("unpause", session.name)
        until(
            lambda: True if client.state()[SEGMENTS][0]["name"] == "Tumour" else None,
            "the segment has its name",
        )


def test_an_upload_shows_its_progress(
    session: Session, door: Let, browser: Browser, tmp_path: Path
) -> None:
    """A file picked in the page arrives in the volume, with its progress visible, and is listed."""
    page, _ = open_page(browser, door(session, "alice", "owner"))
    page.locator("button:has(.mdi-folder-open-outline)").first.click()
    big = tmp_path / "big.nrrd"
    big.write_bytes(secrets.token_bytes(1_000_000) * 200)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Upload files").click()
    chooser.value.set_files(big)
    expect(page.get_by_role("progressbar")).to_be_visible()
    expect(page.get_by_text("big.nrrd").first).to_be_visible(timeout=60_000)
    expect(page.get_by_role("progressbar")).to_have_count(0)
    size = docker("exec", session.name, "stat", "-c", "%s", "/home/slicer/files/big.nrrd")
    assert int(size) == 200_000_000


def test_a_long_computation_is_reported_and_stops_no_kick(
    session: Session, door: Let, browser: Browser
) -> None:
    """While a filter keeps the program from everything else, the hub hears so and can let go."""
    page, _ = open_page(browser, door(session, "alice", "owner"))
    wait_for_views(page)
    until(lambda: None if session.activity["busy"] else True, "nothing is computed")
    press(page, "mdi-brush")
    page.get_by_role("button", name="Add segment").click()
    press(page, "mdi-auto-fix")
    page.get_by_role("button", name="Apply", exact=True).click()
    wait_for_segment(page)
    press(page, "mdi-square-rounded-outline")
    page.get_by_label("Kernel size (mm)").first.fill("15")
    page.get_by_label("Kernel size (mm)").first.press("Enter")
    with Client(session, who("bob", "view")) as bob:
        bob.state()
        page.get_by_role("button", name="Apply", exact=True).click()
        until(lambda: True if session.activity["busy"] else None, "it computes")
        assert session.ask("/-/ready").status_code == 200
        assert session.post("/-/kick", {"user": "bob"}).json() == {"closed": 1}
        bob.closed_after()
        activity = session.activity
        assert {client["user"] for client in activity["clients"]} == {"alice"}
        assert activity["busy"] is True, "the filter was done too soon to show anything"
