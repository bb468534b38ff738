"""What attackers have: raw sockets, other addresses, forged log-ins, a look at the engine.

How somebody gets at a session depends on how the hub routes (``MODE``): below a path of the hub's
own host, or at a host of its own. Everything here that does is in ``door``.
"""

from __future__ import annotations

import json
import re
import secrets
import socket
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from ipaddress import ip_network
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import httpx
from docker import DockerClient
from e2e.stack import INSTANCE, PAGE, PATH_MODE, URL, Member, container_of, part, session_url
from websockets.exceptions import InvalidMessage, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from controller.people.tokens import KeyRing, parse_key_ring
from tests.support.breakage import wait_for_hub
from tests.support.inside import inside
from tests.support.waits import until

T = TypeVar("T")

MODE = "path" if PATH_MODE else "subdomain"
HUB_HOST = urlsplit(URL).netloc
PORT = urlsplit(URL).port or 80
COOKIE = f"{INSTANCE}-login"
ECHO_IMAGE = "slicerhub-test/echo"
MEGABYTE = 1 << 20
LIMIT = 5  # failures of one name at one address
QUIET = 0.3  # seconds without a byte, after which an answer on a raw socket is over

SECRETS: set[str] = set()
"""What nobody may ever read in a log: filled by whoever comes to know it."""


class Person(Member):
    """Somebody who is logged in, whose secrets are kept to look for them in the logs."""

    def __init__(self, name: str) -> None:
        """Log in, as a script and as a browser."""
        super().__init__(name)
        SECRETS.update({self.token, *self.browser.cookies.values()})


class Door(NamedTuple):
    """How somebody gets at a session: what their browser sends."""

    host: str
    base: str  # path, with its closing slash
    cookie: str  # the whole header; "" if they have none
    origin: str

    def as_stranger(self) -> Door:
        """Return the same without a log-in."""
        return self._replace(cookie="")


def host_of(session_id: str) -> str:
    """Return the host name, and port, that a session is at."""
    return urlsplit(session_url(session_id)).netloc


def base_of(session_id: str) -> str:
    """Return the path that a session is at, with its closing slash."""
    return urlsplit(session_url(session_id)).path


def door(member: Member, session: dict[str, Any] | str) -> Door:
    """Return how this person's browser gets at a session, theirs or not.

    Who may not enter has no cookie of the session's own host, and sends what they do have: that of
    the hub.
    """
    session_id = session if isinstance(session, str) else session["id"]
    place = {"id": session_id, "url": session_url(session_id)}
    cookie = member.cookie_in(place).get("Cookie", member.cookie)
    SECRETS.update(one.partition("=")[2] for one in cookie.split("; "))
    host = host_of(session_id)
    return Door(host, base_of(session_id), cookie, f"{urlsplit(URL).scheme}://{host}")


def entry_of(at: Door) -> str:
    """Return the name of the cookie that proves who somebody is at a session."""
    wanted = COOKIE if PATH_MODE else f"{INSTANCE}-entry"
    names = [one.partition("=")[0] for one in at.cookie.split("; ")]
    assert wanted in names, f"no {wanted} among {names}"
    return wanted


DENIED = {403} if PATH_MODE else {401, 403}
"""What somebody is told who is not invited: at a session's own host nobody knows them."""


def knock(
    at: Door,
    method: str = "GET",
    path: str = "",
    *,
    headers: dict[str, str] | None = None,
    content: bytes = b"",
    url: str = URL,
) -> httpx.Response:
    """Send one request to a session; redirects are not followed."""
    sent = {"Host": at.host} | ({"Cookie": at.cookie} if at.cookie else {}) | (headers or {})
    return httpx.request(
        method, url + at.base + path, headers=sent, content=content or None, timeout=30
    )


def open_socket(at: Door, *, headers: dict[str, str] | None = None) -> ClientConnection:
    """Open a WebSocket to a session. Raises InvalidStatus if it is refused."""
    sent = ({"Cookie": at.cookie} if at.cookie else {}) | (headers or {})
    return connect(
        f"ws://{at.host}{at.base}ws",
        additional_headers=sent,
        origin=at.origin or None,  # pyright: ignore[reportArgumentType] - any text may be sent
        sock=socket.create_connection((urlsplit(URL).hostname or "", PORT)),
        proxy=None,
        open_timeout=20,
    )


def handshake(at: Door, *, headers: dict[str, str] | None = None) -> int:
    """Try a WebSocket handshake; return its status."""
    try:
        with open_socket(at, headers=headers):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code
    except InvalidMessage:
        return 0  # nothing that is an answer


def marker_of(engine: DockerClient, session: dict[str, Any]) -> str:
    """Return what stands in every answer of a session's echo, and nowhere else."""
    name: str = container_of(engine, session["id"]).attrs["Config"]["Hostname"]
    assert re.fullmatch(r"[0-9a-f]{12}", name), name
    return name


def raw(data: bytes, *, patience: float = 4, quiet: float = QUIET) -> bytes:
    """Send bytes to the front door; return all that comes back until it is quiet or closed."""
    with socket.create_connection((urlsplit(URL).hostname or "", PORT), timeout=10) as line:
        with suppress(ConnectionError):  # refused before all of it was sent
            line.sendall(data)
        received = bytearray()
        line.settimeout(patience)
        while True:
            try:
                piece = line.recv(65536)
            except (TimeoutError, ConnectionError):
                break
            if not piece:
                break
            received += piece
            line.settimeout(quiet)
        return bytes(received)


def answer_to(data: bytes) -> bytes:
    """Send a request that wants the connection closed; return the whole answer to it."""
    return raw(data, patience=30, quiet=30)


def at_once(works: Sequence[Callable[[], T]], *, most: int | None = None) -> list[T]:
    """Do all of it at the same time, as far as this machine can, or so many at a time."""
    with ThreadPoolExecutor(most or len(works)) as pool:
        return [one.result() for one in [pool.submit(work) for work in works]]


# --- other addresses ----------------------------------------------------------------------------

RELAY = """
import asyncio, fcntl, socket, struct, sys
async def copy(source, target):
    while data := await source.read(65536):
        target.write(data)
        await target.drain()
    target.close()
def relay(address):
    async def pass_on(reader, writer):
        there, back = await asyncio.open_connection("traefik", 8080, local_addr=(address, 0))
        await asyncio.gather(copy(reader, back), copy(there, writer), return_exceptions=True)
    return pass_on
async def main():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for number, address in enumerate(sys.argv[1:]):
            name, ip = f"eth0:{number}".encode(), socket.inet_aton(address)
            request = struct.pack("16sHH4s8x", name, socket.AF_INET, 0, ip)
            fcntl.ioctl(any_socket, 0x8916, request)  # SIOCSIFADDR
            await asyncio.start_server(relay(address), "0.0.0.0", 9000 + number)
    print("open", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


@contextmanager
def helper(engine: DockerClient, **how: Any) -> Generator[Any]:  # noqa: ANN401
    """Run a container of the tests' own beside the stack; it is gone afterwards."""
    container: Any = engine.containers.run(
        ECHO_IMAGE,
        detach=True,
        name=f"{INSTANCE}-attacker-{secrets.token_hex(4)}",
        labels={"slicerhub-test.attacker": INSTANCE},
        **how,
    )
    try:
        yield container
    finally:
        container.remove(force=True)


@contextmanager
def other_machines(engine: DockerClient, count: int) -> Generator[Iterator[str]]:
    """Give addresses at which a request reaches the front door from a machine of its own each.

    It is one container with many addresses; the front door sees the address and nothing else.
    """
    name = f"{INSTANCE}_edge"
    network: Any = engine.networks.get(name)
    subnet = ip_network(network.attrs["IPAM"]["Config"][0]["Subnet"])
    # The engine gives addresses from the lower end.
    claimed = [str(subnet.broadcast_address - 2 - number) for number in range(count)]
    with helper(
        engine,
        command=["python", "-c", RELAY, *claimed],
        user="0:0",
        cap_add=["NET_ADMIN"],
        network=name,
    ) as container:
        until(lambda: b"open" in container.logs(), what="the other machines")
        container.reload()
        address = container.attrs["NetworkSettings"]["Networks"][name]["IPAddress"]
        yield iter([f"http://{address}:{9000 + number}" for number in range(count)])


def try_login(name: str, password: str, *, url: str = URL, **headers: str) -> httpx.Response:
    """Try to log in as a script."""
    return httpx.post(
        f"{url}/api/v1/login",
        json={"username": name, "password": password},
        headers={"Host": HUB_HOST} | {key.replace("_", "-"): one for key, one in headers.items()},
        timeout=30,
    )


def log_in_by_form(name: str, password: str) -> httpx.Response:
    """Try to log in as a browser."""
    return httpx.post(
        f"{URL}/login",
        data={"username": name, "password": password, "next": "/"},
        headers={"Origin": URL, **PAGE},
        timeout=30,
    )


# --- what only the test may know ----------------------------------------------------------------


def key_ring(engine: DockerClient) -> KeyRing:
    """Return the hub's own keys."""
    text = inside(part(engine, "controller"), "cat", "/data/keys.json")
    ring = parse_key_ring(text.encode(), "keys.json")
    SECRETS.update(key.secret for key in ring.keys)
    return ring


def directory_log(engine: DockerClient) -> str:
    """Return all that the directory has logged."""
    return part(engine, "ldap").logs().decode(errors="replace")


MODIFY = "ldapmodify -Q -Y EXTERNAL -H ldapi://%2Ftmp%2Fslapd%2Fldapi"


def change_directory(engine: DockerClient, ldif: str) -> None:
    """Change the directory as its administrator."""
    script = f'{MODIFY} <<"LDIF"\n{ldif}\nLDIF'
    inside(part(engine, "ldap"), "bash", "-c", script)


PERSON = """\
dn: {dn}
changetype: add
objectClass: inetOrgPerson
uid: {uid}
cn: {uid}
sn: {uid}
displayName: {display_name}
userPassword: {password}

dn: cn=slicer-users,ou=groups,dc=example,dc=org
changetype: modify
add: member
member: {dn}
"""


@contextmanager
def someone(
    engine: DockerClient, uid: str, *, password: str = "", display_name: str = ""
) -> Generator[None]:
    """Let somebody be in the directory, and in the group that may use the hub."""
    dn = f"uid={uid},ou=people,dc=example,dc=org"
    ldif = PERSON.format(dn=dn, uid=uid, password=password or uid, display_name=display_name or uid)
    change_directory(engine, ldif)
    try:
        yield
    finally:
        change_directory(engine, f"dn: {dn}\nchangetype: delete")


def networks_of(engine: DockerClient, service: str) -> dict[str, dict[str, Any]]:
    """Return the networks of one of the stack's own services, by their names."""
    return part(engine, service).attrs["NetworkSettings"]["Networks"]


# --- the stack itself ---------------------------------------------------------------------------


def restart_controller(engine: DockerClient) -> None:
    """End the controller as its engine does, and start it."""
    part(engine, "controller").restart(timeout=10)
    wait_for_hub()


def memory_of(engine: DockerClient) -> int:
    """Return how many bytes the controller holds, without what it has read of files."""
    stats = part(engine, "controller").stats(stream=False)["memory_stats"]
    return stats["usage"] - stats["stats"].get("inactive_file", 0)


def elapsed(work: Callable[[], httpx.Response]) -> tuple[httpx.Response, float]:
    """Return an answer and how many seconds it took."""
    begun = time.monotonic()
    answer = work()
    return answer, time.monotonic() - begun


def problem_of(answer: httpx.Response) -> dict[str, Any]:
    """Return the problem that an answer tells of."""
    found: dict[str, Any] = json.loads(answer.text)
    return found


def navigation(at: Door, path: str = "", **headers: str) -> httpx.Response:
    """Open a session's page as a person's browser does."""
    return knock(at, "GET", path, headers=PAGE | headers)
