"""Tokens that were verified are remembered for a while; and the keys that a gate has for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from controller.core.kept import Kept
from controller.people.tokens import (
    Audience,
    CannotSign,
    Claims,
    KeyRing,
    PublicRing,
    TokenUnproven,
    check_times,
)

TOKENS_MOST = 16_384
"""That are remembered: of ten thousand people, and of some of them at two sessions' hosts.

With less, people who ask in turn would push out one another's, and each verdict would verify a
signature, which takes twenty times as long as all the rest. Each takes 0.6 KiB, all of them 10 MiB.
"""


class Verifier(Protocol):
    """What verifies tokens: the hub's ring or what a gate has of it. It never changes."""

    def verify(self, token: str, audience: Audience, now: float) -> Claims:
        """Return the claims of a token that is valid at ``now`` (seconds since the epoch).

        Raises TokenRefused, and TokenUnproven where only the hub can tell.
        """
        ...


class HeldKeys(Protocol):
    """The keys in use, in the hub or in a gate; the ring can be replaced while it runs."""

    @property
    def ring(self) -> Verifier:
        """What verifies now."""
        ...

    def issue(self, claims: Claims) -> str:
        """Sign ``claims``. Raises CannotSign for what is not signed here."""
        ...


class GateKeys:
    """The keys in use in a gate: they verify everything, and sign entries only."""

    def __init__(self, ring: PublicRing, entries: KeyRing) -> None:
        """``entries``: see KeyRing.entries; without keys nothing is signed."""
        self.ring = ring
        self.entries = entries

    def issue(self, claims: Claims) -> str:
        """Sign an entry. Raises CannotSign for all else, or without a key."""
        if claims.aud is not Audience.ENTRY:
            raise CannotSign
        return self.entries.issue(claims)


class VerifiedTokens:
    """A bounded memory of verified tokens: saves about 230 us on nearly every request.

    It remembers only the *verification*, never past the end of the token or of the ring. The caller
    checks each time whether the log-in is still valid.
    """

    def __init__(
        self,
        keys: HeldKeys,
        clock: Callable[[], float],
        *,
        size: int = TOKENS_MOST,
        seconds: float = 60.0,
    ) -> None:
        """``clock``: seconds since the epoch; ``size`` tokens are remembered, for ``seconds``."""
        self._keys = keys
        self._ring = keys.ring
        self._clock = clock
        self._seconds = seconds
        self._known: Kept[tuple[str, Audience], tuple[float, Claims]] = Kept(size)
        self._told: Kept[tuple[str, Audience], Claims] = Kept(size)

    def verify(self, token: str, audience: Audience) -> Claims:
        """Like Verifier.verify, at the clock's time; TokenUnproven for what nobody has told."""
        now = self._clock()
        if self._ring is not self._keys.ring:
            self._ring = self._keys.ring
            self._known.clear()
        known = self._known.get((token, audience))
        if known is not None and 0 <= now - known[0] < self._seconds:
            check_times(known[1], now)
            return known[1]
        try:
            claims = self._ring.verify(token, audience, now)
        except TokenUnproven:
            # Here the ring still names the key, and the token's own times are right.
            told = self._told.get((token, audience))
            if told is None:
                raise
            claims = told
        self._known.keep((token, audience), (now, claims))
        return claims

    def remember(self, token: str, claims: Claims) -> None:
        """Believe what the hub has verified of a token for which TokenUnproven was raised.

        It counts for the kind that ``claims`` name, until the token or its key is over.
        """
        self._told.keep((token, claims.aud), claims)
