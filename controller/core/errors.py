"""What can go wrong, each with a sentence that tells the reader what to do.

HubError
 +- ConfigError              the configuration has faults (all of them, at once)
 +- HttpError                what HTTP itself defines: nothing at this address, too large
 +- Refused                  the hub works; this request is not granted
 |   +- LoginRefused         user name or password wrong, or not in an allowed group
 |   +- NotLoggedIn          no log-in, or one that has ended
 |   +- Forged               not sent by the hub's own pages
 |   +- TooManyAttempts      log-in throttled for a while
 |   +- NotAllowed           a verb or profile that this person may not use
 |   +- InvalidRequest       a value in the request is not acceptable
 |   +- NoSuchSession        unknown, foreign and stopped ids alike
 |   +- NotInvited           the same, at the address of a session itself
 |   +- SharingOff           path mode, and nobody has accepted what sharing means there
 |   +- SessionExists        that name runs already
 |   +- SessionStopping      the session of that name is being stopped
 |   +- QuotaReached         too many sessions
 |   +- LinkOver             a link that is unknown, used up, ended or expired
 |   +- TooManyGrants        a session has as many invitations or links as it may
 |   +- TooManyQuestions     names looked up faster than people type
 |   +- NoSuchLogin          unknown, ended and foreign log-ins alike
 |   +- NotThrottled         these log-ins are not refused
 |   +- Draining             the hub is draining: nothing starts
 |   +- FilesInUse           files that a session still uses cannot be removed
 |   +- ImageRefused         the profile's image is missing or unsafe
 |       +- NoGpu            the profile needs a graphics card, and the engine has none
 +- Unavailable              a part that the hub needs does not answer; trying again may help
     +- DirectoryUnavailable
     +- EngineUnavailable
     +- GatewayUnavailable
     +- StoreUnavailable
     |   +- NotWrittenDown   something has ended, but the store could not record it yet
     +- HalfDone             what was asked for counts, but is not carried out wholly
     |   +- NotWrittenDown   the same as above
     |   +- NotEverywhereYet something was taken back, and a gate may not have heard of it
     +- LoginNotHeardOf      another controller made this log-in; it is not fully known here yet
     +- NotReadyYet          the controller has not read all sessions yet
     +- CannotSign           there is no key here for what is to be signed (people.tokens)

Foreign exceptions (ldap3, docker, httpx, sqlite3) are mapped to these in the one module that
imports the library. ``status`` is the HTTP status that a request ending in this error gets.
"""

from __future__ import annotations

from typing import LiteralString

from controller.core.sentence import Sentence, Value


class HubError(Exception):
    """Base of all errors of the hub; ``str(error)`` is a sentence for the person in front of it.

    ``text`` is its template, see ``Sentence``: a value that is missing shows where it is raised. Or
    it is a sentence that was made elsewhere.
    """

    status: int = 500
    title: str = "Something went wrong in the hub"
    retry_after: int | None = None  # seconds

    def __init__(self, text: LiteralString | Sentence, /, **values: Value) -> None:
        self.sentence = text if isinstance(text, Sentence) else Sentence(text, **values)
        super().__init__(str(self.sentence))

    @property
    def in_full(self) -> str:
        """The sentence, followed by the notes, which only an administrator can use."""
        return " ".join([str(self), *getattr(self, "__notes__", ())])

    def extra(self) -> dict[str, str]:
        """Return what a program may want to know besides the sentence."""
        return {}


class ConfigError(HubError):
    """The configuration cannot be used. ``faults``: one sentence each, name and fix in it."""

    title = "The configuration has faults"

    def __init__(self, faults: list[str]) -> None:
        super().__init__("{faults}", faults="\n".join(faults))
        self.faults = faults


class Refused(HubError):
    """The request was understood and is not granted."""

    status = 403
    title = "Not allowed"


class LoginRefused(Refused):
    """User name or password wrong, or not entitled: never which of them."""

    status = 401
    title = "Log-in refused"

    def __init__(self) -> None:
        super().__init__("User name or password is wrong, or this account may not use the hub.")


class NotLoggedIn(Refused):
    """The request carries no valid log-in: the same for a missing, an ended and a revoked one."""

    status = 401
    title = "Not logged in"

    def __init__(self) -> None:
        super().__init__("Log in to continue.")


class Forged(Refused):
    """A changing request that does not come from the hub's own pages (threats.md row 17)."""

    title = "Not sent from this page"

    def __init__(self) -> None:
        super().__init__(
            "The request did not come from the hub's own page. Reload the page and try again."
        )


class TooManyAttempts(Refused):
    """Too many failed log-ins, whether or not this password is right.

    ``retry_after``: seconds until the next attempt is checked.
    """

    status = 429
    title = "Too many attempts"

    def __init__(self, retry_after: int) -> None:
        super().__init__("Too many failed attempts. Wait a few minutes and try again.")
        self.retry_after = retry_after


class NotAllowed(Refused):
    """A profile or verb that this person may not use."""


class InvalidRequest(Refused):
    """A value of the request cannot be accepted; the sentence names it and what is accepted."""

    status = 400
    title = "Invalid request"


class NoSuchSession(Refused):
    """Unknown, foreign and stopped sessions: one answer for all three (threats.md row 7)."""

    status = 404
    title = "No such session"

    def __init__(self) -> None:
        super().__init__("There is no such session, or it is not yours.")


class NotInvited(Refused):
    """Somebody wants to enter a session that is not open to them: foreign, stopped or unknown."""

    title = "This session is not open to you"

    def __init__(self) -> None:
        super().__init__(
            "It does not exist, has ended, or has not been shared with you. If a colleague wants "
            "to show it to you, ask for an invitation."
        )


class SharingOff(Refused):
    """Sessions cannot be shared as the hub is set up."""

    title = "Sharing is turned off"

    def __init__(self) -> None:
        super().__init__(
            "All sessions of this hub share one address, so a shared session could act as the "
            "person who opens it. The administrator can give each session an address of its own "
            "(session_domain), or accept this risk (path_mode_sharing)."
        )


class SessionExists(Refused):
    """A session of that name runs already. ``session_id`` is its id."""

    status = 409
    title = "Already running"

    def __init__(self, session_id: str) -> None:
        super().__init__(
            "A session with this name is already running. Open it, or choose another name."
        )
        self.session_id = session_id

    def extra(self) -> dict[str, str]:
        """Return the id of the running session."""
        return {"session": self.session_id}


class SessionStopping(Refused):
    """A session of that name is being stopped; two that write the same files could damage them."""

    status = 409
    title = "Still stopping"
    retry_after = 5

    def __init__(self) -> None:
        super().__init__("The session with this name is still stopping. Try again in a moment.")


class QuotaReached(Refused):
    """Too many sessions of this person or in total."""

    status = 429
    title = "Limit reached"
    retry_after = 60  # nobody knows when people stop their sessions


class Draining(Refused):
    """The hub is draining before maintenance: nothing new starts."""

    status = 503
    title = "Nothing can be started now"
    retry_after = 300

    def __init__(self, message: str) -> None:
        """``message``: the administrator's own words, if there are any."""
        own = Sentence("The hub is being prepared for maintenance. Running sessions go on.")
        super().__init__(Sentence("{words}", words=message) if message else own)


class FilesInUse(Refused):
    """Somebody's files are to be removed while they have a session."""

    status = 409
    title = "In use"

    def __init__(self) -> None:
        super().__init__("A session still uses these files. Stop it first, then try again.")


class LinkOver(Refused):
    """A link's code that is unknown, used up, ended or expired: one answer for all four."""

    status = 410
    title = "This link no longer works"

    def __init__(self) -> None:
        super().__init__(
            "This link has been used up, has ended, or is not complete. Ask for a new one."
        )


class TooManyGrants(Refused):
    """A session has as many invitations or links as it may."""

    status = 409
    title = "Too many invitations"


class TooManyQuestions(Refused):
    """Somebody asks for more names than a person types."""

    status = 429
    title = "Too many look-ups"
    retry_after = 60

    def __init__(self) -> None:
        super().__init__("Too many names were looked up. Wait a minute, or type the whole name.")


class NoSuchLogin(Refused):
    """Unknown, ended and foreign log-ins: one answer for all three."""

    status = 404
    title = "No such log-in"

    def __init__(self) -> None:
        super().__init__("That log-in has ended already, or it is not yours.")


class NotThrottled(Refused):
    """An administrator wants to release log-ins that are not refused, or no longer."""

    status = 404
    title = "Not refused"

    def __init__(self) -> None:
        super().__init__("These log-ins are not refused, or no longer.")


class ImageRefused(Refused):
    """The image of a profile is missing, or carries what only the hub may set.

    ``cause`` says it in the administrator's words; people at the pages get a plainer sentence.
    """

    status = 409
    title = "This cannot be started"
    plain = Sentence(
        "This cannot be started, because it is not set up correctly. Tell the administrator."
    )

    def __init__(self, text: LiteralString | Sentence, /, **values: Value) -> None:
        """``text``: what the administrator needs to know."""
        super().__init__(self.plain)
        self.why = text if isinstance(text, Sentence) else Sentence(text, **values)
        self.cause = str(self.why)

    def extra(self) -> dict[str, str]:
        """Return the cause."""
        return {"cause": self.cause}


class NoGpu(ImageRefused):
    """The profile needs a graphics card, and the engine has none."""

    plain = Sentence("This needs a graphics card, and the server has none.")


class Unavailable(HubError):
    """A part that the hub needs does not answer; trying again later may help."""

    status = 503
    title = "Not available at the moment"
    retry_after = 5


class DirectoryUnavailable(Unavailable):
    """LDAP does not answer, or not as configured."""


class EngineUnavailable(Unavailable):
    """Docker (or the proxy before it) does not answer, or refuses."""


class GatewayUnavailable(Unavailable):
    """Traefik does not answer the controller."""


class StoreUnavailable(Unavailable):
    """The store cannot be read or written: nobody is let in because of that."""


class HalfDone(Unavailable):
    """What was asked for counts, but not all of it has been carried out yet."""


class NotEverywhereYet(HalfDone):
    """Something was taken back, and a gate may not have heard of it."""

    title = "Done, but not everywhere yet"

    def __init__(self) -> None:
        super().__init__(
            "It is done and takes effect now. But a part of the hub that lets people in does not "
            "answer, and may let them in for a while yet. The hub keeps trying. Tell the "
            "administrator."
        )


class NotWrittenDown(StoreUnavailable, HalfDone):
    """Something has ended, but a restart could undo that until the store has recorded it."""

    title = "Done, but not saved yet"

    def __init__(self) -> None:
        super().__init__(
            "It is done and takes effect now. But the hub cannot save its records at present, and "
            "a restart of the hub before it can would undo this. The hub keeps trying. Tell the "
            "administrator."
        )


class LoginNotHeardOf(Unavailable):
    """Another controller has just made this log-in, and it is not fully known here yet."""

    retry_after = 2

    def __init__(self) -> None:
        super().__init__("Your log-in is still being saved. Try again in a few seconds.")


class NotReadyYet(Unavailable):
    """The controller has just started and has not read all sessions yet."""

    def __init__(self) -> None:
        super().__init__("The hub is starting. Try again in a few seconds.")


_WORDS = {
    400: ("Invalid request", Sentence("Something in the request is missing or misspelt.")),
    404: (
        "Page not found",
        Sentence(
            "The address may be mistyped, or what was here has ended. Your files are not affected."
        ),
    ),
    405: ("Method not allowed", Sentence("This address does not accept this kind of request.")),
    408: (
        "Request too slow",
        Sentence("The request did not arrive completely in time. Send it again."),
    ),
    413: ("Request too large", Sentence("The request is larger than the hub accepts. Shorten it.")),
    415: ("Wrong content type", Sentence("Send a form or JSON, as this address expects.")),
    431: (
        "Request too large",
        Sentence("The request has too many headers, or too long ones."),
    ),
    500: (
        "Error in the hub",
        Sentence(
            "Something went wrong. Try again. If it happens again, tell the administrator: the "
            "hub's log says more."
        ),
    ),
}


class HttpError(HubError):
    """An error that HTTP itself defines, in the hub's own words."""

    def __init__(self, status: int, detail: str | Sentence = "") -> None:
        """Use the words of the status, or of the nearest one; ``detail`` replaces the sentence."""
        self.status = status if status in _WORDS else 400 if status < 500 else 500  # noqa: PLR2004
        self.title, sentence = _WORDS[self.status]
        if isinstance(detail, str):
            detail = Sentence("{words}", words=detail) if detail else sentence
        super().__init__(detail)
