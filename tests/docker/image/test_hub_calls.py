"""What the hub asks of a session: both images answer alike."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.desktop_session import Desktop, Vnc
from tests.support.slicer_session import SERVICE, Page, Session, until, who

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

ALICE = who("alice", "owner")
BOB = who("bob", "view")


@pytest.fixture(scope="module", params=["session", "desktop"])
def either(request: pytest.FixtureRequest) -> Session:
    """A session of each image in turn."""
    return request.getfixturevalue(request.param)


class Client:
    """Somebody's open page in either image, as far as the hub is concerned."""

    def __init__(self, page: Page | Vnc) -> None:
        """``page`` has greeted."""
        self._page = page

    def notice(self) -> str:
        """The text of the banner, empty if there is none."""
        if isinstance(self._page, Page):
            return self._page.state()["hub_notice"]
        self._page.settle()
        shown: dict[str, Any] | None = json.loads(self._page.texts[-1])["notice"]
        return shown["text"] if shown else ""

    def keep(self) -> None:
        """What the button does."""
        if isinstance(self._page, Page):
            trigger = keep_trigger(self._page)
            assert "error" not in self._page.call("trame.trigger", [trigger, [], {}])
        else:
            self._page.socket.send("keep")
            self._page.settle()

    def closed_after(self) -> float:
        """See the pages' own."""
        return self._page.closed_after()


def keep_trigger(page: Page) -> str:
    """The name of what the Keep button calls, as the page's template has it."""
    template: str = page.state()["trame__template_main"]
    button = next(part for part in template.split("<VBtn") if ">Keep<" in part.replace("\n", ""))
    return button.partition("trigger('")[2].partition("'")[0]


@contextmanager
def opened(session: Session, headers: Mapping[str, str]) -> Generator[Client]:
    """Somebody's open page."""
    with Vnc(session, headers) if isinstance(session, Desktop) else Page(session, headers) as page:
        if isinstance(page, Vnc):
            page.settle()
        yield Client(page)


def holds(what: Callable[[], bool]) -> Callable[[], bool | None]:
    """For `until`."""
    return lambda: True if what() else None


def test_activity(either: Session) -> None:
    """Who is there since when and with which right, in plain letters and with zones."""
    with opened(either, ALICE), opened(either, who("j%C3%BCrgen", "view")):
        told = either.activity
        assert list(told) == ["last_input_at", "busy", "clients"]
        assert told["busy"] in {True, False}
        known = [(each["user"], each["role"], sorted(each)) for each in told["clients"]]
        keys = ["role", "since", "user"]
        assert known == [("alice", "owner", keys), ("jürgen", "view", keys)]
        for each in told["clients"]:
            since = datetime.fromisoformat(each["since"])
            assert abs(datetime.now(UTC) - since) < timedelta(minutes=1)
        assert either.post("/-/kick", {"user": "jürgen"}).json() == {"closed": 1}
        assert [each["user"] for each in either.activity["clients"]] == ["alice"]


def test_kick(either: Session) -> None:
    """By name, by role, or everybody; what names nobody lets nobody go."""
    with opened(either, ALICE) as alice, opened(either, BOB) as bob:
        for body in ({}, {"usr": "bob"}, {"role": "root"}, {"all": False}):
            assert either.post("/-/kick", body).status_code == 400
        assert either.post("/-/kick", {"user": "nobody"}).json() == {"closed": 0}
        assert either.post("/-/kick", {"user": "bob", "role": "owner"}).json() == {"closed": 0}
        assert either.post("/-/kick", {"role": "view"}).json() == {"closed": 1}
        bob.closed_after()
        assert either.post("/-/kick", {"all": True}).json() == {"closed": 1}
        alice.closed_after()
        assert either.activity["clients"] == []


def test_who_was_let_go_may_return_with_another_right(either: Session) -> None:
    """A kick is no ban: a person who is let in again later has the role of that time."""
    with opened(either, BOB) as bob:
        either.post("/-/kick", {"user": "bob"})
        bob.closed_after()
    with opened(either, who("bob", "control")):
        assert [each["role"] for each in either.activity["clients"]] == ["control"]


def test_a_notice_comes_and_goes(either: Session) -> None:
    """A warning is shown to all, also to who comes later, until the hub withdraws it."""
    until_then = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    warning = {"text": "This session stops in 5 minutes.", "until": until_then}
    with opened(either, ALICE) as alice, opened(either, BOB) as bob:
        before = either.activity["last_input_at"]
        assert either.post("/-/notice", warning).status_code == 204
        for page in (alice, bob):
            until(holds(lambda p=page: p.notice() == warning["text"]), "it is shown")
        with opened(either, who("carol", "control")) as carol:
            until(holds(lambda: carol.notice() == warning["text"]), "it is shown")
        assert either.post("/-/notice", {"text": ""}).status_code == 204
        for page in (alice, bob):
            until(holds(lambda p=page: not p.notice()), "it is gone")
        assert either.activity["last_input_at"] == before, "the hub's own calls are no input"


def test_keep_is_input(either: Session) -> None:
    """One press on Keep takes the warning away everywhere and is what the hub sees as use."""
    with opened(either, ALICE) as alice, opened(either, BOB) as bob:
        before = either.activity["last_input_at"]
        either.post("/-/notice", {"text": "Soon", "until": "2026-01-31T12:00:00Z"})
        until(holds(lambda: alice.notice() == "Soon"), "it is shown")
        alice.keep()
        for page in (alice, bob):
            until(holds(lambda p=page: not p.notice()), "it is gone")
        after = either.activity["last_input_at"]
        assert after is not None
        assert before is None or after > before


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"txt": "x"},
        {"text": 1},
        {"text": "x", "until": "soon"},
        {"text": "x", "until": "2026-01-31T12:00:00"},
    ],
)
def test_a_notice_that_cannot_be_read_is_refused(either: Session, body: dict[str, object]) -> None:
    """A misspelt call is the hub's fault and is told to it; a time needs its zone."""
    assert either.post("/-/notice", body).status_code == 400


def test_save_when_nothing_was_done(either: Session) -> None:
    """Nothing new is no failure, and a program that cannot be asked says so in a sentence."""
    before = either.post("/-/save", {}).json()["saved"]  # what others did here
    answer = either.post("/-/save", {})
    assert answer.status_code == 200
    told = answer.json()
    assert told.pop("saved") == before
    if isinstance(either, Desktop):  # the stand-in for Slicer has no ear
        assert told == {"message": "This program saves only by its own menu. Save there."}
    else:
        assert told == {}


@pytest.mark.parametrize("call", ["activity", "kick", "save", "notice"])
def test_the_hub_s_calls_are_the_hub_s(either: Session, call: str) -> None:
    """Nobody else makes them, and each has one method; another one does nothing."""
    method, other = ("GET", "POST") if call == "activity" else ("POST", "GET")
    for headers in ({}, ALICE, BOB, who("carol", "control")):
        answer = either.ask(f"/-/{call}", headers, method=method, content=b'{"all": true}')
        assert answer.status_code == 403
    assert either.ask(f"/-/{call}", SERVICE, method=other).status_code in {404, 405}
