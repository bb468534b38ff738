"""What a form of the hub's pages must carry: a keyed hash of the log-in that it was made for."""

from __future__ import annotations

import hmac
from collections.abc import Callable

from controller.core.records import Login
from controller.people.tokens import Key, Keys, Use


class Forms:
    """Makes and compares what forms carry. Keys that sign only entries are none of it."""

    def __init__(self, keys: Keys, *, wall: Callable[[], float]) -> None:
        """``wall``: seconds since the epoch."""
        self._keys = keys
        self._wall = wall

    def csrf(self, login: Login) -> str:
        """Return what a form of this log-in must carry; it is valid for no other."""
        return _csrf(self._keys.ring.signing(Use.HUB, self._wall()), login.sid)

    def csrf_matches(self, login: Login, given: str) -> bool:
        """Tell whether a form was made for this log-in, by any key of the ring.

        The comparison takes the same time wherever they differ.
        """
        expected = [_csrf(key, login.sid) for key in self._keys.ring.of_use(Use.HUB)]
        return given.isascii() and any(hmac.compare_digest(one, given) for one in expected)


def _csrf(key: Key, sid: str) -> str:
    return hmac.digest(bytes.fromhex(key.secret), f"csrf:{sid}".encode(), "sha256").hex()
