"""The hub's pages on a cluster as a person in a browser uses them."""

from __future__ import annotations

import pytest
from browser.windows import frames_of
from playwright.sync_api import Page, expect

START_MS = 120_000


def log_in(page: Page, url: str) -> None:
    """Log in as alice, as a person does."""
    page.goto(url)
    page.get_by_label("User name").fill("alice")
    page.get_by_label("Password", exact=True).fill("alice")
    page.keyboard.press("Enter")


def start_slicer(page: Page) -> str:
    """Press the large button and wait until Slicer opens by itself; return its address."""
    page.get_by_role("button", name="Start Slicer").click()
    failure = page.locator("main .failure")
    expect(failure.or_(frames_of(page).first)).to_be_visible(timeout=START_MS)
    if failure.count():
        pytest.fail(failure.inner_text())
    return page.url


def id_below(address: str, url: str) -> str:
    """Return the id of a session that is below a path of the hub's."""
    assert address.startswith(f"{url}/s/")
    return address.removeprefix(f"{url}/s/").partition("/")[0]
