"""A desktop session in a real browser, through the real Traefik, below a path prefix."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.desktop_session import Desktop, wait_text
from tests.support.session_door import enter
from tests.support.slicer_session import Session, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Let = Callable[[Session, str, str | None], str]

PEOPLE = {"alice": "owner", "bob": "view"}


@pytest.fixture
def pages(browser: Browser, desktop: Desktop, door: Let) -> Iterator[dict[str, Page]]:
    """Everybody's page, drawn; nothing may be asked of another origin."""
    with ExitStack() as opened:
        found: dict[str, Page] = {}
        outside: list[str] = []
        for user, role in PEOPLE.items():
            address = door(desktop, user, role)
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
            enter(page, desktop, address, user)
            expect(page.locator("#people")).to_contain_text(user)
            expect(page.locator("#screen canvas")).to_be_visible(timeout=20_000)
            found[user] = page
        yield found
        assert outside == []


def test_type_and_see(desktop: Desktop, pages: dict[str, Page]) -> None:
    """What the owner types arrives in the program and is seen by both; a viewer types in vain."""
    alice, bob = pages["alice"], pages["bob"]
    expect(bob.locator("#role")).to_have_text("You are viewing; alice has control.")
    before = {user: page.locator("#screen canvas").screenshot() for user, page in pages.items()}
    bob.locator("#screen canvas").click()
    bob.keyboard.type("echo bob > files/bob\n")
    alice.locator("#screen canvas").click()
    alice.keyboard.type("echo 'Hello, World' > files/typed; ls files\n")
    assert wait_text(desktop, "files/typed") == "Hello, World"
    for user, page in pages.items():
        canvas = page.locator("#screen canvas")
        until(lambda c=canvas, u=user: c.screenshot() != before[u] or None, "seen")
    assert desktop.read("files/bob") is None
    last = desktop.activity["last_input_at"]
    bob.mouse.move(300, 300)
    bob.mouse.move(400, 350)
    alice.wait_for_function("document.querySelectorAll('#people li').length === 2")
    assert desktop.activity["last_input_at"] == last


def test_resize(desktop: Desktop, pages: dict[str, Page]) -> None:
    """The desktop takes the size of the owner's window; that of a viewer changes nothing."""
    pages["alice"].set_viewport_size({"width": 900, "height": 640})
    until(lambda: desktop.size[0] == 900 or None, "the desktop is 900 wide")
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
    until(lambda: desktop.clipboard == "from the panel" or None, "the panel's text")
    desktop.run("echo -n 'from the desktop' | xclip -selection clipboard -i >/dev/null 2>&1")
    expect(alice.locator("#text")).to_have_value("from the desktop")
    until(
        lambda: alice.evaluate("navigator.clipboard.readText()") == "from the desktop" or None,
        "the browser's clipboard",
    )
    alice.evaluate("navigator.clipboard.writeText('from the browser')")
    alice.evaluate("window.dispatchEvent(new Event('focus'))")
    until(lambda: desktop.clipboard == "from the browser" or None, "the browser's text")
    assert bob.locator("#text").get_attribute("readonly") is not None


def test_upload(desktop: Desktop, pages: dict[str, Page]) -> None:
    """A file from the owner's computer is among the files; viewers are not offered it."""
    expect(pages["bob"].locator("#upload")).to_be_hidden()
    pages["alice"].locator("#picked").set_input_files(
        {"name": "scan.txt", "mimeType": "text/plain", "buffer": b"a scan"}
    )
    assert wait_text(desktop, "files/scan.txt") == "a scan"
