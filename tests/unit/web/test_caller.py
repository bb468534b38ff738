"""Who asks is known, sessions are found for those who may, and forms of others do nothing."""

from __future__ import annotations

import copy
from typing import Any

import httpx
import pytest
from litestar import Litestar, Request, Response, Router, get, post, route
from litestar.di import NamedDependency

from controller.core.errors import HubError
from controller.core.model import Observed, Role
from controller.core.records import Login
from controller.people.logins import Logins
from controller.people.tokens import Audience, Keys
from controller.web.caller import Caller, Callers
from controller.web.render import Viewer
from tests.support.fakes.directory import PEOPLE, FakeDirectory
from tests.support.fakes.parts import Parts
from tests.support.hub import RING
from tests.support.samples import session

pytestmark = pytest.mark.anyio

BOB, CAROL = PEOPLE["bob"], PEOPLE["carol"]


@get("/who")
async def who(caller: NamedDependency[Caller], viewer: NamedDependency[Viewer]) -> list[str]:
    """Say who asks."""
    return [caller.person.uid, viewer.user, caller.address, caller.public_url]


@get("/seen/{session_id:str}")
async def seen_one(seen: NamedDependency[Observed]) -> str:
    """Show a session."""
    return seen.session.name


@get("/own/{session_id:str}")
async def own_one(own: NamedDependency[Observed]) -> str:
    """Show a session of one's own."""
    return own.session.name


@post("/act", status_code=200)
async def act() -> str:
    """Do something."""
    return "done"


@route("/safe", http_method=["GET", "HEAD"])
async def safe() -> str:
    """Show something."""
    return "shown"


@get("/admin")
async def admin() -> str:
    """Show what is for administrators."""
    return "shown"


@post("/in", status_code=200)
async def enter() -> str:
    """Log in."""
    return "done"


def refused(request: Request[Any, Any, Any], error: HubError) -> Response[str]:
    """Answer by the error's name."""
    del request
    return Response(type(error).__name__, status_code=error.status)


class Site:
    """A few addresses, and who asks at them."""

    def __init__(self) -> None:
        """One session of Alice's runs."""
        self.parts = parts = Parts()
        self.logins = Logins(
            parts.settings,
            FakeDirectory(),
            parts.store,
            Keys(RING),
            audit=parts.audit,
            metrics=parts.metrics,
            wall=parts.epoch,
        )
        self.alices = session(1, created_at=parts.now)
        parts.show(Observed(session=self.alices, running=True))
        callers = Callers(parts.settings, self.logins, parts.sessions)
        self.app: Any = Litestar(
            [
                Router("/", route_handlers=[act, safe], guards=[callers.refuse_unsigned_forms]),
                Router("/", route_handlers=[admin], guards=[callers.refuse_all_but_admins]),
                Router("/", route_handlers=[enter], guards=[callers.refuse_foreign_forms]),
                who,
                seen_one,
                own_one,
            ],
            dependencies=callers.provided(),
            exception_handlers={HubError: refused},
            openapi_config=None,
            logging_config=None,
        )

    async def login(self, user: str) -> tuple[Login, dict[str, str]]:
        """Return a log-in, and what its browser sends from the hub's own page."""
        fresh = await self.logins.entering.enter(
            user, user, address="10.0.0.1", audience=Audience.LOGIN
        )
        cookie = f"{self.logins.proofs.cookie}={fresh.token}"
        return fresh.login, {"Cookie": cookie, "Origin": self.parts.settings.public_url}

    async def ask(
        self, path: str, headers: dict[str, str], *, method: str = "GET", form: str = ""
    ) -> tuple[int, str]:
        """Return the status and text of an answer."""
        transport = httpx.ASGITransport(self.app)
        address = self.parts.settings.public_url
        async with httpx.AsyncClient(transport=transport, base_url=address) as client:
            answer = await client.request(method, path, headers=headers, content=form.encode())
        return answer.status_code, answer.text


@pytest.fixture
async def site() -> Site:
    """Give a site at which nobody has logged in."""
    made = Site()
    await made.logins.following.load()
    return made


async def test_who_asks(site: Site) -> None:
    """A browser is known by its cookie, and is asked to log in without."""
    _, alice = await site.login("alice")
    assert (await site.ask("/who", alice | {"X-Real-Ip": "10.0.0.9"})) == (
        200,
        '["alice","alice","10.0.0.9","http://localhost:8080"]',
    )
    assert await site.ask("/who", {}) == (401, "NotLoggedIn")
    assert await site.ask("/who", {"Authorization": "Bearer x"}) == (401, "NotLoggedIn")


async def test_nobody_is_told_that_a_session_is_gone_before_it_is_known(site: Site) -> None:
    """While the sessions have not been read, people are asked to wait."""
    _, alice = await site.login("alice")
    site.parts.registry.ready = False
    assert (await site.ask(f"/seen/{site.alices.id}", alice))[1] == "NotReadyYet"


async def test_a_session_is_found_for_those_who_may(site: Site) -> None:
    """Owners find theirs, guests what is shown to them, strangers what does not exist: nothing."""
    _, alice = await site.login("alice")
    _, bob = await site.login("bob")
    made = site.alices.id
    for path in (f"/seen/{made}", f"/own/{made}"):
        assert await site.ask(path, alice) == (200, "thesis")
        assert await site.ask(path, bob) == (404, "NoSuchSession")
        assert await site.ask(path, {}) == (401, "NotLoggedIn")
    assert await site.ask("/seen/x", alice) == (404, "NoSuchSession")
    await site.parts.grant_records.invite(made, BOB, Role.VIEW, seconds=None)
    assert await site.ask(f"/seen/{made}", bob) == (200, "thesis")
    assert await site.ask(f"/own/{made}", bob) == (403, "NotAllowed")


async def test_a_form_carries_the_sign_of_its_log_in(site: Site) -> None:
    """A form without it, with two, or with that of another log-in does nothing."""
    login, alice = await site.login("alice")
    other, _ = await site.login("alice")
    good, bad = site.logins.forms.csrf(login), site.logins.forms.csrf(other)
    assert await site.ask("/act", alice, method="POST", form=f"csrf={good}&x=1") == (200, "done")
    for form in ("", "x=1", "csrf=", f"csrf={bad}", f"csrf={good}&csrf={good}", f"CSRF={good}"):
        assert await site.ask("/act", alice, method="POST", form=form) == (403, "Forged"), form
    assert await site.ask("/act", {}, method="POST", form=f"csrf={good}") == (401, "NotLoggedIn")


async def test_a_foreign_page_can_do_nothing(site: Site) -> None:
    """Another site's form is refused, though it knew the sign; so is one that would log in."""
    login, alice = await site.login("alice")
    foreign = alice | {"Origin": "http://evil.example"}
    form = f"csrf={site.logins.forms.csrf(login)}"
    assert await site.ask("/act", foreign, method="POST", form=form) == (403, "Forged")
    assert await site.ask("/in", foreign, method="POST") == (403, "Forged")
    assert await site.ask("/in", alice, method="POST") == (200, "done")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_who_only_looks_needs_no_sign(site: Site, method: str) -> None:
    """What changes nothing is shown to everybody who may see it."""
    status, _ = await site.ask("/safe", {}, method=method)
    assert status in {200, 204}


async def test_administration_is_for_administrators(site: Site) -> None:
    """Others are refused, and strangers asked to log in."""
    _, carol = await site.login("carol")
    _, alice = await site.login("alice")
    assert await site.ask("/admin", carol) == (200, "shown")
    assert await site.ask("/admin", alice) == (403, "NotAllowed")
    assert await site.ask("/admin", {}) == (401, "NotLoggedIn")


async def test_copies_of_a_router_know_the_same_log_ins(site: Site) -> None:
    """Litestar copies routers with their guards: a log-in that ends has ended for every copy."""
    callers = Callers(site.parts.settings, site.logins, site.parts.sessions)
    assert copy.deepcopy(callers.refuse_unsigned_forms).__self__ is callers
