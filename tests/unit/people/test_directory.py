"""The pure parts of the directory: what is sent, and how an answer is judged."""

from __future__ import annotations

import ssl
import string
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.errors import DirectoryUnavailable, LoginRefused
from controller.core.model import UserId, canonical_uid
from controller.people.directory import (
    DISPLAY_NAME_MAX,
    PASSWORD_MAX,
    SUGGEST_MIN,
    USERNAME_MAX,
    check_password,
    clean_username,
    suggest_prefix,
)
from controller.people.ldap.conversation import fault_of
from controller.people.ldap.entries import (
    Entry,
    display_name,
    find_filter,
    group_filter,
    groups_of,
    is_disabled,
    login_filter,
    own_uid,
    person_dn,
    person_of,
    split_dn,
    suggest_filter,
)
from controller.settings.schema import Ldap
from tests.support.fakes.directory import FakeDirectory

DN = "uid=alice,ou=people,dc=example,dc=org"
SETTINGS = Ldap(group_base="ou=groups,dc=example,dc=org", admin_group="Admins")


def entry(dn: str = DN, **attributes: str | list[str]) -> Entry:
    """Make an entry as the wire part hands it over."""
    return Entry(
        dn=dn,
        attributes={
            name.lower(): (value,) if isinstance(value, str) else tuple(value)
            for name, value in attributes.items()
        },
    )


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("alice", "alice"),
        ("Alice.B-C_9", "Alice.B-C_9"),
        ("o'brien@example.org", "o'brien@example.org"),
        ("müller", "müller"),
        ("mu\u0308ller", "müller"),
        ("ａｌｉｃｅ", "alice"),
        ("王芳", "王芳"),
        ("a" * USERNAME_MAX, "a" * USERNAME_MAX),
    ],
)
def test_usual_names_are_sent(typed: str, sent: str) -> None:
    """Names of every script are sent, in one spelling."""
    assert clean_username(typed) == sent


@given(st.text(max_size=80))
def test_what_is_sent_means_nothing_in_a_filter_or_a_dn(typed: str) -> None:
    """Either a name is refused, or it has no character that a filter or a DN gives a meaning."""
    try:
        sent = clean_username(typed)
    except LoginRefused:
        return
    assert 0 < len(sent) <= USERNAME_MAX
    assert not set(sent) & set('*()\\\0,+"<>;=#&|!~/: \t\r\n')
    assert sent.isprintable()
    assert clean_username(sent) == sent


@given(st.text(min_size=1, max_size=30))
def test_a_filter_keeps_its_shape(value: str) -> None:
    """The second line of defence: whatever the value, it stays one value of the filter."""
    found = login_filter("(&(objectClass=person)(uid={username}))", value)
    inner = found.removeprefix("(&(objectClass=person)(uid=").removesuffix("))")
    assert len(inner) < len(found)
    assert not set(inner) & set("*()\0")


@given(st.text('ab2C,+"<>;=\\#é', min_size=1, max_size=12))
def test_a_dn_keeps_its_shape(value: str) -> None:
    """The second line of defence: whatever the value, it stays one value of the DN."""
    dn = person_dn("uid={username},ou=people", value)
    assert split_dn(dn) == [("uid", value), ("ou", "people")]


@pytest.mark.parametrize(
    ("username", "dn"),
    [
        ("alice", "uid=alice,ou=people"),
        ("a,ou=x", "uid=a\\,ou\\=x,ou=people"),
        ("a+cn=b", "uid=a\\+cn\\=b,ou=people"),
        ("#a", "uid=\\#a,ou=people"),
        (" a ", "uid=\\ a\\ ,ou=people"),
        ('a"<>;\\', 'uid=a\\"\\<\\>\\;\\\\,ou=people'),
    ],
)
def test_dn_of_a_person(username: str, dn: str) -> None:
    """A name stays one value of one part of the DN."""
    assert person_dn("uid={username},ou=people", username) == dn


def test_filters() -> None:
    """The filters that are sent, literally."""
    assert login_filter("(mail={username})", "a*)(x=") == "(mail=a\\2a\\29\\28x=)"
    assert (
        find_filter("(&(objectClass=person)(mail={username}))", "uid", UserId("alice"))
        == "(&(uid=alice)(&(objectClass=person)(mail=*)))"
    )
    assert find_filter("(uid={username})", "uid", UserId("*")) == "(&(uid=\\2a)(uid=*))"
    assert (
        group_filter("cn=a\\2C (b),dc=x", "al*ce")
        == "(|(member=cn=a\\5c2C \\28b\\29,dc=x)(uniqueMember=cn=a\\5c2C \\28b\\29,dc=x)"
        "(memberUid=al\\2ace))"
    )


@pytest.mark.parametrize(
    ("typed", "prefix"),
    [
        ("ali", "ali"),
        ("  Alice \t Ång ", "Alice Ång"),
        ("ａｌｉｃｅ", "alice"),
        ("O'B", "O'B"),
        ("a*b", "a*b"),  # a letter like others, once escaped
        ("al", ""),
        (" al ", ""),
        ("a  ", ""),
        ("", ""),
        ("***", ""),
        ("＊＊＊", ""),
        ("*)(*", ""),
        ("...", ""),
        ("ali\0", ""),
        ("ali\udcff", ""),
        ("ali\u202e", ""),
        ("a" * (DISPLAY_NAME_MAX + 1), ""),
    ],
)
def test_what_people_are_suggested_for(typed: str, prefix: str) -> None:
    """Three characters of a name, one of them a letter or digit, are the least to look for."""
    assert suggest_prefix(typed) == prefix


@given(st.text(max_size=90))
def test_a_suggestion_filter_keeps_its_shape(typed: str) -> None:
    """Whatever is typed stands in the filter as letters, never as a part of the filter."""
    prefix = suggest_prefix(typed)
    assert not prefix or len(prefix) >= SUGGEST_MIN
    shape = [one for one in suggest_filter("(uid={username})", "uid", "name", "x") if one in "()*"]
    found = suggest_filter("(uid={username})", "uid", "name", prefix)
    assert [one for one in found if one in "()*"] == shape
    assert "\0" not in found


def test_the_suggestion_filter() -> None:
    """The uid, the name's words, cn for want of a name; and what else a person must be."""
    assert suggest_filter("(&(a=b)(mail={username}))", "uid", "displayName", "a*)") == (
        "(&(|(uid=a\\2a\\29*)(displayName=a\\2a\\29*)(displayName=* a\\2a\\29*)"
        "(&(!(displayName=*))(|(cn=a\\2a\\29*)(cn=* a\\2a\\29*))))(&(a=b)(mail=*)))"
    )


@pytest.mark.anyio
async def test_the_directory_in_memory_suggests_like_the_real_one() -> None:
    """The tests' directory knows the same rules: prefixes, words, the limit, being away."""
    directory = FakeDirectory()
    for text in ("ALI", "alice", "arch", "Alice A"):
        assert [one.uid for one in await directory.suggest(text, 5)] == ["alice"]
    for text in ("", "al", "lice", "***", "nobody"):
        assert not await directory.suggest(text, 5)
    assert not await directory.suggest("alice", 0)
    directory.can_find = False
    with pytest.raises(DirectoryUnavailable):
        await directory.suggest("alice", 5)


@pytest.mark.parametrize(
    "password", ["", " ", "\t\r\n", "\u00a0\u3000", "\0", "secret\0", "\ud800", "x" * 1_000_000]
)
def test_passwords_that_are_never_sent(password: str) -> None:
    """What a server could take for no password is not sent to one."""
    with pytest.raises(LoginRefused):
        check_password(password)


@pytest.mark.parametrize("password", ["x", " x ", "\u00adx", "пароль", "x" * PASSWORD_MAX])
def test_passwords_that_are_sent(password: str) -> None:
    """Everything else is a password."""
    check_password(password)


@pytest.mark.parametrize(
    ("dn", "parts"),
    [
        ("cn=a,dc=x", [("cn", "a"), ("dc", "x")]),
        ("CN=a\\2Cb\\C3\\BC, DC=x", [("cn", "a,bü"), ("dc", "x")]),
        ("cn = C# users ,dc=x\\ ", [("cn", "C# users"), ("dc", "x ")]),
        ("cn=a\\,b\\+c+ou=d,dc=x", [("cn", "a,b+c"), ("ou", "d"), ("dc", "x")]),
    ],
)
def test_dns_are_taken_apart(dn: str, parts: list[tuple[str, str]]) -> None:
    """Escapes of both kinds are undone, types are compared in lower case."""
    assert split_dn(dn) == parts


@pytest.mark.parametrize("dn", ["", "nonsense", "=x", "cn=a,", "cn=a\\", "{username}@example.org"])
def test_what_is_no_dn(dn: str) -> None:
    """What is no DN is said to be none."""
    with pytest.raises(ValueError, match="is no DN"):
        split_dn(dn)


@pytest.mark.parametrize(
    ("uids", "dn", "expected"),
    [
        ("alice", DN, "alice"),
        ("Alice", DN, "Alice"),
        (["zed", "alice"], DN, "alice"),
        (["alice", "zed"], DN, "alice"),
        (["alice", "zed"], "UID=Alice,dc=x", "Alice"),
        (["one", "two"], "cn=x,dc=x", None),
        (["one", "two"], "uid=three,dc=x", None),
        (["one", "two"], "", None),
        ([], DN, None),
        ("", DN, None),
        ("a b", DN, None),
        ("a\nb", DN, None),
        ("a*", DN, None),
        ("\ufffd", DN, None),
        ("straße", DN, None),
        ("ﬁsh", DN, None),
        ("a" * (USERNAME_MAX + 1), DN, None),
    ],
)
def test_one_person_has_one_uid(uids: str | list[str], dn: str, expected: str | None) -> None:
    """The uid is the directory's, one and usable, or there is none."""
    one = entry(dn, uid=uids)
    if expected is None:
        with pytest.raises(LoginRefused):
            own_uid(one, "uid")
    else:
        assert own_uid(one, "uid") == expected


@given(st.text(max_size=70))
def test_two_uids_never_become_one(uid: str) -> None:
    """Of all uids with one canonical form, only spellings that differ in capitals are taken."""
    try:
        taken = own_uid(entry("cn=x", uid=uid), "uid")
    except LoginRefused:
        return
    assert taken.lower() == canonical_uid(taken)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"displayName": "Alice Å"}, "Alice Å"),
        ({"displayName": ["", "Second"]}, "Second"),
        ({"displayName": "\u202e\u0007 \n", "cn": "Common"}, "Common"),
        ({"cn": "  Common\n\nName\u0000 "}, "Common Name"),
        ({}, "alice"),
        ({"displayName": "x" * 1000}, "x" * DISPLAY_NAME_MAX),
        ({"displayName": "<b>&"}, "<b>&"),  # the pages escape
    ],
)
def test_display_name(attributes: dict[str, Any], expected: str) -> None:
    """The configured attribute, else the common name, else the uid; always one visible line."""
    assert display_name(entry(**attributes), "displayName", "alice") == expected


@given(st.text(max_size=200))
def test_display_name_is_always_presentable(text: str) -> None:
    """No value of the directory can break a line or hide anything."""
    name = display_name(entry(displayName=text), "displayName", "alice")
    assert name
    assert name.isprintable()
    assert len(name) <= DISPLAY_NAME_MAX


@pytest.mark.parametrize(
    ("attributes", "disabled"),
    [
        ({}, False),
        ({"pwdAccountLockedTime": "000001010000Z"}, True),
        ({"pwdAccountLockedTime": "20260101000000Z"}, False),
        ({"nsAccountLock": "TRUE"}, True),
        ({"nsaccountlock": "true"}, True),
        ({"nsAccountLock": "whatever"}, True),
        ({"nsAccountLock": "FALSE"}, False),
        ({"userAccountControl": "512"}, False),
        ({"userAccountControl": "514"}, True),
        ({"userAccountControl": "66050"}, True),
        ({"userAccountControl": "nonsense"}, True),
    ],
)
def test_disabled_accounts(attributes: dict[str, str], *, disabled: bool) -> None:
    """OpenLDAP's, 389 DS's and Active Directory's ways to switch an account off all count."""
    assert is_disabled(entry(**attributes)) is disabled


@pytest.mark.parametrize(
    ("member_of", "base", "names"),
    [
        ("cn=staff,ou=groups,dc=example,dc=org", "ou=groups,dc=example,dc=org", {"staff"}),
        ("CN=Staff,OU=Groups,DC=Example,DC=org", "ou=groups, dc=example, dc=org", {"Staff"}),
        ("cn=staff,ou=more,ou=groups,dc=example,dc=org", "ou=groups,dc=example,dc=org", {"staff"}),
        ("cn=staff,ou=elsewhere,dc=example,dc=org", "ou=groups,dc=example,dc=org", set[str]()),
        ("cn=x\\,ou=groups\\,dc=y,dc=z", "ou=groups,dc=y", set[str]()),
        ("cn=staff,dc=anywhere", "", {"staff"}),
        ("ou=staff,dc=anywhere", "", set[str]()),
        ("staff", "", set[str]()),
        ("", "", set[str]()),
    ],
)
def test_member_of(member_of: str, base: str, names: set[str]) -> None:
    """A memberOf counts by its cn, and only from under the group base."""
    assert groups_of(entry(memberOf=member_of), [], base) == names


def test_a_person_is_judged() -> None:
    """Groups decide who gets in and who administers, without regard to case."""
    found = [entry("cn=users,ou=groups", cn=["Users", "users-alias"]), entry("x", cn="ADMINS")]
    person = person_of(entry(uid="Alice"), found, SETTINGS)
    assert person.uid == "alice"
    assert person.groups == {"Users", "users-alias", "ADMINS"}
    assert person.admin
    assert not person_of(entry(uid="alice"), found[:1], SETTINGS).admin
    assert not person_of(entry(uid="alice"), found, Ldap()).admin
    limited = msgspec.structs.replace(SETTINGS, allowed_groups=frozenset({"USERS"}))
    assert person_of(entry(uid="alice"), found, limited).uid == "alice"
    with pytest.raises(LoginRefused):
        person_of(entry(uid="alice"), found[1:], limited)
    with pytest.raises(LoginRefused):
        person_of(entry(uid="alice", nsAccountLock="TRUE"), found, SETTINGS)


def certificate_error(code: int) -> ssl.SSLCertVerificationError:
    """Make the error that OpenSSL's code becomes."""
    error = ssl.SSLCertVerificationError("certificate verify failed")
    error.verify_code, error.verify_message = code, "reason"
    return error


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (certificate_error(62), "another name"),
        (certificate_error(20), "ldap.ca_file"),
        (ssl.SSLError("wrong version number"), "636"),
        (TimeoutError("timed out"), "in time"),
        (ConnectionRefusedError(111, "Connection refused"), "refuses"),
        (ConnectionResetError(104, "reset"), "closed"),
        (OSError(113, "No route to host"), "cannot be reached"),
        (IndexError("index out of range"), "as an LDAP server should"),
        (ValueError("several", [(TimeoutError("timed out"), ("192.0.2.1", 389))]), "in time"),
    ],
)
def test_every_error_becomes_a_sentence(error: Exception, sentence: str) -> None:
    """Whatever breaks, the administrator reads what to do, and where."""
    told = str(fault_of(error, "ldap://ldap.example.org"))
    assert sentence in told
    assert "ldap://ldap.example.org" in told
    assert told.endswith(".")
    assert told[0] in string.ascii_uppercase
