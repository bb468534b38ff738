"""What people find on their own pages: what they may start, what runs, and who watches."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from controller.core.model import Observed, Person, Role, SessionId, UserId
from controller.core.records import Drain
from controller.people.desk import Desk
from controller.people.logins import Logins
from controller.people.tokens import Keys
from controller.sessions.gateway import Client
from controller.sessions.polling import Poller
from controller.sessions.sharing import Sharing
from controller.web.companions import Companions
from controller.web.pages.home import HomeView, HomeViews
from controller.web.pages.sharing import ShareViews
from controller.web.render import Viewer
from tests.support.fakes.directory import FakeDirectory
from tests.support.fakes.parts import ALICE, BOB, Parts, configured
from tests.support.hub import RING
from tests.support.samples import CREATED, session

pytestmark = pytest.mark.anyio

GROUPS = """
[profiles.theirs]
title = "Theirs"
image = "theirs"
groups = ["others"]
"""


class Looked(Poller):
    """Has found these connected to every session."""

    connected: Iterable[Client] = ()

    def clients(self, session_id: SessionId) -> tuple[Client, ...]:
        """See Poller."""
        del session_id
        return tuple(self.connected)


class Pages:
    """The pages of a small hub."""

    def __init__(self) -> None:
        """Nothing runs."""
        self.parts = parts = Parts(configured(GROUPS))
        self.directory = FakeDirectory()
        self.poller = Looked(parts.sessions, parts.engine, parts.gateway, parts.metrics)
        logins = Logins(
            parts.settings,
            self.directory,
            parts.store,
            Keys(RING),
            audit=parts.audit,
            metrics=parts.metrics,
            wall=parts.epoch,
        )
        sharing = Sharing(
            parts.settings,
            parts.sessions,
            parts.grants,
            parts.grant_records,
            self.poller,
            logins=logins,
            gateway=parts.gateway,
            directory=self.directory,
            audit=parts.audit,
            metrics=parts.metrics,
            clock=lambda: parts.seconds,
        )
        self.homes = HomeViews(
            parts.settings,
            parts.sessions,
            sharing,
            self.poller,
            Desk(parts.settings, parts.store),
            Companions(parts.settings, parts.engine, changed=lambda: None),
        )
        self.shares = ShareViews(parts.sessions, sharing, self.poller, self.directory)

    def run(self, number: int, owner: str, profile: str = "slicer") -> Observed:
        """Let a session run."""
        made = session(number, owner=owner, profile=profile, created_at=self.parts.now)
        seen = Observed(session=made, running=True)
        self.parts.registry.put(seen)
        return seen

    async def home(self, person: Person) -> HomeView:
        """Return somebody's first page."""
        return await self.homes.view(viewer_of(person), person, self.parts.now)


def viewer_of(person: Person) -> Viewer:
    """Return somebody who looks at a page."""
    return Viewer(person.uid, person.display_name, "x")


async def test_only_what_is_open_to_somebody_is_offered() -> None:
    """A profile of other groups is not shown, and each card is its owner's."""
    pages = Pages()
    pages.run(1, "bob")
    view = await pages.home(ALICE)
    assert [one.id for one in view.profiles] == ["slicer", "lined"]
    assert (view.sessions, view.shared, view.blocked) == ((), (), "")
    assert [one.profile_title for one in (await pages.home(BOB)).sessions] == ["Slicer"]


async def test_one_reason_for_all_is_said_once() -> None:
    """A person who has as many sessions as allowed reads that once, above the buttons."""
    pages = Pages()
    pages.run(1, "alice")
    pages.run(2, "alice")
    view = await pages.home(ALICE)
    assert view.blocked.startswith("You have 2 sessions")
    assert {one.why_not for one in view.profiles} == {view.blocked}


async def test_a_line_is_offered_where_there_is_one() -> None:
    """A profile that is full can be started all the same if one may wait for it."""
    pages = Pages()
    pages.run(1, "bob", "lined")
    lined = (await pages.home(ALICE)).profiles[1]
    assert (lined.id, lined.available, lined.queue) == ("lined", True, 0)


async def test_a_drain_is_told_to_everybody() -> None:
    """Nothing can be started, and the page says until when one may work."""
    pages = Pages()
    at = pages.parts.epoch() + 60
    await pages.parts.sessions.rule_book.set_drain(Drain(UserId("carol"), 1.0, "New disks.", at))
    view = await pages.home(ALICE)
    assert view.blocked == "Nothing new can be started at present. Running sessions go on."
    (notice,) = view.notices
    assert notice.text == "New disks. All sessions are stopped at"
    assert not notice.dismissable


async def test_who_looks_on_is_named() -> None:
    """Owners read on both pages who is there, by the names under which people were invited."""
    pages = Pages()
    seen = pages.run(1, "alice")
    await pages.parts.grant_records.invite(seen.session.id, BOB, Role.VIEW, seconds=None)
    pages.poller.connected = (
        Client(ALICE.uid, Role.OWNER, CREATED),
        Client(BOB.uid, Role.VIEW, CREATED),
        Client(UserId("carol"), Role.CONTROL, CREATED),
    )
    (card,) = (await pages.home(ALICE)).sessions
    assert card.watching == ("Bob Example is watching", "carol has control")
    assert card.shared_with == 1
    view = await pages.shares.view(viewer_of(ALICE), seen, pages.parts.now, error="No.")
    assert view.connected == ("Alice Example", "Bob Example", "carol")
    assert [(one.user, one.role) for one in view.people] == [("bob", Role.VIEW)]
    assert (view.error, view.can_suggest) == ("No.", True)
    (shared,) = (await pages.home(BOB)).shared
    assert (shared.owner, shared.can_ask) == ("alice", True)


async def test_names_are_not_suggested_that_cannot_be_looked_up() -> None:
    """Where the directory tells nothing of others, the page says so by offering no names."""
    pages = Pages()
    pages.directory.can_find = False
    seen = pages.run(1, "alice")
    assert not (await pages.shares.view(viewer_of(ALICE), seen, pages.parts.now)).can_suggest
