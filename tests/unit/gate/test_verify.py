"""What verify does where something is missing: it asks once, waits for a moment, and denies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest
from structlog.testing import capture_logs

from controller.core.errors import Unavailable
from controller.core.model import Person, Phase, Role, SessionId, UserId
from controller.core.records import Actor, Login
from controller.gate import verify as module
from controller.gate.answers import Headers, answer
from controller.gate.contract import AskFirst
from controller.gate.refusals import Closed
from controller.gate.verify import Verify
from controller.rules.access import Access
from controller.rules.credentials import Credentials
from controller.settings.schema import PATH_MODE
from tests.support.samples import session_id, settings

pytestmark = pytest.mark.anyio

SESSION = session_id(1)
PATH = f"/verify/{SESSION}"
LOGIN = Login("sid-1", Person(UserId("alice"), "Alice"), created=1.0, expires=2.0)


class Gate:
    """A gate that knows one session and, once it has ``heard`` of it, one log-in."""

    ready = True

    def __init__(self, ask: Callable[[], Awaitable[object]]) -> None:
        """``ask`` asks the controller."""
        self._ask = ask
        self.heard = False
        self.counted: list[int] = []

    def access(self, session_id: SessionId, uid: UserId) -> Access:
        """See Sessions."""
        del session_id, uid
        return Access(Role.OWNER, Phase.READY)

    def touch(self, session_id: SessionId) -> None:
        """See Sessions."""

    def is_inside(self, session_id: SessionId, sid: str) -> bool:
        """See Sessions."""
        return bool(session_id and sid)

    def enter(self, session_id: SessionId, sid: str, role: Role, by: Actor) -> None:
        """See Sessions."""

    def is_service(self, given: Credentials, session_id: str) -> bool:
        """See Logins."""
        return given.bearer == session_id

    def by_cookie(self, given: Credentials) -> Login | None:
        """See Logins."""
        if not self.heard:
            raise AskFirst(self._ask)
        return LOGIN if given.login else None

    by_bearer = by_cookie

    def login_of(self, given: Credentials, session_id: SessionId) -> Login | None:
        """See Handoff."""
        del session_id
        return self.by_cookie(given)

    def begin(self, given: Credentials) -> tuple[str, str]:
        """See Handoff."""
        return given.state, ""

    def redeem(self, code: str, given: Credentials, session_id: SessionId) -> tuple[str, ...]:
        """See Handoff."""
        del code, given, session_id
        return ()

    def admits(self, app: str, person: Person) -> bool:
        """See Companions."""
        return bool(app and person)

    def verified(self, status: int, seconds: float) -> None:
        """See Counts."""
        assert seconds >= 0
        self.counted.append(status)


def headers(**more: str) -> Headers:
    """Return what Traefik sends, with the log-in's cookie and another one."""
    asked = {
        "x-forwarded-method": "GET",
        "x-forwarded-uri": f"/s/{SESSION}/",
        "x-forwarded-host": "localhost:8080",
        "x-forwarded-proto": "http",
        "cookie": "slicerhub-login=y; a=1",
    }
    return [(name.encode(), value.encode("latin-1")) for name, value in (asked | more).items()]


def made(gate: Gate) -> Verify:
    """Return verify over this gate."""
    configured = settings(public_url="http://localhost:8080", session_domain=PATH_MODE)
    page = answer(403, {})
    closed = Closed(session=page, app=page, host=page, not_kept=page)
    return Verify(configured, gate, gate, gate, entries=gate, closed=closed, metrics=gate)


async def answered(verify: Verify) -> int:
    """Return the status of the answer, as a protocol gets it."""
    with pytest.raises(AskFirst) as caught:
        verify.answer(PATH, headers())
    return (await verify.answer_after(caught.value, PATH, headers())).status


async def test_asks_once() -> None:
    """A log-in that a gate does not know yet passes as soon as the controller has told of it."""

    async def ask() -> None:
        gate.heard = True

    gate = Gate(ask)
    verify = made(gate)
    assert await answered(verify) == 200
    assert verify.answer(PATH, headers()).status == 200
    assert gate.counted == [200, 200]


async def told_nothing() -> None:
    """Learn nothing."""


async def away() -> None:
    """Do not reach the controller."""
    raise Unavailable("It does not answer.")


async def broken() -> None:
    """Fail."""
    raise RuntimeError("secret")


@pytest.mark.parametrize("ask", [told_nothing, away, broken, anyio.sleep_forever])
async def test_not_told(
    ask: Callable[[], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an answer of the controller's nobody passes, and nobody is refused for good."""
    monkeypatch.setattr(module, "_ASK_SECONDS", 0.05)
    gate = Gate(ask)
    with capture_logs() as logs:
        assert await answered(made(gate)) == 503
    assert gate.counted == [503]
    assert len(logs) == 1


@pytest.mark.parametrize("cookie", ["a=1", "a=\xc3\xa9", "a=1; b=2", f"a={'1' * 2000}"])
async def test_cookies_arrive_as_they_were_sent(cookie: str) -> None:
    """The session gets its own cookies byte by byte, from an answer that is kept, too."""
    gate = Gate(told_nothing)
    gate.heard = True
    verify = made(gate)
    for _ in range(2):
        found = verify.answer(PATH, headers(cookie=f"slicerhub-login=y; {cookie}"))
        assert dict(found.headers)[b"cookie"] == cookie.encode("latin-1")
        assert dict(found.headers)[b"x-slicerhub-user"] == b"alice"


async def test_kept_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many different cookies come, what is kept of them does not grow, nor get mixed."""
    monkeypatch.setattr(module, "_PASSES_MAX", 3)
    gate = Gate(told_nothing)
    gate.heard = True
    verify = made(gate)
    found = [
        verify.answer(PATH, headers(cookie=f"slicerhub-login=y; a={number}"))
        for number in [0, 0, 1, 2, 3, 0, 3]
    ]
    assert [dict(one.headers)[b"cookie"] for one in found] == [
        *(b"a=0", b"a=0", b"a=1"),
        *(b"a=2", b"a=3", b"a=0", b"a=3"),
    ]
    assert found[0] is found[1]
    assert found[0] is not found[5]
    assert found[4] is found[6], "one new answer pushes out one old one"
