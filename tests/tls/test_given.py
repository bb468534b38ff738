"""A hub with a certificate of the site's own, from the front door to a session."""

from __future__ import annotations

import shutil
import socket
import ssl
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import trustme
from tls.stack import DOMAIN, HTTP_PORT, PAGE, PORT, URL, Given, Member, Stack, environment, run

HSTS = "strict-transport-security"


@pytest.fixture(scope="module")
def alice(hub: Stack) -> Member:
    """Somebody who may use the hub."""
    return hub.member("alice")


@pytest.fixture(scope="module")
def echo(alice: Member) -> dict[str, Any]:
    """A session of alice's that tells what it is sent."""
    return alice.launch("echo", "echo")


def origin_of(session: dict[str, Any]) -> str:
    """Return the origin that a session's page has."""
    url: str = session["url"]
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def plain(method: str, path: str, host: str) -> httpx.Response:
    """Ask on the HTTP port."""
    with httpx.Client(trust_env=False) as client:
        return client.request(
            method, f"http://127.0.0.1:{HTTP_PORT}{path}", headers={**PAGE, "Host": host}
        )


def test_the_login_cookie_is_for_https_and_this_host_alone(alice: Member) -> None:
    """Browsers keep such a cookie from being read by scripts, sent in the clear, or overwritten."""
    cookies = alice.answer.headers.get_list("set-cookie")
    (login,) = [one for one in cookies if one.startswith("__Host-slicerhub-tls-login=")]
    attributes = {one.strip().lower() for one in login.split(";")[1:]}
    assert {"secure", "httponly", "path=/"} <= attributes
    assert any(one.startswith("samesite=") for one in attributes)
    assert not any(one.startswith("domain") for one in attributes)


def test_a_session_opens_and_talks(hub: Stack, alice: Member, echo: dict[str, Any]) -> None:
    """Launch, open, and a WebSocket: all of it by HTTPS, with the authority's certificate."""
    assert echo["url"].startswith("https://")
    answer = alice.browser.get(echo["url"] + "a?b=c", follow_redirects=True)
    assert answer.status_code == 200, answer.text
    seen = {name.lower(): value for name, value in answer.json()["headers"]}
    assert seen["x-forwarded-proto"] == "https"
    assert "cookie" not in seen
    with hub.socket(echo, alice.cookie_for(echo["url"]), origin_of(echo)) as opened:
        opened.recv()
        opened.send("hello")
        assert opened.recv() == "hello"


@pytest.mark.parametrize("origin", [f"http://{DOMAIN}:{HTTP_PORT}", "https://evil.example", "null"])
def test_a_page_that_came_by_http_cannot_open_a_socket(
    hub: Stack, alice: Member, echo: dict[str, Any], origin: str
) -> None:
    """The origin of a page names its scheme: only that of HTTPS is the session's own."""
    alice.browser.get(echo["url"], follow_redirects=True)
    assert hub.upgrade(echo, alice.cookie_for(echo["url"]), origin_of(echo)) == 101
    assert hub.upgrade(echo, alice.cookie_for(echo["url"]), origin) == 403


def test_http_leads_to_https(echo: dict[str, Any]) -> None:
    """Who types the address without https:// gets there; so does who types a session's."""
    answer = plain("GET", "/login?next=%2F", DOMAIN)
    assert answer.status_code in {301, 308}
    assert answer.headers["location"] == f"{URL}/login?next=%2F"
    url: str = echo["url"]
    session = urlsplit(url)
    answer = plain("GET", session.path, session.hostname or "")
    assert answer.headers["location"] == url


@pytest.mark.parametrize(
    "host", ["evil.example", f"evil.{DOMAIN}", f"{DOMAIN}.evil.example", "127.0.0.1"]
)
def test_15_http_leads_nowhere_else(host: str) -> None:
    """A foreign name is not sent back to the client that sent it."""
    answer = plain("GET", "/", host)
    assert answer.status_code == 404
    assert "location" not in answer.headers
    assert "evil" not in answer.text


def test_what_was_sent_in_the_clear_is_not_sent_again() -> None:
    """A password that a program posts by HTTP is refused, not redirected: its author notices."""
    for path in ("/login", "/api/v1/login"):
        answer = plain("POST", path, DOMAIN)
        assert answer.status_code == 404
        assert "location" not in answer.headers


def test_browsers_are_told_to_stay_with_https(
    hub: Stack, alice: Member, echo: dict[str, Any]
) -> None:
    """Pages, refusals and sessions say so by HTTPS; what HTTP answers does not."""
    for answer in (
        hub.client(**PAGE).get("/login"),
        hub.client().get("/api/v1/me"),
        hub.client().get("/nothing"),
        hub.client().get(echo["url"]),
        alice.browser.get(echo["url"], follow_redirects=True),
    ):
        assert answer.headers.get_list(HSTS) == ["max-age=31536000"], answer.url
    for path in ("/login", "/nothing"):
        assert HSTS not in plain("GET", path, DOMAIN).headers


def test_p_the_https_entry_point_is_as_strict_as_the_http_one(
    alice: Member, echo: dict[str, Any]
) -> None:
    """Paths that can be read in two ways, aliases of headers and huge ones are refused, too."""
    for path in ("/s%2f", "/%5c", "/%00", "/%3b", "/%25", "/%3f", "/%23"):
        assert alice.browser.get(URL + path).status_code == 400, path
    assert alice.browser.get(echo["url"], headers={"X_Forwarded_Host": "a"}).status_code == 400
    assert alice.browser.get("/", headers={"X-Long": "a" * 100_000}).status_code == 431
    answer = alice.browser.get(
        echo["url"],
        headers={"Forwarded": "host=evil", "X-Forwarded-Proto": "http", "X-Real-Ip": "1.2.3.4"},
        follow_redirects=True,
    )
    seen = {name.lower(): value for name, value in answer.json()["headers"]}
    assert "forwarded" not in seen
    assert seen["x-forwarded-proto"] == "https"
    assert seen["x-real-ip"] != "1.2.3.4"


def handshake(trust: ssl.SSLContext, name: str | None) -> str:
    """Do the handshake of TLS, asking for this host; return the version."""
    with (
        socket.create_connection(("127.0.0.1", PORT), timeout=20) as raw,
        trust.wrap_socket(raw, server_hostname=name) as done,
    ):
        return done.version() or ""


def anyone() -> ssl.SSLContext:
    """Return a context that believes everybody, so that what is refused is refused over there."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_versions_of_tls_are_refused(hub: Stack) -> None:
    """TLS 1.3 and 1.2 are spoken, 1.1 is not."""
    assert handshake(hub.trust, DOMAIN) == "TLSv1.3"
    for version, spoken in (
        (ssl.TLSVersion.TLSv1_2, True),
        (ssl.TLSVersion.TLSv1_1, False),
    ):
        context = anyone()
        context.minimum_version = context.maximum_version = version
        context.set_ciphers("ALL:@SECLEVEL=0")
        if spoken:
            assert handshake(context, DOMAIN) == "TLSv1.2"
        else:
            with pytest.raises(ssl.SSLError, match=r"(?i)protocol version|handshake failure"):
                handshake(context, DOMAIN)


@pytest.mark.parametrize("name", ["evil.example", None])
def test_no_certificate_is_made_up(hub: Stack, name: str | None) -> None:
    """For a name without a certificate there is none, rather than one of Traefik's own making."""
    assert handshake(hub.trust, f"session.{DOMAIN}")
    with pytest.raises(ssl.SSLError):
        handshake(anyone(), name)


def test_the_hub_is_content(hub: Stack) -> None:
    """``slicerhub check`` finds nothing wrong with Traefik."""
    ran = hub.check()
    assert "✓ Traefik at https://traefik:8443" in ran.stdout, ran.stdout


def test_a_renewed_certificate_is_served(hub: Stack, given: Given, echo: dict[str, Any]) -> None:
    """After a renewal the new certificate is there, and what was open stays open."""

    def shown() -> bytes:
        with (
            socket.create_connection((DOMAIN, PORT), timeout=20) as raw,
            hub.trust.wrap_socket(raw, server_hostname=DOMAIN) as done,
        ):
            return done.getpeercert(binary_form=True) or b""

    before = shown()
    alice = hub.member("alice")
    alice.browser.get(echo["url"], follow_redirects=True)
    with hub.socket(echo, alice.cookie_for(echo["url"]), origin_of(echo)) as opened:
        opened.recv()
        given.write(DOMAIN, f"*.{DOMAIN}")
        ran = run("deploy/tls/renewed", env=hub.env)
        assert ran.returncode == 0, ran.stdout
        deadline = time.monotonic() + 30
        while shown() == before:
            assert time.monotonic() < deadline, "the old certificate is still served"
            time.sleep(0.1)
        opened.send("still here")
        assert opened.recv() == "still here"
    hub.up()
    ran = hub.check()
    assert "✓ Traefik at https://traefik:8443" in ran.stdout, ran.stdout


# --- what is wrong is said, and nothing starts ---------------------------------------------------


def another(given: Given, tmp_path: Path) -> Given:
    """Copy what is right, to spoil it."""
    for file in (given.certificate, given.key):
        shutil.copy2(file, tmp_path)
        shutil.chown(tmp_path / file.name, file.stat().st_uid)
    return Given(tmp_path, trustme.CA())


def verdict(folder: Path, **more: str) -> tuple[int, str]:
    """Let ``deploy/tls/check`` look, as ``deploy/up`` does before it starts anything."""
    ran = run(
        "deploy/tls/check", env=environment("given", SLICERHUB_TLS_FOLDER=str(folder), **more)
    )
    return ran.returncode, ran.stdout


def test_what_is_right_is_passed(given: Given) -> None:
    """With a good certificate there is nothing to say."""
    assert verdict(given.folder) == (0, "")


def test_a_missing_key_is_named(given: Given, tmp_path: Path) -> None:
    """A file that is not there is named, with the settings that name it."""
    spoilt = another(given, tmp_path)
    spoilt.key.unlink()
    code, said = verdict(tmp_path)
    assert code == 1
    assert f"the file {spoilt.key} is missing." in said
    assert "SLICERHUB_TLS_KEY" in said


def test_a_key_that_traefik_may_not_read_is_named(given: Given, tmp_path: Path) -> None:
    """A key that only root may read is said so, with the command that helps."""
    spoilt = another(given, tmp_path)
    shutil.chown(spoilt.key, 0)
    code, said = verdict(tmp_path)
    assert code == 1
    assert f"chown 10002 {spoilt.key}" in said


def test_a_key_of_another_certificate_is_named(given: Given, tmp_path: Path) -> None:
    """A key that does not belong to the certificate is said so."""
    spoilt = another(given, tmp_path)
    certificate = spoilt.certificate.read_bytes()
    spoilt.write(DOMAIN)
    spoilt.certificate.write_bytes(certificate)
    code, said = verdict(tmp_path)
    assert code == 1
    assert f"is not the key of {spoilt.certificate}" in said


def test_a_certificate_for_others_is_named(given: Given, tmp_path: Path) -> None:
    """One for another name, or without the sessions' names, is said so, and what it is for."""
    spoilt = another(given, tmp_path)
    spoilt.write("other.example.test")
    code, said = verdict(tmp_path)
    assert code == 1
    assert f"not for {DOMAIN}" in said
    assert "other.example.test" in said
    spoilt.write(DOMAIN)
    code, said = verdict(tmp_path)
    assert code == 1
    assert f"not for *.{DOMAIN}" in said
    assert verdict(tmp_path, SLICERHUB_SESSION_DOMAIN="path") == (0, "")


def test_a_certificate_that_has_ended_is_named(given: Given, tmp_path: Path) -> None:
    """One that browsers would refuse is refused here first."""
    spoilt = another(given, tmp_path)
    spoilt.write_ended(DOMAIN, f"*.{DOMAIN}")
    code, said = verdict(tmp_path)
    assert code == 1
    assert "the certificate has expired" in said


@pytest.mark.parametrize("what", ["certificate", "key"])
def test_what_is_no_certificate_is_named(given: Given, tmp_path: Path, what: str) -> None:
    """Anything else in these files is said so."""
    spoilt = another(given, tmp_path)
    file = spoilt.certificate if what == "certificate" else spoilt.key
    file.chmod(0o600)
    file.write_text("nothing of the kind")
    code, said = verdict(tmp_path)
    assert code == 1
    assert f"{file} holds no" in said


def test_traefik_does_not_start_without_its_key(hub: Stack, given: Given, tmp_path: Path) -> None:
    """Who starts the stack past ``deploy/up`` is served no certificate of Traefik's own, either."""
    spoilt = another(given, tmp_path)
    spoilt.key.unlink()
    ran = run(
        *("docker", "compose", "run", "--rm", "--no-deps", "--no-TTY", "traefik"),
        env=hub.env | {"SLICERHUB_TLS_FOLDER": str(tmp_path)},
        seconds=60,
    )
    assert ran.returncode == 78, ran.stdout
    assert "privkey.pem is missing" in ran.stdout


def test_the_check_names_a_certificate_of_somebody_else(hub: Stack) -> None:
    """If Traefik shows what the controller cannot believe, ``slicerhub check`` says it in words."""
    ran = run(
        *("docker", "compose", "exec", "-T", "-e", "SLICERHUB_GATEWAY_CA_FILE="),
        *("controller", "slicerhub", "check"),
        env=hub.env,
    )
    assert ran.returncode == 1
    assert "Traefik shows no valid certificate for hub.example.test" in ran.stdout, ran.stdout
