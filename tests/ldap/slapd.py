"""A real slapd as a child of the tests, with its own authority.

The configuration and the people are put in with slapadd, so nothing of the machine is touched.
One port speaks LDAP and StartTLS, one speaks TLS at once. The certificate is for ``localhost``
and 127.0.0.1; the server listens on 127.0.0.2 too, which is thus a wrong name for it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from controller.settings.schema import Ldap
from tests.ldap.entries import PASSWORD, ROOT_DN, configuration, people

_PROGRAMS = ("slapd", "slapadd", "ldapmodify", "openssl")
_SEARCHED = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
_DEADLINE = 20.0  # seconds for slapd to start or to write a line of its log


class Log:
    """What slapd has written since this object was made."""

    def __init__(self, path: Path) -> None:
        """Begin at the present end."""
        self._path = path
        self._start = path.stat().st_size

    def text(self) -> str:
        """Return all of it."""
        with self._path.open("rb") as file:
            file.seek(self._start)
            return file.read().decode(errors="replace")

    def until(self, wanted: str) -> str:
        """Return all of it, once ``wanted`` stands in it."""
        wait_for(lambda: wanted in self.text(), f"{wanted!r} in the server's log")
        return self.text()


class Slapd:
    """A running slapd. ``settings`` are those of the search mode with a service account."""

    def __init__(self, folder: Path, port: int, tls_port: int) -> None:
        """Remember where it is; ``started`` starts it."""
        self.folder = folder
        self.port = port
        self.tls_port = tls_port
        self.ca_file = str(folder / "ca.pem")
        self.settings = Ldap(
            url=f"ldap://127.0.0.1:{port}",
            allow_plaintext=True,
            search_base="ou=people,dc=example,dc=org",
            bind_dn="cn=reader,dc=example,dc=org",
            bind_password="reader",
            group_base="ou=groups,dc=example,dc=org",
            admin_group="slicer-admins",
        )

    def with_settings(self, **changes: object) -> Ldap:
        """Return the settings, some of them changed."""
        return msgspec.structs.replace(self.settings, **changes)

    def by_template(self, **changes: object) -> Ldap:
        """Return the settings of the mode without a search and without a service account."""
        template = {
            "search_base": "",
            "bind_dn": "",
            "bind_password": "",
            "user_dn_template": "uid={username},ou=people,dc=example,dc=org",
        }
        return self.with_settings(**template | changes)

    def log(self) -> Log:
        """Listen to the server's log from now on."""
        return Log(self.folder / "log")

    def modify(self, ldif: str) -> None:
        """Change the directory while it runs, as its administrator."""
        command = ["ldapmodify", "-x", "-H", self.settings.url, "-D", ROOT_DN, "-w", PASSWORD]
        subprocess.run(command, input=ldif, text=True, check=True, capture_output=True, timeout=20)


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Poll until the condition holds; fail after the deadline."""
    end = time.monotonic() + _DEADLINE
    pause = threading.Event()
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"waited {_DEADLINE:.0f} s for {what}")
        pause.wait(0.02)


def _program(name: str) -> str:
    path = shutil.which(name, path=_SEARCHED)
    if path:
        return path
    sentence = f"{name} is missing: apt-get install slapd ldap-utils openssl"
    if os.environ.get("SLICERHUB_TEST_STRICT") == "1":
        pytest.fail(sentence)
    pytest.skip(sentence)


def _run(folder: Path, name: str, *arguments: str) -> None:
    done = subprocess.run(
        [_program(name), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if done.returncode:
        pytest.fail(f"{name} {' '.join(arguments)}: {done.stderr}")


def make_authority(folder: Path, name: str) -> None:
    """Make a certificate authority: ``<name>.pem`` and ``<name>.key``."""
    _run(
        folder,
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
        *("-nodes", "-days", "2", "-subj", f"/CN=Test authority {name}"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        *("-keyout", f"{name}.key", "-out", f"{name}.pem"),
    )


def _make_certificate(folder: Path) -> None:
    _run(
        folder,
        *("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr"),
    )
    (folder / "server.ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    _run(
        folder,
        *("openssl", "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key"),
        *("-CAcreateserial", "-days", "2", "-extfile", "server.ext", "-out", "server.pem"),
    )


def free_port() -> int:
    """Return a port that nobody listens on at the moment."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _local_addresses() -> list[str]:
    found = socket.getaddrinfo("localhost", None, type=socket.SOCK_STREAM)
    names = {str(one[4][0]) for one in found} | {"127.0.0.1", "127.0.0.2"}
    return [f"[{one}]" if ":" in one else one for one in sorted(names)]


def started(folder: Path, rogue_port: int, anonymous: str) -> Generator[Slapd]:
    """Give a slapd that runs. ``anonymous``: what strangers may, such as ``read``."""
    for name in _PROGRAMS:
        _program(name)
    make_authority(folder, "ca")
    _make_certificate(folder)
    (folder / "config").mkdir()
    (folder / "data").mkdir()
    (folder / "config.ldif").write_text(configuration(folder, anonymous=anonymous))
    (folder / "people.ldif").write_text(people(rogue_port))
    _run(folder, "slapadd", "-F", "config", "-n", "0", "-l", "config.ldif")
    _run(folder, "slapadd", "-F", "config", "-n", "1", "-l", "people.ldif")
    server = Slapd(folder, free_port(), free_port())
    listeners = [
        f"{scheme}://{address}:{port}"
        for scheme, port in (("ldap", server.port), ("ldaps", server.tls_port))
        for address in _local_addresses()
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [_program("slapd"), "-F", "config", "-h", " ".join(listeners), "-d", "stats"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(
            lambda: process.poll() is not None or _answers(server.port), "slapd to take connections"
        )
        if process.poll() is not None:
            pytest.fail(f"slapd ended: {(folder / 'log').read_text()}")
        # That look is in the log, maybe a moment later: tests count what stands there after it.
        wait_for(lambda: "closed" in (folder / "log").read_text(), "the end of the first look")
        yield server
    finally:
        process.terminate()
        process.wait(timeout=20)
