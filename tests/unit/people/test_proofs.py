"""What a request carries proves one log-in of one kind, or nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from controller.core.errors import NotReadyYet
from controller.core.model import UserId
from controller.people.tokens import Audience, Claims
from controller.rules.credentials import Credentials
from tests.support.hub import RING
from tests.support.people import Desk
from tests.support.samples import session_id

pytestmark = pytest.mark.anyio

SESSION, OTHER = session_id(1), session_id(2)


@pytest.fixture
def desk() -> Iterator[Desk]:
    """Give log-ins without any."""
    made = Desk()
    yield made
    made.store.close()


def claims(desk: Desk, audience: Audience, sub: str, sid: str) -> Claims:
    """Return what a token of this moment says."""
    now = desk.clock.wall()
    return Claims(sub, sid, audience, iat=now, exp=now + 3600)


async def test_each_kind_where_it_belongs(desk: Desk) -> None:
    """A browser's token is good as a cookie, a program's as a bearer's, and not otherwise."""
    browser = await desk.logins.entering.enter(
        "alice", "alice", address="10.0.0.1", audience=Audience.LOGIN
    )
    script = await desk.logins.entering.enter(
        "alice", "alice", address="10.0.0.1", audience=Audience.API
    )
    proofs = desk.logins.proofs
    assert proofs.by_cookie(Credentials(login=browser.token)) == browser.login
    assert proofs.by_bearer(Credentials(bearer=script.token)) == script.login
    assert proofs.by_cookie(Credentials(login=script.token)) is None
    assert proofs.by_bearer(Credentials(bearer=browser.token)) is None
    for nothing in (Credentials(), Credentials(bearer="")):
        assert proofs.by_cookie(nothing) is None
        assert proofs.by_bearer(nothing) is None


async def test_over(desk: Desk) -> None:
    """A token proves nothing from the moment its log-in is over, by the clock or by an act."""
    first, second = await desk.enter("alice"), await desk.enter("bob")
    proofs = desk.logins.proofs
    await desk.logins.revoke(UserId("alice"))
    assert proofs.by_bearer(first) is None
    assert proofs.by_bearer(second) is not None
    desk.clock.advance(12 * 3600)
    assert proofs.by_bearer(second) is None


async def test_anothers(desk: Desk) -> None:
    """A token that names somebody else's log-in is nobody's."""
    login = await desk.log_in("alice")
    await desk.logins.following.load()
    good = claims(desk, Audience.LOGIN, "alice", login.sid)
    assert desk.logins.proofs.login_of(good) == login
    assert desk.logins.proofs.login_of(replace(good, sub="bob")) is None
    assert desk.logins.proofs.login_of(replace(good, sid="unknown")) is None


async def test_before_the_store_is_read(desk: Desk) -> None:
    """What may be in the store is not refused before that was read; what ended here is."""
    login = await desk.log_in("alice")
    unknown = claims(desk, Audience.LOGIN, "alice", "unknown")
    with pytest.raises(NotReadyYet):
        desk.logins.proofs.login_of(unknown)
    await desk.logins.revoke(login.person.uid)
    assert desk.logins.proofs.login_of(replace(unknown, sid=login.sid)) is None


async def test_the_controller_itself(desk: Desk) -> None:
    """The controller's own token is good for the session that it names, and for nobody's log-in."""
    token = RING.issue(claims(desk, Audience.SERVICE, "controller", SESSION))
    proofs, given = desk.logins.proofs, Credentials(bearer=token)
    assert proofs.is_service(given, SESSION)
    assert not proofs.is_service(given, OTHER)
    assert not proofs.is_service(Credentials(login=token), SESSION)
    assert not proofs.is_service(await desk.enter("alice"), SESSION)
    assert proofs.by_bearer(given) is None
