"""What the tests of TLS say and do: a stack from start to end, and people on it."""

from __future__ import annotations

import base64
import os
import re
import secrets
import shutil
import ssl
import subprocess
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import trustme
from websockets.sync.client import ClientConnection, connect

ROOT = Path(__file__).parents[2]
DOMAIN = "hub.example.test"
PORT = int(os.environ.get("SLICERHUB_TEST_TLS_PORT", "18111"))
HTTP_PORT = PORT - 1
MANAGEMENT_PORT = PORT + 3  # of the ACME server
POOL = os.environ.get("SLICERHUB_TEST_TLS_NETWORK_POOL", "10.236.0.0/16")
INSTANCE = os.environ.get("SLICERHUB_TEST_TLS_INSTANCE", "slicerhub-tls")
URL = f"https://{DOMAIN}:{PORT}"
PLAIN_URL = f"http://{DOMAIN}:{HTTP_PORT}"
PAGE = {"Accept": "text/html,application/xhtml+xml"}
TRAEFIK_USER = 10002


def environment(way: str, **more: str) -> dict[str, str]:
    """Return what a person would write into .env; ``way``: a file of deploy/tls."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("SLICERHUB_")}
    files = ["compose.yaml", "tests/e2e/compose.yaml", f"deploy/tls/{way}.yaml"]
    return kept | {
        "COMPOSE_FILE": ":".join(files),
        "SLICERHUB_INSTANCE": INSTANCE,
        "SLICERHUB_DOMAIN": DOMAIN,
        "SLICERHUB_PORT": str(HTTP_PORT),
        "SLICERHUB_TLS_PORT": str(PORT),
        "SLICERHUB_NETWORK_POOL": POOL,
        "SLICERHUB_CONFIG_FILE": "./tests/e2e/slicerhub.toml",
        **more,
    }


def run(
    *command: str, env: dict[str, str], seconds: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run a program in the repository; its result, whatever it is."""
    return subprocess.run(
        command,
        cwd=ROOT,
        env=env,
        check=False,
        timeout=seconds,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


class Given:
    """A folder with certificate and key."""

    def __init__(self, folder: Path, authority: trustme.CA) -> None:
        """Traefik's user must get into the folder."""
        self.folder = folder
        self._authority = authority
        folder.chmod(0o711)

    def write(self, *names: str) -> None:
        """Put a new certificate for these names there, the key for Traefik's user only."""
        self._put(self._authority.issue_cert(*names))

    def write_ended(self, *names: str) -> None:
        """The same with one that is over."""
        yesterday = datetime.now(UTC) - timedelta(days=1)
        before = yesterday - timedelta(days=1)
        made = self._authority.issue_cert(*names, not_before=before, not_after=yesterday)
        self._put(made)

    def _put(self, made: trustme.LeafCert) -> None:
        self.key.unlink(missing_ok=True)
        made.private_key_pem.write_to_path(self.key)
        self.key.chmod(0o400)
        shutil.chown(self.key, TRAEFIK_USER)
        self.certificate.write_bytes(b"".join(one.bytes() for one in made.cert_chain_pems))

    @property
    def certificate(self) -> Path:
        """The file with the certificate."""
        return self.folder / "fullchain.pem"

    @property
    def key(self) -> Path:
        """The file with its key."""
        return self.folder / "privkey.pem"


class Stack:
    """A stack of its own, from start to end."""

    def __init__(self, env: dict[str, str], trust: ssl.SSLContext) -> None:
        """``trust``: whom its clients believe."""
        self.env = env
        self.trust = trust
        self._clients = ExitStack()

    def compose(self, *words: str) -> str:
        """Run Compose; what it says. Fails the test if it fails."""
        ran = run("docker", "compose", *words, env=self.env)
        assert ran.returncode == 0, ran.stdout
        return ran.stdout

    def up(self, *services: str) -> None:
        """Start it with the images that are there, and wait until it is healthy."""
        self.compose("up", "--detach", "--wait", "--wait-timeout", "120", *services)

    def down(self) -> None:
        """Take it away with all that it kept."""
        ran = run("deploy/down", env=self.env)
        assert ran.returncode == 0, ran.stdout
        self.compose("down", "--volumes")
        label = f"label=slicerhub.instance={INSTANCE}"
        found = run("docker", "volume", "ls", "--quiet", "--filter", label, env=self.env)
        if names := found.stdout.split():
            run("docker", "volume", "rm", *names, env=self.env)

    def __enter__(self) -> Self:
        """Start it; what an interrupted run left goes first."""
        self.down()
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.close()
        self.down()

    def close(self) -> None:
        """Close what its clients have open."""
        self._clients.close()

    def check(self) -> subprocess.CompletedProcess[str]:
        """Run the hub's own check."""
        return run(
            "docker", "compose", "exec", "-T", "controller", "slicerhub", "check", env=self.env
        )

    def client(self, **headers: str) -> httpx.Client:
        """Return a client that believes the authority, and nobody else."""
        client = httpx.Client(
            base_url=URL, verify=self.trust, headers=headers, timeout=30, trust_env=False
        )
        return self._clients.enter_context(client)

    def member(self, name: str) -> Member:
        """Log somebody in."""
        return Member(self, name)

    def socket(self, session: dict[str, Any], cookie: str, origin: str) -> ClientConnection:
        """Open a WebSocket to a session that lets it in."""
        return connect(
            session["url"].replace("https:", "wss:"),
            additional_headers={"Cookie": cookie},
            origin=origin,  # pyright: ignore[reportArgumentType] - any text may be sent
            ssl=self.trust,
            proxy=None,
            open_timeout=20,
        )

    def upgrade(self, session: dict[str, Any], cookie: str, origin: str) -> int:
        """Ask for a WebSocket, and return the status of the answer.

        Not by ``socket``: after a refusal that client (websockets 17.4) may wait for ever. Its
        thread reads what was announced, which may be no more than a ticket of TLS, and closing the
        socket does not wake it.
        """
        wanted = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(secrets.token_bytes(16)).decode(),
            "Origin": origin,
            "Cookie": cookie,
        }
        with self.client().stream("GET", session["url"], headers=wanted) as found:
            return found.status_code


class Member:
    """Somebody with a browser, and a program of theirs."""

    def __init__(self, stack: Stack, name: str) -> None:
        """Log in both ways; the password of the demo's people is their name."""
        self.browser = stack.client(**PAGE)
        form = {"username": name, "password": name, "next": "/"}
        self.answer = self.browser.post("/login", data=form, headers={"Origin": URL})
        assert self.answer.status_code == 303, self.answer.text
        self.api = stack.client()
        answer = self.api.post("/api/v1/login", json={"username": name, "password": name})
        self.api.headers["Authorization"] = f"Bearer {answer.json()['token']}"

    def launch(self, profile: str, name: str) -> dict[str, Any]:
        """Launch, and wait until it is ready."""
        answer = self.api.post("/api/v1/sessions", json={"profile": profile, "name": name})
        assert answer.status_code == 202, answer.text
        where = f"/api/v1/sessions/{answer.json()['id']}"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            session: dict[str, Any] = self.api.get(where).json()
            if session["phase"] == "ready":
                return session
            assert session["phase"] != "failed", session
            time.sleep(0.1)
        pytest.fail(f"not ready after 60 s: {self.api.get(where).text}")

    def cookie_for(self, url: str) -> str:
        """Return the Cookie header that the browser would send there."""
        request = self.browser.build_request("GET", url)
        return request.headers.get("Cookie", "")

    def csrf(self) -> str:
        """What this person's forms carry."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.browser.get("/").text)
        assert found, "no form on the page"
        return found[1]
