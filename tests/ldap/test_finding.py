"""Looking people up without their password: who is found again, and who is suggested."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from controller.core.errors import DirectoryUnavailable, LoginRefused
from controller.core.model import UserId
from controller.people.directory import SUGGEST_ENTRIES
from controller.people.ldap.adapter import LdapDirectory

if TYPE_CHECKING:
    from tests.ldap.slapd import Slapd

pytestmark = pytest.mark.anyio

USERS = frozenset({"slicer-users"})


async def test_finding_people_again(slapd: Slapd) -> None:
    """Who leaves the allowed group or the directory is gone at the next look."""
    settings = slapd.with_settings(allowed_groups=USERS)
    for directory in (
        LdapDirectory(settings),
        LdapDirectory(
            slapd.with_settings(
                allowed_groups=USERS,
                search_base="",
                user_dn_template="uid={username},ou=people,dc=example,dc=org",
            )
        ),
    ):
        assert directory.can_find
        person = await directory.authenticate("alice", "alice")
        assert await directory.find(UserId("alice")) == person
        assert await directory.find(UserId("bob")) is None
        assert await directory.find(UserId("nobody")) is None
        group = "dn: cn=slicer-users,ou=groups,dc=example,dc=org\nchangetype: modify\n"
        member = "member: uid=alice,ou=people,dc=example,dc=org\n"
        slapd.modify(f"{group}delete: member\n{member}")
        try:
            assert await directory.find(UserId("alice")) is None
            with pytest.raises(LoginRefused):
                await directory.authenticate("alice", "alice")
        finally:
            slapd.modify(f"{group}add: member\n{member}")
        assert await directory.find(UserId("alice")) == person


async def test_without_anybody_to_look_there_is_no_finding(slapd: Slapd) -> None:
    """A DN template without a service account says that it cannot look people up."""
    directory = LdapDirectory(slapd.by_template())
    assert not directory.can_find
    with pytest.raises(DirectoryUnavailable, match=r"ldap\.bind_dn"):
        await directory.find(UserId("alice"))


async def test_finding_somebody_whose_account_goes_away(slapd: Slapd) -> None:
    """Who is disabled or deleted while logged in is gone at the next look, and back when back."""
    directory = LdapDirectory(slapd.settings)
    dn = "uid=leaver,ou=people,dc=example,dc=org"
    entry = (
        f"dn: {dn}\nchangetype: add\nobjectClass: inetOrgPerson\n"
        "objectClass: otherServersAccount\nuid: leaver\ncn: leaver\nsn: leaver\n"
    )
    assert await directory.find(UserId("leaver")) is None
    slapd.modify(entry)
    try:
        person = await directory.find(UserId("leaver"))
        assert person is not None
        lock = f"dn: {dn}\nchangetype: modify\nreplace: nsAccountLock\nnsAccountLock: "
        slapd.modify(f"{lock}true\n")
        assert await directory.find(UserId("leaver")) is None
        slapd.modify(f"{lock}false\n")
        assert await directory.find(UserId("leaver")) == person
    finally:
        slapd.modify(f"dn: {dn}\nchangetype: delete\n")
    assert await directory.find(UserId("leaver")) is None


async def suggested(directory: LdapDirectory, text: str, limit: int = 10) -> list[str]:
    """Return the uids that are suggested, in their order."""
    return [one.uid for one in await directory.suggest(text, limit)]


@pytest.mark.parametrize(
    ("text", "uids"),
    [
        ("ali", ["alice"]),
        (" ALICE ", ["alice"]),
        ("alice å", ["alice"]),
        ("ångst", ["alice"]),  # the surname
        ("member 07", ["crowd07"]),  # a later word
        ("mixed", ["mixed.case"]),
        ("mül", ["müller"]),
        ("bob", ["bob"]),  # without a display name, by cn
        ("lice", []),  # the middle of a word
        ("nobody", []),
        ("al", []),
        ("", []),
        ("***", []),
        ("ali*", []),
        ("*ali", []),
        ("ali)(uid=*", []),
        ("(uid=*)", []),
        ("ali\\2a", []),
        ("ali\0", []),
    ],
)
async def test_suggestions(slapd: Slapd, text: str, uids: list[str]) -> None:
    """The beginning of a uid, of a name or of a word of it finds people; nothing else does."""
    assert await suggested(LdapDirectory(slapd.settings), text) == uids


async def test_suggested_people_are_those_that_are_found(slapd: Slapd) -> None:
    """A suggestion has the same groups as the person, by search and by DN template alike."""
    directory = LdapDirectory(slapd.settings)
    carol = await directory.find(UserId("carol"))
    assert await directory.suggest("carol", 5) == [carol]
    template = slapd.by_template(bind_dn=slapd.settings.bind_dn, bind_password="reader")
    assert await LdapDirectory(template).suggest("carol", 5) == [carol]


@pytest.mark.parametrize(
    "text", ["barred", "inactive", "windowsoff", "hidden", "twin", "second", "nameless", "odd"]
)
async def test_nobody_is_suggested_who_cannot_log_in(slapd: Slapd, text: str) -> None:
    """Disabled people, hidden ones and those who are not exactly one person are not offered."""
    assert await suggested(LdapDirectory(slapd.settings), text) == []


async def test_only_people_of_an_allowed_group_are_suggested(slapd: Slapd) -> None:
    """A guest who could not log in is not offered."""
    directory = LdapDirectory(slapd.with_settings(allowed_groups=USERS))
    assert await suggested(directory, "alice") == ["alice"]
    assert await suggested(directory, "mallory") == []
    assert await suggested(directory, "crowd") == []


async def test_suggestions_are_no_way_to_list_the_directory(slapd: Slapd) -> None:
    """Of sixty namesakes the limit comes back, always the same; never more than fifty are asked."""
    directory = LdapDirectory(slapd.settings)
    log = slapd.log()
    first = await suggested(directory, "crowd", 3)
    assert first == ["crowd00", "crowd01", "crowd02"]
    assert await suggested(directory, "crowd", 3) == first
    assert await suggested(directory, "member 42") == ["crowd42"]
    assert len(await suggested(directory, "crowd", 1000)) == SUGGEST_ENTRIES
    assert await suggested(directory, "crowd", 0) == []
    stopped = re.compile(rf"SEARCH RESULT tag=101 err=4 .*nentries={SUGGEST_ENTRIES} ")
    assert len(stopped.findall(log.until("closed"))) >= 1, "slapd says sizeLimitExceeded (4)"


async def test_too_little_text_asks_the_server_nothing(slapd: Slapd) -> None:
    """What names nobody is answered without a question."""
    directory = LdapDirectory(slapd.settings)
    log = slapd.log()
    for text in ("", "al", "  a  ", "****", "＊＊＊", "a" * 81, "ali\udcff"):
        assert await suggested(directory, text) == []
    assert await suggested(directory, "alice") == ["alice"]
    assert log.until("closed").count("ACCEPT") == 1, "only the last may be seen"


async def test_without_anybody_to_look_there_are_no_suggestions(slapd: Slapd) -> None:
    """A DN template without a service account says so, whatever is typed."""
    directory = LdapDirectory(slapd.by_template())
    for text in ("alice", ""):
        with pytest.raises(DirectoryUnavailable, match=r"ldap\.bind_dn"):
            await directory.suggest(text, 5)
