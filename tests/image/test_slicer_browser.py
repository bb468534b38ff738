"""A person with a real browser, through the real Traefik, below a path prefix."""

from __future__ import annotations

import json
import re
import secrets
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from playwright.sync_api import Error as PlaywrightError
from slicer_session import Session, docker, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Start = Callable[..., Session]
    Door = Callable[[Session, str, str], str]

TRAEFIK = "traefik:v3.7"
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=_FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def door(network: str, tmp_path: Path) -> Iterator[Door]:
    """Traefik in front of a session: strips the prefix and sets who it is, as the hub has it do.

    Call it with a session, a user and a role; it returns the address of that person's page.
    """
    names: list[str] = []
    tmp_path.chmod(0o755)

    def front(session: Session, user: str, role: str) -> str:
        prefix = f"/s/{session.name}/{user}"
        headers = {"X-Slicerhub-User": user, "X-Slicerhub-Role": role}
        dynamic = {
            "http": {
                "routers": {
                    user: {
                        "rule": f"PathPrefix(`{prefix}/`)",
                        "entryPoints": ["web"],
                        "middlewares": [f"{user}-who", f"{user}-strip"],
                        "service": "session",
                    }
                },
                "middlewares": {
                    f"{user}-who": {"headers": {"customRequestHeaders": headers}},
                    f"{user}-strip": {"stripPrefix": {"prefixes": [prefix]}},
                },
                "services": {"session": {"loadBalancer": {"servers": [{"url": session.url}]}}},
            }
        }
        name = f"slicer-test-{secrets.token_hex(4)}"
        config = tmp_path / f"{name}.json"
        config.write_text(json.dumps(dynamic))  # JSON is YAML, which Traefik reads
        config.chmod(0o644)
        docker(
            *("run", "--detach", "--name", name, "--network", network),
            *("--volume", f"{config}:/dynamic.yml:ro", TRAEFIK),
            *("--entryPoints.web.address=:8000", "--providers.file.filename=/dynamic.yml"),
        )
        names.append(name)
        networks = json.loads(docker("inspect", name))[0]["NetworkSettings"]["Networks"]
        return f"http://{networks[network]['IPAddress']}:8000{prefix}/"

    yield front
    for name in names:
        docker("rm", "--force", name, check=False)


def open_page(browser: Browser, address: str) -> tuple[Page, list[str]]:
    """Opens a person's page; the list gathers every request that leaves the session's origin."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    outside: list[str] = []
    origin = address.split("/s/", maxsplit=1)[0]

    def note(request: Any) -> None:  # noqa: ANN401
        if not request.url.startswith((origin, "data:", "blob:")):
            outside.append(request.url)

    page.on("request", note)

    def opened() -> bool | None:
        try:
            answer = page.goto(address)
        except PlaywrightError:  # nobody listens yet
            return None
        return True if answer is not None and answer.status != 404 else None

    until(opened, "Traefik has the route", 30)
    return page, outside


def colours_of(page: Page, area: str) -> int:
    """How many different colours the picture of a view has, as the browser shows it."""
    script = """async (selector) => {
        const image = [...document.querySelectorAll("img")]
            .filter((each) => each.naturalWidth > 100)[selector];
        if (!image) return 0;
        const canvas = document.createElement("canvas");
        canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
        const context = canvas.getContext("2d");
        context.drawImage(image, 0, 0);
        const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
        const seen = new Set();
        for (let at = 0; at < data.length; at += 4)
            seen.add((data[at] << 16) | (data[at + 1] << 8) | data[at + 2]);
        return seen.size;
    }"""
    return int(page.evaluate(script, int(area)))


def wait_for_views(page: Page) -> None:
    """Until four pictures are there and each shows something: not one flat colour."""
    expect(page.get_by_text("3D Slicer", exact=True)).to_be_visible(timeout=90_000)

    def drawn() -> bool | None:
        return True if all(colours_of(page, str(view)) > 60 for view in range(4)) else None

    until(drawn, "all four views show the brain", 60)


def still(page: Page) -> bytes:
    """The page as it is once it has come to rest: two seconds without a change."""

    def resting() -> bytes | None:
        before = page.screenshot()
        page.wait_for_timeout(2000)
        return before if page.screenshot() == before else None

    return until(resting, "the page is at rest", 60)


def test_the_brain_is_drawn_and_nothing_is_fetched_from_outside(
    start: Start, door: Door, browser: Browser
) -> None:
    """From the first click on, through loading, to the brain in 3D and three planes."""
    session = start()
    page, outside = open_page(browser, door(session, "alice", "owner"))
    wait_for_views(page)
    page.get_by_role("button", name="About trame-slicer").click()
    expect(page.get_by_text("McConnell Brain Imaging Centre")).to_be_visible()
    assert outside == []
    assert page.title() == "3D Slicer"


def test_turning_the_brain_changes_the_picture(
    session: Session, door: Door, browser: Browser
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
    until(lambda: True if page.screenshot() != before else None, "the picture moved", 20)
    assert session.activity["last_input_at"] != idle_since


def test_a_guest_sees_and_cannot_touch(session: Session, door: Door, browser: Browser) -> None:
    """Two people on one session: the guest sees the brain, is told so, and turns nothing."""
    alice, _ = open_page(browser, door(session, "alice", "owner"))
    wait_for_views(alice)
    bob, _ = open_page(browser, door(session, "bob", "view"))
    wait_for_views(bob)
    expect(bob.get_by_text("You are viewing")).to_be_visible()
    expect(alice.get_by_text("bob · viewing")).to_be_visible()
    expect(alice.get_by_text("You are viewing")).to_have_count(0)
    before = still(alice)
    bob.mouse.move(960, 250)
    bob.mouse.down()
    bob.mouse.move(1050, 280, steps=8)
    bob.mouse.up()
    assert still(alice) == before
    assert session.post("/-/kick", {"user": "bob"}).json() == {"closed": 1}
    expect(alice.get_by_text("bob · viewing")).to_have_count(0)


def test_segment_save_stop_and_find_it_again(start: Start, door: Door, browser: Browser) -> None:
    """A segmentation by threshold survives the session: saved as a file, and offered next time."""
    session = start().wait_ready()
    volume = docker("inspect", "--format", "{{(index .Mounts 0).Name}}", session.name)
    page, _ = open_page(browser, door(session, "alice", "owner"))
    wait_for_views(page)
    page.locator("button:has(.mdi-brush)").first.click()
    page.get_by_role("button", name=re.compile("add", re.IGNORECASE)).first.click()
    page.locator("button:has(.mdi-folder-open-outline)").first.click()
    page.get_by_label("Save scene as").fill("work")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("work.mrb").first).to_be_visible()
    assert session.stop() == 0
    session.remove()
    again = start(volume=volume).wait_ready()
    assert "work.mrb" in again.list_files("")
    page, _ = open_page(browser, door(again, "alice", "owner"))
    page.locator("button:has(.mdi-folder-open-outline)").first.click(timeout=60_000)
    page.get_by_text("work.mrb").first.click()
    expect(page.get_by_text("Opened work.mrb")).to_be_visible(timeout=30_000)
    wait_for_views(page)
    page.locator("button:has(.mdi-brush)").first.click()
    expect(page.locator(".v-navigation-drawer input[type=text]").first).to_have_value("Segment_1")


def test_an_upload_shows_its_progress(
    session: Session, door: Door, browser: Browser, tmp_path: Path
) -> None:
    """A file picked in the page arrives in the volume, with its progress visible, and is listed."""
    page, _ = open_page(browser, door(session, "alice", "owner"))
    page.locator("button:has(.mdi-folder-open-outline)").first.click(timeout=60_000)
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
