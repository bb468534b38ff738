"""Traefik in front of a session, which says who each person is, as the hub has it do."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

import httpx
from playwright.sync_api import Error

from tests.support.slicer_session import docker, until, who

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.support.slicer_session import Session

_TRAEFIK = "traefik:v3.7"
_SERIAL = "X-Test-Serial"


class Door:
    """One Traefik for one session; each person has a path prefix of their own.

    On the loopback address, where a browser lets pages use its clipboard.
    """

    def __init__(self, session: Session, network: str, folder: Path) -> None:
        """Starts it; nobody is known yet. ``folder`` must be one that everybody may read."""
        self.session = session
        self._folder = folder
        self._roles: dict[str, str | None] = {}
        self._serial = 0
        self.name = f"slicer-test-{secrets.token_hex(4)}"
        docker(
            *("run", "--detach", "--name", self.name, "--publish", "127.0.0.1::8000"),
            *("--volume", f"{folder}:/dynamic:ro", _TRAEFIK),
            *("--entryPoints.web.address=:8000", "--providers.file.directory=/dynamic"),
            "--providers.providersThrottleDuration=50ms",
        )
        docker("network", "connect", network, self.name)
        port = docker("port", self.name, "8000/tcp").splitlines()[0].rpartition(":")[2]
        self._origin = f"http://127.0.0.1:{port}"

    def let(self, user: str, role: str | None) -> str:
        """Lets somebody in with this role, or, with None, no more; returns their page's address.

        It holds for every request from then on.
        """
        self._roles[user] = role
        self._serial += 1
        draft = self._folder / "dynamic.part"
        draft.write_text(json.dumps(self._dynamic()))  # JSON is YAML, which Traefik reads
        draft.chmod(0o644)
        draft.replace(self._folder / "dynamic.yml")
        address = f"{self._origin}/s/{user}/"

        def holds() -> bool | None:
            try:
                answer = httpx.get(f"{address}-/ready", trust_env=False)
            except httpx.TransportError:  # nobody listens yet
                return None
            return True if answer.headers.get(_SERIAL) == str(self._serial) else None

        until(holds, "Traefik has the route")
        return address

    def close(self) -> None:
        """Takes it away."""
        docker("rm", "--force", self.name, check=False)

    def _dynamic(self) -> dict[str, Any]:
        routers: dict[str, Any] = {}
        middlewares: dict[str, Any] = {}
        for user, role in self._roles.items():
            # An empty value takes the header away: then the session refuses.
            known = who(user, role) if role else dict.fromkeys(who("", ""), "")
            routers[user] = {
                "rule": f"PathPrefix(`/s/{user}/`)",
                "middlewares": [f"{user}-who", f"{user}-strip"],
                "service": "session",
            }
            middlewares[f"{user}-strip"] = {"stripPrefix": {"prefixes": [f"/s/{user}"]}}
            middlewares[f"{user}-who"] = {
                "headers": {
                    "customRequestHeaders": known,
                    "customResponseHeaders": {_SERIAL: str(self._serial)},
                }
            }
        services = {"session": {"loadBalancer": {"servers": [{"url": self.session.url}]}}}
        return {"http": {"routers": routers, "middlewares": middlewares, "services": services}}


def roles_in(session: Session) -> dict[str, str]:
    """Who is there, and with which right."""
    return {each["user"]: each["role"] for each in session.activity["clients"]}


def wait_there(
    session: Session, user: str, role: str | None = None, *, seconds: float = 60
) -> None:
    """Until somebody is there, with this role if one is given."""

    def there() -> bool | None:
        known = roles_in(session)
        return True if user in known and role in {None, known[user]} else None

    until(there, f"{user} is there", seconds)


def enter(page: Page, session: Session, address: str, user: str) -> None:
    """Opens somebody's page of a ready session, again if they do not arrive.

    A browser gives up what it is loading when a network appears or goes on its machine, and
    containers that come and go are such.
    """

    def arrived() -> bool | None:
        try:
            page.goto(address)
            wait_there(session, user, seconds=20)
        except (AssertionError, Error):
            return None
        return True

    until(arrived, f"{user} is there")
