"""Who may enter: decided by what the question carries, the log-in and the session."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from controller.core.model import Person, Phase, Role, SessionId, UserId
from controller.core.records import Actor, Login
from controller.gate.judge import CompanionJudge, Judge, Judgement, Verdict
from controller.gate.question import Question
from controller.rules.access import Access
from controller.rules.credentials import Credentials
from controller.settings.schema import PATH_MODE
from tests.support.samples import session_id, settings

ORIGIN = "http://localhost:8080"
SETTINGS = settings(public_url=ORIGIN, session_domain=PATH_MODE)
SESSION = session_id(1)
ALICE = Login("sid-1", Person(UserId("alice"), "Alice"), created=1.0, expires=2.0)
BOB = replace(ALICE, sid="sid-2", person=Person(UserId("bob"), "Bob"), script=True)
COOKIE, BEARER = Credentials(login="alice's"), Credentials(bearer="bob's")
QUESTION = Question(SESSION, "GET", f"/s/{SESSION}/", "localhost:8080", COOKIE)


class Hub:
    """What the gate asks: sessions, log-ins and companions that the test decides on."""

    def __init__(self, access: Access | None = None) -> None:
        """Let Alice's cookie and Bob's token be good. ``access``: everybody's, to the session."""
        self.ready = True
        self.given = access

    def access(self, session_id: SessionId, uid: UserId) -> Access | None:
        """See Sessions."""
        del uid
        return self.given if session_id == SESSION else None

    def touch(self, session_id: SessionId) -> None:
        """See Sessions."""

    def is_inside(self, session_id: SessionId, sid: str) -> bool:
        """See Sessions."""
        return bool(session_id and sid)

    def enter(self, session_id: SessionId, sid: str, role: Role, by: Actor) -> None:
        """See Sessions."""

    def is_service(self, given: Credentials, session_id: str) -> bool:
        """See Logins."""
        return given.bearer == f"service {session_id}"

    def by_cookie(self, given: Credentials) -> Login | None:
        """See Logins."""
        return ALICE if given.login == "alice's" else None

    def by_bearer(self, given: Credentials) -> Login | None:
        """See Logins."""
        return BOB if given.bearer == "bob's" else None

    def admits(self, app: str, person: Person) -> bool:
        """See Companions."""
        return (app, person.uid) == ("viewer", "alice")


def judge(hub: Hub, question: Question) -> Judgement:
    """Return what becomes of a request at an address of the hub."""
    return Judge(SETTINGS, hub, hub, None).judge(question)


@pytest.mark.parametrize(
    ("access", "verdict"),
    [
        (Access(Role.OWNER, Phase.READY), Verdict.PASS),
        (Access(Role.VIEW, Phase.READY), Verdict.PASS),
        (Access(Role.OWNER, Phase.STARTING), Verdict.WAIT),
        (Access(Role.OWNER, Phase.STOPPING), Verdict.FORBID),
        (Access(None, Phase.READY), Verdict.FORBID),
        (None, Verdict.FORBID),
    ],
)
@pytest.mark.parametrize(("given", "login"), [(COOKIE, ALICE), (BEARER, BOB)])
def test_by_log_in(
    given: Credentials, login: Login, access: Access | None, verdict: Verdict
) -> None:
    """A logged-in person enters what is ready and theirs, and it is told by which log-in."""
    found = judge(Hub(access), replace(QUESTION, credentials=given))
    assert found.verdict is verdict
    if verdict in {Verdict.PASS, Verdict.WAIT}:
        assert (found.session_id, found.uid, found.login) == (SESSION, login.person.uid, login)
    else:
        assert (found.uid, found.login) == (None, None)


def test_a_cookie_counts_before_a_token() -> None:
    """Of two log-ins the browser's counts, so that its forms are held to their own page."""
    both = replace(COOKIE, bearer="bob's")
    hub = Hub(Access(Role.OWNER, Phase.READY))
    assert judge(hub, replace(QUESTION, credentials=both)).uid == "alice"
    posted = replace(QUESTION, credentials=both, method="POST", origin="https://evil.example")
    assert judge(hub, posted).verdict is Verdict.FORGED


@pytest.mark.parametrize("given", [Credentials(), Credentials(login="x", bearer="x")])
def test_nobody(given: Credentials) -> None:
    """Anyone who is not logged in is asked to log in, whatever else there is."""
    hub = Hub(Access(Role.OWNER, Phase.READY))
    assert judge(hub, replace(QUESTION, credentials=given)) == Judgement(Verdict.LOG_IN)


def test_before_the_sessions_were_read() -> None:
    """Nobody is told that their session is gone while it is not known which there are."""
    hub = Hub()
    hub.ready = False
    assert judge(hub, QUESTION) == Judgement(Verdict.NOT_READY)
    assert CompanionJudge(SETTINGS, hub, hub).judge("viewer", QUESTION)[0] is Verdict.NOT_READY


def test_the_controller_itself() -> None:
    """The controller enters the session that its token names, by no log-in and no other."""
    hub = Hub()
    service = Credentials(bearer=f"service {SESSION}")
    found = judge(hub, replace(QUESTION, credentials=service))
    assert (found.verdict, found.role, found.login) == (Verdict.PASS, Role.SERVICE, None)
    other = replace(QUESTION, session_id=session_id(2), credentials=service)
    assert judge(hub, other).verdict is Verdict.LOG_IN


@pytest.mark.parametrize(
    ("app", "given", "verdict"),
    [
        ("viewer", COOKIE, Verdict.PASS),
        ("other", COOKIE, Verdict.FORBID),
        ("viewer", BEARER, Verdict.FORBID),
        ("viewer", Credentials(), Verdict.LOG_IN),
    ],
)
def test_companions(app: str, given: Credentials, verdict: Verdict) -> None:
    """People who may use a companion enter it, with the same log-ins as a session."""
    hub = Hub()
    found, _ = CompanionJudge(SETTINGS, hub, hub).judge(app, replace(QUESTION, credentials=given))
    assert found is verdict
