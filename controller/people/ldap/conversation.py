"""One conversation with an LDAP server, with its errors turned into the hub's."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from ldap3 import AUTO_BIND_NONE, BASE, DEREF_NEVER, NONE, SIMPLE, SYNC, Connection, Server
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

from controller.core.errors import DirectoryUnavailable
from controller.core.sentence import Phrase
from controller.people.ldap.entries import Entry
from controller.settings.schema import Ldap

ANSWER_SECONDS = 7.0
"""Seconds for one question, with the wait for a free thread; row 26 allows 8."""

_START_TLS = "1.3.6.1.4.1.1466.20037"  # RFC 4511, 4.14.1

_LDAP_PORT, _LDAPS_PORT = 389, 636

_CERTIFICATE_NAME_FAULTS = (62, 64)  # OpenSSL: host name mismatch, IP address mismatch

# Codes with which servers refuse a bind: 389 DS has 53 for a disabled and 19 for a locked account,
# OpenLDAP 48 for one without a password, some servers 32 for an unknown DN.
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

Scope = Literal["BASE", "LEVEL", "SUBTREE"]


def fault_of(error: Exception, url: str) -> DirectoryUnavailable:
    """Say in a plain sentence what is wrong with a server, and the fix. ``url``: its address.

    ldap3 rebuilds exceptions from their text, so their attributes may be missing.
    """
    match _innermost(error):
        case ssl.SSLCertVerificationError() as cause if (
            cause.verify_code in _CERTIFICATE_NAME_FAULTS
        ):
            return DirectoryUnavailable(
                "The certificate of {url} is for another name. Use the name in the certificate in "
                "ldap.url.",
                url=url,
            )
        case ssl.SSLCertVerificationError() as cause:
            return DirectoryUnavailable(
                "The certificate of {url} is not trusted ({fault}). Set ldap.ca_file to the "
                "authority that issued it.",
                url=url,
                fault=str(getattr(cause, "verify_message", cause)),
            )
        case ssl.SSLError() as cause:
            return DirectoryUnavailable(
                "TLS with {url} failed ({fault}). ldaps:// needs a port that speaks TLS at once, "
                "usually 636; for 389 use ldap:// with ldap.start_tls.",
                url=url,
                fault=str(getattr(cause, "reason", cause)),
            )
        case TimeoutError():
            return DirectoryUnavailable(
                "The directory {url} does not answer in time. Check ldap.url, the server, and a "
                "firewall between them.",
                url=url,
            )
        case ConnectionRefusedError():
            return DirectoryUnavailable(
                "The directory {url} refuses connections. Check that it runs, and the port in "
                "ldap.url.",
                url=url,
            )
        case LDAPSessionTerminatedByServerError() | ConnectionError():
            return DirectoryUnavailable(
                "The directory {url} has closed the connection. See its log; a port that speaks "
                "TLS at once, usually 636, needs ldaps://.",
                url=url,
            )
        case LDAPInvalidFilterError():
            return DirectoryUnavailable(
                "ldap.search_filter is not an LDAP filter. Write it like (uid={{username}})."
            )
        case LDAPSocketOpenError() as cause if "invalid server address" in str(cause):
            return DirectoryUnavailable(
                "The host of {url} is not known. Check ldap.url and the DNS.", url=url
            )
        case OSError() as cause:
            return DirectoryUnavailable(
                "The directory {url} cannot be reached ({fault}). Check ldap.url and the network.",
                url=url,
                fault=str(cause),
            )
        case cause:
            return DirectoryUnavailable(
                "The directory {url} does not answer as an LDAP server should ({fault}). Check "
                "ldap.url.",
                url=url,
                fault=str(cause),
            )


def _innermost(error: Exception) -> Exception:
    """Return the last error: ldap3 tries each address and raises one error with all of them."""
    match error.args:
        case (_, [*_, (Exception() as last, _)]):
            return last
        case _:
            return error


# --- the wire


class Conversation:
    """One connection to the server, used by one thread; only ``abort`` comes from another."""

    def __init__(self, settings: Ldap) -> None:
        """No connection is opened yet."""
        self._settings = settings
        self._connection: Any = None  # ldap3.Connection, whose types are half unknown
        self._aborted = threading.Event()
        self._broken = False

    def abort(self) -> None:
        """Free the thread, wherever it waits. Harmless after the conversation has ended."""
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
            raise self._fault(Phrase("the log-in"))

    def bind_service(self) -> None:
        """Bind as the service account, if there is one; otherwise stay anonymous."""
        settings = self._settings
        if not settings.bind_dn:
            return
        if not settings.bind_password:
            raise DirectoryUnavailable("ldap.bind_password is missing, but ldap.bind_dn is set.")
        if not self.bind(settings.bind_dn, settings.bind_password):
            raise DirectoryUnavailable(
                "The directory {url} refuses the account {account}. Check "
                "ldap.bind_dn and ldap.bind_password.",
                url=settings.url,
                account=repr(settings.bind_dn),
            )

    def search(
        self, base: str, query: str, scope: Scope, attributes: list[str], *, limit: int = 0
    ) -> list[Entry]:
        """Return the entries found. ``limit``: read at most so many; more is then no error."""
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
                raise self._fault(Phrase("a search in {base}", base=repr(base)))
            return [
                Entry(
                    dn=one["dn"],
                    attributes={
                        name.lower(): tuple(value.decode(errors="replace") for value in values)
                        for name, values in one["raw_attributes"].items()
                    },
                )
                for one in connection.response
                if one["type"] == "searchResEntry"  # references to other servers are not followed
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
                raise self._fault(Phrase("StartTLS"))
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
        """``abort`` shuts the socket that it sees; a newer one is closed here."""
        if self._aborted.is_set():
            raise TimeoutError

    def _trust(self) -> ssl.SSLContext | None:
        """Make the TLS settings each time, so that a renewed authority is used."""
        settings = self._settings
        if not settings.start_tls and urlsplit(settings.url).scheme != "ldaps":
            return None
        try:
            return ssl.create_default_context(cafile=settings.ca_file or None)
        except OSError as error:  # ssl.SSLError is one
            raise DirectoryUnavailable(
                "ldap.ca_file {file} cannot be read as certificates ({error}). "
                "Name a readable PEM file.",
                file=repr(settings.ca_file),
                error=str(error),
            ) from error

    def _fault(self, what: Phrase) -> DirectoryUnavailable:
        result = self._connection.result
        if result["result"] == RESULT_REFERRAL:
            return DirectoryUnavailable(
                "The directory {url} refers {what} to another server, which the "
                "hub never follows. Set ldap.url to the server that holds the people and groups.",
                url=self._settings.url,
                what=what,
            )
        message = " ".join(str(result["message"]).split())[:200]
        return DirectoryUnavailable(
            "The directory {url} answers {answer} to {what}. Check the [ldap] settings and its "
            "log.",
            url=self._settings.url,
            answer=str(result["description"]),
            what=Phrase("{what} ({message})", what=what, message=message) if message else what,
        )

    @contextmanager
    def _mapped(self) -> Generator[None]:
        """Turn foreign exceptions into the hub's, here and nowhere else."""
        try:
            yield
        except DirectoryUnavailable:
            raise
        except Exception as error:
            self._broken = True
            # Any kind of exception: if an answer is not LDAP, it depends on where ldap3's decoder
            # fails. Only calls of the library and of sockets run under this.
            raise fault_of(error, self._settings.url) from error
