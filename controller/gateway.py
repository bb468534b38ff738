"""The controller reaches into sessions the way browsers do: through Traefik.

So there is no second network path, and an answer proves that the route works. The controller
names itself by a short-lived token that is good for one session only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlsplit

import httpx

from controller import policy, routing
from controller.config import Settings
from controller.errors import GatewayUnavailable
from controller.model import Profile, SessionId
from controller.tokens import Audience, Claims, KeyRing

_TIMEOUT = 5.0  # seconds; a session that computes may be slow to answer
_TOKEN_SECONDS = 60.0
SUBJECT = "controller"


class Gateway(Protocol):
    """How the controller sees sessions from outside."""

    async def is_served(self, session_id: SessionId, profile: Profile) -> bool:
        """Tell whether a browser would get the session's page now."""
        ...

    async def ping(self) -> None:
        """Raise GatewayUnavailable if Traefik does not answer or does not know the hub."""
        ...


class TraefikGateway:
    """Gateway over HTTP to Traefik's entry point."""

    def __init__(self, settings: Settings, ring: KeyRing, wall: Callable[[], float]) -> None:
        """``wall`` gives seconds since the epoch."""
        self._settings = settings
        self._ring = ring
        self._wall = wall
        host = urlsplit(policy.origin_of(settings.public_url)).netloc
        self._client = httpx.AsyncClient(
            base_url=settings.gateway_url,
            headers={"Host": host, "Accept": "*/*"},
            timeout=_TIMEOUT,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def is_served(self, session_id: SessionId, profile: Profile) -> bool:
        """See Gateway. The hub's own page for a session that is not served answers 401 here."""
        path = routing.session_path(session_id) + profile.ready_path.removeprefix("/")
        try:
            response = await self._client.get(path, headers=self._authorization(session_id))
        except httpx.HTTPError:
            return False
        return response.is_success or response.is_redirect

    def _authorization(self, session_id: SessionId) -> dict[str, str]:
        now = self._wall()
        claims = Claims(SUBJECT, session_id, Audience.SERVICE, iat=now, exp=now + _TOKEN_SECONDS)
        return {"Authorization": f"Bearer {self._ring.issue(claims)}"}

    async def ping(self) -> None:
        """See Gateway."""
        try:
            response = await self._client.get("/login")
        except httpx.HTTPError as error:
            raise GatewayUnavailable(
                f"Traefik does not answer at {self._settings.gateway_url} ({error}). "
                "Check gateway_url and that Traefik runs."
            ) from error
        if not response.is_success:
            raise GatewayUnavailable(
                f"Traefik answers {response.status_code} for the hub's own log-in page. Check "
                "that public_url names the host of Traefik's router."
            )


class OpenGateway:
    """Gateway for the memory engine, which runs nothing: every session is as good as served."""

    async def is_served(self, session_id: SessionId, profile: Profile) -> bool:
        """See Gateway."""
        del session_id, profile
        return True

    async def ping(self) -> None:
        """See Gateway."""
