"""A real browser, and a server of pages for each test."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.pages.server import Hub
from tests.support.chromium import Complaints, checker, chromium


@pytest.fixture
def hub() -> Iterator[Hub]:
    """The server, fresh for each test."""
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.over.set()
    for _ in range(20):
        server.events.put(None)
    server.shutdown()
    server.server_close()
    thread.join()
    assert server.faults == []


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="package")
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
