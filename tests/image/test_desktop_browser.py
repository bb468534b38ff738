"""A desktop session in a real browser, through the real Traefik, below a path prefix."""

from __future__ import annotations

import json
import secrets
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from chromium import chromium
from desktop_session import IMAGE, STANDIN, Desktop, build, new_volume, wait_text
from playwright.sync_api import Browser, Page, expect
from playwright.sync_api import Error as PlaywrightError
from slicer_session import docker, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TRAEFIK = "traefik:v3.7"
PEOPLE = {"alice": "owner", "bob": "view"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with chromium() as one:
        yield one


@pytest.fixture(scope="module")
def desktop(network: str) -> Iterator[Desktop]:
    """One ready session for all tests of this module; xterm fills its screen."""
    built = build(f"SLICER_STANDIN={STANDIN}", tag=IMAGE)
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    volume = new_volume()
    one = Desktop(network, volume)
    try:
        yield one.wait_ready()
    finally:
        one.remove()
        docker("volume", "rm", "--force", volume, check=False)


@pytest.fixture(scope="module")
def addresses(
    network: str, desktop: Desktop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The page of each person: Traefik strips the prefix and says who it is.

    On the loopback address, where a browser lets pages use its clipboard.
    """
    routers, middlewares = {}, {}
    for user, role in PEOPLE.items():
        headers = {"X-Slicerhub-User": user, "X-Slicerhub-Role": role}
        routers[user] = {
            "rule": f"PathPrefix(`/s/{user}/`)",
            "middlewares": [f"{user}-who", f"{user}-strip"],
            "service": "session",
        }
        middlewares[f"{user}-who"] = {"headers": {"customRequestHeaders": headers}}
        middlewares[f"{user}-strip"] = {"stripPrefix": {"prefixes": [f"/s/{user}"]}}
    services = {"session": {"loadBalancer": {"servers": [{"url": desktop.url}]}}}
    dynamic = {"http": {"routers": routers, "middlewares": middlewares, "services": services}}
    folder: Path = tmp_path_factory.mktemp("traefik")
    for each in (folder, *folder.parents[:2]):
        each.chmod(0o755)
    config = folder / "dynamic.yml"
    config.write_text(json.dumps(dynamic))  # JSON is YAML, which Traefik reads
    config.chmod(0o644)
    name = f"slicer-test-{secrets.token_hex(4)}"
    docker(
        *("run", "--detach", "--name", name, "--publish", "127.0.0.1::8000"),
        *("--volume", f"{config}:/dynamic.yml:ro", TRAEFIK),
        *("--entryPoints.web.address=:8000", "--providers.file.filename=/dynamic.yml"),
    )
    try:
        docker("network", "connect", network, name)
        port = docker("port", name, "8000/tcp").splitlines()[0].rpartition(":")[2]
        yield {user: f"http://127.0.0.1:{port}/s/{user}/" for user in PEOPLE}
    finally:
        docker("rm", "--force", name, check=False)


@pytest.fixture
def pages(browser: Browser, addresses: dict[str, str]) -> Iterator[dict[str, Page]]:
    """Everybody's page, drawn; nothing may be asked of another origin."""
    with ExitStack() as opened:
        found: dict[str, Page] = {}
        outside: list[str] = []
        for user, address in addresses.items():
            context = browser.new_context(viewport={"width": 1100, "height": 700})
            opened.callback(context.close)
            context.grant_permissions(["clipboard-read", "clipboard-write"])
            page = context.new_page()
            origin = address.split("/s/", maxsplit=1)[0]
            page.on(
                "request",
                lambda request, own=origin: (
                    None
                    if request.url.startswith((own, "data:", "blob:"))
                    else outside.append(request.url)
                ),
            )

            def shown(page: Page = page, address: str = address) -> bool | None:
                try:
                    answer = page.goto(address)
                except PlaywrightError:  # nobody listens yet
                    return None
                return True if answer is not None and answer.ok else None

            until(shown, "Traefik has the route", 30)
            expect(page.locator("#people")).to_contain_text(user, timeout=20_000)
            expect(page.locator("#screen canvas")).to_be_visible(timeout=20_000)
            found[user] = page
        yield found
        assert outside == []


def test_type_and_see(desktop: Desktop, pages: dict[str, Page]) -> None:
    """What the owner types arrives in the program and is seen by both; a viewer types in vain."""
    alice, bob = pages["alice"], pages["bob"]
    expect(bob.locator("#role")).to_have_text("You are viewing this session.")
    before = {user: page.locator("#screen canvas").screenshot() for user, page in pages.items()}
    bob.locator("#screen canvas").click()
    bob.keyboard.type("echo bob > files/bob\n")
    alice.locator("#screen canvas").click()
    alice.keyboard.type("echo 'Hello, World' > files/typed; ls files\n")
    assert wait_text(desktop, "files/typed") == "Hello, World"
    for user, page in pages.items():
        canvas = page.locator("#screen canvas")
        until(lambda c=canvas, u=user: c.screenshot() != before[u] or None, "seen", 10)
    assert desktop.read("files/bob") is None
    last = desktop.activity["last_input_at"]
    bob.mouse.move(300, 300)
    bob.mouse.move(400, 350)
    alice.wait_for_function("document.querySelectorAll('#people li').length === 2")
    assert desktop.activity["last_input_at"] == last


def test_resize(desktop: Desktop, pages: dict[str, Page]) -> None:
    """The desktop takes the size of the owner's window; that of a viewer changes nothing."""
    pages["alice"].set_viewport_size({"width": 900, "height": 640})
    until(lambda: desktop.size[0] == 900 or None, "the desktop is 900 wide", 15)
    size = desktop.size
    pages["bob"].set_viewport_size({"width": 640, "height": 480})
    pages["bob"].locator("#screen canvas").screenshot()
    assert desktop.size == size


def test_clipboard(desktop: Desktop, pages: dict[str, Page]) -> None:
    """Text goes both ways: by the browser's own clipboard, and by the panel where that is shut."""
    alice, bob = pages["alice"], pages["bob"]
    alice.bring_to_front()
    alice.locator("#clipboard").click()
    alice.locator("#text").fill("from the panel")
    until(lambda: desktop.clipboard == "from the panel" or None, "the panel's text", 15)
    desktop.run("echo -n 'from the desktop' | xclip -selection clipboard -i >/dev/null 2>&1")
    expect(alice.locator("#text")).to_have_value("from the desktop", timeout=15_000)
    until(
        lambda: alice.evaluate("navigator.clipboard.readText()") == "from the desktop" or None,
        "the browser's clipboard",
        10,
    )
    alice.evaluate("navigator.clipboard.writeText('from the browser')")
    alice.evaluate("window.dispatchEvent(new Event('focus'))")
    until(lambda: desktop.clipboard == "from the browser" or None, "the browser's text", 15)
    assert bob.locator("#text").get_attribute("readonly") is not None


def test_notice_and_keep(desktop: Desktop, pages: dict[str, Page]) -> None:
    """Everybody reads the hub's notice; whoever works here can answer it, and that is activity."""
    before = desktop.activity["last_input_at"]
    told = desktop.post("/-/notice", {"text": "This session stops in 5 minutes."})
    assert told.status_code == 204
    for page in pages.values():
        expect(page.locator("#notice-text")).to_have_text("This session stops in 5 minutes.")
    expect(pages["bob"].locator("#keep")).to_be_hidden()
    pages["alice"].locator("#keep").click()
    for page in pages.values():
        expect(page.locator("#notice")).to_be_hidden()
    assert desktop.activity["last_input_at"] != before


def test_upload(desktop: Desktop, pages: dict[str, Page]) -> None:
    """A file from the owner's computer is among the files; viewers are not offered it."""
    expect(pages["bob"].locator("#upload")).to_be_hidden()
    pages["alice"].locator("#picked").set_input_files(
        {"name": "scan.txt", "mimeType": "text/plain", "buffer": b"a scan"}
    )
    assert wait_text(desktop, "files/scan.txt") == "a scan"


def test_kicked(desktop: Desktop, pages: dict[str, Page]) -> None:
    """Who is let go is told so and does not come back by itself; the owner works on."""
    assert desktop.post("/-/kick", {"user": "bob"}).json() == {"closed": 1}
    expect(pages["bob"].locator("#ended-text")).to_have_text(
        "You are no longer in this session.", timeout=2_000
    )
    alice = pages["alice"]
    alice.locator("#screen canvas").click()
    alice.keyboard.type("echo on > files/on\n")
    assert wait_text(desktop, "files/on") == "on"
    assert [client["user"] for client in desktop.activity["clients"]] == ["alice"]
