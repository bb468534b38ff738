"""Every state of every page, at every width and in both colour schemes, and by the keyboard.

Set ``SLICERHUB_SCREENSHOTS`` to a folder to keep a picture of each state.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.pages.server import RENDERER, Hub
from tests.support.chromium import Complaints
from tests.support.page_views import PAGES
from tests.support.page_views.sharing import SHARE_PATH

SMALLEST_TARGET = 44  # CSS pixels, in each direction
TARGETS = (
    "a.button, a.brand, a.tool, button, summary, label:has([type=radio]), input:not([type]), "
    "[type=number], select"
)
TOO_SMALL = """([targets, least]) => [...document.querySelectorAll(targets)]
    .filter(element => element.checkVisibility())
    .map(element => [element.innerText, element.getBoundingClientRect()])
    .filter(([, box]) => box.width < least || box.height < least)
    .map(([text, box]) => `${text} ${box.width} x ${box.height}`)"""


@pytest.fixture(scope="module", params=["light", "dark"])
def still(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A tab without motion in one colour scheme, for all tests: a new one takes a second."""
    context = browser.new_context(
        color_scheme=request.param, reduced_motion="reduce", locale="en-GB", timezone_id="UTC"
    )
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("name", sorted(PAGES))
def test_every_state_is_sound_at_every_width(
    hub: Hub, still: Page, axe: str, name: str, request: pytest.FixtureRequest
) -> None:
    """No complaint about the policy, no sideways scrolling, nothing for axe to object to."""
    for path in ("/here", "/", SHARE_PATH, "/admin"):
        hub.pages[path] = PAGES[name](RENDERER)
    complaints = Complaints(still)
    still.goto(f"{hub.url}/here")
    still.evaluate(axe)
    for width in (1920, 1280, 360):
        still.set_viewport_size({"width": width, "height": 800})
        if folder := os.environ.get("SLICERHUB_SCREENSHOTS"):
            scheme = request.node.callspec.params["still"]
            still.screenshot(path=Path(folder) / f"{name}-{width}-{scheme}.png", full_page=True)
        assert still.evaluate("document.documentElement.scrollWidth") <= width
        assert still.evaluate(TOO_SMALL, [TARGETS, SMALLEST_TARGET]) == []
    for fold in still.locator("main details:not([open]) > summary").all():
        fold.click()
    assert still.evaluate("document.documentElement.scrollWidth") <= 360
    assert still.evaluate("document.getAnimations().length") == 0
    found: list[dict[str, Any]] = still.evaluate("axe.run().then(result => result.violations)")
    assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found] == []
    # What it still loads must not be answered by the server of the next test.
    still.goto("about:blank")
    assert complaints.heard == []


@pytest.mark.parametrize("name", ["home_many", "admin"])
def test_every_control_of_a_full_page_is_reached_with_a_visible_ring(
    hub: Hub, page: Page, name: str
) -> None:
    """Tab goes through everything that can be used, in order, and always shows where it is."""
    hub.pages["/"] = hub.pages["/admin"] = PAGES[name](RENDERER)
    page.goto(hub.url)
    usable = page.locator(
        "a[href]:visible, button:enabled:visible, summary:visible, input:not([type=hidden]):visible"
    )
    wanted = usable.evaluate_all("all => all.map(one => one.id || one.textContent.trim())")
    assert len(wanted) >= 19
    walked: list[str] = []
    for _ in wanted:
        page.keyboard.press("Tab")
        name, ring = page.evaluate(
            """() => { const on = document.activeElement; const look = getComputedStyle(on);
                return [on.id || on.textContent.trim(),
                        look.outlineStyle !== "none" && parseFloat(look.outlineWidth) >= 2]; }"""
        )
        assert ring, name
        walked.append(name)
    assert walked == wanted
