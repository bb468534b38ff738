"""What can go wrong, each with a sentence that tells the reader what to do.

HubError
 +- ConfigError              the configuration has faults (all of them, at once)
 +- Refused                  the hub works; this request is not granted
 |   +- LoginRefused         user name or password wrong, or not in an allowed group
 |   +- NotLoggedIn          no log-in, or one that is over
 |   +- Forged               not sent by the hub's own pages
 |   +- TooManyAttempts      log-in throttled for a while
 |   +- NotAllowed           a verb or profile that this person may not use
 |   +- InvalidRequest       a value in the request is not acceptable
 |   +- NoSuchSession        unknown, foreign and stopped ids alike
 |   +- NotInvited           the same at the place of a session itself
 |   +- SharingOff           path mode, and nobody has accepted what sharing means there
 |   +- SessionExists        that name runs already
 |   +- SessionStopping      that name is just being stopped
 |   +- QuotaReached         too many sessions
 |   +- LinkOver             an invitation by link that leads nowhere
 |   +- TooManyGrants        a session has as many invitations or links as it may
 |   +- TooManyQuestions     names looked up faster than people type
 |   +- NoSuchLogin          unknown, ended and foreign log-ins alike
 |   +- NotThrottled         nobody's log-ins are refused there
 |   +- Draining             the hub is being emptied: nothing starts
 |   +- FilesInUse           files that a session still uses cannot be removed
 |   +- ImageRefused         the profile's image is missing or unsafe
 |       +- NoGpu            the profile wants a graphics card that the engine has not
 +- Unavailable              a part the hub needs is away; worth another try
     +- DirectoryUnavailable
     +- EngineUnavailable
     +- GatewayUnavailable
     +- StoreUnavailable
     |   +- NotWrittenDown   something has ended, and the store could not be told yet
     +- LoginNotHeardOf      of a log-in of another controller not all is known here yet
     +- NotReadyYet          the controller has not read all sessions yet

Foreign exceptions (ldap3, docker, httpx, sqlite3) are mapped to these in the one module that
imports the library. ``status`` is the HTTP status that a request ending in this error gets.
"""

from __future__ import annotations


class HubError(Exception):
    """Base of all errors of the hub; ``str(error)`` is a sentence for the person in front of it."""

    status: int = 500
    title: str = "Something went wrong in the hub"
    retry_after: int | None = None  # seconds

    @property
    def in_full(self) -> str:
        """The sentence, and in the notes after it what only the administrator can use."""
        return " ".join([str(self), *getattr(self, "__notes__", ())])

    def extra(self) -> dict[str, str]:
        """Return what a program may want to know besides the sentence."""
        return {}


class ConfigError(HubError):
    """The configuration cannot be used. ``faults``: one sentence each, name and fix in it."""

    title = "The configuration has faults"

    def __init__(self, faults: list[str]) -> None:
        """Keep every fault, so that all of them are mended in one go."""
        super().__init__("\n".join(faults))
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
        """Say the same words whatever the cause was."""
        super().__init__("User name or password is wrong, or this account may not use the hub.")


class NotLoggedIn(Refused):
    """The request carries no log-in that stands."""

    status = 401
    title = "Not logged in"

    def __init__(self) -> None:
        """Say the same for a missing, an expired and a revoked log-in."""
        super().__init__("Log in to go on.")


class Forged(Refused):
    """A changing request that does not come from the hub's own pages (threats.md row 17)."""

    title = "Not from this page"

    def __init__(self) -> None:
        """Tell what helps if it was no attack."""
        super().__init__("This did not come from the hub's own page. Reload it and try again.")


class TooManyAttempts(Refused):
    """Too many failed log-ins. ``retry_after``: seconds until the next try is looked at."""

    status = 429
    title = "Too many attempts"

    def __init__(self, retry_after: int) -> None:
        """Say nothing of whether this password would have been right."""
        super().__init__("Too many failed attempts. Wait a little and try again.")
        self.retry_after = retry_after


class NotAllowed(Refused):
    """A profile or verb that this person may not use."""


class InvalidRequest(Refused):
    """A value of the request cannot be accepted; the sentence names it and what is accepted."""

    status = 400
    title = "That cannot be used"


class NoSuchSession(Refused):
    """Unknown, foreign and stopped sessions: one answer for all three (threats.md row 7)."""

    status = 404
    title = "No such session"

    def __init__(self) -> None:
        """Say nothing that tells the three apart."""
        super().__init__("There is no such session, or it is not yours.")


class NotInvited(Refused):
    """Somebody wants to enter a session that is not open to them, or that is not there."""

    title = "This session is not open to you"

    def __init__(self) -> None:
        """Say nothing that tells foreign, stopped and unknown ones apart."""
        super().__init__(
            "It belongs to somebody else, has ended, or never was. If a colleague meant to show it "
            "to you, ask for an invitation."
        )


class SharingOff(Refused):
    """Sessions cannot be shared as the hub is set up."""

    title = "Sharing is turned off"

    def __init__(self) -> None:
        """Tell why, and what the administrator can do."""
        super().__init__(
            "All sessions of this hub have one address, so that a shared session could act in the "
            "name of whoever opens it. The administrator can give sessions addresses of their own "
            "(session_domain), or accept that risk (path_mode_sharing)."
        )


class SessionExists(Refused):
    """A session of that name runs already. ``session_id`` is its id."""

    status = 409
    title = "Already running"

    def __init__(self, session_id: str) -> None:
        """Keep the id, so that the caller can open what runs."""
        super().__init__("A session of that name runs already. Open it, or choose another name.")
        self.session_id = session_id

    def extra(self) -> dict[str, str]:
        """Return the id of what runs."""
        return {"session": self.session_id}


class SessionStopping(Refused):
    """A session of that name is being stopped; its files are still being put away."""

    status = 409
    title = "Still stopping"

    def __init__(self) -> None:
        """Tell to wait: two sessions on one set of files would spoil them."""
        super().__init__("The session of that name is still stopping. Try again in a moment.")
        self.retry_after = 5


class QuotaReached(Refused):
    """Too many sessions of this person or in total."""

    status = 429
    title = "No place left"

    def __init__(self, sentence: str) -> None:
        """Retry after a minute: sessions end by people's hands, not by the clock."""
        super().__init__(sentence)
        self.retry_after = 60


class Draining(Refused):
    """The hub is being emptied for maintenance: nothing new starts."""

    status = 503
    title = "Nothing can be started now"
    retry_after = 300

    def __init__(self, message: str) -> None:
        """``message``: the administrator's own words, if there are any."""
        super().__init__(
            message or "The hub is being prepared for maintenance. Running sessions go on."
        )


class FilesInUse(Refused):
    """Somebody's files are to be removed while a session of theirs is there."""

    status = 409
    title = "In use"

    def __init__(self) -> None:
        """Tell what has to go first."""
        super().__init__("A session still uses these files. Stop it first, then try again.")


class LinkOver(Refused):
    """A code that leads nowhere: never given out, used up, ended or too late."""

    status = 410
    title = "This link is over"

    def __init__(self) -> None:
        """Say the same for all of them."""
        super().__init__("This link has been used or has ended. Ask for a new one.")


class TooManyGrants(Refused):
    """A session has as many invitations or links as it may."""

    status = 409
    title = "Too many invitations"


class TooManyQuestions(Refused):
    """Somebody asks for more names than a person types."""

    status = 429
    title = "Too many questions"

    def __init__(self) -> None:
        """A minute later it works again."""
        super().__init__("Too many names were looked up. Wait a minute, or type the whole name.")
        self.retry_after = 60


class NoSuchLogin(Refused):
    """Unknown, ended and foreign log-ins: one answer for all three."""

    status = 404
    title = "No such log-in"

    def __init__(self) -> None:
        """Say nothing that tells the three apart."""
        super().__init__("That log-in has ended already, or it is not yours.")


class NotThrottled(Refused):
    """Somebody is to be let in again who is not refused, or not any more."""

    status = 404
    title = "Not refused"

    def __init__(self) -> None:
        """Nothing is to be done."""
        super().__init__("Log-ins are not refused there, or not any more.")


class ImageRefused(Refused):
    """The image of a profile is missing, or carries what only the hub may set.

    ``cause`` says it in the administrator's words; people at the pages get a plainer sentence.
    """

    status = 409
    title = "This cannot be started"

    def __init__(self, cause: str) -> None:
        """Keep what the administrator needs to know."""
        super().__init__(
            "This cannot be started: it is not set up as it should be. Tell the administrator."
        )
        self.cause = cause

    def extra(self) -> dict[str, str]:
        """Return the cause."""
        return {"cause": self.cause}


class NoGpu(ImageRefused):
    """The profile wants a graphics card, and the engine has none to give."""

    def __init__(self, cause: str) -> None:
        """Tell people the plain reason, the administrator the engine's."""
        super().__init__(cause)
        self.args = ("This needs a graphics card, and the server has none to give.",)


class Unavailable(HubError):
    """A part that the hub needs does not answer; trying again later may help."""

    status = 503
    title = "Not available at the moment"

    def __init__(self, sentence: str) -> None:
        """Suggest another try in five seconds."""
        super().__init__(sentence)
        self.retry_after = 5


class DirectoryUnavailable(Unavailable):
    """LDAP does not answer, or not as configured."""


class EngineUnavailable(Unavailable):
    """Docker (or the proxy before it) does not answer, or refuses."""


class GatewayUnavailable(Unavailable):
    """Traefik does not answer the controller."""


class StoreUnavailable(Unavailable):
    """The store cannot be read or written: nobody is let in by it."""


class NotWrittenDown(StoreUnavailable):
    """Something has ended here and now; that it stays so after a restart cannot be promised yet."""

    title = "Done, but not written down yet"

    def __init__(self) -> None:
        """Tell what counts, and what is still to come."""
        super().__init__(
            "It is done, and counts from now on. But the hub's own records cannot be written at "
            "present, and a restart of the hub before they can would undo it. It keeps trying. "
            "Tell the administrator."
        )


class LoginNotHeardOf(Unavailable):
    """Another controller has made this log-in just now, and not all of it is known here yet."""

    def __init__(self) -> None:
        """Nothing to mend; it takes a moment."""
        super().__init__("Your log-in is still being written down. Try again in a few seconds.")
        self.retry_after = 2


class NotReadyYet(Unavailable):
    """The controller has just started and has not read all sessions yet."""

    def __init__(self) -> None:
        """Nothing to mend; it takes a second."""
        super().__init__("The hub is starting. Try again in a few seconds.")
