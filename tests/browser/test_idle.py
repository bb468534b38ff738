"""A real session that nobody uses: people are warned, can keep it, and learn why it was stopped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser.windows import Window, log_in
from e2e.stack import Member, place_of
from playwright.sync_api import expect

PATIENCE_MS = 120_000  # several times the thirty seconds of the profile, on a busy machine


@pytest.fixture
def carol() -> Iterator[Member]:
    """Somebody with a session that is stopped after thirty seconds unused."""
    with Member("carol") as member:
        member.stop_all()
        yield member
        member.stop_all()


def test_warned_kept_and_stopped(window: Window, carol: Member) -> None:
    """The banner counts down, Keep helps, and without it the first page says what happened."""
    session = carol.launch("forgetful", "left alone")
    home = window.page
    log_in(home, "carol", "carol")
    card = home.locator(f"#session-{session['id']}")
    expect(card.locator(".phase")).to_have_text("ready")
    inside = window.context.new_page()
    inside.goto(place_of(session))
    banner = inside.get_by_text("This session is about to stop, because nobody is using it.")
    expect(banner).to_be_visible(timeout=PATIENCE_MS)
    expect(inside.get_by_role("timer")).to_contain_text("0:")
    expect(card.get_by_role("button", name="Keep")).to_be_visible()
    inside.get_by_role("button", name="Keep").click()
    expect(banner).to_have_count(0)
    expect(card.get_by_role("button", name="Keep")).to_have_count(0, timeout=PATIENCE_MS)
    assert carol.phase(session["id"]) == "ready"

    expect(banner).to_be_visible(timeout=PATIENCE_MS)
    card.get_by_role("button", name="Keep").click()
    expect(banner).to_have_count(0)
    expect(card.get_by_role("button", name="Keep")).to_have_count(0)
    assert carol.phase(session["id"]) == "ready"

    expect(card).to_have_count(0, timeout=PATIENCE_MS)
    notice = home.locator("#notices li", has_text="Forgetful · left alone").first
    expect(notice).to_contain_text("was stopped at")
    expect(notice).to_contain_text("after 30 seconds unused. Your scene was saved")
    expect(inside.locator("#ended-text")).to_be_visible(timeout=PATIENCE_MS)
    notice.get_by_role("button", name="Dismiss this notice").click()
    expect(notice).to_have_count(0)
