"""Logging in against a real slapd: who gets in, as whom, and what the server saw of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from controller.core.errors import DirectoryUnavailable, LoginRefused
from controller.core.model import UserId
from controller.people.ldap.adapter import LdapDirectory

if TYPE_CHECKING:
    from tests.ldap.listener import Listener
    from tests.ldap.slapd import Slapd

pytestmark = pytest.mark.anyio


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
