"""A real browser, and the engine beneath the running stack."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser.windows import Window, open_window
from docker import DockerClient
from e2e.stack import running_engine
from playwright.sync_api import Browser

from tests.support.chromium import checker, chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def engine() -> Iterator[DockerClient]:
    """The engine that the stack runs on."""
    with running_engine() as client:
        yield client


@pytest.fixture
def window(browser: Browser) -> Iterator[Window]:
    """A window of somebody who is not logged in; a complaint about a page fails the test."""
    opened = open_window(browser)
    yield opened
    opened.context.close()
    assert opened.complaints.heard == []


@pytest.fixture(scope="module")
def axe() -> str:
    """The accessibility checker's script."""
    return checker()
