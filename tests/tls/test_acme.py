"""A hub whose certificate Traefik fetches itself, from an authority that speaks ACME."""

from __future__ import annotations

import base64
import secrets
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trustme
from tls.stack import DOMAIN, MANAGEMENT_PORT, PAGE, PORT, Given, Stack, environment, run

from tests.support import asking


class Authority:
    """The ACME server's own files, and what it signs with."""

    def __init__(self, folder: Path) -> None:
        """Give its address a certificate, and Traefik a key for the DNS."""
        made = trustme.CA()
        self.folder = folder
        Given(folder, made).write("acme")
        (folder / "privkey.pem").chmod(0o444)
        self.update_key = base64.b64encode(secrets.token_bytes(32)).decode()
        (folder / "update.key").write_text(
            f'key "traefik." {{ algorithm hmac-sha256; secret "{self.update_key}"; }};\n'
        )
        self.bundle = folder / "authorities.pem"
        self.bundle.write_bytes(made.cert_pem.bytes())

    def learn_root(self) -> ssl.SSLContext:
        """Write down the root that it made at its start; return a context that believes it only."""
        address = f"https://127.0.0.1:{MANAGEMENT_PORT}/roots/0"
        unchecked = ssl.create_default_context()
        unchecked.check_hostname = False
        unchecked.verify_mode = ssl.CERT_NONE
        deadline = time.monotonic() + 60
        while True:
            try:
                root = asking.get(address, verify=unchecked, trust_env=False).text
                break
            except httpx.HTTPError:
                assert time.monotonic() < deadline, "the ACME server does not start"
                time.sleep(0.2)
        with self.bundle.open("a") as file:
            file.write(root)
        return ssl.create_default_context(cadata=root)


def shown(trust: ssl.SSLContext, name: str) -> set[str]:
    """Return the names of the certificate that is shown for one of them; empty: there is none."""
    try:
        with (
            socket.create_connection((name, PORT), timeout=20) as raw,
            trust.wrap_socket(raw, server_hostname=name) as done,
        ):
            found = done.getpeercert() or {}
    except (ssl.SSLError, ConnectionError):
        return set()
    return {str(value) for kind, value in found.get("subjectAltName", ()) if kind == "DNS"}


def fetched(trust: ssl.SSLContext, name: str, stack: Stack) -> set[str]:
    """Wait for Traefik's certificate; return whom it is for."""
    deadline = time.monotonic() + 150
    while not (names := shown(trust, name)):
        if time.monotonic() > deadline:
            pytest.fail("no certificate was fetched:\n" + stack.compose("logs", "traefik"))
        time.sleep(0.2)
    return names


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority of one test."""
    return Authority(tmp_path)


def hub(authority: Authority, server: str, **more: str) -> Iterator[Stack]:
    """Start the authority, then a hub that has its certificate from there."""
    env = environment(
        "acme",
        SLICERHUB_ACME_DIRECTORY="https://acme:14000/dir",
        SLICERHUB_ACME_EMAIL=f"it@{DOMAIN}",
        SLICERHUB_ACME_CA_FILE=str(authority.bundle),
        SLICERHUB_TEST_ACME_FOLDER=str(authority.folder),
        SLICERHUB_TEST_MANAGEMENT_PORT=str(MANAGEMENT_PORT),
        COMPOSE_PROFILES="dns" if server == "acme-by-dns" else "",
        **more,
    )
    env["COMPOSE_FILE"] += ":tests/tls/acme/compose.yaml"
    stack = Stack(env, ssl.create_default_context())
    stack.down()
    stack.compose("build", "acme")
    try:
        ran = run("deploy/tls/check", env=env)
        assert ran.returncode == 0, ran.stdout
        stack.up(server)
        stack.trust = authority.learn_root()
        stack.up(server, "traefik", "controller")
        yield stack
    finally:
        stack.close()
        stack.down()


@pytest.fixture
def by_name(authority: Authority, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A hub of one host name."""
    challenge: str = request.param
    yield from hub(
        authority, "acme", SLICERHUB_ACME_CHALLENGE=challenge, SLICERHUB_SESSION_DOMAIN="path"
    )


@pytest.fixture
def by_dns(authority: Authority, tmp_path: Path) -> Iterator[Stack]:
    """A hub with a name for every session."""
    variables = tmp_path / "dns.env"
    variables.write_text(
        "RFC2136_NAMESERVER=dns:53\nRFC2136_TSIG_ALGORITHM=hmac-sha256.\n"
        f"RFC2136_TSIG_KEY=traefik.\nRFC2136_TSIG_SECRET={authority.update_key}\n"
        # A minute between two names by default: that is for servers that are slow to tell others.
        "RFC2136_SEQUENCE_INTERVAL=1\nRFC2136_POLLING_INTERVAL=1\n"
    )
    yield from hub(
        authority,
        "acme-by-dns",
        SLICERHUB_ACME_CHALLENGE="dns",
        SLICERHUB_ACME_DOMAINS=f"{DOMAIN},*.{DOMAIN}",
        SLICERHUB_ACME_DNS_PROVIDER="rfc2136",
        SLICERHUB_ACME_DNS_RESOLVERS="dns:53",
        SLICERHUB_ACME_DNS_ENV_FILE=str(variables),
    )


@pytest.mark.parametrize("by_name", ["tls-alpn", "http"], indirect=True)
def test_the_certificate_is_fetched_for_one_name(by_name: Stack) -> None:
    """A hub of one name comes by its certificate itself; log-in, launch and the check work."""
    assert fetched(by_name.trust, DOMAIN, by_name) == {DOMAIN}
    alice = by_name.member("alice")
    session = alice.launch("echo", "echo")
    answer = alice.browser.get(session["url"])
    assert answer.status_code == 200
    ran = by_name.check()
    assert "✓ Traefik at https://traefik:8443" in ran.stdout, ran.stdout
    # What was fetched is kept: a restart asks for nothing.
    first = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((DOMAIN, PORT)))
    by_name.compose("up", "--detach", "--wait", "--no-deps", "--force-recreate", "traefik")
    assert fetched(by_name.trust, DOMAIN, by_name) == {DOMAIN}
    assert ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((DOMAIN, PORT))) == first


def test_one_certificate_covers_every_session(by_dns: Stack) -> None:
    """Who proves by the DNS that the domain is theirs has one certificate for all sessions."""
    assert fetched(by_dns.trust, DOMAIN, by_dns) == {DOMAIN, f"*.{DOMAIN}"}
    alice = by_dns.member("alice")
    for name in ("one", "two"):
        session = alice.launch("echo", name)
        answer = alice.browser.get(session["url"], follow_redirects=True)
        assert answer.status_code == 200
        assert answer.url.host.endswith(f".{DOMAIN}")
    ran = by_dns.check()
    assert "✓ Traefik at https://traefik:8443" in ran.stdout, ran.stdout
    assert by_dns.client(**PAGE).get("/login").status_code == 200


def test_a_wildcard_without_dns_is_refused_beforehand() -> None:
    """Who wants names for sessions and proves only one is told what to do."""
    env = environment("acme", SLICERHUB_ACME_EMAIL=f"it@{DOMAIN}")
    ran = run("deploy/tls/check", env=env)
    assert ran.returncode == 1
    assert "needs SLICERHUB_ACME_CHALLENGE=dns" in ran.stdout
    assert "SLICERHUB_SESSION_DOMAIN=path" in ran.stdout
