"""Sessions at hosts of their own, and a browser that keeps the cookies of each host."""

from __future__ import annotations

from http.cookies import SimpleCookie
from urllib.parse import urlsplit

import httpx

from tests.support.hub import HTML, ORIGIN, World
from tests.support.samples import session_id

NAVIGATION = {"Accept": HTML}
JSON = {"Accept": "application/json"}
ENTRY, STATE, LOGIN = "slicerhub-entry", "slicerhub-state", "slicerhub-login"
UNKNOWN = session_id(4711)


def host_of(wanted: str) -> str:
    """Return the host of a session."""
    return f"{wanted}.localhost:8080"


def origin_of(wanted: str) -> str:
    """Return the origin of a session."""
    return f"http://{host_of(wanted)}"


class Person:
    """A browser that keeps each host's cookies, and goes where it is told."""

    def __init__(self, hub: World) -> None:
        """Know nobody."""
        self.hub = hub
        self.jar: dict[str, dict[str, str]] = {}

    def cookie(self, host: str) -> dict[str, str]:
        """Return the Cookie header for a host."""
        kept = "; ".join(f"{name}={value}" for name, value in self.jar.get(host, {}).items())
        return {"Cookie": kept} if kept else {}

    async def get(self, url: str, *, routed: bool = True, **headers: str) -> httpx.Response:
        """Open a page; ``routed``: Traefik has the session's own router."""
        parts = urlsplit(url)
        host = parts.netloc or urlsplit(ORIGIN).netloc
        uri = parts.path + (f"?{parts.query}" if parts.query else "")
        sent = NAVIGATION | self.cookie(host) | headers
        wanted = host.partition(".")[0]
        if host != urlsplit(ORIGIN).netloc and routed:
            answer = await self.hub.verify(wanted, sent, host=host, uri=uri)
        else:
            answer = await self.hub.client().get(f"http://{host}{uri}", headers=sent)
        for one in answer.headers.get_list("set-cookie"):
            for morsel in SimpleCookie(one).values():
                assert morsel["domain"] == ""
                if morsel.key in {ENTRY, STATE, LOGIN}:
                    assert morsel["path"] == "/"
                    assert morsel["httponly"]
                    assert morsel["samesite"].lower() == "lax"
                kept = self.jar.setdefault(host, {})
                if morsel["max-age"] == "0":
                    kept.pop(morsel.key, None)
                else:
                    kept[morsel.key] = morsel.value
        return answer

    async def log_in(self, user: str) -> None:
        """Log in at the hub."""
        browser = await self.hub.browser(user)
        name, _, value = browser.cookie.partition("=")
        self.jar.setdefault(urlsplit(ORIGIN).netloc, {})[name] = value

    async def code_for(self, wanted: str, path: str = "/") -> str:
        """Return the address at the session's host to which the hub sends this person."""
        asked = await self.get(origin_of(wanted) + path)
        assert asked.status_code == 302, asked.text
        sent = await self.get(asked.headers["location"])
        assert sent.status_code == 302, sent.text
        location: str = sent.headers["location"]
        assert location.startswith(f"{origin_of(wanted)}/.slicerhub/enter?code=")
        return location

    async def enter(self, wanted: str, path: str = "/", *, routed: bool = True) -> httpx.Response:
        """Enter a session; return the answer that lets in."""
        return await self.get(await self.code_for(wanted, path), routed=routed)


async def person(hub: World, user: str) -> Person:
    """Return somebody who is logged in at the hub."""
    made = Person(hub)
    await made.log_in(user)
    return made
