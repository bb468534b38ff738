"""What is not to be seen, and what must be set (rows 45, 48, 49 and P)."""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
from pathlib import Path
from typing import Any

import pytest
import yaml
from docker import DockerClient
from e2e.stack import INSTANCE, PAGE, PATH_MODE, URL, container_of, part
from security.attacker import (
    COOKIE,
    HUB_HOST,
    SECRETS,
    Door,
    Person,
    answer_to,
    door,
    host_of,
    key_ring,
    knock,
    try_login,
)

from controller.rules import routes
from tests.support import asking
from tests.support.breakage import ROOT, wait_for_hub
from tests.support.choice import cases
from tests.support.inside import inside
from tests.support.waits import until

SERVICES = ("traefik", "controller", "ldap", "engine-proxy", "engine-proxy-traefik")
HIDDEN = [
    "/dashboard/",
    "/dashboard",
    "/api/rawdata",
    "/api/overview",
    "/api/http/routers",
    "/metrics",
    "/metrics/",
    "/healthz",
    "/readyz",
    "/ping",
    "/traefik",
    "/verify/x",
    "/verify/app/x",
    "/debug/pprof/",
    "/debug/vars",
    "/openapi.json",
    "/schema",
    "/docs",
    "/.git/config",
    "/.env",
    "/server-status",
]

# Settings that name files of volumes which such a hub does not have.
ELSEWHERE = ("SLICERHUB_CONFIG=", "SLICERHUB_DEMO_", "SLICERHUB_LDAP_CA_FILE=")

WEAK_KEYS = {
    "a word": "secret",
    "a short key": '{"keys":[{"kid":"a","secret":"%s"}]}' % ("00" * 16),
    "no key": '{"keys":[]}',
    "an empty key": '{"keys":[{"kid":"a","secret":""}]}',
    "half a key": '{"keys":[{"kid":"a","sec',
    "not hexadecimal": '{"keys":[{"kid":"a","secret":"%s"}]}' % ("xy" * 32),
}


@pytest.mark.parametrize("kind", cases(WEAK_KEYS, always={"a word", "half a key"}))
def test_row_45_a_weak_key_starts_no_hub(engine: DockerClient, kind: str) -> None:
    """The program ends at once and says which file it is, and what to do."""
    text = WEAK_KEYS[kind]
    controller = part(engine, "controller")
    settings = [one for one in controller.attrs["Config"]["Env"] if one.startswith("SLICERHUB_")]
    with weak(engine, controller.image.id, settings, text) as container:
        ended = container.wait(timeout=60)
        said = container.logs().decode(errors="replace")
    assert ended["StatusCode"] not in {0, 137}, said
    assert "/data/keys.json" in said
    assert "key" in said
    assert re.search(r"[Rr]emove it|32 bytes|cannot be read", said), said
    assert "Traceback" not in said


def weak(engine: DockerClient, image: str, settings: list[str], text: str) -> Any:  # noqa: ANN401
    """Start the hub's own image with such a key ring."""
    script = f"umask 077; printf %s '{text}' > /data/keys.json; exec slicerhub serve"
    return run_controller(
        engine,
        image,
        command=["sh", "-c", script],
        environment=[one for one in settings if not one.startswith(ELSEWHERE)],
        tmpfs={"/data": "mode=0700,uid=10001,gid=10001"},
        network_mode="none",
    )


class run_controller:  # noqa: N801 - reads as a sentence where it stands
    """A container of the controller's image, for a while."""

    def __init__(self, engine: DockerClient, image: str, **how: Any) -> None:  # noqa: ANN401
        """``how``: as the engine's client takes it."""
        labels = {"slicerhub-test.attacker": INSTANCE} | how.pop("extra", {})
        self._container: Any = engine.containers.run(image, detach=True, labels=labels, **how)

    def __enter__(self) -> Any:  # noqa: ANN401
        """Return it."""
        return self._container

    def __exit__(self, *_: object) -> None:
        """Remove it."""
        self._container.remove(force=True)


def test_row_45_the_key_is_its_owners_alone(engine: DockerClient) -> None:
    """Made at the first start, with enough bytes, and readable to nobody else."""
    controller = part(engine, "controller")
    mode, owner = inside(controller, "stat", "-c", "%a %U", "/data/keys.json").split()
    assert (mode, owner) == ("600", "slicerhub")
    for key in key_ring(engine).keys:
        assert len(bytes.fromhex(key.secret)) >= 32
        assert len(set(key.secret)) > 4
    assert not [one for one in controller.attrs["Config"]["Env"] if "SECRET" in one]


@pytest.mark.thorough
def test_row_45_a_new_key_logs_nobody_out(
    alice: Person, victim: dict[str, Any], engine: DockerClient
) -> None:
    """After a rotation by command and a restart old log-ins hold, and new ones use the new key."""
    at = door(alice, victim)
    before = {key.kid for key in key_ring(engine).keys}
    controller = part(engine, "controller")
    inside(controller, "slicerhub", "keys", "rotate")
    after = {key.kid for key in key_ring(engine).keys}
    assert before < after
    for _ in range(2):
        assert knock(at).status_code == 200
        assert alice.api.get("/api/v1/me").status_code == 200
        assert alice.browser.get("/").status_code == 200
        controller.restart(timeout=10)
        wait_for_hub()

    def signs_anew() -> bool:
        made: str = try_login("alice", "alice").json()["token"]
        SECRETS.add(made)
        return (
            json.loads(base64.urlsafe_b64decode(made.partition(".")[0] + "=="))["kid"] not in before
        )

    until(signs_anew, seconds=60, what="a log-in signed with the new key")
    assert knock(at).status_code == 200


@pytest.mark.parametrize("path", HIDDEN)
def test_row_48_what_is_private_is_not_there(
    alice: Person, carol: Person, victim: dict[str, Any], path: str
) -> None:
    """For nobody, not even an administrator: neither at the hub nor at a session's host."""
    for who in (alice, carol):
        assert who.browser.get(path).status_code == 404
        assert who.api.get(path).status_code == 404
    assert asking.get(URL + path).status_code in {401, 404}
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{URL.rpartition(':')[2]}\r\n"
    assert b" 404 " in answer_to(f"{head}Connection: close\r\n\r\n".encode()).partition(b"\r\n")[0]
    if not PATH_MODE:
        # At a session's own host it is the session that answers, and only to whom it may.
        stranger = Door(host_of(victim["id"]), "", "", URL)
        assert knock(stranger, path=path).status_code == 401


def test_row_48_the_front_door_has_one_port(engine: DockerClient) -> None:
    """No other port of Traefik's listens on any network; its API and its dashboard are off."""
    said = inside(part(engine, "traefik"), "cat", "/proc/net/tcp", "/proc/net/tcp6")
    listening = {
        (line.split()[1].partition(":")[0], int(line.split()[1].rpartition(":")[2], 16))
        for line in said.splitlines()
        if len(line.split()) > 3 and line.split()[3] == "0A"
    }
    outside = {port for address, port in listening if address != "0100007F" and port < 32768}
    assert outside == {8080}


SPELLINGS = ["x\nINFO planted=1", 'x\r\n{"event": "planted"}', "x\x1b[31m", "x\u2028y"]


def test_row_49_a_name_is_one_line(engine: DockerClient) -> None:
    """A user name, a path or a header with a line break in it makes no line of its own."""
    mark = secrets.token_hex(8)
    for typed in SPELLINGS:
        assert try_login(f"{mark}{typed}", mark).status_code in {401, 429}
        asking.get(f"{URL}/nothing-{mark}", params={"x": typed}, headers={**PAGE, "Referer": mark})
    answer_to(
        f"GET /{mark}%0aplanted HTTP/1.1\r\nHost: {HUB_HOST}\r\nConnection: close\r\n\r\n".encode()
    )
    for service in ("controller", "traefik"):
        for line in part(engine, service).logs().decode(errors="replace").splitlines():
            if mark in line or "planted" in line:
                assert isinstance(json.loads(line), dict), line
                assert not line.startswith(("INFO", '{"event": "planted'))
                assert "\x1b" not in line


@pytest.mark.last
def test_row_49_no_secret_is_in_any_log(
    engine: DockerClient, alice: Person, victim: dict[str, Any]
) -> None:
    """After all the attacks none of the secrets that were in use stands in any part's log."""
    key_ring(engine)
    typed, misplaced = secrets.token_urlsafe(16), f"{secrets.token_urlsafe(16)}!"
    try_login("alice", typed)
    try_login(misplaced, "x")  # who types into the wrong field types a password
    SECRETS.update({typed, misplaced, alice.csrf(), alice.token})
    mark = door(alice, victim)
    assert knock(mark).status_code == 200
    SECRETS.add(inside(part(engine, "controller"), "cat", "/run/ldap-ca/hub.password"))
    known = {one for one in SECRETS if len(one) >= 12}
    assert len(known) > 5
    found: list[str] = []
    for service in SERVICES:
        text = part(engine, service).logs().decode(errors="replace")
        assert text or service.startswith("engine-proxy")
        found += [f"{service}: {one[:6]}…" for one in known if one in text]
    text = container_of(engine, victim["id"]).logs().decode(errors="replace")
    found += [f"session: {one[:6]}…" for one in known if one in text]
    assert found == []


SPELT_OUT = re.compile(
    r"eyJ[\w-]{8,}\.eyJ[\w-]+"  # a token
    r"|(?i:bearer|basic) [\w.~+/-]{16,}"
    r"|-(?:login|entry)=[\w.-]{8,}"  # a cookie of the hub's
    r"|/join/[\w-]{16,}"
)


@pytest.mark.last
def test_row_49_nor_in_the_logs_of_what_ran_before() -> None:
    """After the whole suite nothing of the form of a secret stands in any log of the stack."""
    if not (path := os.environ.get("SLICERHUB_TEST_LOG")):
        pytest.skip("SLICERHUB_TEST_LOG names no file with the logs of what ran before.")
    with Path(path).open(encoding="utf-8", errors="replace") as lines:
        found = [line[:200] for line in lines if SPELT_OUT.search(line)]
    assert found == []


# --- P: the settings of the running front door ---------------------------------------------------


@pytest.fixture(scope="module")
def running(engine: DockerClient) -> dict[str, Any]:
    """The static configuration that the running Traefik was started with."""
    traefik = part(engine, "traefik")
    command = inside(traefik, "cat", "/proc/1/cmdline").split("\0")
    (option,) = [one for one in command if one.startswith("--")]
    name, _, file = option.partition("=")
    assert name == "--configFile"
    found: dict[str, Any] = yaml.safe_load(inside(traefik, "cat", file))
    return found


def test_row_p_the_static_settings(running: dict[str, Any], engine: DockerClient) -> None:
    """What the running Traefik has read is what the table asks for."""
    door_of = running["entryPoints"]["web"]
    assert door_of["http"]["sanitizePath"] is True
    encoded = door_of["http"]["encodedCharacters"]
    assert len(encoded) == 7
    assert all(name.startswith("allowEncoded") for name in encoded)
    assert set(encoded.values()) == {False}
    assert door_of["http"]["aliasHeadersStrategy"] == "reject"
    assert door_of["forwardedHeaders"] == {"insecure": False}
    for entry in running["entryPoints"].values():
        assert not entry.get("forwardedHeaders", {}).get("insecure")
        assert entry["http"]["aliasHeadersStrategy"] == "reject"
    assert "api" not in running
    assert "metrics" not in running
    provider = running["providers"]["docker"]
    assert provider["exposedByDefault"] is False
    assert f"Label(`slicerhub.instance`, `{INSTANCE}`)" in provider["constraints"]
    version = inside(part(engine, "traefik"), "traefik", "version")
    found = re.search(r"Version:\s+v?(\d+)\.(\d+)\.(\d+)", version)
    assert found, version
    assert tuple(int(one) for one in found.groups()) >= (3, 7, 13)


def test_row_p_the_settings_of_a_session(victim: dict[str, Any], engine: DockerClient) -> None:
    """What the running Traefik reads of a session is what the table asks for."""
    labels = container_of(engine, victim["id"]).labels
    auth = f"traefik.http.middlewares.{victim['id']}-auth.forwardauth"
    assert labels[f"{auth}.trustforwardheader"] == "false"
    names = labels[f"{auth}.authresponseheaders"].split(",")
    assert set(names) == {"Cookie", "Authorization", "X-Slicerhub-User", "X-Slicerhub-Role"}
    cookies = labels[f"{auth}.addauthcookiestoresponse"].split(",")
    assert COOKIE in cookies
    assert all(one.startswith(INSTANCE) for one in cookies)
    assert 0 < int(labels[f"{auth}.maxresponsebodysize"]) <= routes.MAX_VERIFY_BODY
    assert labels[f"{auth}.address"].endswith(f":8001/verify/{victim['id']}")
    assert f"{victim['id']}-auth" in labels[f"traefik.http.routers.{victim['id']}.middlewares"]


@pytest.mark.parametrize("code", ["2f", "5c", "00", "3b", "25", "3f", "23", "2F", "5C", "3B"])
def test_row_p_encoded_characters_are_refused(code: str) -> None:
    """The running Traefik behaves so: each of the seven is sent back."""
    head = f"GET /static%{code}x HTTP/1.1\r\nHost: {HUB_HOST}\r\nConnection: close\r\n\r\n"
    assert b" 400 " in answer_to(head.encode()).partition(b"\r\n")[0]


def test_row_p_paths_are_cleaned_and_aliases_refused(alice: Person, victim: dict[str, Any]) -> None:
    """The running Traefik behaves so: a climbing path is read as what it leads to."""
    for path in ("/x/../login", "//login", "/./login"):
        head = f"GET {path} HTTP/1.1\r\nHost: {HUB_HOST}\r\nConnection: close\r\n\r\n"
        status = answer_to(head.encode()).partition(b"\r\n")[0].split()[1]
        assert status in {b"200", b"301", b"307", b"308"}, path
    at = door(alice, victim)
    for alias in ("X_Forwarded_Host", "X.Forwarded.Host", "x_slicerhub_user"):
        assert knock(at, headers={alias: "x"}).status_code == 400
    seen = knock(at, headers={"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"})
    told = {name.lower(): value for name, value in seen.json()["headers"]}
    assert "203.0.113.7" not in told["x-forwarded-for"]
    assert told["x-forwarded-proto"] == "http"


@pytest.mark.thorough
def test_row_p_only_our_own_containers_are_routed(engine: DockerClient) -> None:
    """The running Traefik behaves so: what asks to be routed, and is not ours, is not."""
    network = f"{INSTANCE}_companions"
    rule = {
        "traefik.enable": "true",
        "traefik.http.routers.intruder.rule": "PathPrefix(`/intruder`)",
        "traefik.http.services.intruder.loadbalancer.server.port": "8080",
    }
    for more in (
        {},
        {"slicerhub.instance": f"{INSTANCE}x", "slicerhub.app": "intruder"},
        {"slicerhub.instance": INSTANCE},
        {"slicerhub.session": "a" * 26},
    ):
        api: Any = engine.containers
        container: Any = api.run(
            "slicerhub-test/echo", detach=True, network=network, labels=rule | more
        )
        try:
            mark: str = container.attrs["Config"]["Hostname"]
            until(lambda: is_seen(engine, INSTANCE, network), what="Traefik to look again")
            for _ in range(10):
                answer = asking.get(f"{URL}/intruder/", headers=PAGE)
                assert answer.status_code == 404
                assert mark not in answer.text
        finally:
            container.remove(force=True)


def is_seen(engine: DockerClient, instance: str, network: str) -> bool:
    """Tell whether Traefik has noticed a companion of ours: then it has all that came before."""
    name = f"seen{secrets.token_hex(4)}"
    labels = {
        "traefik.enable": "true",
        "slicerhub.instance": instance,
        "slicerhub.app": name,
        f"traefik.http.routers.{name}.rule": f"PathPrefix(`/apps/{name}/`)",
        f"traefik.http.routers.{name}.middlewares": f"slicerhub-{name}@http",
        f"traefik.http.services.{name}.loadbalancer.server.port": "8080",
    }
    with run_controller(engine, "slicerhub-test/echo", network=network, extra=labels):
        until(
            lambda: asking.get(f"{URL}/apps/{name}/").status_code in {401, 403},
            what="a companion of ours",
        )
    return True


def test_row_p_on_a_cluster() -> None:
    """Traefik on a cluster is set so that an object of one namespace reaches no other one."""
    text = (ROOT / "deploy/kubernetes/components/traefik/traefik.yml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(re.sub(r"@[A-Z_]+@", "x", text))
    provider = found["providers"]["kubernetesCRD"]
    assert provider["allowCrossNamespace"] is False
    assert provider["allowExternalNameServices"] is False
    entry = found["entryPoints"]["web"]["http"]
    assert entry["sanitizePath"] is True
    assert set(entry["encodedCharacters"].values()) == {False}
    assert entry["aliasHeadersStrategy"] == "reject"
    assert "api" not in found


def test_row_p_what_verify_answers_is_small(victim: dict[str, Any], engine: DockerClient) -> None:
    """Traefik's limit of verify's answers holds what verify really answers."""
    ask = (
        "import http.client, sys\n"
        "line = http.client.HTTPConnection('127.0.0.1', 8001, timeout=10)\n"
        "line.request('GET', f'/verify/{sys.argv[1]}', headers={'X-Forwarded-Method': 'GET',"
        " 'X-Forwarded-Uri': '/', 'X-Forwarded-Host': sys.argv[2], 'X-Forwarded-Proto': 'http',"
        " 'Accept': 'text/html'})\n"
        "print(len(line.getresponse().read()))\n"
    )
    size = inside(
        part(engine, "controller"), "python", "-c", ask, victim["id"], host_of(victim["id"])
    )
    assert int(size) <= routes.MAX_VERIFY_BODY
