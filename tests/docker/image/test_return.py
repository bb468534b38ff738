"""What a page does when its session lets it go, in a real browser, in both images."""

from __future__ import annotations

import re
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.support.session_door import enter, roles_in, wait_there
from tests.support.slicer_session import Session, docker

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    Let = Callable[[Session, str, str | None], str]

QUIET_MILLISECONDS = 4000  # longer than the first pauses of a page that would go on asking


@pytest.fixture(scope="module", params=["session", "desktop"])
def either(request: pytest.FixtureRequest) -> Session:
    """A session of each image in turn."""
    return request.getfixturevalue(request.param)


@contextmanager
def opened(browser: Browser, session: Session, address: str, user: str) -> Generator[Page]:
    """Somebody's page, once the session has them."""
    context = browser.new_context(viewport={"width": 1000, "height": 640})
    try:
        page = context.new_page()
        enter(page, session, address, user)
        yield page
    finally:
        context.close()


def test_another_right_is_there_by_itself(either: Session, browser: Browser, door: Let) -> None:
    """A guest who is given control, and who loses it again, sees so without doing anything."""
    with (
        opened(browser, either, door(either, "alice", "owner"), "alice") as alice,
        opened(browser, either, door(either, "bob", "view"), "bob") as bob,
    ):
        viewing = bob.get_by_text("You are viewing; alice has control.")
        expect(viewing).to_be_visible()
        began = {each["user"]: each["since"] for each in either.activity["clients"]}
        door(either, "bob", "control")
        assert either.post("/-/kick", {"user": "bob"}).json() == {"closed": 1}
        wait_there(either, "bob", "control")
        expect(viewing).to_be_hidden()
        door(either, "bob", "view")
        assert either.post("/-/kick", {"user": "bob"}).json() == {"closed": 1}
        wait_there(either, "bob", "view")
        expect(viewing).to_be_visible()
        expect(bob.locator("#ended")).to_have_count(0)
        expect(alice.locator("#ended")).to_have_count(0)
        since = {each["user"]: each["since"] for each in either.activity["clients"]}
        assert since["alice"] == began["alice"], "the owner was disturbed"


def test_who_may_no_longer_come_is_told_once(either: Session, browser: Browser, door: Let) -> None:
    """Whose invitation is taken back reads so, finds the way home, and asks no further."""
    with (
        opened(browser, either, door(either, "alice", "owner"), "alice") as alice,
        opened(browser, either, door(either, "bob", "control"), "bob") as bob,
    ):
        door(either, "bob", None)
        assert either.post("/-/kick", {"user": "bob"}).json() == {"closed": 1}
        expect(bob.locator("#ended-text")).to_have_text("Your access to this session has ended.")
        home = bob.get_by_role("link", name="Go to your sessions")
        expect(home).to_have_attribute("href", "/")
        expect(home).to_be_focused()
        asked: list[str] = []
        bob.on("request", lambda request: asked.append(request.url))
        bob.wait_for_timeout(QUIET_MILLISECONDS)
        assert asked == []
        assert roles_in(either) == {"alice": "owner"}
        expect(alice.locator("#ended")).to_have_count(0)


def test_the_owner_reads_that_it_was_stopped(either: Session, browser: Browser, door: Let) -> None:
    """The hub lets nobody into a session that stops; the owner's page says what that means."""
    with opened(browser, either, door(either, "alice", "owner"), "alice") as alice:
        expect(alice.locator("[data-role=owner]")).to_have_count(1)
        door(either, "alice", None)
        assert either.post("/-/kick", {"user": "alice"}).json() == {"closed": 1}
        text = "This session was stopped. Your files are kept."
        expect(alice.locator("#ended-text")).to_have_text(text)


def test_a_connection_that_breaks_off_comes_back(
    either: Session, browser: Browser, door: Let
) -> None:
    """While nobody answers the page says so, and goes on by itself once somebody does."""
    with opened(browser, either, door(either, "bob", "control"), "bob") as bob:
        expect(bob.get_by_role("banner")).to_be_visible()
        # Not set_offline: it may hold back what comes in by an open socket, its end too.
        bob.context.route("**", lambda route: route.abort("internetdisconnected"))
        assert either.post("/-/kick", {"user": "bob"}).json() == {"closed": 1}
        expect(bob.locator("#ended-text")).to_have_text("The connection is lost; trying again.")
        bob.context.unroute_all()
        wait_there(either, "bob", "control")
        expect(bob.locator("#ended")).to_have_count(0)


def test_a_page_of_which_a_part_is_missing_is_loaded_again(
    either: Session, browser: Browser, door: Let
) -> None:
    """Who changes networks while the page loads is not left with half a page."""
    address = door(either, "bob", "control")
    context = browser.new_context()
    try:
        lost: list[str] = []

        def lose(route: Route) -> None:
            lost.append(route.request.url)
            route.abort("internetdisconnected")

        context.route(re.compile(r"(vue\.global|core/rfb)\.js"), lose, times=1)
        page = context.new_page()
        page.goto(address)
        expect(page.get_by_role("banner")).to_be_visible(timeout=60_000)
        wait_there(either, "bob", "control")
        assert len(lost) == 1
    finally:
        context.close()


def test_asking_for_control(either: Session, browser: Browser, door: Let) -> None:
    """The owner reads who asks, with the way to where it is given; others may only dismiss."""
    with (
        opened(browser, either, door(either, "alice", "owner"), "alice") as alice,
        opened(browser, either, door(either, "carol", "control"), "carol") as carol,
        opened(browser, either, door(either, "bob", "view"), "bob") as bob,
    ):
        expect(bob.get_by_text("You are viewing; alice and carol have control.")).to_be_visible()
        for dismissing in (carol, alice):
            bob.get_by_role("button", name="Ask for control").click()
            for page in (alice, carol):
                expect(page.get_by_text("bob asks for control.")).to_be_visible()
            expect(bob.get_by_role("button", name="Asked for control")).to_be_disabled()
            expect(bob.get_by_text("bob asks for control.")).to_have_count(0)
            give = alice.get_by_role("link", name="Give control")
            number = docker("exec", either.name, "printenv", "SLICERHUB_SESSION")
            expect(give).to_have_attribute("href", f"/sessions/{number}/share")
            expect(give).to_have_attribute("target", "_blank")
            expect(carol.get_by_role("link", name="Give control")).to_have_count(0)
            dismissing.get_by_role("button", name="Dismiss").click()
            for page in (alice, carol):
                expect(page.get_by_text("bob asks for control.")).to_have_count(0)
        expect(bob.get_by_role("button", name="Ask for control")).to_be_enabled()


def test_a_warning_counts_down_until_somebody_keeps(
    either: Session, browser: Browser, door: Let
) -> None:
    """Everybody sees how long it is until the stop; who works here can keep the session."""
    text = "This session stops soon unless you use it."
    then = datetime.now(UTC) + timedelta(minutes=5)
    with (
        opened(browser, either, door(either, "alice", "owner"), "alice") as alice,
        opened(browser, either, door(either, "bob", "view"), "bob") as bob,
    ):
        before = either.activity["last_input_at"]
        either.post("/-/notice", {"text": text, "until": then.isoformat()})
        clocks = [page.get_by_role("timer") for page in (alice, bob)]
        for page, clock in zip((alice, bob), clocks, strict=True):
            expect(page.get_by_text(text)).to_be_visible()
            expect(clock).to_contain_text("4:")
        shown = clocks[0].inner_text()
        expect(clocks[0]).not_to_have_text(shown)
        expect(bob.get_by_role("button", name="Keep")).to_be_hidden()
        alice.get_by_role("button", name="Keep").click()
        for page in (alice, bob):
            expect(page.get_by_text(text)).to_be_hidden()
        assert either.activity["last_input_at"] not in {None, before}
        either.post("/-/notice", {"text": "The hub is restarted at noon."})
        expect(bob.get_by_text("The hub is restarted at noon.")).to_be_visible()
        expect(alice.get_by_role("button", name="Keep")).to_be_hidden()
        either.post("/-/notice", {"text": ""})
        expect(bob.get_by_text("The hub is restarted at noon.")).to_be_hidden()
