"""People who log in find the sessions that they chose running, and never wait for them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest

from controller.core.errors import StoreUnavailable
from controller.core.model import Person, Profile
from controller.core.records import CONTROLLER
from controller.people.desk import Desk
from controller.sessions.ahead import StartAhead
from tests.support.fakes.parts import ALICE, Parts, configured
from tests.support.hub import eventually

pytestmark = pytest.mark.anyio

OFFERED = """
[profiles.early]
title = "Early"
image = "early"
start_ahead = true
[profiles.other]
title = "Other"
image = "other"
start_ahead = true
[profiles.third]
title = "Third"
image = "third"
start_ahead = true
"""


class Away(Desk):
    """A desk whose records cannot be read."""

    async def wanted(self, person: Person) -> list[Profile]:
        """See Desk."""
        del person
        raise StoreUnavailable("The disk is full.")


@asynccontextmanager
async def at_work(*chosen: str) -> AsyncGenerator[tuple[Parts, StartAhead], None]:
    """Run a hub at which Alice has chosen these."""
    parts = Parts(configured(OFFERED))
    for one in chosen:
        await parts.store.set_ahead(ALICE.uid, one, on=True)
    async with anyio.create_task_group() as group:
        group.start_soon(parts.sessions.run)
        await eventually(lambda: parts.sessions.ready)
        yield parts, StartAhead(parts.sessions, Desk(parts.settings, parts.store))
        group.cancel_scope.cancel()


def running(parts: Parts) -> list[tuple[str, str]]:
    """Return the profiles and names of Alice's sessions."""
    found = parts.sessions.owned_by(ALICE.uid)
    return [(one.session.profile, one.session.name) for one in found]


async def test_what_was_chosen_starts_once() -> None:
    """The first goes without a name, the next by its profile's, and a second log-in adds none."""
    async with at_work("early", "other") as (parts, ahead):
        for _ in range(2):
            await ahead.start(ALICE, CONTROLLER)
            assert sorted(running(parts)) == [("early", ""), ("other", "Other")]
        assert all(parts.sessions.usage.is_ahead(one) for one in parts.sessions.all())


async def test_what_there_is_no_room_for_is_left_out() -> None:
    """Two sessions are all that one may have: the third is not started, and nothing is raised."""
    async with at_work("early", "other", "third") as (parts, ahead):
        await ahead.start(ALICE, CONTROLLER)
        assert sorted(running(parts)) == [("early", ""), ("other", "Other")]


async def test_records_that_are_away_start_nothing() -> None:
    """Somebody logs in although nobody can tell what they have chosen."""
    async with at_work("early") as (parts, _):
        away = Away(parts.settings, parts.store)
        await StartAhead(parts.sessions, away).start(ALICE, CONTROLLER)
        assert running(parts) == []
