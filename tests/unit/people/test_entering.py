"""How a log-in begins: what is kept of it, and which others make room for it."""

from __future__ import annotations

from collections.abc import Iterator

import anyio
import pytest
from structlog.testing import capture_logs

from controller.core.errors import DirectoryUnavailable, LoginRefused, StoreUnavailable
from controller.core.model import UserId
from controller.people import entering
from controller.people.entering import LOGINS_MOST
from controller.people.tokens import Audience
from tests.support.fakes.records import Records
from tests.support.hub import RING
from tests.support.people import Desk

pytestmark = pytest.mark.anyio

ALICE = UserId("alice")


@pytest.fixture
def desk() -> Iterator[Desk]:
    """Give log-ins without any."""
    made = Desk(Records())
    yield made
    made.store.close()


@pytest.mark.parametrize("audience", [Audience.LOGIN, Audience.API])
async def test_what_is_kept(desk: Desk, audience: Audience) -> None:
    """People find from where and with what they logged in; it ends after the configured time."""
    fresh = await desk.logins.entering.enter(
        "Alice", "alice", address="10.0.0.9", audience=audience, agent="A\x00B" + "x" * 900
    )
    kept, now = fresh.login, desk.clock.wall()
    assert await desk.store.logins(0) == [kept]
    assert (kept.person.uid, kept.address, kept.script) == (ALICE, "10.0.0.9", audience == "api")
    assert (kept.created, kept.expires, kept.seen) == (now, now + 12 * 3600, now)
    assert kept.key == RING.keys[0].kid
    assert len(kept.agent) <= 200
    claims = desk.logins.proofs.read(fresh.token, audience)
    assert claims is not None
    assert (claims.sub, claims.sid, claims.exp) == (ALICE, kept.sid, kept.expires)


async def test_each_kind_makes_room_for_its_own(desk: Desk) -> None:
    """Programs that log in again and again end programs' log-ins and no browser's."""
    browser = await desk.log_in("alice")
    for _ in range(LOGINS_MOST + 3):
        desk.clock.advance(1)
        await desk.log_in("alice", Audience.API)
    theirs = desk.logins.standing.of_person(ALICE)
    assert len(theirs) == LOGINS_MOST + 1
    assert [one.sid for one in theirs if not one.script] == [browser.sid]


async def test_what_cannot_be_written_admits_nobody(desk: Desk) -> None:
    """While the store is away nobody is logged in who would be out after a restart."""
    records = desk.store
    assert isinstance(records, Records)
    records.away = True
    with pytest.raises(StoreUnavailable):
        await desk.log_in("alice")
    assert not desk.logins.standing.is_in(ALICE)


async def test_room_that_cannot_be_written_down(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fresh log-in stands, though the store cannot be told of the one that made room."""
    for _ in range(LOGINS_MOST):
        desk.clock.advance(1)
        await desk.log_in("alice")

    async def refuse(sid: str) -> None:
        raise StoreUnavailable("{sid} stays", sid=sid)

    monkeypatch.setattr(desk.store, "remove_login", refuse)
    with capture_logs() as logs:
        fresh = await desk.log_in("alice")
    assert desk.logins.standing.stands(fresh)
    assert len(desk.logins.standing.of_person(ALICE)) == LOGINS_MOST
    assert "surplus_unwritten" in {one["event"] for one in logs}


@pytest.mark.parametrize(
    ("username", "fault", "reason"),
    [
        ("alice", LoginRefused(), "refused"),
        ("nobody", None, "refused"),
        ("alice", DirectoryUnavailable("It is away."), "unavailable"),
    ],
)
async def test_a_failure(
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    username: str,
    fault: Exception | None,
    reason: str,
) -> None:
    """Nobody is logged in, the record says why; a refusal takes its time whatever the cause."""
    monkeypatch.setattr(entering, "_REFUSAL_SECONDS", 0.02)
    desk.directory.fault = fault
    begun = anyio.current_time()
    with capture_logs() as logs, pytest.raises((LoginRefused, DirectoryUnavailable)):
        await desk.log_in(username)
    assert reason == "unavailable" or anyio.current_time() - begun >= 0.02
    (act,) = [one for one in logs if one.get("act")]
    assert (act["act"], act["who"], act["reason"]) == ("login_failed", username, reason)
    assert desk.logins.standing.people() == frozenset()
