"""A log-in is good at all controllers in the answer that sets its cookie, and bad once it is over.

Two controllers over one store, of whose changes each hears only when the test lets it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from msgspec.structs import replace

from controller.core.errors import LoginNotHeardOf, NotReadyYet
from controller.core.model import UserId
from controller.core.records import CONTROLLER, Login
from controller.monitoring.audit import Audit
from controller.monitoring.metrics import Metrics
from controller.people.handoff import CODE_SECONDS, Handoffs
from controller.people.logins import Logins
from controller.people.tokens import LEEWAY, Audience, Keys, TokenRefused
from controller.rules.credentials import Credentials
from controller.store.sqlite.store import SqliteStore
from tests.support.fakes.directory import PEOPLE, FakeDirectory
from tests.support.fakes.replica import Cluster, Replica
from tests.support.hub import RING, Clock
from tests.support.samples import session_id, settings

pytestmark = pytest.mark.anyio

CAROL = UserId("carol")
NEWS_SECONDS = 10.0  # in which a record must have come to all controllers
SESSION = session_id(1)


class Controller:
    """The log-ins of one controller, and how it hears of others'."""

    def __init__(self, store: SqliteStore, clock: Clock) -> None:
        """Nothing is read yet. ``clock``: this one's own."""
        configured, metrics, keys = settings(), Metrics(), Keys(RING)
        self.store = store
        self.clock = clock
        self.directory = FakeDirectory()
        self.logins = Logins(
            configured,
            self.directory,
            store,
            keys,
            audit=Audit(configured.audit, metrics, wall=clock.wall),
            metrics=metrics,
            wall=clock.wall,
        )
        self.handoffs = Handoffs(configured, self.logins.proofs, keys, wall=clock.wall)

    async def enter(self, name: str, audience: Audience = Audience.LOGIN) -> str:
        """Log somebody in; return the token."""
        entry = await self.logins.entering.enter(name, name, address="10.0.0.1", audience=audience)
        return entry.token

    def finds(self, token: str) -> Login | None:
        """Return the log-in that a browser's cookie proves here."""
        return self.logins.proofs.by_cookie(Credentials(login=token))

    def carries(self, cookie: str) -> Credentials:
        """Return what a browser carries to which this Set-Cookie was sent."""
        return self.logins.proofs.reader.read(cookie.partition(";")[0], "")

    async def leave(self, token: str) -> None:
        """End a log-in that is known here."""
        login = self.finds(token)
        assert login is not None
        await self.logins.leave(login, by=CONTROLLER, reason="asked")

    async def hear(self) -> None:
        """Hear of all that others have written."""
        assert isinstance(self.store, Replica)
        await self.store.hear()
        await self.logins.following.load()


class Pair:
    """Two controllers that run already, over one store."""

    def __init__(self, path: Path) -> None:
        """Make what they share; their clocks begin alike."""
        self.path = path
        self.cluster = Cluster(path, Clock().monotonic)
        self.made: list[Controller] = []

    async def another(self) -> Controller:
        """Start one more."""
        made = Controller(self.cluster.replica(), Clock())
        await made.logins.following.load()
        self.made.append(made)
        return made

    def advance(self, seconds: float) -> None:
        """Let time pass at all of them."""
        for one in self.made:
            one.clock.advance(seconds)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncGenerator[Pair, None]:
    """Give two controllers without log-ins."""
    made = Pair(tmp_path / "store.sqlite")
    await made.another()
    await made.another()
    yield made
    for one in made.made:
        one.store.close()


async def test_known_at_once(pair: Pair) -> None:
    """A log-in at one controller is fully known to the other before that has heard of it."""
    one, other = pair.made
    token = await one.enter("carol")
    found, own = other.finds(token), one.finds(token)
    assert found is not None
    assert own is not None
    assert (found.person, found.sid, found.created, found.expires, found.script) == (
        (own.person, own.sid, own.created, own.expires, own.script)
    )
    assert other.logins.standing.people() == {CAROL}
    bearer = Credentials(bearer=await one.enter("bob", Audience.API))
    script = other.logins.proofs.by_bearer(bearer)
    assert script is not None
    assert script.script
    for _ in range(2):
        await other.hear()
        assert other.finds(token) == own
        assert other.logins.proofs.by_bearer(bearer) is not None


async def test_stays_known_until_it_is_heard_of(pair: Pair) -> None:
    """Other news, in which a log-in is not yet, does not log it out."""
    one, other = pair.made
    token = await one.enter("carol")
    assert other.finds(token) is not None
    await other.logins.following.load()
    assert other.finds(token) is not None
    await other.enter("bob")
    await other.logins.following.load()
    assert other.finds(token) is not None


async def test_a_kind_stays_a_kind(pair: Pair) -> None:
    """That a log-in is news lets no token pass for one of another kind, or another's."""
    one, other = pair.made
    token = await one.enter("carol")
    assert other.logins.proofs.by_bearer(Credentials(bearer=token)) is None
    for audience in (Audience.API, Audience.CODE, Audience.ENTRY, Audience.SERVICE):
        assert other.logins.proofs.read(token, audience) is None
    head, body, signature = token.split(".")
    assert other.finds(f"{head}.{body}.{signature[::-1]}") is None


async def test_left_where_it_was_not_heard_of(pair: Pair) -> None:
    """A log-in that is ended where no record of it has come yet is over there at once, for good."""
    one, other = pair.made
    token = await one.enter("carol")
    await other.leave(token)
    assert other.finds(token) is None
    await other.logins.following.load()
    assert other.finds(token) is None
    await other.hear()
    assert other.finds(token) is None
    await one.hear()
    assert one.finds(token) is None


async def test_left_before_it_was_heard_of(pair: Pair) -> None:
    """A log-in that was made and ended elsewhere is over as soon as that is heard of, in one go.

    That is as soon as for any other log-in, however young the token is.
    """
    one, other = pair.made
    token = await one.enter("carol")
    await one.leave(token)
    assert one.finds(token) is None
    await other.hear()
    assert other.finds(token) is None


async def test_left_after_it_passed(pair: Pair) -> None:
    """The same, for one that has passed there as news."""
    one, other = pair.made
    token = await one.enter("carol")
    assert other.finds(token) is not None
    await one.leave(token)
    await other.hear()
    assert other.finds(token) is None
    assert other.logins.standing.people() == frozenset()


async def test_revoked_where_it_was_not_heard_of(pair: Pair) -> None:
    """Whose log-ins are all ended is out by one that passed as news, too."""
    one, other = pair.made
    token = await one.enter("carol")
    assert other.finds(token) is not None
    assert await other.logins.revoke(CAROL) == 1
    assert other.finds(token) is None
    await one.hear()
    assert one.finds(token) is None


async def test_not_let_in_by_a_start(pair: Pair) -> None:
    """A controller that has just started knows what has ended, however young it was."""
    one, _ = pair.made
    ended, stands = await one.enter("carol"), await one.enter("bob")
    await one.leave(ended)
    unread = Controller(pair.cluster.replica(), Clock())
    with pytest.raises(NotReadyYet):
        unread.finds(ended)
    unread.store.close()
    again = await pair.another()
    assert again.finds(ended) is None
    assert again.finds(stands) is not None


async def test_lost_records(pair: Pair) -> None:
    """After the records were lost nobody is let in without logging in."""
    one, other = pair.made
    token = await one.enter("carol")
    someone = pair.cluster.replica()
    for login in await one.store.logins(0):
        await someone.remove_login(login.sid)
    someone.close()
    await other.hear()
    assert other.finds(token) is None
    assert (await pair.another()).finds(token) is None


async def test_restored_records(pair: Pair) -> None:
    """After a restore, people who are not in the older records have to log in again."""
    one, other = pair.made
    token = await one.enter("carol")
    assert other.finds(token) is not None
    pair.advance(NEWS_SECONDS + LEEWAY + 1)
    await one.leave(token)
    pair.cluster.revision = 0
    await other.hear()
    assert other.finds(token) is None


async def test_a_controller_that_hears_nothing(pair: Pair) -> None:
    """A token that is too old to be news lets nobody in where the log-in is not known."""
    one, other = pair.made
    token, late = await one.enter("carol"), await one.enter("bob")
    pair.advance(NEWS_SECONDS + LEEWAY)
    assert other.finds(token) is not None
    pair.advance(0.1)
    assert other.finds(late) is None
    await other.hear()
    assert other.finds(late) is not None


@pytest.mark.parametrize("seconds", [-LEEWAY, -2.0, 2.0, LEEWAY])
async def test_clocks_that_differ(pair: Pair, seconds: float) -> None:
    """Clocks that differ by some seconds keep nobody out who has just logged in."""
    one, other = pair.made
    other.clock.step(seconds)
    token = await one.enter("carol")
    assert other.finds(token) is not None
    pair.advance(NEWS_SECONDS)
    assert other.finds(token) is not None
    await one.leave(token)
    await other.hear()
    assert other.finds(token) is None


async def test_one_controller_alone(tmp_path: Path) -> None:
    """With one controller no token tells anything: what is not in the store is over."""
    store = SqliteStore(tmp_path / "store.sqlite")
    alone = Controller(store, Clock())
    await alone.logins.following.load()
    token = await alone.enter("carol")
    claims = alone.logins.proofs.read(token, Audience.LOGIN)
    assert claims is not None
    assert claims.news is None
    for login in await store.logins(0):
        await store.remove_login(login.sid)
    await alone.logins.following.load()
    assert alone.finds(token) is None
    store.close()


@pytest.mark.parametrize("groups", [30, 3000])
async def test_many_groups(pair: Pair, groups: int) -> None:
    """A cookie stays short enough for browsers; people in very many groups are asked to wait."""
    one, other = pair.made
    named = frozenset(f"Department of Radiology {number}" for number in range(groups))
    one.directory.people["carol"] = carol = replace(PEOPLE["carol"], groups=named)
    token = await one.enter("carol")
    assert len(token) < 4000
    if groups == 30:
        found = other.finds(token)
        assert found is not None
        assert found.person == carol
        return
    with pytest.raises(LoginNotHeardOf):
        other.finds(token)
    await other.hear()
    found = other.finds(token)
    assert found is not None
    assert found.person == carol


async def test_entries(pair: Pair) -> None:
    """A hand-off that a fresh log-in begins at one controller ends, and is good, at another."""
    one, other = pair.made
    third = await pair.another()
    token = await one.enter("carol")
    login = one.finds(token)
    assert login is not None
    digest, begun = third.handoffs.begin(Credentials())
    state = third.carries(begun)
    code = one.handoffs.code(login, SESSION, digest)
    assert other.handoffs.redeem(code, state, session_id(2)) == ()
    entered, _ = other.handoffs.redeem(code, state, SESSION)
    assert other.handoffs.redeem(code, state, SESSION) == ()
    entry = other.carries(entered)
    for controller in pair.made:
        found = controller.handoffs.login_of(entry, SESSION)
        assert found is not None
        assert found.person.uid == CAROL
        assert found.expires == login.expires
        assert controller.handoffs.login_of(entry, session_id(2)) is None
    # Without what the directory says: at a session's host nothing but the name is known.
    known = third.handoffs.login_of(entry, SESSION)
    assert known is not None
    assert not known.person.groups
    assert not known.person.admin
    assert third.logins.standing.people() == frozenset()
    await one.leave(token)
    for controller in pair.made:
        await controller.hear()
        assert controller.handoffs.login_of(entry, SESSION) is None


async def test_what_is_no_news_is_not_told(pair: Pair) -> None:
    """A code of a log-in that all know says nothing of it, nor does the entry that it gives."""
    one, other = pair.made
    token = await one.enter("carol")
    await other.hear()
    pair.advance(NEWS_SECONDS + LEEWAY + 1)
    login = one.finds(token)
    assert login is not None
    digest, begun = other.handoffs.begin(Credentials())
    code = one.handoffs.code(login, SESSION, digest)
    claims = other.logins.proofs.read(code, Audience.CODE)
    assert claims is not None
    assert claims.news is None
    entered, _ = other.handoffs.redeem(code, other.carries(begun), SESSION)
    assert one.handoffs.login_of(one.carries(entered), SESSION) is not None
    assert CODE_SECONDS < NEWS_SECONDS + LEEWAY  # a code is over before its news is


async def test_forged_news(pair: Pair) -> None:
    """What a token tells is believed of our own keys only, and not past the token's end."""
    one, other = pair.made
    token = await one.enter("carol")
    claims = one.logins.proofs.read(token, Audience.LOGIN)
    assert claims is not None
    assert claims.news is not None
    over = replace(claims, exp=claims.iat - LEEWAY - 1)
    with pytest.raises(TokenRefused):
        RING.verify(RING.issue(over), Audience.LOGIN, other.clock.wall())
    assert other.finds(RING.issue(over)) is None
    past = replace(claims, news=replace(claims.news, expires=claims.iat))
    assert other.finds(RING.issue(past)) is None
