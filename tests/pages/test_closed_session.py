"""What the page of a session says when the hub lets its person in no more."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.pages.server import Hub

DOOR = Path(__file__).parents[2] / "deploy/slicer/app/page/static/door.js"
PLACE = "/s/abc/"
STOPPED = "This session was stopped. Your files are kept."
SHUT = "Your access to this session has ended."


@pytest.mark.parametrize(
    ("role", "status", "text"),
    [
        ("owner", 403, STOPPED),
        ("owner", 401, SHUT),  # logged out
        ("control", 403, SHUT),
        ("view", 403, SHUT),
        ("", 403, SHUT),  # the session has not said yet who looks at it
        ("view", 404, "This session has ended. Your files are kept."),
    ],
)
def test_why_the_session_is_closed(hub: Hub, page: Page, role: str, status: int, text: str) -> None:
    """The owner reads that the session was stopped, guests that they may see it no more."""
    hub.pages[PLACE] = f'<!doctype html><title>x</title><main data-role="{role}"></main>'
    page.goto(f"{hub.url}{PLACE}")
    page.evaluate(DOOR.read_text(encoding="utf-8"))
    hub.refusals[PLACE] = status
    # What the page shows may go together with its connection.
    again = "const back = slicerhubDoor.comeBack(); document.querySelector('main').remove(); back"
    assert page.evaluate(again) is False
    expect(page.locator("#ended-text")).to_have_text(text)
    expect(page.get_by_role("link", name="Go to your sessions")).to_be_focused()
