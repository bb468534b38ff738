"""Logging in against a real slapd: who gets in, as whom, and what the server saw of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from controller.core.errors import DirectoryUnavailable, LoginRefused
from controller.core.model import UserId
from controller.people.directory import SUGGEST_ENTRIES
from controller.people.ldap.adapter import LdapDirectory

if TYPE_CHECKING:
    from tests.ldap.conftest import Listener, Slapd

pytestmark = pytest.mark.anyio

USERS = frozenset({"slicer-users"})


async def test_search_with_a_service_account(slapd: Slapd) -> None:
    """People are found by the service account and get in with their own password."""
    person = await LdapDirectory(slapd.settings).authenticate("alice", "alice")
    assert (person.uid, person.display_name) == ("alice", "Alice Ångström")
    assert person.groups == {"slicer-users"}
    assert not person.admin


async def test_dn_template_needs_no_service_account(slapd: Slapd) -> None:
    """With a DN template people read their own entry, and get in just the same."""
    person = await LdapDirectory(slapd.by_template()).authenticate("alice", "alice")
    assert (person.uid, person.display_name) == ("alice", "Alice Ångström")
    assert person.groups == {"slicer-users"}


async def test_anonymous_search(open_slapd: Slapd) -> None:
    """Where strangers may read, no service account is needed for the search."""
    settings = open_slapd.with_settings(bind_dn="", bind_password="")
    log = open_slapd.log()
    person = await LdapDirectory(settings).authenticate("bob", "bob")
    assert person.uid == "bob"
    seen = log.until("closed")
    assert [line for line in seen.splitlines() if "BIND dn=" in line and "mech" not in line] == [
        line for line in seen.splitlines() if 'BIND dn="uid=bob,' in line and "mech" not in line
    ]


async def test_login_by_mail_address_is_the_same_person(slapd: Slapd) -> None:
    """Whatever people type, they are who the directory's uid says."""
    directory = LdapDirectory(
        slapd.with_settings(search_filter="(&(objectClass=inetOrgPerson)(mail={username}))")
    )
    person = await directory.authenticate("Alice.A@example.org", "alice")
    assert person.uid == "alice"
    assert await directory.find(person.uid) == person
    assert await directory.find(UserId("bob")) is None  # has no mail, so could not log in either


@pytest.mark.parametrize("mode", ["search", "template"])
@pytest.mark.parametrize(
    ("username", "password"), [("alice", "wrong"), ("nobody", "nobody"), ("alice", "ALICE")]
)
async def test_wrong_password_and_unknown_user_look_alike(
    slapd: Slapd, mode: str, username: str, password: str
) -> None:
    """A stranger learns nothing of which names exist."""
    settings = slapd.settings if mode == "search" else slapd.by_template()
    with pytest.raises(LoginRefused) as caught:
        await LdapDirectory(settings).authenticate(username, password)
    assert str(caught.value) == str(LoginRefused())


async def test_encrypted_connections(slapd: Slapd) -> None:
    """StartTLS and LDAPS work with the directory's own authority, by name and by address."""
    for url, start_tls in (
        (f"ldap://127.0.0.1:{slapd.port}", True),
        (f"ldap://localhost:{slapd.port}", True),
        (f"ldaps://127.0.0.1:{slapd.tls_port}", False),
        (f"ldaps://localhost:{slapd.tls_port}", False),
    ):
        settings = slapd.with_settings(
            url=url, start_tls=start_tls, ca_file=slapd.ca_file, allow_plaintext=False
        )
        assert (await LdapDirectory(settings).authenticate("alice", "alice")).uid == "alice"


async def test_starttls_comes_before_any_password(slapd: Slapd) -> None:
    """No password, not even the service account's, is sent before the connection is encrypted."""
    settings = slapd.with_settings(start_tls=True, ca_file=slapd.ca_file)
    log = slapd.log()
    await LdapDirectory(settings).authenticate("alice", "alice")
    seen = log.until("closed")
    assert 0 < seen.index("STARTTLS") < seen.index("TLS established") < seen.index("BIND dn=")


@pytest.mark.parametrize(
    ("username", "groups", "admin"),
    [
        ("alice", {"slicer-users"}, False),  # member
        ("carol", {"slicer-users", "Slicer-Admins"}, True),  # member and uniqueMember
        ("dora", {"posix"}, False),  # memberUid
        ("erin", {"staff"}, False),  # memberOf
        ("mallory", set[str](), False),  # memberOf of a group outside the base
        ("bob", set[str](), False),
    ],
)
async def test_groups(slapd: Slapd, username: str, groups: set[str], *, admin: bool) -> None:
    """Groups count in each of the four usual ways, and only those under the group base."""
    person = await LdapDirectory(slapd.settings).authenticate(username, username)
    assert person.groups == groups
    assert person.admin is admin


async def test_member_of_alone(slapd: Slapd) -> None:
    """Without a group base, the person's own memberOf is all that is asked for."""
    directory = LdapDirectory(slapd.with_settings(group_base="", allowed_groups={"STAFF"}))
    assert (await directory.authenticate("erin", "erin")).groups == {"staff"}
    with pytest.raises(LoginRefused):
        await directory.authenticate("alice", "alice")


async def test_allowed_groups(slapd: Slapd) -> None:
    """Only people of an allowed group get in; being an administrator elsewhere does not help."""
    directory = LdapDirectory(slapd.with_settings(allowed_groups=frozenset({"Slicer-USERS"})))
    assert (await directory.authenticate("alice", "alice")).uid == "alice"
    for username in ("bob", "mallory"):
        with pytest.raises(LoginRefused) as caught:
            await directory.authenticate(username, username)
        assert "none of the allowed groups" in caught.value.__notes__[0]


@pytest.mark.parametrize("typed", ["alice", "ALICE", "Alice", "ａｌｉｃｅ", "ＡＬＩＣＥ"])
@pytest.mark.parametrize("mode", ["search", "template"])
async def test_twins_of_a_name_are_one_person(slapd: Slapd, typed: str, mode: str) -> None:
    """Capitals and wide letters never make a second user."""
    settings = slapd.settings if mode == "search" else slapd.by_template()
    assert (await LdapDirectory(settings).authenticate(typed, "alice")).uid == "alice"


@pytest.mark.parametrize(
    ("typed", "password", "uid"),
    [("mixed.case", "Mixed.Case", "mixed.case"), ("MÜLLER", "müller", "müller")],
)
async def test_the_directorys_uid_is_made_canonical(
    slapd: Slapd, typed: str, password: str, uid: str
) -> None:
    """Names with capitals and letters beyond ASCII work, and can be looked up again."""
    directory = LdapDirectory(slapd.settings)
    person = await directory.authenticate(typed, password)
    assert person.uid == uid
    assert await directory.find(person.uid) == person


async def test_an_entry_with_two_uids_is_one_person(slapd: Slapd) -> None:
    """Whichever of their uids people use, they are the one that their DN names."""
    directory = LdapDirectory(slapd.settings)
    for typed in ("nickname", "aardvark"):
        assert (await directory.authenticate(typed, "nickname")).uid == "nickname"
    assert await directory.find(UserId("nickname")) is not None
    assert await directory.find(UserId("aardvark")) is None


@pytest.mark.parametrize(
    ("typed", "password"),
    [
        ("twin", "twin"),  # two entries
        ("one", "nameless"),  # one entry with two uids, and no saying which
    ],
)
async def test_who_is_not_exactly_one_person_is_nobody(
    slapd: Slapd, typed: str, password: str
) -> None:
    """Two entries with one uid, or one with two, let nobody in and are not found."""
    directory = LdapDirectory(slapd.settings)
    with pytest.raises(LoginRefused):
        await directory.authenticate(typed, password)
    assert await directory.find(UserId(typed)) is None


@pytest.mark.parametrize("username", ["odd", "straße"])
async def test_a_uid_that_cannot_be_used_is_refused(slapd: Slapd, username: str) -> None:
    """A uid with odd characters, or one that would become somebody else's, lets nobody in."""
    directory = LdapDirectory(slapd.with_settings(search_filter="(cn={username})"))
    with pytest.raises(LoginRefused) as caught:
        await directory.authenticate(username, username)
    assert "cannot be used" in caught.value.__notes__[0]


@pytest.mark.parametrize("username", ["barred", "inactive", "windowsoff"])
async def test_disabled_accounts(slapd: Slapd, username: str) -> None:
    """A disabled account does not get in, and ends the log-ins that it has."""
    for settings in (slapd.settings, slapd.by_template()):
        with pytest.raises(LoginRefused):
            await LdapDirectory(settings).authenticate(username, username)
    assert await LdapDirectory(slapd.settings).find(UserId(username)) is None


@pytest.mark.parametrize("username", ["active", "windows"])
async def test_enabled_accounts(slapd: Slapd, username: str) -> None:
    """The attributes that can disable an account do not disable it by being there."""
    assert (await LdapDirectory(slapd.settings).authenticate(username, username)).uid == username


async def test_a_lock_for_wrong_passwords_throws_nobody_out(slapd: Slapd) -> None:
    """Typing wrong passwords for somebody does not end the log-ins that they have."""
    directory = LdapDirectory(slapd.settings)
    person = await directory.authenticate("throttled", "throttled")
    for password in ("wrong", "wrong again", "throttled"):
        with pytest.raises(LoginRefused):
            await directory.authenticate("throttled", password)
    assert await directory.find(person.uid) == person


async def test_display_name_is_one_visible_line(slapd: Slapd) -> None:
    """A display name cannot break a page or a log line, or turn the text around."""
    person = await LdapDirectory(slapd.settings).authenticate("carol", "carol")
    assert person.display_name == "Carol of the North"


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


@pytest.mark.row(26)
async def test_referrals_are_never_followed(slapd: Slapd, rogue: Listener) -> None:
    """A directory that points elsewhere gets nobody's password sent there."""
    wide = LdapDirectory(slapd.with_settings(search_base="dc=example,dc=org"))
    log = slapd.log()
    assert (await wide.authenticate("alice", "alice")).uid == "alice"
    assert "SEARCH RESULT" in log.until("closed")
    away = LdapDirectory(slapd.with_settings(search_base="ou=away,dc=example,dc=org"))
    with pytest.raises(DirectoryUnavailable):
        await away.authenticate("alice", "alice")
    with pytest.raises(DirectoryUnavailable, match="never follows"):
        await away.ping()
    below = LdapDirectory(
        slapd.with_settings(
            search_base="", user_dn_template="uid={username},ou=away,dc=example,dc=org"
        )
    )
    with pytest.raises((LoginRefused, DirectoryUnavailable)):
        await below.authenticate("alice", "alice")
    assert rogue.seen == 0


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
