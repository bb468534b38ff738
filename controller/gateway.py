"""The controller reaches into sessions the way browsers do: through Traefik.

So there is no second network path, and an answer proves that the route works: where Traefik ends
TLS, the certificate, too. The controller names itself by a short-lived token that is good for one
session only.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx
import msgspec

from controller import policy, routing
from controller.config import Settings
from controller.errors import ConfigError, GatewayUnavailable, NotLoggedIn
from controller.model import Profile, Role, SessionId, UserId, new_session_id
from controller.tokens import Audience, Claims, Keys

_TIMEOUT = 5.0  # seconds; a session that computes may be slow to answer
_SAVE_SECONDS = 60.0  # a large scene takes longer than the engine's own grace
_ANSWER_MAX = 64 * 1024  # bytes of a session's answer: it is a stranger's program
_TOKEN_SECONDS = 60.0
SUBJECT = "controller"


class Client(msgspec.Struct, frozen=True):
    """One page that is open on a session."""

    user: UserId
    role: Role
    since: datetime


class Inside(msgspec.Struct, frozen=True):
    """What a session says of itself."""

    last_input_at: str | None = None  # of its own clock: to be compared, not to be believed
    busy: bool = False
    clients: tuple[Client, ...] = ()


class _Saved(msgspec.Struct, frozen=True):
    saved: str | None = None


class Gateway(Protocol):
    """How the controller sees sessions from outside."""

    async def is_served(self, session_id: SessionId, profile: Profile) -> bool:
        """Tell whether a browser would get the session's page now."""
        ...

    async def inside(self, session_id: SessionId) -> Inside | None:
        """Return what a session with endpoints says of itself; None: it does not answer."""
        ...

    async def kick(self, session_id: SessionId, uid: UserId) -> bool:
        """Close what this person has open on the session; False: it did not answer."""
        ...

    async def notice(self, session_id: SessionId, text: str, until: datetime | None) -> bool:
        """Show everyone connected a banner, "" takes it away; False: it did not answer."""
        ...

    async def save(self, session_id: SessionId) -> bool:
        """Let the session save what is in it; True: it is there at the next start."""
        ...

    async def ping(self) -> None:
        """Raise GatewayUnavailable if Traefik does not answer or does not know the hub."""
        ...


class TraefikGateway:
    """Gateway over HTTP to Traefik's entry point."""

    def __init__(self, settings: Settings, keys: Keys, wall: Callable[[], float]) -> None:
        """``wall`` gives seconds since the epoch. Raises ConfigError for a bad gateway_ca_file."""
        self._settings = settings
        self._keys = keys
        self._wall = wall
        self._client = self._new_client()

    def _new_client(self) -> httpx.AsyncClient:
        settings = self._settings
        host = urlsplit(policy.origin_of(settings.public_url)).netloc
        return httpx.AsyncClient(
            base_url=settings.gateway_url,
            headers={"Host": host, "Accept": "*/*"},
            timeout=_TIMEOUT,
            trust_env=False,
            verify=_trust(settings),
            event_hooks={"request": [_name_server]},
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def is_served(self, session_id: SessionId, profile: Profile) -> bool:
        """See Gateway. The hub's own page for a session that is not served answers 401 here."""
        path = self._path(session_id, profile.ready_path)
        try:
            response = await self._client.get(path, headers=self._headers(session_id))
        except httpx.HTTPError:
            return False
        return response.is_success or response.is_redirect

    async def inside(self, session_id: SessionId) -> Inside | None:
        """See Gateway."""
        content = await self._ask(session_id, "GET", "activity")
        try:
            return None if content is None else msgspec.json.decode(content, type=Inside)
        except msgspec.DecodeError:
            return None

    async def kick(self, session_id: SessionId, uid: UserId) -> bool:
        """See Gateway."""
        return await self._ask(session_id, "POST", "kick", {"user": uid}) is not None

    async def notice(self, session_id: SessionId, text: str, until: datetime | None) -> bool:
        """See Gateway."""
        body = {"text": text, "until": until.isoformat() if until else None}
        return await self._ask(session_id, "POST", "notice", body) is not None

    async def save(self, session_id: SessionId) -> bool:
        """See Gateway."""
        content = await self._ask(session_id, "POST", "save", timeout=_SAVE_SECONDS)
        try:
            return content is not None and bool(msgspec.json.decode(content, type=_Saved).saved)
        except msgspec.DecodeError:
            return False

    async def _ask(
        self,
        session_id: SessionId,
        method: str,
        endpoint: str,
        body: Any = None,  # noqa: ANN401 - whatever JSON can hold
        *,
        timeout: float = _TIMEOUT,  # noqa: ASYNC109 - httpx's own
    ) -> bytes | None:
        path = self._path(session_id, f"/-/{endpoint}")
        headers = self._headers(session_id)
        try:
            async with self._client.stream(
                method, path, headers=headers, json=body, timeout=timeout
            ) as response:
                content = b""
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > _ANSWER_MAX:
                        return None
        except httpx.HTTPError:
            return None
        return content if response.is_success else None

    def _path(self, session_id: SessionId, path: str) -> str:
        if self._settings.sessions_at:
            return path
        return routing.session_path(session_id) + path.removeprefix("/")

    def _headers(self, session_id: SessionId) -> dict[str, str]:
        now = self._wall()
        claims = Claims(SUBJECT, session_id, Audience.SERVICE, iat=now, exp=now + _TOKEN_SECONDS)
        headers = {"Authorization": f"Bearer {self._keys.issue(claims)}"}
        if self._settings.sessions_at:
            headers["Host"] = self._host(session_id)
        return headers

    def _host(self, session_id: SessionId) -> str:
        return urlsplit(routing.session_origin(session_id, self._settings)).netloc

    async def ping(self) -> None:
        """See Gateway."""
        domain = self._settings.sessions_at
        # A session that is not there: it is the hub that has to say so.
        stranger = {"Host": self._host(new_session_id())} if domain else {}
        response = await self._look("/login", {})
        refusal = await self._look("/", stranger) if domain else None
        if not response.is_success:
            raise GatewayUnavailable(
                f"Traefik answers {response.status_code} for the hub's own log-in page. Check "
                "that public_url names the host of Traefik's router."
            )
        if refusal is not None and refusal.status_code != NotLoggedIn.status:
            raise GatewayUnavailable(
                f"Traefik answers {refusal.status_code} for the address of a session below "
                f"{domain}. Tell it that domain, too: SLICERHUB_SESSION_DOMAIN in the environment "
                "of Compose, or the hub's IngressRoute."
            )

    async def _look(self, path: str, headers: dict[str, str]) -> httpx.Response:
        """Ask on a connection of its own: each host has to show its certificate."""
        async with self._new_client() as client:
            try:
                return await client.get(path, headers=headers)
            except httpx.HTTPError as error:
                host = client.headers["host"] if not headers else headers["Host"]
                if fault := _tls_fault(error):
                    raise GatewayUnavailable(
                        f"Traefik shows no good certificate for {host} ({fault}). Check whom and "
                        "until when it is for, who signed it (gateway_ca_file), and in Traefik's "
                        "log whether it could read or fetch it."
                    ) from error
                raise GatewayUnavailable(
                    f"Traefik does not answer at {self._settings.gateway_url} ({error}). "
                    "Check gateway_url and that Traefik runs."
                ) from error


def _trust(settings: Settings) -> ssl.SSLContext:
    """Return whom to believe: the system's authorities, and the file's.

    The file may hold a site's own authority, or the very certificate that Traefik was given: that
    alone is believed then, whoever signed it.
    """
    context = ssl.create_default_context()
    if settings.gateway_ca_file:
        try:
            context.load_verify_locations(settings.gateway_ca_file)
        except (OSError, ssl.SSLError) as error:
            fault = (
                f"gateway_ca_file: {settings.gateway_ca_file} cannot be used ({error}). Name a "
                "file with certificates in PEM form that the controller may read."
            )
            raise ConfigError([fault]) from error
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


async def _name_server(request: httpx.Request) -> None:
    """Ask for the certificate of the host that a browser would ask for."""
    request.extensions["sni_hostname"] = request.headers["Host"].partition(":")[0]


def _tls_fault(error: BaseException | None) -> str:
    """Return what OpenSSL says if it is the cause; "": it was something else."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message
        if isinstance(error, ssl.SSLError):
            return str(error.reason)
        error = error.__cause__ or error.__context__
    return ""


class OpenGateway:
    """Gateway for the memory engine, which runs nothing: every session is as good as served."""

    async def is_served(self, session_id: SessionId, profile: Profile) -> bool:
        """See Gateway."""
        del session_id, profile
        return True

    async def inside(self, session_id: SessionId) -> Inside | None:
        """See Gateway."""
        del session_id
        return Inside()

    async def kick(self, session_id: SessionId, uid: UserId) -> bool:
        """See Gateway."""
        del session_id, uid
        return True

    async def notice(self, session_id: SessionId, text: str, until: datetime | None) -> bool:
        """See Gateway."""
        del session_id, text, until
        return True

    async def save(self, session_id: SessionId) -> bool:
        """See Gateway."""
        del session_id
        return False

    async def ping(self) -> None:
        """See Gateway."""
