"""The controller reaches into sessions the way browsers do: through Traefik.

So there is no second network path, and an answer proves that the route works, and the certificate
if Traefik ends TLS. The controller identifies itself by a short-lived token that is valid for one
session only.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Protocol, TypeVar
from urllib.parse import urlsplit

import anyio
import httpx
import msgspec
import structlog
from typing_extensions import override

from controller.core.errors import ConfigError, GatewayUnavailable, NotLoggedIn
from controller.core.model import Profile, Role, SessionId, UserId, new_session_id
from controller.core.sentence import Phrase
from controller.monitoring.metrics import Metrics
from controller.people.tokens import Audience, Claims, Keys
from controller.rules import origins, routes
from controller.rules.felt import Felt
from controller.settings.schema import Settings

_ANSWER_MAX = 64 * 1024  # bytes of a session's answer, which is not trusted

_WORD_MAX = 256  # characters of a single value in it

_PING_SECONDS = 5.0

_TOKEN_SECONDS = 60.0
_REUSE_SECONDS = 45.0  # of these: the rest is for requests on their way, and clocks apart

_LIMITED = 429  # of Traefik: it answers, but gets many requests at the moment

_NO_ROUTE = 404  # as Traefik answers by itself

SUBJECT = "controller"

_Said = TypeVar("_Said")

_log = structlog.get_logger("gateway")


class Patience(msgspec.Struct, frozen=True):
    """Seconds for a request to a session, from connecting to the last byte."""

    poll: float = 5.0  # a session that computes may be slow to answer
    save: float = 60.0  # a large scene takes longer than the engine's own grace


class Client(msgspec.Struct, frozen=True):
    """One page that is open on a session."""

    user: Annotated[UserId, msgspec.Meta(max_length=_WORD_MAX)]
    role: Role
    since: datetime


class Inside(msgspec.Struct, frozen=True):
    """What a session says of itself."""

    # Of the session's own clock: compared, but not trusted as a time.
    last_input_at: Annotated[str, msgspec.Meta(max_length=_WORD_MAX)] | None = None
    busy: bool = False
    clients: tuple[Client, ...] = ()
    felt: Felt | None = None  # of the last minute, by an image that measures it


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
        """Close a person's connections to the session; False: it did not answer."""
        ...

    async def notice(self, session_id: SessionId, text: str, until: datetime | None) -> bool:
        """Show everybody connected a banner, "" removes it; False: it did not answer."""
        ...

    async def save(self, session_id: SessionId) -> bool:
        """Let the session save its contents; True: they are there at the next start."""
        ...

    async def ping(self) -> None:
        """Raise GatewayUnavailable if Traefik does not answer or does not know the hub."""
        ...


class _Question(msgspec.Struct, frozen=True):
    """A request to a session. ``most``: bytes of the answer's body that are read."""

    name: str
    method: str
    path: str
    body: Any = None  # any JSON value
    most: int = _ANSWER_MAX


class _Answer(msgspec.Struct, frozen=True):
    """The status of an answer, and the read part of its body."""

    status: int
    content: bytes = b""

    @property
    def is_success(self) -> bool:
        return httpx.codes.is_success(self.status)

    @property
    def is_a_page(self) -> bool:
        """Tell whether a browser would show a page, perhaps after a redirect."""
        return self.is_success or httpx.codes.is_redirect(self.status)


class _ServiceTokens:
    """The controller's tokens, each signed once and used again until shortly before its end.

    A start is probed many times, and verify, too, remembers a token that it has seen.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._ring = keys.ring
        self._signed: dict[SessionId, tuple[float, str]] = {}  # when, the oldest first

    def token(self, session_id: SessionId, now: float) -> str:
        """Return a token for a session. ``now``: seconds since the epoch."""
        if self._ring is not self._keys.ring:  # what the old keys have signed may count no more
            self._ring = self._keys.ring
            self._signed.clear()
        while self._signed and not self._is_fresh(oldest := next(iter(self._signed)), now):
            del self._signed[oldest]
        if not self._is_fresh(session_id, now):
            end = now + _TOKEN_SECONDS
            claims = Claims(SUBJECT, session_id, Audience.SERVICE, iat=now, exp=end)
            self._signed.pop(session_id, None)  # the newest stands last
            self._signed[session_id] = (now, self._keys.issue(claims))
        return self._signed[session_id][1]

    def _is_fresh(self, session_id: SessionId, now: float) -> bool:
        signed, _ = self._signed.get(session_id, (-_TOKEN_SECONDS, ""))
        return 0 <= now - signed < _REUSE_SECONDS  # the clock may have been set back


class TraefikGateway(Gateway):
    """Gateway over HTTP to Traefik's entry point.

    The program that answers is not trusted: a bad answer may only fail its own request. So requests
    use httpx's bare transport. Only the status and the first bytes of an answer are read; redirects
    are not followed, cookies are not kept for other sessions, and nothing is decompressed.
    """

    def __init__(
        self,
        settings: Settings,
        keys: Keys,
        wall: Callable[[], float],
        metrics: Metrics,
        *,
        patience: Patience = Patience(),  # noqa: B008 - frozen
    ) -> None:
        """``wall`` gives seconds since the epoch. Raises ConfigError for a bad gateway_ca_file."""
        self._settings = settings
        self._wall = wall
        self._metrics = metrics
        self._patience = patience
        self._tokens = _ServiceTokens(keys)
        self._trust = trusted(settings)
        self._transport = self._new_transport()

    def _new_transport(self) -> httpx.AsyncHTTPTransport:
        # No limit on connections: otherwise sessions that do not answer would use them up.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
        return httpx.AsyncHTTPTransport(verify=self._trust, trust_env=False, limits=limits)

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    @override
    async def is_served(self, session_id: SessionId, profile: Profile) -> bool:
        """The hub's own page for a session that is not served answers 401 here."""
        question = _Question("ready", "GET", profile.ready_path, most=0)
        return bool(await self._ask(session_id, question, lambda one: one.is_a_page))

    @override
    async def inside(self, session_id: SessionId) -> Inside | None:
        return await self._ask(session_id, _Question("activity", "GET", "/-/activity"), _inside)

    @override
    async def kick(self, session_id: SessionId, uid: UserId) -> bool:
        question = _Question("kick", "POST", "/-/kick", {"user": uid})
        return bool(await self._ask(session_id, question, lambda one: one.is_success))

    @override
    async def notice(self, session_id: SessionId, text: str, until: datetime | None) -> bool:
        body = {"text": text, "until": until.isoformat() if until else None}
        question = _Question("notice", "POST", "/-/notice", body)
        return bool(await self._ask(session_id, question, lambda one: one.is_success))

    @override
    async def save(self, session_id: SessionId) -> bool:
        question = _Question("save", "POST", "/-/save")
        return bool(await self._ask(session_id, question, _saved, seconds=self._patience.save))

    async def _ask(
        self,
        session_id: SessionId,
        question: _Question,
        read: Callable[[_Answer], _Said],
        *,
        seconds: float | None = None,
    ) -> _Said | None:
        """Send a request to a session, and decode the answer by ``read``; None: not usable.

        All answers of sessions pass here, and every error in them is contained here.
        """
        try:
            with anyio.fail_after(self._patience.poll if seconds is None else seconds):
                request = self._request(session_id, question)
                answer = await _exchange(self._transport, request, question.most)
            said = read(answer)
        except (httpx.HTTPError, TimeoutError):
            self._metrics.asked(question.name, "no_answer")
            return None
        except msgspec.DecodeError:
            self._metrics.asked(question.name, "unreadable")
            return None
        except Exception as error:  # noqa: BLE001 - a library that stumbles over it is no reason to
            self._metrics.asked(question.name, "unreadable")
            kind = type(error).__name__
            _log.warning("odd_answer", session=session_id, question=question.name, error=kind)
            return None
        self._metrics.asked(question.name, "answer" if said else "refusal")
        return said

    def _request(self, session_id: SessionId, question: _Question) -> httpx.Request:
        path = question.path
        if not self._settings.sessions_at:
            path = routes.session_path(session_id) + path.removeprefix("/")
        host = self._host(session_id) if self._settings.sessions_at else self._hub_host()
        token = self._tokens.token(session_id, self._wall())
        return self._to(host, path, question, {"Authorization": f"Bearer {token}"})

    def _to(
        self, host: str, path: str, question: _Question, headers: dict[str, str]
    ) -> httpx.Request:
        usual = {"Host": host, "Accept": "*/*", "Accept-Encoding": "identity"}
        return httpx.Request(
            question.method,
            self._settings.gateway_url.rstrip("/") + path,
            headers=usual | headers,
            json=question.body,
            # The certificate must be for the host that a browser would use.
            extensions={"sni_hostname": host.partition(":")[0]},
        )

    def _hub_host(self) -> str:
        return urlsplit(origins.origin_of(self._settings.public_url)).netloc

    def _host(self, session_id: SessionId) -> str:
        return urlsplit(routes.session_origin(session_id, self._settings)).netloc

    @override
    async def ping(self) -> None:
        domain = self._settings.sessions_at
        status = await self._status("/login", self._hub_host())
        # For a session that does not exist, the hub itself must answer.
        refusal = await self._status("/", self._host(new_session_id())) if domain else None
        if status == _NO_ROUTE and self._settings.orchestrator == "kubernetes":
            raise GatewayUnavailable(
                "Traefik answers 404 for the hub's own log-in page: it knows no route to the hub. "
                'If its log says "forbidden", it lacks rights: it also needs to get, list and '
                "watch configmaps in each namespace that it watches "
                "(deploy/kubernetes/components/traefik has the Roles). Otherwise check that "
                "public_url names the host of the hub's IngressRoute."
            )
        if not (httpx.codes.is_success(status) or status == _LIMITED):
            raise GatewayUnavailable(
                "Traefik answers {status} for the hub's own log-in page. Check "
                "that public_url names the host of Traefik's router.",
                status=status,
            )
        if refusal not in {None, NotLoggedIn.status, _LIMITED}:
            raise GatewayUnavailable(
                "Traefik answers {status} for the address of a session below "
                "{domain}. Give it that domain, too: SLICERHUB_SESSION_DOMAIN in the environment "
                "of Compose, or the hub's IngressRoute.",
                status=str(refusal),
                domain=domain,
            )

    async def _status(self, path: str, host: str) -> int:
        """Return the status. A connection of its own makes each host show its certificate."""
        request = self._to(host, path, _Question("ping", "GET", path), {})
        try:
            async with self._new_transport() as transport:
                with anyio.fail_after(_PING_SECONDS):
                    return (await _exchange(transport, request, most=0)).status
        except (httpx.HTTPError, TimeoutError) as error:
            if fault := _tls_fault(error):
                raise GatewayUnavailable(
                    "Traefik shows no valid certificate for {host} ({fault}). Check its names, "
                    "dates and authority (gateway_ca_file), and in Traefik's log "
                    "whether Traefik could read or fetch it.",
                    host=host,
                    fault=fault,
                ) from error
            raise GatewayUnavailable(
                "Traefik does not answer at {url} ({fault}). Check gateway_url and that Traefik "
                "runs.",
                url=self._settings.gateway_url,
                fault=str(error) or Phrase("within {seconds} s", seconds=f"{_PING_SECONDS:.0f}"),
            ) from error


async def _exchange(
    transport: httpx.AsyncHTTPTransport, request: httpx.Request, most: int
) -> _Answer:
    """Send a request; read the status and up to ``most`` bytes of the body, then hang up.

    Raises httpx.HTTPError, also for a longer body: no valid answer is that long.
    """
    response = await transport.handle_async_request(request)
    content = bytearray()
    try:
        if most:
            async for chunk in response.aiter_raw():
                content += chunk
                if len(content) > most:
                    raise httpx.ReadError("The answer is too long.", request=request)
    finally:
        await response.aclose()
    return _Answer(response.status_code, bytes(content))


def _inside(answer: _Answer) -> Inside | None:
    return msgspec.json.decode(answer.content, type=Inside) if answer.is_success else None


def _saved(answer: _Answer) -> bool:
    return answer.is_success and bool(msgspec.json.decode(answer.content, type=_Saved).saved)


def trusted(settings: Settings) -> ssl.SSLContext:
    """Return the trusted certificates: the system's authorities, and those of the file.

    The file may contain the site's own authority, or the certificate that Traefik was given. That
    certificate is then trusted, no matter who signed it. Without TLS nobody has to be trusted, and
    the system's authorities would only take memory.
    """
    if urlsplit(settings.gateway_url).scheme == "https":
        context = ssl.create_default_context()
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
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


def _tls_fault(error: BaseException | None) -> str:
    """Return OpenSSL's words if TLS was the cause; "" otherwise."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message
        if isinstance(error, ssl.SSLError):
            return str(error.reason)
        error = error.__cause__ or error.__context__
    return ""


class OpenGateway(Gateway):
    """Gateway for the memory engine, which runs nothing: every session counts as served."""

    @override
    async def is_served(self, session_id: SessionId, profile: Profile) -> bool:
        del session_id, profile
        return True

    @override
    async def inside(self, session_id: SessionId) -> Inside | None:
        del session_id
        return Inside()

    @override
    async def kick(self, session_id: SessionId, uid: UserId) -> bool:
        del session_id, uid
        return True

    @override
    async def notice(self, session_id: SessionId, text: str, until: datetime | None) -> bool:
        del session_id, text, until
        return True

    @override
    async def save(self, session_id: SessionId) -> bool:
        del session_id
        return False

    @override
    async def ping(self) -> None:
        pass
