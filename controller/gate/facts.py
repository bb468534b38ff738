"""What a gate is told: the facts that verdicts need, and nothing else. Pure.

A gate follows one controller over a stream. First comes a snapshot, then each change with its
number; the gate confirms the number of what it has applied. A number is good for one start of one
controller only, which is why each stream begins with a snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeVar

import msgspec

from controller.core.model import Phase, Role, SessionId, UserId
from controller.core.records import Login
from controller.gate.refusals import Closed
from controller.rules.companions import Companion
from controller.settings.schema import Settings

PROTOCOL = 1
"""Of the messages here. Controller and gate are of one image; an upgrade replaces them in turn."""

_Key = TypeVar("_Key")

_Value = TypeVar("_Value")


class Guest(msgspec.Struct, frozen=True, array_like=True):
    """An invitation as it counts; ``expires``: seconds since the epoch, None: it stands."""

    role: Role
    expires: float | None = None


class SessionFacts(msgspec.Struct, frozen=True, array_like=True):
    """What a verdict needs of a session."""

    id: SessionId
    owner: UserId
    phase: Phase
    guests: dict[UserId, Guest] = {}


class Site(msgspec.Struct, frozen=True):
    """What only changes with a controller's start."""

    settings: Settings  # only those that verdicts need, see ``settings_for_gates``
    closed: Closed


class Extra(msgspec.Struct, frozen=True):
    """What changes rarely, and is sent whole."""

    keys: bytes  # a ``people.tokens.PublicRing``
    entries: bytes  # a ``KeyRing`` of the keys that sign entries; a gate never writes them down
    companions: tuple[Companion, ...] = ()
    traefik: bytes = b""  # Traefik's configuration of the companions, in JSON


class Facts(msgspec.Struct, frozen=True):
    """All facts at one moment; ``revision``: of the store's, up to which log-ins are known."""

    sessions: Mapping[SessionId, SessionFacts]
    logins: Mapping[str, Login]
    revision: int
    extra: Extra


# -- from a controller to a gate -----------------------------------------------------------------


class Snapshot(msgspec.Struct, frozen=True, tag=True):
    """Everything; it replaces what was known."""

    number: int
    site: Site
    sessions: tuple[SessionFacts, ...]
    logins: tuple[Login, ...]
    revision: int
    extra: Extra


class Change(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """What is new, by a number that is one higher than the one before."""

    number: int
    sessions: tuple[SessionFacts, ...] = ()
    gone: tuple[SessionId, ...] = ()
    logins: tuple[Login, ...] = ()
    ended: tuple[str, ...] = ()
    revision: int | None = None
    extra: Extra | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is new."""
        return not (
            self.sessions
            or self.gone
            or self.logins
            or self.ended
            or self.revision is not None
            or self.extra is not None
        )


class Beat(msgspec.Struct, frozen=True, tag=True):
    """The answer to an Ask; ``asked`` is what stood in it."""

    asked: float


class Proven(msgspec.Struct, frozen=True, tag=True):
    """The answer to a Prove: the token's claims, or b"" for one that proves nothing."""

    number: int
    claims: bytes


FromController = Snapshot | Change | Beat | Proven

# -- from a gate to a controller -----------------------------------------------------------------


class Hello(msgspec.Struct, frozen=True, tag=True):
    """Who follows. ``name`` is the gate's for good, ``boot`` is another one after each start."""

    protocol: int
    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}\Z")]
    boot: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]{1,64}\Z")]


class Ask(msgspec.Struct, frozen=True, tag=True):
    """Are you there? ``at``: seconds of the gate's own clock."""

    at: float


class Confirm(msgspec.Struct, frozen=True, tag=True):
    """Everything up to this number counts here now."""

    number: int


class Prove(msgspec.Struct, frozen=True, tag=True):
    """What does a token say that only a controller can read? Answered by ``number``."""

    number: int
    token: str
    audience: str


class Entered(msgspec.Struct, frozen=True, array_like=True):
    """Somebody has opened a session."""

    session: SessionId
    sid: str
    uid: UserId
    role: Role
    address: str


class Used(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """What was used since the last report, and how many seconds ago it was last."""

    sessions: dict[SessionId, float] = {}
    logins: dict[str, float] = {}
    entered: tuple[Entered, ...] = ()


class Goodbye(msgspec.Struct, frozen=True, tag=True):
    """The gate answers no more."""


FromGate = Hello | Ask | Confirm | Prove | Used | Goodbye


def settings_for_gates(settings: Settings) -> Settings:
    """Return the settings that verdicts depend on; the others, secrets among them, stay unset."""
    return Settings(
        instance=settings.instance,
        public_url=settings.public_url,
        extra_urls=settings.extra_urls,
        session_domain=settings.session_domain,
    )


def snapshot_of(facts: Facts, *, number: int, site: Site) -> Snapshot:
    """Return a snapshot of all facts."""
    return Snapshot(
        number=number,
        site=site,
        sessions=tuple(facts.sessions.values()),
        logins=tuple(facts.logins.values()),
        revision=facts.revision,
        extra=facts.extra,
    )


def change_between(before: Facts, after: Facts, number: int) -> Change:
    """Return what is new in ``after``; it may be nothing."""
    return Change(
        number=number,
        sessions=_new(before.sessions, after.sessions),
        gone=tuple(before.sessions.keys() - after.sessions.keys()),
        logins=_new(before.logins, after.logins),
        ended=tuple(before.logins.keys() - after.logins.keys()),
        revision=after.revision if after.revision != before.revision else None,
        extra=after.extra if after.extra != before.extra else None,
    )


def _new(before: Mapping[_Key, _Value], after: Mapping[_Key, _Value]) -> tuple[_Value, ...]:
    # Most are the same object: ten thousand log-ins are compared in a millisecond.
    return tuple(
        one for key, one in after.items() if (known := before.get(key)) is not one and known != one
    )
