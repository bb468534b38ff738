"""The main job by a real browser on the running stack: from the log-in to the brain and back.

The pictures of the README come from the first test. With SLICERHUB_PICTURES naming a folder it
keeps what it sees there. Against a stack as ``./deploy/up`` starts it (bob's files are removed):

    SLICERHUB_TEST_URL=http://localhost:8080 SLICERHUB_TEST_INSTANCE=slicerhub \
    SLICERHUB_PICTURES=deploy/pictures pytest tests/browser/test_main_job.py -k whole_job
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from browser.windows import (
    CORTEX,
    MOVED,
    START_MS,
    Window,
    brown_of,
    changed,
    drag,
    held_at_the_progress,
    keep_picture,
    log_in,
    notes_of,
    open_files,
    open_window,
    segment,
    session_at,
    start_slicer,
    upload,
    views_of,
    wait_for_segment,
)
from docker import DockerClient
from e2e.stack import SESSIONS, URL, Member, container_of, remove_files
from PIL import Image, ImageStat
from playwright.sync_api import Browser, Locator, ViewportSize, expect

from tests.support.inside import inside
from tests.support.waits import until

DARK, LIGHT = 80, 200  # mean brightness of a page, of 255
HOSTILE = "<img src=x onerror=alert(1)>"

# Notes what the progress page shows, whenever it changes; a tab keeps such notes from page to page.
NOTE_STEPS = """document.addEventListener("DOMContentLoaded", () => {
    const list = document.querySelector("#steps");
    if (!list) return;
    const note = () => noteDown([...list.children].map((step) => step.dataset.state));
    new MutationObserver(note).observe(list, { subtree: true, childList: true, attributes: true });
    note();
});"""


@pytest.fixture(scope="module")
def bob(engine: DockerClient) -> Iterator[Member]:
    """Somebody who has never been here: nothing of his runs, and he has no files."""
    member = Member("bob")
    member.stop_all()
    remove_files(engine, "bob")
    yield member
    member.stop_all()
    member.leave()


def content_of(engine: DockerClient, session_id: str, name: str) -> str:
    """Return what stands in a file of a session, as the session itself reads it."""
    finding = ("find", "/home/slicer", "-name", name, "-exec", "cat", "{}", "+")
    return inside(container_of(engine, session_id), *finding)


def stop_before_two_windows(browser: Browser, window: Window, card: Locator) -> None:
    """Stop a session in one window; another one, in which nothing is pressed, learns of it."""
    page = window.page
    card_id = card.get_attribute("id")
    other = open_window(browser, like=window)
    other.page.goto(URL)
    expect(other.page.locator(f"#{card_id}")).to_be_visible()
    other.page.evaluate("window.same = true")
    card.get_by_role("link", name="Stop").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Stop Slicer?")
    dialog.get_by_role("button", name="Stop it").click()
    for one in (page, other.page):
        expect(one.get_by_role("heading", name="Nothing is running")).to_be_visible(timeout=30_000)
        expect(one.locator(f"#{card_id}")).to_have_count(0)
    assert other.page.evaluate("window.same") is True
    other.context.close()
    assert other.complaints.heard == []


def test_the_whole_job_from_the_log_in_to_the_files_of_the_second_day(
    browser: Browser, window: Window, bob: Member, engine: DockerClient, tmp_path: Path
) -> None:
    """Start Slicer, turn the brain, leave a file, segment, stop; start again and find all of it."""
    assert bob.api.get("/api/v1/sessions").json()["items"] == []
    page = window.page
    noted: list[list[str]] = notes_of(page)
    page.add_init_script(NOTE_STEPS)
    page.goto(URL)
    keep_picture(page, "login", full_page=True)
    log_in(page, "bob", "bob")
    expect(page.get_by_role("heading", name="Nothing is running")).to_be_visible()

    first = start_slicer(page)
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
    segment(page)  # and not saved by hand: that is done when the session is stopped

    page.go_back()
    card = page.locator(f"#session-{first}")
    expect(card.locator(".phase")).to_have_text("ready")
    expect(card.get_by_role("link", name="Open")).to_be_visible()
    keep_picture(page, "home")

    stop_before_two_windows(browser, window, card)

    second = start_slicer(page)
    assert second != first
    page.get_by_role("button", name="Open it").click(timeout=30_000)
    wait_for_segment(page)
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
    with held_at_the_progress(page):
        page.get_by_role("button", name="Start Echo").click()
        expect(page.get_by_role("heading", name=f"Starting Echo · {HOSTILE}")).to_be_visible()
        assert page.locator("img").count() == 0
    page.wait_for_url(SESSIONS, timeout=START_MS)
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
