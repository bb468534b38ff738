"""A directory that is down, silent, another one, or points to one (row 26)."""

from __future__ import annotations

import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from docker import DockerClient
from e2e.stack import INSTANCE, part
from security.attacker import (
    MODIFY,
    Person,
    at_once,
    change_directory,
    door,
    elapsed,
    helper,
    knock,
    log_in_by_form,
    open_socket,
    try_login,
)

from tests.support.breakage import frozen
from tests.support.choice import cases
from tests.support.inside import inside
from tests.support.waits import until

# Within which a log-in is answered, whatever the directory does: seven seconds are set, and a
# machine that has much else to do takes its time. Without a bound it would be minutes.
ANSWER_SECONDS = 30


def verify_is_right(at: Any, stranger: Any) -> None:  # noqa: ANN401
    """Check that who may is let in, and who may not is not."""
    assert knock(at).status_code == 200
    assert knock(stranger).status_code == 401


@pytest.mark.parametrize("fault", cases(["black hole", "down"], always={"black hole"}))
def test_row_26_without_its_directory_the_hub_goes_on(engine: DockerClient, fault: str) -> None:
    """A log-in is told in time and in plain words; verify and open sessions do not notice."""
    with Person("alice") as alice:
        session = alice.launch("echo", f"during {fault}")
        at = door(alice, session)
        with open_socket(at) as socket:
            socket.recv()
            with directory_gone(engine, fault):
                for answer, seconds in at_once(
                    [
                        lambda: elapsed(lambda: try_login("alice", "alice")),
                        lambda: elapsed(lambda: log_in_by_form("alice", "alice")),
                    ]
                ):
                    assert answer.status_code == 503
                    assert seconds <= ANSWER_SECONDS
                    assert "ldap" not in answer.text.lower()
                for _ in range(20):
                    verify_is_right(at, at.as_stranger())
                socket.send("still here?")
                assert socket.recv() == "still here?"
                assert alice.api.get("/api/v1/me").status_code == 200
        until(lambda: try_login("alice", "alice").status_code == 200, what="log-ins again")
        assert alice.api.get("/api/v1/me").status_code == 200, "somebody was taken for gone"
        alice.stop(session["id"])


@contextmanager
def directory_gone(engine: DockerClient, fault: str) -> Generator[None]:
    """Let the directory swallow everything, or not be there."""
    if fault == "black hole":
        with frozen(engine, "ldap"):
            yield
        return
    directory = part(engine, "ldap")
    directory.stop(timeout=5)
    try:
        yield
    finally:
        directory.start()
        until(
            lambda: part(engine, "ldap").attrs["State"]["Health"]["Status"] == "healthy",
            seconds=60,
            what="the directory again",
        )


ROGUE = """
import socket, ssl, sys
open("/tmp/pem", "w").write(sys.argv[1])
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain("/tmp/pem")
door = socket.create_server(("0.0.0.0", 636))
print("open", flush=True)
while True:
    line, _ = door.accept()
    print("knocked", flush=True)
    try:
        print("heard", tls.wrap_socket(line, server_side=True).recv(4096), flush=True)
    except OSError as error:
        print("refused", error, flush=True)
"""


def certificate(folder: Path) -> str:
    """Return key and certificate for the directory's name, by an authority that nobody knows."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ldap"
    names = ["-addext", "subjectAltName=DNS:ldap", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    return key.read_text() + cert.read_text()


@contextmanager
def rogue(engine: DockerClient, folder: Path, alias: str) -> Generator[Any]:
    """Let a directory of the attacker's be at a name in the hub's own network."""
    network: Any = engine.networks.get(f"{INSTANCE}_internal")
    # Of the edge network as well, or none of its ports would have a route.
    command = ["python", "-u", "-c", ROGUE, certificate(folder)]
    with helper(engine, command=command, user="0:0", network=f"{INSTANCE}_edge") as container:
        network.connect(container, aliases=[alias])
        until(lambda: b"open" in container.logs(), what="the rogue")
        yield container


def test_row_26_another_directory_gets_no_password(engine: DockerClient, tmp_path: Path) -> None:
    """A server in the directory's place, whose certificate nobody vouches for, hears nothing."""
    directory = part(engine, "ldap")
    directory.stop(timeout=5)
    try:
        with rogue(engine, tmp_path, "ldap") as other:
            answer, seconds = elapsed(lambda: try_login("alice", "alice"))
            told = until(lambda: other.logs() if b"knocked" in other.logs() else b"", what="a try")
    finally:
        directory.start()
    assert answer.status_code == 503
    assert seconds <= ANSWER_SECONDS
    assert b"heard" not in told
    until(lambda: try_login("alice", "alice").status_code == 200, what="log-ins again")


REFERRAL = """\
dn: uid=ref,ou=people,dc=example,dc=org
changetype: add
objectClass: referral
objectClass: extensibleObject
uid: ref
ref: ldaps://rogue:636/uid=alice,ou=people,dc=example,dc=org"""


def test_row_26_a_referral_is_not_followed(engine: DockerClient, tmp_path: Path) -> None:
    """A directory that points elsewhere gets nobody's password sent there."""
    change_directory(engine, REFERRAL)
    try:
        with rogue(engine, tmp_path, "rogue") as other:
            answer, seconds = elapsed(lambda: try_login("ref", "alice"))
            assert answer.status_code in {401, 503}
            assert seconds <= ANSWER_SECONDS
            assert b"knocked" not in other.logs()
    finally:
        # -M: the entry itself, and not what it points to.
        remove = f"{MODIFY} -M".replace("ldapmodify", "ldapdelete")
        inside(part(engine, "ldap"), "bash", "-c", f"{remove} uid=ref,ou=people,dc=example,dc=org")
