"""Reads LDAP entries: filters, names, groups, disabled accounts. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from contextlib import suppress

import msgspec
from ldap3.utils.conv import escape_filter_chars
from ldap3.utils.dn import escape_rdn

from controller.core.model import Person, UserId, canonical_uid
from controller.people.directory import DISPLAY_NAME_MAX, may_be_a_name, refused
from controller.settings.schema import Ldap

_DN_PART = re.compile(
    r" *(?P<type>[A-Za-z][A-Za-z0-9-]*|[0-9.]+) *= *(?P<value>(?:\\.|[^\\,;+])*)(?P<more>[,;+]|\Z)",
    re.DOTALL,
)

_DN_ESCAPE = re.compile(rb"\\([0-9A-Fa-f]{2})|\\(.)", re.DOTALL)

_TRAILING_SPACES = re.compile(r"(?<!\\) +\Z")

PLACEHOLDER = "{username}"

_LOCKED_FOR_GOOD = "000001010000Z"  # draft-behera-ldap-password-policy: only an administrator frees

_ACCOUNT_DISABLED = 0x2  # bit of Active Directory's userAccountControl


class Entry(msgspec.Struct, frozen=True):
    """One entry of the directory; names of attributes in lower case, values as text."""

    dn: str
    attributes: dict[str, tuple[str, ...]]

    def values(self, name: str) -> tuple[str, ...]:
        """Return all values of an attribute; names are case-insensitive (RFC 4512, 2.5)."""
        return self.attributes.get(name.lower(), ())


def person_dn(template: str, username: str) -> str:
    """Put a user name, escaped as RFC 4514 says, into the DN template."""
    return template.replace(PLACEHOLDER, escape_rdn(username))


def login_filter(search_filter: str, username: str) -> str:
    """Put a user name, escaped as RFC 4515 says, into the search filter."""
    return search_filter.replace(PLACEHOLDER, escape_filter_chars(username))


def find_filter(search_filter: str, uid_attribute: str, uid: UserId) -> str:
    """Return the filter for a person whose uid is known.

    People may log in with another attribute than the uid, such as their mail address. So this
    filter uses the uid's own attribute, and keeps the other conditions of the search filter.
    """
    conditions = search_filter.replace(PLACEHOLDER, "*")
    return f"(&({uid_attribute}={escape_filter_chars(uid)}){conditions})"


def suggest_filter(conditions: str, uid_attribute: str, name_attribute: str, prefix: str) -> str:
    """Return the filter for people whose uid, or a word of whose name, begins with the prefix.

    The name is searched where ``display_name`` takes it from: cn only if there is no other.
    """
    text = escape_filter_chars(prefix)
    name, cn = (f"({one}={text}*)({one}=* {text}*)" for one in (name_attribute, "cn"))
    matches = f"({uid_attribute}={text}*){name}(&(!({name_attribute}=*))(|{cn}))"
    return f"(&(|{matches}){conditions.replace(PLACEHOLDER, '*')})"


def group_filter(dn: str, uid: str) -> str:
    """Return the filter for the groups that name this person, in any of the three usual ways."""
    escaped = escape_filter_chars(dn)
    return f"(|(member={escaped})(uniqueMember={escaped})(memberUid={escape_filter_chars(uid)}))"


def split_dn(dn: str) -> list[tuple[str, str]]:
    """Return a DN's parts (RFC 4514), nearest first, types in lower case, values unescaped.

    Not ldap3's parse_dn: it leaves the escapes in, and does not accept "cn=C# users".
    Raises ValueError if it is not a DN.
    """
    parts: list[tuple[str, str]] = []
    position = 0
    while True:
        found = _DN_PART.match(dn, position)
        if found is None:
            raise ValueError(f"{dn!r} is no DN")
        parts.append((found["type"].lower(), _unescape(found["value"])))
        if not found["more"]:
            return parts
        position = found.end()


def own_uid(entry: Entry, uid_attribute: str) -> str:
    """Return the one uid of an entry, as the directory spells it. Raises LoginRefused.

    If an entry has several, the one in its DN counts: attributes have no reliable order, and one
    person must never become two. Two people must never become one, either: "straße" and "strasse"
    may be two people in a directory, but have one canonical form. So a uid is accepted only if
    its canonical form differs in nothing but case.
    """
    twins = {canonical_uid(value): value for value in entry.values(uid_attribute)}
    if len(twins) > 1:
        with suppress(ValueError):
            kind, value = split_dn(entry.dn)[0]
            if kind == uid_attribute.lower() and canonical_uid(value) in twins:
                twins = {canonical_uid(value): value}
    if len(twins) != 1:
        raise refused(f"the entry {entry.dn!r} has no {uid_attribute}, or more than one")
    canonical, uid = next(iter(twins.items()))
    if uid.lower() != canonical or not may_be_a_name(canonical):
        raise refused(f"the entry {entry.dn!r} has a {uid_attribute} that cannot be used: {uid!r}")
    return uid


def display_name(entry: Entry, name_attribute: str, uid: str) -> str:
    """Return a name to display: one line, no invisible characters, not too long."""
    for text in (*entry.values(name_attribute), *entry.values("cn"), uid):
        visible = "".join(one if one.isprintable() else " " for one in text)
        name = " ".join(visible.split())[:DISPLAY_NAME_MAX].rstrip()
        if name:
            return name
    return uid


def is_disabled(entry: Entry) -> bool:
    """Tell whether the directory has disabled this account.

    A pwdAccountLockedTime with a date does not count: it follows wrong passwords, and the server
    enforces it at the next bind. If it ended log-ins, anybody could log others out by typing wrong
    passwords.
    """
    if _LOCKED_FOR_GOOD in entry.values("pwdAccountLockedTime"):
        return True
    if any(value.strip().lower() != "false" for value in entry.values("nsAccountLock")):
        return True
    for value in entry.values("userAccountControl"):
        try:
            if int(value) & _ACCOUNT_DISABLED:
                return True
        except ValueError:
            return True
    return False


def groups_of(entry: Entry, found: Iterable[Entry], group_base: str) -> frozenset[str]:
    """Return the cn of each group: of those found under the base, and of the person's memberOf.

    If a base is set, a memberOf outside it does not count: otherwise people who may make groups
    anywhere in the directory could make one with a name that the hub trusts.
    """
    names = {name for group in found for name in group.values("cn")}
    for dn in entry.values("memberOf"):
        with suppress(ValueError):
            parts = split_dn(dn)
            if parts[0][0] == "cn" and (not group_base or _lies_under(parts, group_base)):
                names.add(parts[0][1])
    return frozenset(names)


def person_of(entry: Entry, found: Iterable[Entry], settings: Ldap) -> Person:
    """Judge an entry and the groups found for it. Raises LoginRefused.

    Names of groups are compared without regard to case; ``groups`` has the directory's spelling.
    The admin group alone does not let anybody in: administrators must be in an allowed group, too.
    """
    uid = own_uid(entry, settings.uid_attribute)
    if is_disabled(entry):
        raise refused(f"the account {entry.dn!r} is disabled")
    groups = groups_of(entry, found, settings.group_base)
    folded = {fold(name) for name in groups}
    if settings.allowed_groups and folded.isdisjoint(map(fold, settings.allowed_groups)):
        raise refused(f"{entry.dn!r} is in none of the allowed groups")
    return Person(
        uid=canonical_uid(uid),
        display_name=display_name(entry, settings.name_attribute, uid),
        groups=groups,
        admin=bool(settings.admin_group) and fold(settings.admin_group) in folded,
    )


def fold(name: str) -> str:
    """Return a name as directories compare names."""
    return unicodedata.normalize("NFKC", name).casefold()


def _unescape(value: str) -> str:
    raw = _DN_ESCAPE.sub(
        lambda found: bytes.fromhex(found[1].decode()) if found[1] else found[2],
        _TRAILING_SPACES.sub("", value).encode(),
    )
    return raw.decode(errors="replace")


def _lies_under(parts: list[tuple[str, str]], base: str) -> bool:
    below = [(kind, fold(value)) for kind, value in parts]
    above = [(kind, fold(value)) for kind, value in split_dn(base)]
    return len(below) > len(above) and below[-len(above) :] == above
