"""People and their groups, asked of LDAP; the only module that imports ldap3.

Rules (threats.md rows 22 to 26):

- A user name passes an allow-list before anything is sent, and is escaped for a filter or for a
  DN all the same. Who somebody is, is said by the directory's own uid attribute alone.
- A password that is empty, blank or has a NUL in it is refused before any bind: servers take a
  bind without a password for an anonymous one and answer "success".
- Referrals are never followed. TLS is done with the standard library's ``ssl``: certificate and
  host name are always checked, and StartTLS comes before any bind.
- Each question is one connection in one thread of a small pool. It ends within a fixed time,
  however the server behaves, and a thread that still waits is freed by shutting its socket.
- No exception of ldap3, ssl or socket leaves this module. What is not known is denied.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import threading
import unicodedata
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, Literal, Protocol, TypeVar, cast
from urllib.parse import urlsplit

import anyio
import msgspec
from ldap3 import (
    AUTO_BIND_NONE,
    BASE,
    DEREF_NEVER,
    LEVEL,
    NO_ATTRIBUTES,
    NONE,
    SIMPLE,
    SUBTREE,
    SYNC,
    Connection,
    Server,
)
from ldap3.core.exceptions import (
    LDAPException,
    LDAPInvalidFilterError,
    LDAPSessionTerminatedByServerError,
    LDAPSocketOpenError,
)
from ldap3.core.results import (
    RESULT_CONSTRAINT_VIOLATION,
    RESULT_INAPPROPRIATE_AUTHENTICATION,
    RESULT_INSUFFICIENT_ACCESS_RIGHTS,
    RESULT_INVALID_CREDENTIALS,
    RESULT_NO_SUCH_OBJECT,
    RESULT_REFERRAL,
    RESULT_SIZE_LIMIT_EXCEEDED,
    RESULT_SUCCESS,
    RESULT_UNWILLING_TO_PERFORM,
)
from ldap3.utils.conv import escape_filter_chars
from ldap3.utils.dn import escape_rdn

from controller.core.errors import DirectoryUnavailable, InvalidRequest, LoginRefused
from controller.core.model import Person, UserId, canonical_uid
from controller.settings.schema import Ldap

ANSWER_SECONDS = 7.0
"""Longest time for one question, waiting for a free thread included; row 26 allows 8."""

USERNAME_MAX = 64
"""Longest user name, in characters."""

PASSWORD_MAX = 1024
"""Longest password that is sent on, in characters."""

DISPLAY_NAME_MAX = 80
"""Longest display name, in characters; a longer one is cut."""

SUGGEST_MIN = 3
"""Shortest beginning of a name that people are suggested for, in characters."""

SUGGEST_ENTRIES = 50
"""Most entries that the server is asked for to suggest people from, whatever the limit."""

_USERNAME = re.compile(r"[\w.@'-]+")  # \w: letters and digits of every script, and "_"

_DN_PART = re.compile(
    r" *(?P<type>[A-Za-z][A-Za-z0-9-]*|[0-9.]+) *= *(?P<value>(?:\\.|[^\\,;+])*)(?P<more>[,;+]|\Z)",
    re.DOTALL,
)

_DN_ESCAPE = re.compile(rb"\\([0-9A-Fa-f]{2})|\\(.)", re.DOTALL)

_TRAILING_SPACES = re.compile(r"(?<!\\) +\Z")

_PLACEHOLDER = "{username}"

_START_TLS = "1.3.6.1.4.1.1466.20037"  # RFC 4511, 4.14.1

_LOCKED_FOR_GOOD = "000001010000Z"  # draft-behera-ldap-password-policy: only an administrator frees

_ACCOUNT_DISABLED = 0x2  # bit of Active Directory's userAccountControl

_LDAP_PORT, _LDAPS_PORT = 389, 636

_CERTIFICATE_NAME_FAULTS = (62, 64)  # OpenSSL: host name mismatch, IP address mismatch

# What servers answer to a bind of somebody whom they do not let in: 389 DS says 53 for a disabled
# and 19 for a locked account, OpenLDAP 48 for one without a password, some 32 for an unknown DN.
_BIND_REFUSED = frozenset(
    {
        RESULT_INVALID_CREDENTIALS,
        RESULT_NO_SUCH_OBJECT,
        RESULT_INAPPROPRIATE_AUTHENTICATION,
        RESULT_INSUFFICIENT_ACCESS_RIGHTS,
        RESULT_UNWILLING_TO_PERFORM,
        RESULT_CONSTRAINT_VIOLATION,
    }
)

_ENTRY_HIDDEN = frozenset({RESULT_NO_SUCH_OBJECT, RESULT_INSUFFICIENT_ACCESS_RIGHTS})

_Scope = Literal["BASE", "LEVEL", "SUBTREE"]

_Answer = TypeVar("_Answer")


class Directory(Protocol):
    """Where people come from."""

    @property
    def can_find(self) -> bool:
        """Tell whether ``find`` can look: without a password somebody must be allowed to read."""
        ...

    async def authenticate(self, username: str, password: str) -> Person:
        """Return who this is. Raises LoginRefused, DirectoryUnavailable.

        Takes as long as it takes: padding the answer's time and counting failures are the
        caller's business. Both errors say nothing of the cause to the person in front of them;
        it stands in ``__notes__``, for the administrator's log.
        """
        ...

    async def find(self, uid: UserId) -> Person | None:
        """Return the person as the directory has them now; None: gone, disabled, not entitled.

        Raises DirectoryUnavailable if it does not answer, and always where ``can_find`` is false.
        """
        ...

    async def suggest(self, text: str, limit: int) -> list[Person]:
        """Return up to ``limit`` people whose uid, or a word of their name, begins with this.

        Only people whom ``find`` would return, ordered by display name. No way to list the
        directory: nobody for text that ``suggest_prefix`` refuses, and never more than
        SUGGEST_ENTRIES entries are looked at, so that of many namesakes some are found only by
        typing on. Raises DirectoryUnavailable as ``find`` does.
        """
        ...

    async def ping(self) -> None:
        """Ask a harmless question. Raises DirectoryUnavailable naming the cause and the fix."""
        ...


class Entry(msgspec.Struct, frozen=True):
    """One entry of the directory; names of attributes in lower case, values as text."""

    dn: str
    attributes: dict[str, tuple[str, ...]]

    def values(self, name: str) -> tuple[str, ...]:
        """Return all values of an attribute; names are case-insensitive (RFC 4512, 2.5)."""
        return self.attributes.get(name.lower(), ())


# --- pure parts


def clean_username(typed: str) -> str:
    """Return the name in Unicode's compatibility form, as it is sent. Raises LoginRefused.

    Letters of every script are accepted: a directory may well have a uid "müller", and safety
    does not hang on ASCII, since names are escaped and identity is read from the directory.
    Checked after normalising, because a full-width asterisk becomes "*". The case is left alone:
    the directory's own matching rules know what to do with it.
    """
    if len(typed) > USERNAME_MAX:
        raise _refused("the user name is too long")
    name = unicodedata.normalize("NFKC", typed)
    if not _may_be_a_name(name):
        raise _refused("the user name has characters that none of ours has")
    return name


def uid_of(typed: str) -> UserId:
    """Return whom a user name means that somebody typed. Raises InvalidRequest.

    Nothing else that was typed may be written down as somebody's name.
    """
    try:
        return canonical_uid(clean_username(typed))
    except LoginRefused as error:
        raise InvalidRequest("That is no user name. Check the spelling.") from error


def check_password(password: str) -> None:
    """Raise LoginRefused for what must never be sent as a password."""
    if not password.strip() or "\0" in password:
        raise _refused("the password is empty, blank or has a NUL in it")
    if len(password) > PASSWORD_MAX:
        raise _refused("the password is too long")
    try:
        password.encode()
    except UnicodeEncodeError:
        raise _refused("the password is no valid Unicode") from None


def person_dn(template: str, username: str) -> str:
    """Put a user name, escaped as RFC 4514 says, into the DN template."""
    return template.replace(_PLACEHOLDER, escape_rdn(username))


def login_filter(search_filter: str, username: str) -> str:
    """Put a user name, escaped as RFC 4515 says, into the search filter."""
    return search_filter.replace(_PLACEHOLDER, escape_filter_chars(username))


def find_filter(search_filter: str, uid_attribute: str, uid: UserId) -> str:
    """Return the filter for somebody whose uid is known.

    People may log in by something else than the uid (their mail address, say), so the uid is
    asked for by its own attribute, and the other conditions of the search filter stay in force.
    """
    conditions = search_filter.replace(_PLACEHOLDER, "*")
    return f"(&({uid_attribute}={escape_filter_chars(uid)}){conditions})"


def suggest_prefix(typed: str) -> str:
    """Return the beginning of a name as it is looked for; "" if it is too little to look for.

    Without a letter or digit it is too little too: wildcards and punctuation name nobody.
    """
    text = " ".join(unicodedata.normalize("NFKC", typed).split())
    usable = SUGGEST_MIN <= len(text) <= DISPLAY_NAME_MAX and text.isprintable()
    return text if usable and any(one.isalnum() for one in text) else ""


def suggest_filter(conditions: str, uid_attribute: str, name_attribute: str, prefix: str) -> str:
    """Return the filter for people whose uid, or a word of whose name, begins with the prefix.

    The name is looked for where ``display_name`` takes it from: in cn only for want of another.
    """
    text = escape_filter_chars(prefix)
    name, cn = (f"({one}={text}*)({one}=* {text}*)" for one in (name_attribute, "cn"))
    matches = f"({uid_attribute}={text}*){name}(&(!({name_attribute}=*))(|{cn}))"
    return f"(&(|{matches}){conditions.replace(_PLACEHOLDER, '*')})"


def group_filter(dn: str, uid: str) -> str:
    """Return the filter for the groups that name this person, in any of the three usual ways."""
    escaped = escape_filter_chars(dn)
    return f"(|(member={escaped})(uniqueMember={escaped})(memberUid={escape_filter_chars(uid)}))"


def split_dn(dn: str) -> list[tuple[str, str]]:
    """Return a DN's parts (RFC 4514), nearest first, types in lower case, values unescaped.

    Not ldap3's parse_dn: that one leaves the escapes in, and takes "cn=C# users" for no DN.
    Raises ValueError if it is none.
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

    An entry may have several; then it is the one that its DN begins with, for attributes have no
    order that could be trusted, and one person must never become two. Nor two people one: to a
    directory "straße" and "strasse" may be two, to us they would be the same, so a uid is taken
    only if nothing but its capitals changes on the way to its canonical form.
    """
    twins = {canonical_uid(value): value for value in entry.values(uid_attribute)}
    if len(twins) > 1:
        with suppress(ValueError):
            kind, value = split_dn(entry.dn)[0]
            if kind == uid_attribute.lower() and canonical_uid(value) in twins:
                twins = {canonical_uid(value): value}
    if len(twins) != 1:
        raise _refused(f"the entry {entry.dn!r} has no {uid_attribute}, or more than one")
    canonical, uid = next(iter(twins.items()))
    if uid.lower() != canonical or not _may_be_a_name(canonical):
        raise _refused(f"the entry {entry.dn!r} has a {uid_attribute} that cannot be used: {uid!r}")
    return uid


def display_name(entry: Entry, name_attribute: str, uid: str) -> str:
    """Return a name for people's eyes: one line, nothing invisible, not too long."""
    for text in (*entry.values(name_attribute), *entry.values("cn"), uid):
        visible = "".join(one if one.isprintable() else " " for one in text)
        name = " ".join(visible.split())[:DISPLAY_NAME_MAX].rstrip()
        if name:
            return name
    return uid


def is_disabled(entry: Entry) -> bool:
    """Tell whether the directory has this account switched off.

    A dated pwdAccountLockedTime does not count: it is the server's answer to wrong passwords and
    is enforced by the server at the next bind. If it ended a running login, anybody could throw
    anybody out by typing wrong passwords.
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

    If a base is set, a memberOf outside it does not count: else whoever may make groups anywhere
    in the directory could make one with a name that the hub trusts.
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
    The admin group opens no door: administrators must be in an allowed group too.
    """
    uid = own_uid(entry, settings.uid_attribute)
    if is_disabled(entry):
        raise _refused(f"the account {entry.dn!r} is disabled")
    groups = groups_of(entry, found, settings.group_base)
    folded = {_fold(name) for name in groups}
    if settings.allowed_groups and folded.isdisjoint(map(_fold, settings.allowed_groups)):
        raise _refused(f"{entry.dn!r} is in none of the allowed groups")
    return Person(
        uid=canonical_uid(uid),
        display_name=display_name(entry, settings.name_attribute, uid),
        groups=groups,
        admin=bool(settings.admin_group) and _fold(settings.admin_group) in folded,
    )


def explain(error: Exception, place: str) -> str:
    """Say in a plain sentence what is wrong with the server ``place`` (its URL), and the fix.

    ldap3 makes exceptions anew from their text, so their attributes may be missing.
    """
    match _innermost(error):
        case ssl.SSLCertVerificationError() as cause if (
            cause.verify_code in _CERTIFICATE_NAME_FAULTS
        ):
            return (
                f"The certificate of {place} is for another name. Write the name that stands in "
                f"the certificate into ldap.url."
            )
        case ssl.SSLCertVerificationError() as cause:
            return (
                f"The certificate of {place} is not trusted "
                f"({getattr(cause, 'verify_message', cause)}). Set ldap.ca_file to the authority "
                f"that issued it."
            )
        case ssl.SSLError() as cause:
            return (
                f"TLS with {place} failed ({getattr(cause, 'reason', cause)}). ldaps:// needs a "
                f"port that speaks TLS at once, usually 636; for 389 use ldap:// with "
                f"ldap.start_tls."
            )
        case TimeoutError():
            return (
                f"The directory {place} does not answer in time. Check ldap.url, the server, and a "
                f"firewall between."
            )
        case ConnectionRefusedError():
            return (
                f"The directory {place} refuses connections. Check that it runs, and the port in "
                f"ldap.url."
            )
        case LDAPSessionTerminatedByServerError() | ConnectionError():
            return (
                f"The directory {place} has closed the connection. See its log; a port that "
                f"speaks TLS at once, usually 636, needs ldaps://."
            )
        case LDAPInvalidFilterError():
            return "ldap.search_filter is no LDAP filter. Write it like (uid={username})."
        case LDAPSocketOpenError() as cause if "invalid server address" in str(cause):
            return f"The host of {place} is not known. Check ldap.url and the name service."
        case OSError() as cause:
            return (
                f"The directory {place} cannot be reached ({cause}). Check ldap.url and the "
                f"network."
            )
        case cause:
            return (
                f"The directory {place} does not answer as an LDAP server should ({cause}). Check "
                f"ldap.url."
            )


def _refused(reason: str) -> LoginRefused:
    error = LoginRefused()
    error.add_note(reason)
    return error


def _may_be_a_name(text: str) -> bool:
    return len(text) <= USERNAME_MAX and bool(_USERNAME.fullmatch(text))


def _fold(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _unescape(value: str) -> str:
    raw = _DN_ESCAPE.sub(
        lambda found: bytes.fromhex(found[1].decode()) if found[1] else found[2],
        _TRAILING_SPACES.sub("", value).encode(),
    )
    return raw.decode(errors="replace")


def _lies_under(parts: list[tuple[str, str]], base: str) -> bool:
    below = [(kind, _fold(value)) for kind, value in parts]
    above = [(kind, _fold(value)) for kind, value in split_dn(base)]
    return len(below) > len(above) and below[-len(above) :] == above


def _innermost(error: Exception) -> Exception:
    """ldap3 tries each address of a name and then raises one error with all of them in it."""
    match error.args:
        case (_, [*_, (Exception() as last, _)]):
            return last
        case _:
            return error


# --- the wire


class _Conversation:
    """One connection to the server, used by one thread; only ``abort`` comes from another."""

    def __init__(self, settings: Ldap) -> None:
        self._settings = settings
        self._connection: Any = None  # ldap3.Connection, whose types are half unknown
        self._aborted = threading.Event()
        self._broken = False

    def abort(self) -> None:
        """Free the thread, wherever it waits. Harmless once the conversation is over."""
        self._aborted.set()
        held: socket.socket | None = getattr(self._connection, "socket", None)
        if held is not None:
            with suppress(OSError):
                # Not SSLSocket's own: that would make the waiting thread read on without TLS.
                socket.socket.shutdown(held, socket.SHUT_RDWR)

    @contextmanager
    def open(self) -> Generator[None]:
        """Connect, with TLS if so configured, and close in the end."""
        context = self._trust()
        try:
            with self._mapped():
                self._connect(context)
            yield
        finally:
            self._close()

    def bind(self, dn: str, password: str) -> bool:
        """Tell whether the server takes this password for this DN."""
        connection = self._connection
        with self._mapped():
            connection.authentication = SIMPLE
            connection.user = dn
            # Bytes, because ldap3 rewrites text by SASLprep: no other LDAP client does so, and
            # a password set through one of them would not be recognised.
            connection.password = password.encode()
            connection.bind(read_server_info=False)
            if connection.result["result"] == RESULT_SUCCESS:
                return True
            if connection.result["result"] in _BIND_REFUSED:
                return False
            raise self._fault("the log-in")

    def bind_service(self) -> None:
        """Become the service account, if there is one; else stay anonymous."""
        settings = self._settings
        if not settings.bind_dn:
            return
        if not settings.bind_password:
            raise DirectoryUnavailable("ldap.bind_password is missing: ldap.bind_dn is given.")
        if not self.bind(settings.bind_dn, settings.bind_password):
            raise DirectoryUnavailable(
                f"The directory {settings.url} refuses the account {settings.bind_dn!r}. Check "
                f"ldap.bind_dn and ldap.bind_password."
            )

    def search(
        self, base: str, query: str, scope: _Scope, attributes: list[str], *, limit: int = 0
    ) -> list[Entry]:
        """Return what is found. ``limit``: entries; having more is no fault then."""
        connection = self._connection
        with self._mapped():
            connection.search(
                base,
                query,
                search_scope=scope,
                dereference_aliases=DEREF_NEVER,
                attributes=attributes,
                size_limit=limit,
                time_limit=self._settings.receive_seconds,
            )
            code = connection.result["result"]
            if code != RESULT_SUCCESS and not (limit and code == RESULT_SIZE_LIMIT_EXCEEDED):
                raise self._fault(f"a search in {base!r}")
            return [
                Entry(
                    dn=one["dn"],
                    attributes={
                        name.lower(): tuple(value.decode(errors="replace") for value in values)
                        for name, values in one["raw_attributes"].items()
                    },
                )
                for one in connection.response
                if one["type"] == "searchResEntry"  # references to other servers are left alone
            ]

    def read(self, dn: str, attributes: list[str]) -> Entry | None:
        """Return one entry; None if it is not there or may not be read."""
        try:
            found = self.search(dn, "(objectClass=*)", BASE, attributes, limit=1)
        except DirectoryUnavailable:
            if self._broken or self._connection.result["result"] not in _ENTRY_HIDDEN:
                raise
            return None
        return next(iter(found), None)

    def _connect(self, context: ssl.SSLContext | None) -> None:
        settings = self._settings
        url = urlsplit(settings.url)
        secure = url.scheme == "ldaps"
        host = url.hostname or ""
        server = Server(
            host,
            port=url.port or (_LDAPS_PORT if secure else _LDAP_PORT),
            get_info=NONE,
            allowed_referral_hosts=[],
            connect_timeout=settings.connect_seconds,
        )
        self._connection = connection = cast(
            "Any",
            Connection(
                server,
                auto_bind=AUTO_BIND_NONE,
                client_strategy=SYNC,
                auto_referrals=False,
                check_names=False,
                read_only=True,
                receive_timeout=settings.receive_seconds,
                auto_escape=False,  # escaped here already; twice would be wrong
            ),
        )
        connection.open(read_server_info=False)
        self._check_aborted()
        if settings.start_tls:
            connection.extended(_START_TLS)
            if connection.result["result"] != RESULT_SUCCESS:
                raise self._fault("StartTLS")
        if context is not None:
            # ldap3's own wrapping leaves the host name to a function that Python has dropped.
            connection.socket = context.wrap_socket(
                connection.socket, server_hostname=host, do_handshake_on_connect=False
            )
            self._check_aborted()
            connection.socket.do_handshake()

    def _close(self) -> None:
        if self._connection is None:
            return
        if not self._broken:  # a farewell to a dead server would wait once more
            with suppress(LDAPException, OSError):
                self._connection.unbind()
        if self._connection.socket is not None:  # ldap3 forgets sockets that failed to open
            self._connection.socket.close()

    def _check_aborted(self) -> None:
        """``abort`` shuts the socket that it sees; a newer one is given up here."""
        if self._aborted.is_set():
            raise TimeoutError

    def _trust(self) -> ssl.SSLContext | None:
        """Make the TLS settings anew each time, so that a renewed authority is seen."""
        settings = self._settings
        if not settings.start_tls and urlsplit(settings.url).scheme != "ldaps":
            return None
        try:
            return ssl.create_default_context(cafile=settings.ca_file or None)
        except OSError as error:  # ssl.SSLError is one
            raise DirectoryUnavailable(
                f"ldap.ca_file {settings.ca_file!r} cannot be read as certificates ({error}). "
                f"Name a readable PEM file."
            ) from error

    def _fault(self, what: str) -> DirectoryUnavailable:
        result = self._connection.result
        if result["result"] == RESULT_REFERRAL:
            return DirectoryUnavailable(
                f"The directory {self._settings.url} refers {what} to another server, which the "
                f"hub never follows. Set ldap.url to the server that holds the people and groups."
            )
        message = " ".join(str(result["message"]).split())[:200]
        return DirectoryUnavailable(
            f"The directory {self._settings.url} answers {result['description']} to {what}"
            f"{f' ({message})' if message else ''}. Check the [ldap] settings and its log."
        )

    @contextmanager
    def _mapped(self) -> Generator[None]:
        """The one place where foreign exceptions become ours."""
        try:
            yield
        except DirectoryUnavailable:
            raise
        except Exception as error:
            self._broken = True
            # Any kind: what ldap3 raises on an answer that is no LDAP depends on where its
            # decoder stumbles. Only calls of the library and of sockets stand under this.
            raise DirectoryUnavailable(explain(error, self._settings.url)) from error


class LdapDirectory:
    """The people of an LDAP server, by DN template or by search; see ``Directory``.

    ``answer_seconds``: longest time for one question. Threads: at most
    ``settings.max_connections``. The pool is concurrent.futures' and not anyio's, because anyio
    gives a place back when nobody waits for the thread any more, while a thread that hangs in a
    slow name service still exists and must still count.
    """

    def __init__(self, settings: Ldap, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        """Keep the settings; nothing is asked yet."""
        self._settings = settings
        self._answer_seconds = answer_seconds
        self._threads = ThreadPoolExecutor(settings.max_connections, thread_name_prefix="ldap")

    @property
    def can_find(self) -> bool:
        """With a DN template, people read their own entries: to look needs a service account."""
        return bool(self._settings.search_base or self._settings.bind_dn)

    async def authenticate(self, username: str, password: str) -> Person:
        """Return who this is. Raises LoginRefused, DirectoryUnavailable; see ``Directory``."""
        name = clean_username(username)
        check_password(password)
        login = (
            self._login_by_template if self._settings.user_dn_template else self._login_by_search
        )
        try:
            return await self._ask(lambda talk: login(talk, name, password))
        except DirectoryUnavailable as cause:
            public = DirectoryUnavailable(
                "The directory of user accounts does not answer properly at the moment. Try again "
                "in a minute; if it lasts, tell your administrator."
            )
            public.add_note(str(cause))
            raise public from cause

    async def find(self, uid: UserId) -> Person | None:
        """Return the person as the directory has them now; see ``Directory``.

        Asks for the canonical uid, so the uid attribute must compare without regard to case, as
        ``uid`` and ``sAMAccountName`` do. None too if two entries have it.
        """
        self._check_can_find()
        return await self._ask(lambda talk: self._find(talk, uid))

    async def suggest(self, text: str, limit: int) -> list[Person]:
        """Return people whose names begin like this; see ``Directory``."""
        self._check_can_find()
        prefix = suggest_prefix(text)
        if not prefix or limit < 1:
            return []
        return await self._ask(lambda talk: self._suggest(talk, prefix, limit))

    async def ping(self) -> None:
        """Ask a harmless question. Raises DirectoryUnavailable naming the cause and the fix."""
        await self._ask(self._ping)

    def _check_can_find(self) -> None:
        if not self.can_find:
            raise DirectoryUnavailable(
                "With ldap.user_dn_template people can be looked up only through a service "
                "account. Set ldap.bind_dn and ldap.bind_password."
            )

    async def _ask(self, question: Callable[[_Conversation], _Answer]) -> _Answer:
        talk = _Conversation(self._settings)

        def converse() -> _Answer:
            with talk.open():
                return question(talk)

        try:
            with anyio.fail_after(self._answer_seconds):
                return await asyncio.wrap_future(self._threads.submit(converse))
        except TimeoutError as error:
            raise DirectoryUnavailable(explain(error, self._settings.url)) from error
        finally:
            talk.abort()

    def _login_by_template(self, talk: _Conversation, username: str, password: str) -> Person:
        dn = person_dn(self._settings.user_dn_template, username)
        if not talk.bind(dn, password):
            raise _refused("no such account, or the password is wrong")
        talk.bind_service()  # without one, people read their own entries
        entry = talk.read(dn, self._person_attributes)
        if entry is None:
            reader = self._settings.bind_dn or "the person that it belongs to"
            raise DirectoryUnavailable(
                f"The entry {dn!r} cannot be read by {reader}. Allow it in the directory."
            )
        return person_of(entry, self._groups(talk, entry), self._settings)

    def _login_by_search(self, talk: _Conversation, username: str, password: str) -> Person:
        talk.bind_service()
        query = login_filter(self._settings.search_filter, username)
        entry = self._only_one(talk, query)
        if entry is None:
            raise _refused("no entry, or more than one, has that name")
        groups = self._groups(talk, entry)
        if not talk.bind(entry.dn, password):
            raise _refused("the password is wrong, or the directory has locked the account")
        return person_of(entry, groups, self._settings)

    def _find(self, talk: _Conversation, uid: UserId) -> Person | None:
        talk.bind_service()
        return self._look_up(talk, uid)

    def _suggest(self, talk: _Conversation, prefix: str, limit: int) -> list[Person]:
        talk.bind_service()
        settings = self._settings
        query = suggest_filter(
            self._conditions, settings.uid_attribute, settings.name_attribute, prefix
        )
        base, scope = self._people()
        named: set[tuple[str, UserId]] = set()
        for entry in talk.search(
            base, query, scope, self._person_attributes, limit=SUGGEST_ENTRIES
        ):
            with suppress(LoginRefused):
                uid = own_uid(entry, settings.uid_attribute)
                name = display_name(entry, settings.name_attribute, uid)
                named.add((_fold(name), canonical_uid(uid)))
        people: list[Person] = []
        for _, uid in sorted(named):
            # One by one, by find's own rules: who is not exactly one person is offered to nobody.
            person = self._look_up(talk, uid)
            if person is not None:
                people.append(person)
            if len(people) == limit:
                break
        return people

    def _look_up(self, talk: _Conversation, uid: UserId) -> Person | None:
        settings = self._settings
        query = find_filter(self._conditions, settings.uid_attribute, uid)
        entry = self._only_one(talk, query)
        if entry is None:
            return None
        try:
            person = person_of(entry, self._groups(talk, entry), settings)
        except LoginRefused:
            return None
        return person if person.uid == uid else None

    def _ping(self, talk: _Conversation) -> None:
        base, _ = self._people()
        talk.bind_service()
        if not self.can_find:
            # Whether a stranger may read anything is the server's business: that it answers is
            # all there is to learn.
            talk.search("", "(objectClass=*)", BASE, [NO_ATTRIBUTES], limit=1)
            return
        for one in filter(None, (base, self._settings.group_base)):
            talk.search(one, "(objectClass=*)", BASE, [NO_ATTRIBUTES], limit=1)
        self._find(talk, canonical_uid("slicerhub-check"))

    def _groups(self, talk: _Conversation, entry: Entry) -> list[Entry]:
        settings = self._settings
        if not settings.group_base:
            return []
        uid = own_uid(entry, settings.uid_attribute)
        return talk.search(settings.group_base, group_filter(entry.dn, uid), SUBTREE, ["cn"])

    def _only_one(self, talk: _Conversation, query: str) -> Entry | None:
        base, scope = self._people()
        found = talk.search(base, query, scope, self._person_attributes, limit=2)
        return found[0] if len(found) == 1 else None

    def _people(self) -> tuple[str, _Scope]:
        """Where people are looked for; with a DN template, beside each other under its parent."""
        settings = self._settings
        if settings.search_base:
            return settings.search_base, SUBTREE
        try:
            split_dn(person_dn(settings.user_dn_template, "nobody"))
        except ValueError:
            raise DirectoryUnavailable(
                f"ldap.user_dn_template {settings.user_dn_template!r} is no DN. Write it like "
                f"uid={{username}},ou=people,dc=example,dc=org."
            ) from None
        return settings.user_dn_template.partition(_PLACEHOLDER)[2].partition(",")[2], LEVEL

    @property
    def _conditions(self) -> str:
        """What every person's entry must be besides having the uid asked for."""
        return self._settings.search_filter if self._settings.search_base else "(objectClass=*)"

    @property
    def _person_attributes(self) -> list[str]:
        return [
            self._settings.uid_attribute,
            self._settings.name_attribute,
            "cn",
            "memberOf",
            "pwdAccountLockedTime",
            "nsAccountLock",
            "userAccountControl",
        ]
