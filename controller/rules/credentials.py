"""What a request carries that may prove who sent it, read once for all who ask. Pure."""

from __future__ import annotations

from msgspec import Struct

from controller.core.kept import Kept
from controller.rules import cookies
from controller.settings.schema import Settings

_COOKIE_MAX = 16_384  # characters of a Cookie header in which ours are looked for

_READ_MAX = 16_384  # readings that are kept: of as many people as tokens (``people.verified``)

# Characters of the headers of one of them, so that all of them are 36 MiB at most, whoever sends
# them; mostly they are half of it. Longer ones are read each time, which takes two microseconds.
_KEPT_MAX = 1024


class Credentials(Struct, frozen=True, gc=False):
    """What one request carries. What is not there, or cannot be believed, is "".

    Two different values of one cookie mean that a page below the hub has planted one: then none
    is believed.
    """

    login: str = ""  # the token in the log-in cookie
    entry: str = ""  # the token in the cookie of a session's own host, in subdomain mode
    state: str = ""  # what binds a hand-off to the browser that began it
    torn: bool = False  # two different entries: another page has planted one
    bearer: str | None = None  # a program's token; "": of another scheme. None: no such header
    others: str = ""  # the Cookie header without ours, which is all that a session may see

    def __repr__(self) -> str:
        """Never show what proves something."""
        return "Credentials(…)"


class CredentialReader:
    """Reads the credentials of requests to this instance."""

    def __init__(self, settings: Settings) -> None:
        """Learn under which names ours stand."""
        instance, secure = settings.instance, settings.secure
        self._login = cookies.login_cookie(instance, secure=secure)
        self._entry = cookies.entry_cookie(instance, secure=secure)
        self._state = cookies.state_cookie(instance, secure=secure)
        self._ours = frozenset(name.lower() for name in cookies.own_cookies(settings))
        # A browser sends the same with hundreds of requests.
        self._known: Kept[tuple[str, str], Credentials] = Kept(_READ_MAX)

    def read(self, cookie: str, authorization: str) -> Credentials:
        """Return what the headers of these names carry; "": there is none."""
        known = self._known.get((cookie, authorization))
        if known is None:
            known = self._read(cookie, authorization)
            if len(cookie) + len(authorization) <= _KEPT_MAX:
                self._known.keep((cookie, authorization), known)
        return known

    def _read(self, cookie: str, authorization: str) -> Credentials:
        """Read the headers.

        The standard library's parser of cookies gives up at the first one that it does not like,
        which would let any session log its user out of the hub.
        """
        bearer = _bearer_of(authorization) if authorization else None
        if not cookie:
            return Credentials(bearer=bearer)
        found: dict[str, set[str]] = {}
        others: list[str] = []
        for piece in cookie.split(";"):
            if part := piece.strip():
                name, _, value = part.partition("=")
                # The same name in other case is hidden, not read.
                if name.strip().lower() in self._ours:
                    found.setdefault(name, set()).add(value)
                else:
                    others.append(part)
        kept = "; ".join(others)
        if not found or len(cookie) > _COOKIE_MAX:
            return Credentials(bearer=bearer, others=kept)
        return Credentials(
            login=_only(found.get(self._login)),
            entry=_only(found.get(self._entry)),
            state=_only(found.get(self._state)),
            torn=len(found.get(self._entry, ())) > 1,
            bearer=bearer,
            others=kept,
        )


def _only(values: set[str] | None) -> str:
    return next(iter(values)) if values and len(values) == 1 else ""


def _bearer_of(header: str) -> str:
    """Return the token of an Authorization header, or "" for one of another scheme."""
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
