"""A real slapd as a child of the tests, with its own authority, and servers that misbehave.

The configuration and the people are put in with slapadd, so nothing of the machine is touched.
One port speaks LDAP and StartTLS, one speaks TLS at once. The certificate is for ``localhost``
and 127.0.0.1; the server listens on 127.0.0.2 too, which is thus a wrong name for it.
"""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec
import pytest

from controller.settings.schema import Ldap

_PROGRAMS = ("slapd", "slapadd", "ldapmodify", "openssl")
_SEARCHED = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
_DEADLINE = 20.0  # seconds for slapd to start or to write a line of its log
_MODULES = "/usr/lib/ldap"
_SCHEMAS = "/etc/ldap/schema"
_SUFFIX = "dc=example,dc=org"
_ROOT_DN = f"cn=root,{_SUFFIX}"
_PASSWORD = "root-of-the-test"

_CONFIG = """\
dn: cn=config
objectClass: olcGlobal
cn: config
olcTLSCACertificateFile: {folder}/ca.pem
olcTLSCertificateFile: {folder}/server.pem
olcTLSCertificateKeyFile: {folder}/server.key

dn: cn=module,cn=config
objectClass: olcModuleList
cn: module
olcModulePath: {modules}
olcModuleLoad: back_mdb
olcModuleLoad: memberof
olcModuleLoad: ppolicy

dn: cn=schema,cn=config
objectClass: olcSchemaConfig
cn: schema

include: file://{schemas}/core.ldif
include: file://{schemas}/cosine.ldif
include: file://{schemas}/nis.ldif
include: file://{schemas}/inetorgperson.ldif

dn: cn=others,cn=schema,cn=config
objectClass: olcSchemaConfig
cn: others
olcAttributeTypes: ( 1.2.840.113556.1.4.8 NAME 'userAccountControl'
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
olcAttributeTypes: ( 2.16.840.1.113730.3.1.610 NAME 'nsAccountLock'
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
olcObjectClasses: ( 1.3.6.1.4.1.4203.666.11.1 NAME 'otherServersAccount' AUXILIARY
  MAY ( userAccountControl $ nsAccountLock ) )

dn: olcDatabase=mdb,cn=config
objectClass: olcDatabaseConfig
objectClass: olcMdbConfig
olcDatabase: mdb
olcSuffix: dc=example,dc=org
olcDbDirectory: {folder}/data
olcRootDN: cn=root,dc=example,dc=org
olcRootPW: {password}
olcAccess: to attrs=userPassword by anonymous auth by * none
olcAccess: to dn.exact="uid=hidden,ou=people,dc=example,dc=org" by * auth
olcAccess: to dn.subtree="ou=groups,dc=example,dc=org" by users read
  by anonymous {anonymous}
olcAccess: to * by self read by dn.exact="cn=reader,dc=example,dc=org" read
  by anonymous {anonymous}

dn: olcOverlay=memberof,olcDatabase={{1}}mdb,cn=config
objectClass: olcOverlayConfig
objectClass: olcMemberOf
olcOverlay: memberof

dn: olcOverlay=ppolicy,olcDatabase={{1}}mdb,cn=config
objectClass: olcOverlayConfig
objectClass: olcPPolicyConfig
olcOverlay: ppolicy
"""


def _entry(dn: str, classes: str, **attributes: str | list[str]) -> str:
    lines = [f"dn: {dn},{_SUFFIX}" if dn else f"dn: {_SUFFIX}"]
    lines += [f"objectClass: {one}" for one in classes.split()]
    for name, values in attributes.items():
        for one in [values] if isinstance(values, str) else values:
            lines.append(f"{name}:: {base64.b64encode(one.encode()).decode()}")
    return "\n".join(lines) + "\n\n"


def _person(name: str, /, *, rdn: str = "", classes: str = "", **more: str | list[str]) -> str:
    """Somebody whose uid and password are the name, unless ``more`` says otherwise."""
    attributes = {"uid": name, "cn": name, "sn": name, "userPassword": name} | more
    return _entry(f"{rdn or f'uid={name}'},ou=people", f"inetOrgPerson {classes}", **attributes)


def _people(rogue_port: int) -> str:
    def dn(uid: str) -> str:
        return f"uid={uid},ou=people,dc=example,dc=org"

    return "".join(
        (
            _entry("", "dcObject organization", dc="example", o="Example"),
            _entry("cn=reader", "organizationalRole simpleSecurityObject", userPassword="reader"),
            _entry(
                "cn=strict",
                "device pwdPolicy",
                pwdAttribute="userPassword",
                pwdLockout="TRUE",
                pwdMaxFailure="2",
            ),
            _entry("ou=people", "organizationalUnit"),
            _entry("ou=groups", "organizationalUnit"),
            _entry("ou=elsewhere", "organizationalUnit"),
            _person("alice", displayName="Alice Ångström", mail="alice.a@example.org"),
            _person("bob"),
            _person("carol", displayName="Carol\u202e\u0007  of the\u2028North"),
            _person("dora"),
            _person("erin", memberOf="cn=staff,ou=groups,dc=example,dc=org"),
            _person("mallory", memberOf="cn=slicer-admins,ou=elsewhere,dc=example,dc=org"),
            _person("Mixed.Case"),
            _person("müller"),
            _person("straße"),
            _person("nickname", uid=["nickname", "aardvark"]),
            _person("nameless", rdn="cn=nameless", uid=["one", "two"]),
            _person("odd", uid="o d d", rdn="cn=odd"),
            _person("barred", pwdAccountLockedTime="000001010000Z"),
            _person("throttled", pwdPolicySubentry="cn=strict,dc=example,dc=org"),
            _person("inactive", classes="otherServersAccount", nsAccountLock="TRUE"),
            _person("active", classes="otherServersAccount", nsAccountLock="false"),
            _person("windows", classes="otherServersAccount", userAccountControl="512"),
            _person("windowsoff", classes="otherServersAccount", userAccountControl="514"),
            _person("hidden"),
            _person("twin"),
            _person("twin", rdn="cn=second twin", cn="second twin"),
            *(
                _person(f"crowd{number:02}", displayName=f"Crowd Member {number:02}")
                for number in range(60)
            ),
            _entry(
                "cn=slicer-users,ou=groups",
                "groupOfNames",
                member=[dn(one) for one in ("alice", "carol")],
            ),
            _entry("cn=Slicer-Admins,ou=groups", "groupOfUniqueNames", uniqueMember=dn("carol")),
            _entry("cn=posix,ou=groups", "posixGroup", gidNumber="5000", memberUid="dora"),
            _entry(
                "ou=away",
                "referral extensibleObject",
                ref=f"ldap://127.0.0.1:{rogue_port}/dc=example,dc=org",
            ),
        )
    )


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
        command = ["ldapmodify", "-x", "-H", self.settings.url, "-D", _ROOT_DN, "-w", _PASSWORD]
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


def _start(folder: Path, rogue_port: int, anonymous: str) -> Generator[Slapd]:
    for name in _PROGRAMS:
        _program(name)
    make_authority(folder, "ca")
    _make_certificate(folder)
    (folder / "config").mkdir()
    (folder / "data").mkdir()
    (folder / "config.ldif").write_text(
        _CONFIG.format(
            folder=folder,
            modules=_MODULES,
            schemas=_SCHEMAS,
            password=_PASSWORD,
            anonymous=anonymous,
        )
    )
    (folder / "people.ldif").write_text(_people(rogue_port))
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
        yield server
    finally:
        process.terminate()
        process.wait(timeout=20)


class Listener:
    """A server that takes connections, counts them, and does with each what it was made for."""

    def __init__(self, behave: Callable[[socket.socket, threading.Event], None]) -> None:
        """Listen on a free port of 127.0.0.1."""
        self._behave = behave
        self._over = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.seen = 0
        self.ended = 0
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """Where it is, for ``ldap.url``."""
        return f"ldap://127.0.0.1:{self.port}"

    def close(self) -> None:
        """End it, and all that it has begun."""
        self._over.set()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for one in self._threads:
            one.join(timeout=20)

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.seen += 1
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(0.05)
            self._behave(connection, self._over)
        with self._lock:
            self.ended += 1


def read_until_closed(connection: socket.socket, over: threading.Event) -> None:
    """Read and never answer, until the other side gives up."""
    while not over.is_set():
        with suppress(TimeoutError):
            if not connection.recv(65536):
                return


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    """Make servers that misbehave; they end with the test."""
    with ExitStack() as stack:

        def make(
            behave: Callable[[socket.socket, threading.Event], None] = read_until_closed,
        ) -> Listener:
            one = Listener(behave)
            stack.callback(one.close)
            return one

        yield make


@pytest.fixture(scope="session")
def rogue() -> Iterator[Listener]:
    """Where the directory's referrals point to."""
    one = Listener(read_until_closed)
    yield one
    one.close()


@pytest.fixture(scope="session")
def slapd(tmp_path_factory: pytest.TempPathFactory, rogue: Listener) -> Iterator[Slapd]:
    """A directory that tells strangers nothing."""
    yield from _start(tmp_path_factory.mktemp("slapd"), rogue.port, "none")


@pytest.fixture(scope="session")
def open_slapd(tmp_path_factory: pytest.TempPathFactory, rogue: Listener) -> Iterator[Slapd]:
    """A directory that everybody may read."""
    yield from _start(tmp_path_factory.mktemp("open-slapd"), rogue.port, "read")


@pytest.fixture(scope="session")
def other_authority(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The PEM file of an authority that has signed nothing here."""
    folder = tmp_path_factory.mktemp("authority")
    make_authority(folder, "other")
    return str(folder / "other.pem")
