"""Whatever a stranger types means nothing to the directory, and is not sent to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from controller.core.errors import LoginRefused
from controller.core.model import UserId
from controller.people.ldap.adapter import LdapDirectory

if TYPE_CHECKING:
    from tests.ldap.slapd import Slapd

pytestmark = pytest.mark.anyio

# What a stranger might type to widen a search or to become somebody else.
INJECTIONS = [
    "*",
    "a*",
    "alice*",
    "*)(uid=*",
    "alice)(uid=*",
    "*)(|(uid=*",
    "alice)(|(password=*",
    "(alice",
    "alice)",
    "al\\69ce",
    "\\2a",
    "alice\\",
    "alice\0",
    "\0",
    "alice\0*",
    "alice,ou=people",
    "alice,ou=people,dc=example,dc=org",
    "uid=alice",
    "alice+cn=alice",
    "alice;",
    'ali"ce',
    "<alice>",
    "#alice",
    "alice ",
    " alice",
    "al ice",
    "alice\n",
    "alice\r\nbob",
    "alice&",
    "|alice",
    "!alice",
    "~alice",
    "alice/",
    "alice:bob",
    "＊",
    "ａlice）（uid＝＊",
    "ali\u200dce",
    "ali\u202ece",
    "ali\udcffce",
    "",
    " ",
    "a" * 65,
    "\ufdfa" * 10,
    "a" * 1_000_000,
]


@pytest.mark.row(22)
@pytest.mark.parametrize("mode", ["search", "template"])
async def test_injection_never_reaches_the_server(slapd: Slapd, mode: str) -> None:
    """Names that mean something in a filter or a DN are refused before anything is sent."""
    directory = LdapDirectory(slapd.settings if mode == "search" else slapd.by_template())
    log = slapd.log()
    for typed in INJECTIONS:
        with pytest.raises(LoginRefused) as caught:
            await directory.authenticate(typed, "alice")
        assert str(caught.value) == str(LoginRefused())
    await directory.authenticate("bob", "bob")
    seen = log.until("closed")
    assert seen.count("ACCEPT") == 1, "only bob's log-in may be seen"


@pytest.mark.row(22)
async def test_a_lookup_is_escaped_too(slapd: Slapd) -> None:
    """The second line of defence: a uid that is a filter is looked for letter by letter."""
    directory = LdapDirectory(slapd.settings)
    log = slapd.log()
    assert await directory.find(UserId("*")) is None
    assert await directory.find(UserId("alice)(uid=*")) is None
    await directory.authenticate("bob", "bob")
    seen = log.until('BIND dn="uid=bob,')
    filters = [line for line in seen.splitlines() if "SRCH base=" in line]
    assert any("(uid=\\2A)" in line for line in filters)
    assert any("(uid=alice\\29\\28uid=\\2A)" in line for line in filters)


@pytest.mark.parametrize("password", ["", " ", "\t\n", "\u00a0", "\u3000", "\0", "\0\0", "a\0b"])
@pytest.mark.parametrize("mode", ["search", "template"])
async def test_no_bind_without_a_password(slapd: Slapd, password: str, mode: str) -> None:
    """An empty password, which servers take for an anonymous log-in, is never sent."""
    directory = LdapDirectory(slapd.settings if mode == "search" else slapd.by_template())
    log = slapd.log()
    with pytest.raises(LoginRefused):
        await directory.authenticate("alice", password)
    await directory.authenticate("bob", "bob")
    seen = log.until("closed")
    assert 'BIND dn="uid=alice,' not in seen
    assert seen.count("ACCEPT") == 1, "only bob's log-in may be seen"
