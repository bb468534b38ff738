"""A form of the hub's pages is good for the log-in that it was made for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from controller.people.forms import Forms
from controller.people.tokens import Key, KeyRing, Keys, Use
from tests.support.hub import RING
from tests.support.people import Desk

pytestmark = pytest.mark.anyio

OLD = Key("old", "1e" * 32)  # as hubs made them before Ed25519


@pytest.fixture
def desk() -> Iterator[Desk]:
    """Give log-ins without any."""
    made = Desk()
    yield made
    made.store.close()


async def test_its_own_log_in(desk: Desk) -> None:
    """A form is valid only for the log-in that it was made for, on whatever page it is."""
    first, second = await desk.log_in("alice"), await desk.log_in("alice")
    forms = desk.logins.forms
    made = forms.csrf(first)
    assert forms.csrf_matches(first, made)
    assert not forms.csrf_matches(second, made)
    for given in ("", "é", made[:-1], made[::-1]):
        assert not forms.csrf_matches(first, given)


async def test_rotation(desk: Desk) -> None:
    """A form of before stays good as long as its key is there, of whatever kind the key is."""
    login, wall = await desk.log_in("alice"), desk.clock.wall
    before = Forms(Keys(KeyRing((OLD,))), wall=wall)
    after = Forms(Keys(KeyRing((*RING.keys, OLD))), wall=wall)
    assert after.csrf(login) != before.csrf(login)
    assert after.csrf_matches(login, before.csrf(login))
    assert not before.csrf_matches(login, after.csrf(login))
    assert not Forms(Keys(RING), wall=wall).csrf_matches(login, before.csrf(login))


async def test_a_gate_makes_none(desk: Desk) -> None:
    """The keys that gates have are good for no form."""
    login = await desk.log_in("alice")
    (entry,) = RING.entries().keys
    as_hub = Keys(KeyRing((replace(entry, use=Use.HUB),)))
    made = Forms(as_hub, wall=desk.clock.wall).csrf(login)
    assert not desk.logins.forms.csrf_matches(login, made)
