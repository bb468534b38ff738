"""Debian's Chromium as the tests drive it, and an ear for what a page's console says."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

_PATH = os.environ.get("SLICERHUB_CHROMIUM", "/usr/bin/chromium")
_PATIENCE = 20_000  # milliseconds until something must be seen; the machine may be busy
_STEADY = Path(__file__).with_name("steady_chromium.py")  # starts it
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Launch(TypedDict):
    """What Playwright's ``launch`` takes."""

    executable_path: Path
    args: list[str]
    env: dict[str, str | float | bool]


def launch_options(*flags: str) -> Launch:
    """Return how the browser is started, with these flags besides."""
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
    env: dict[str, str | float | bool] = {
        **os.environ,
        "PATH": path,
        "SLICERHUB_CHROMIUM": _PATH,
    }
    return Launch(executable_path=_STEADY, args=[*_FLAGS, *flags], env=env)


@contextmanager
def chromium() -> Generator[Browser]:
    """Start the browser; it is gone afterwards."""
    expect.set_options(timeout=_PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**launch_options())
        yield browser
        browser.close()


def checker() -> str:
    """Return the accessibility checker's script; a test that has none fails or is skipped."""
    path = os.environ.get("SLICERHUB_AXE")
    if path:
        return Path(path).read_text(encoding="utf-8")
    if os.environ.get("SLICERHUB_TEST_STRICT") == "1":
        pytest.fail("SLICERHUB_AXE must name axe-core's axe.min.js (npm package axe-core).")
    pytest.skip("SLICERHUB_AXE does not name axe-core's axe.min.js.")


class Complaints:
    """What a page's console says, other than the answers that a test asked for."""

    def __init__(self, page: Page, heeds: Callable[[str], bool] = lambda _: True) -> None:
        """Listen from now on. ``heeds`` tells of an address whether its complaints count."""
        self.heard: list[str] = []
        self._heeds = heeds
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self._note(page.url, str(error)))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self._note(message.location["url"], message.text)

    def _note(self, url: str, text: str) -> None:
        if "favicon.ico" not in url and self._heeds(url):
            self.heard.append(f"{text} ({url})")
