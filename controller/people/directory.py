"""The directory of people: its contract, and what a user name and a password may be."""

from __future__ import annotations

import re
import unicodedata
from typing import Protocol

from controller.core.errors import InvalidRequest, LoginRefused
from controller.core.model import Person, UserId, canonical_uid

USERNAME_MAX = 64
"""Longest user name, in characters."""

PASSWORD_MAX = 1024
"""Longest password that is sent to the directory, in characters."""

DISPLAY_NAME_MAX = 80
"""Longest display name, in characters; a longer one is cut."""

SUGGEST_MIN = 3
"""Shortest beginning of a name for which people are suggested, in characters."""

SUGGEST_ENTRIES = 50
"""Most entries that the server is asked for when people are suggested."""

_USERNAME = re.compile(r"[\w.@'-]+")  # \w: letters and digits of every script, and "_"


class Directory(Protocol):
    """The directory of people."""

    @property
    def can_find(self) -> bool:
        """Tell whether ``find`` works: it needs an account that may read the directory."""
        ...

    async def authenticate(self, username: str, password: str) -> Person:
        """Return the person of this name and password. Raises LoginRefused, DirectoryUnavailable.

        The caller pads the time of the answer and counts failures. Neither error tells the cause to
        the person who logs in; it is in ``__notes__``, for the administrator's log.
        """
        ...

    async def find(self, uid: UserId) -> Person | None:
        """Return the person's present entry; None: gone, disabled or not entitled.

        Raises DirectoryUnavailable if it does not answer, and always where ``can_find`` is false.
        """
        ...

    async def suggest(self, text: str, limit: int) -> list[Person]:
        """Return up to ``limit`` people whose uid, or a word of their name, begins with this.

        Only people whom ``find`` would return, ordered by display name. Nobody can list the
        directory with it: a text that ``suggest_prefix`` refuses finds nobody, and at most
        SUGGEST_ENTRIES entries are read, so some of many namesakes need a longer text. Raises
        DirectoryUnavailable as ``find`` does.
        """
        ...

    async def ping(self) -> None:
        """Ask a harmless question. Raises DirectoryUnavailable naming the cause and the fix."""
        ...


# --- pure parts


def clean_username(typed: str) -> str:
    """Return the name in Unicode's compatibility form, as it is sent. Raises LoginRefused.

    Letters of every script are accepted: a directory may have a uid "müller", and safety does not
    depend on ASCII, since names are escaped and identity is read from the directory. Names are
    checked after normalising, because a full-width asterisk becomes "*". The case is kept: the
    directory's own matching rules handle it.
    """
    if len(typed) > USERNAME_MAX:
        raise refused("the user name is too long")
    name = unicodedata.normalize("NFKC", typed)
    if not may_be_a_name(name):
        raise refused("the user name has characters that a user name cannot have")
    return name


def uid_of(typed: str) -> UserId:
    """Return the id for a user name that somebody typed. Raises InvalidRequest.

    Only such a name may be recorded as a person's.
    """
    try:
        return canonical_uid(clean_username(typed))
    except LoginRefused as error:
        raise InvalidRequest("That is not a user name. Check the spelling.") from error


def check_password(password: str) -> None:
    """Raise LoginRefused for what must never be sent as a password."""
    if not password.strip() or "\0" in password:
        raise refused("the password is empty, blank or has a NUL in it")
    if len(password) > PASSWORD_MAX:
        raise refused("the password is too long")
    try:
        password.encode()
    except UnicodeEncodeError:
        raise refused("the password is no valid Unicode") from None


def suggest_prefix(typed: str) -> str:
    """Return the beginning of a name as it is searched for; "" if it is too short.

    It must contain a letter or digit: wildcards and punctuation name nobody.
    """
    text = " ".join(unicodedata.normalize("NFKC", typed).split())
    usable = SUGGEST_MIN <= len(text) <= DISPLAY_NAME_MAX and text.isprintable()
    return text if usable and any(one.isalnum() for one in text) else ""


def refused(reason: str) -> LoginRefused:
    """Return a refusal whose reason is for the log only."""
    error = LoginRefused()
    error.add_note(reason)
    return error


def may_be_a_name(text: str) -> bool:
    """Tell whether a text can be a user name."""
    return len(text) <= USERNAME_MAX and bool(_USERNAME.fullmatch(text))
