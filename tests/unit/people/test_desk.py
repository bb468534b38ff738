"""People keep their notices and their choices, and only what is offered is started for them."""

from __future__ import annotations

import pytest

from controller.core.errors import NotAllowed
from controller.people.desk import Desk
from controller.store.sqlite.store import SqliteStore
from tests.support.fakes.parts import ALICE, BOB, configured

pytestmark = pytest.mark.anyio

OFFERED = """
[profiles.early]
title = "Early"
image = "early"
start_ahead = true
[profiles.theirs]
title = "Theirs"
image = "theirs"
start_ahead = true
groups = ["students"]
"""


async def test_a_notice_is_put_away_by_whom_it_is_for() -> None:
    """Nobody can put away what somebody else is told."""
    store = SqliteStore(":memory:")
    desk = Desk(configured(), store)
    await store.add_notice(ALICE.uid, "It was stopped at", ".", 1.0)
    (notice,) = await desk.notices(ALICE.uid)
    await desk.put_away(BOB.uid, notice.number)
    assert await desk.notices(ALICE.uid) == [notice]
    await desk.put_away(ALICE.uid, notice.number)
    assert await desk.notices(ALICE.uid) == []


async def test_a_choice_can_be_taken_back() -> None:
    """What somebody has chosen is wanted until they choose otherwise."""
    settings = configured(OFFERED)
    desk = Desk(settings, SqliteStore(":memory:"))
    early = next(one for one in settings.profiles if one.id == "early")
    await desk.choose(BOB.uid, early, on=True)
    assert await desk.chosen(BOB.uid) == {"early"}
    assert await desk.wanted(BOB) == [early]
    await desk.choose(BOB.uid, early, on=False)
    assert await desk.wanted(BOB) == []


async def test_only_what_is_offered_can_be_chosen() -> None:
    """Anyone who asks for more is told whom to ask."""
    settings = configured(OFFERED)
    desk = Desk(settings, SqliteStore(":memory:"))
    with pytest.raises(NotAllowed, match="Ask the administrator"):
        await desk.choose(ALICE.uid, settings.profiles[0], on=True)
    assert await desk.chosen(ALICE.uid) == frozenset()


async def test_what_is_offered_no_longer_is_not_wanted() -> None:
    """A choice of before starts nothing that is closed now: not offered, or for other groups."""
    store = SqliteStore(":memory:")
    desk = Desk(configured(OFFERED), store)
    for uid in (ALICE.uid, BOB.uid):
        for profile in ("slicer", "early", "theirs", "long gone"):
            await store.set_ahead(uid, profile, on=True)
    assert [one.id for one in await desk.wanted(ALICE)] == ["early", "theirs"]
    assert [one.id for one in await desk.wanted(BOB)] == ["early"]
