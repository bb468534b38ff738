"""Records: what the store keeps, so that it outlives the controller. Sessions are not in it."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from controller.core.model import Person, Role, Session, SessionId, UserId


class Actor(msgspec.Struct, frozen=True):
    """Who acts. ``address``: as Traefik saw it; "" if no request was the cause."""

    who: str
    address: str = ""


CONTROLLER = Actor("controller")
"""The hub itself: housekeeping, and what follows from earlier acts."""


class Sign(StrEnum):
    """Kind of the last sign of life of a session."""

    SEEN = "seen"  # none yet: it was launched, or seen for the first time
    REQUEST = "request"  # through Traefik
    INPUT = "input"
    COMPUTING = "computing"
    KEPT = "kept"  # somebody said that it is still needed


class Reason(StrEnum):
    """Why a session is removed."""

    STOPPED = "stopped"  # by a person, or a stop that was cut short
    IDLE = "idle"
    LIFETIME = "lifetime"
    FAILED = "failed"
    UNUSED = "unused"  # started ahead, and its owner did not come
    DEPARTED = "departed"  # its owner may no longer use the hub
    ADMIN = "admin"  # by an administrator
    DRAIN = "drain"  # the end of a drain


class Login(msgspec.Struct, frozen=True, omit_defaults=True):
    """A log-in. Times are seconds since the epoch."""

    sid: str
    person: Person
    created: float
    expires: float
    address: str = ""  # from which it was made
    agent: str = ""  # what the browser or program calls itself; whatever it likes
    script: bool = False  # a program's, with a bearer token
    seen: float = 0.0  # last used then, a few minutes more or less; 0: not since it was made
    key: str = ""  # id of the key that signed what proves it; "": by a hub that did not write it
    revision: int = 0  # of the store's, in which it stood; not kept. 0: no other controller's


class Reading(msgspec.Struct, frozen=True):
    """All log-ins at one moment, with every change up to this revision by any controller."""

    logins: tuple[Login, ...]
    revision: int = 0


class Notice(msgspec.Struct, frozen=True):
    """Something to tell a person on their page, until they dismiss it.

    It reads: ``text``, the time ``at``, ``more``. The page formats the time.
    """

    number: int
    at: float  # seconds since the epoch
    text: str
    more: str


class Share(msgspec.Struct, frozen=True):
    """Somebody is invited to a session. Times are seconds since the epoch."""

    session: SessionId
    uid: UserId
    role: Role  # VIEW or CONTROL
    display_name: str
    created: float
    expires: float | None = None  # None: as long as the session runs
    look: bool = False  # an administrator looks into it; nobody has invited them
    asks: bool = False  # for control, and the owner has not decided yet


class Link(msgspec.Struct, frozen=True):
    """A link: anybody who has its code may join a session. The code itself is not stored."""

    id: str
    session: SessionId
    role: Role
    created: float
    expires: float
    max_uses: int | None = None
    uses: int = 0

    def is_open(self, now: float) -> bool:
        """Tell whether one more person may use it."""
        return now < self.expires and (self.max_uses is None or self.uses < self.max_uses)

    def share_for(self, person: Person, now: float) -> Share:
        """Return the invitation that it gives a person now."""
        return Share(
            session=self.session,
            uid=person.uid,
            role=self.role,
            display_name=person.display_name,
            created=now,
            expires=self.expires,
        )


class Announced(msgspec.Struct, frozen=True):
    """People were warned of a stop. Durations in seconds."""

    reason: Reason
    ago: float  # that they were told
    left: float  # until the stop, if nothing happens


class Memo(msgspec.Struct, frozen=True):
    """What a controller knew of a session beyond its labels. Durations in seconds.

    They grow only while a controller runs: a restart adds nothing to them.
    """

    age: float
    idle: float
    served: bool
    ahead: bool = False  # started ahead of its owner, and not used yet
    input: str = ""  # the session's own last_input_at: compared, never read as a time
    sign: Sign = Sign.SEEN
    kept_by: str = ""
    extra: float = 0.0  # that an administrator has added to its lifetime
    warned: Announced | None = None  # written by the leader only

    def aged(self, seconds: float) -> Memo:
        """Return the memo as it is after this time, if nothing has happened since."""
        told = self.warned
        if told is not None:
            told = Announced(told.reason, told.ago + seconds, told.left - seconds)
        return msgspec.structs.replace(self, idle=self.idle + seconds, warned=told)


class Ticket(msgspec.Struct, frozen=True):
    """A session waits in the queue. ``since``: seconds since the epoch."""

    session: Session  # as it will be
    since: float


class Drain(msgspec.Struct, frozen=True):
    """New sessions are blocked. Times are seconds since the epoch."""

    by: UserId
    since: float
    message: str = ""  # the administrator's words for everybody
    stop_at: float | None = None  # when all sessions are stopped; None: they run on


class Message(msgspec.Struct, frozen=True):
    """A message that a session shows for a while. ``until``: seconds since the epoch."""

    text: str
    until: float


class Gate(msgspec.Struct, frozen=True):
    """A gate that may exist, and let requests pass from memory."""

    name: str  # a short slug; a restarted gate keeps it, and no two that run share one
    boot: str  # random id of this start of it
    since: float  # seconds since the epoch, when it began to follow the controller that put it here


class Ack(msgspec.Struct, frozen=True):
    """What one controller answers another: at which gates all counts that was asked about."""

    number: int  # of the question
    gates: frozenset[tuple[str, str]]  # starts of gates that follow it: their names and boots


class Mark(msgspec.Struct, frozen=True):
    """What one of several controllers asks the others, and answers them.

    Who reads the mark of another one, and all records after it, knows what was written before it.
    """

    by: str  # the controller
    at: float  # seconds since the epoch
    number: int = 0  # of its last question: does what is written by now count at your gates?
    acks: dict[str, Ack] = {}  # its last answer to each other controller


class Rules(msgspec.Struct, frozen=True):
    """What administrators have decided besides the configuration."""

    drain: Drain | None = None
    quotas: dict[UserId, int] = {}  # sessions of one person, instead of the configured number
    messages: dict[SessionId, Message] = {}  # those that are over, too, until they are removed
