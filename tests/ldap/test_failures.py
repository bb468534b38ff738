"""Directories that are down, slow, half-open or not who they say: in time, and in plain words."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

import anyio
import msgspec
import pytest

from controller.core.errors import DirectoryUnavailable
from controller.core.model import UserId
from controller.people.ldap.adapter import LdapDirectory
from controller.people.ldap.conversation import ANSWER_SECONDS
from controller.settings.schema import Ldap
from tests.ldap.listener import read_until_closed
from tests.ldap.slapd import free_port, wait_for

if TYPE_CHECKING:
    from tests.ldap.listener import Listener
    from tests.ldap.slapd import Slapd

pytestmark = pytest.mark.anyio

LIMIT = 8.0  # seconds: what a person waits at most for the answer to a log-in
SUCCESS = bytes.fromhex("61070a010004000400")  # a BindResponse without its message's head
LONG_ANSWER = bytes.fromhex("308400ffffff")  # begins a message of 16 MiB

Behaviour = Callable[[socket.socket, threading.Event], None]
Listen = Callable[..., "Listener"]


async def fails(settings: Ldap, sentence: str, answer_seconds: float = ANSWER_SECONDS) -> None:
    """Check that ping names the cause, and that a log-in ends in time without naming it."""
    directory = LdapDirectory(settings, answer_seconds=answer_seconds)
    with anyio.fail_after(LIMIT), pytest.raises(DirectoryUnavailable, match=sentence):
        await directory.ping()
    with anyio.fail_after(LIMIT), pytest.raises(DirectoryUnavailable) as caught:
        await directory.authenticate("alice", "alice")
    assert "administrator" in str(caught.value)
    assert "ldap" not in str(caught.value).lower()
    assert re.search(sentence, caught.value.__notes__[0])


def answer_the_bind_and_fall_silent(connection: socket.socket, over: threading.Event) -> None:
    """Behave like a server that hangs after the log-in."""
    connection.settimeout(5)
    request = connection.recv(65536)
    number = request[2 : 4 + request[3]]  # the message's id, as the answer must repeat it
    connection.sendall(bytes([0x30, len(number) + len(SUCCESS)]) + number + SUCCESS)
    connection.settimeout(0.05)
    read_until_closed(connection, over)


def drip(connection: socket.socket, over: threading.Event) -> None:
    """Send a byte now and then of an answer that never ends."""
    connection.sendall(LONG_ANSWER)
    while not over.wait(0.1):
        connection.sendall(b"\0")


def hang_up(connection: socket.socket, over: threading.Event) -> None:
    """Close at the first byte."""
    del over
    connection.settimeout(5)
    connection.recv(1)


def chatter(connection: socket.socket, over: threading.Event) -> None:
    """Answer something that is no LDAP."""
    connection.settimeout(5)
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    over.wait(0)


@pytest.mark.row(26)
async def test_server_down(slapd: Slapd) -> None:
    """Nobody listens: the port is named."""
    url = f"ldap://127.0.0.1:{free_port()}"
    await fails(slapd.with_settings(url=url), "refuses connections.*ldap.url")


async def test_unknown_host(slapd: Slapd) -> None:
    """The name does not resolve: DNS is named."""
    await fails(slapd.with_settings(url="ldap://no-such-host.invalid"), "not known.*DNS")


@pytest.mark.row(26)
async def test_black_hole(slapd: Slapd, listen: Listen) -> None:
    """A server that takes the connection and never answers costs a few seconds, no more."""
    settings = slapd.with_settings(url=listen().url, receive_seconds=1)
    await fails(settings, "does not answer in time")
    await fails(msgspec.structs.replace(settings, start_tls=True), "does not answer in time")
    tls = settings.url.replace("ldap:", "ldaps:")
    await fails(msgspec.structs.replace(settings, url=tls), "does not answer in time")


@pytest.mark.row(26)
async def test_server_that_hangs_after_the_bind(slapd: Slapd, listen: Listen) -> None:
    """Having let somebody in does not excuse a server from answering."""
    settings = slapd.with_settings(
        url=listen(answer_the_bind_and_fall_silent).url, receive_seconds=1
    )
    await fails(settings, "does not answer in time", answer_seconds=60)


async def test_server_that_takes_no_connection(slapd: Slapd) -> None:
    """A firewall that swallows everything costs the time set for connecting, no more."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = full.getsockname()
        for _ in range(8):  # more than the queue holds: the kernel drops what comes after
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)  # noqa: FBT003 (the socket's own signature)
            waiting.connect_ex(address)
        url = f"ldap://127.0.0.1:{address[1]}"
        settings = slapd.with_settings(url=url, connect_seconds=1, receive_seconds=60)
        await fails(settings, "does not answer in time", answer_seconds=60)


@pytest.mark.row(26)
async def test_endless_answer(slapd: Slapd, listen: Listen) -> None:
    """An answer that trickles in for ever is cut off, and its thread and connection are freed."""
    server = listen(drip)
    directory = LdapDirectory(slapd.with_settings(url=server.url), answer_seconds=1)
    with anyio.fail_after(LIMIT), pytest.raises(DirectoryUnavailable, match="does not answer"):
        await directory.ping()
    wait_for(lambda: server.seen == server.ended == 1, "the connection to be given up")


@pytest.mark.parametrize(
    ("behave", "sentence"),
    [(hang_up, "closed the connection"), (chatter, "as an LDAP server should|in time|closed")],
)
async def test_server_that_is_none(
    slapd: Slapd, listen: Listen, behave: Behaviour, sentence: str
) -> None:
    """Hanging up, or answering something else, is told apart from a wrong password."""
    await fails(slapd.with_settings(url=listen(behave).url, receive_seconds=1), sentence)


@pytest.mark.row(26)
async def test_waiting_for_a_thread_is_bounded_too(slapd: Slapd, listen: Listen) -> None:
    """A crowd at a dead directory all get their answer in time, and do not all knock at it."""
    server = listen()
    settings = slapd.with_settings(url=server.url, max_connections=2, receive_seconds=60)
    directory = LdapDirectory(settings, answer_seconds=2)
    refused: list[str] = []

    async def log_in() -> None:
        with pytest.raises(DirectoryUnavailable) as caught:
            await directory.authenticate("alice", "alice")
        refused.append(str(caught.value))

    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(log_in)
    assert len(refused) == 20
    wait_for(lambda: server.seen == server.ended, "the connections to be given up")
    assert server.seen < len(refused), "two at once, and some begun while the others gave up"


async def test_it_recovers_by_itself(slapd: Slapd) -> None:
    """When the directory is back, the next log-in works: nothing remembers that it was away."""
    port = free_port()
    directory = LdapDirectory(slapd.with_settings(url=f"ldap://127.0.0.1:{port}"))
    with pytest.raises(DirectoryUnavailable):
        await directory.authenticate("alice", "alice")
    with socket.create_server(("127.0.0.1", port)) as back:
        relay = threading.Thread(target=relay_once, args=(back, slapd.port))
        relay.start()
        assert (await directory.authenticate("alice", "alice")).uid == "alice"
        relay.join()


def relay_once(listening: socket.socket, port: int) -> None:
    """Pass one connection on, both ways, until it ends."""

    def copy(source: socket.socket, target: socket.socket) -> None:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)

    one, _ = listening.accept()
    with one, socket.create_connection(("127.0.0.1", port)) as other:
        back = threading.Thread(target=copy, args=(other, one))
        back.start()
        copy(one, other)
        back.join()


@pytest.mark.parametrize("start_tls", [True, False])
async def test_wrong_authority(slapd: Slapd, other_authority: str, *, start_tls: bool) -> None:
    """A directory whose certificate another authority has signed gets no password."""
    scheme, port = ("ldap", slapd.port) if start_tls else ("ldaps", slapd.tls_port)
    log = slapd.log()
    for ca_file in (other_authority, ""):  # "": the system's authorities, which do not know ours
        settings = slapd.with_settings(
            url=f"{scheme}://127.0.0.1:{port}", start_tls=start_tls, ca_file=ca_file
        )
        await fails(settings, "not trusted.*ldap.ca_file")
    assert "BIND" not in log.until("closed")


@pytest.mark.row(26)
@pytest.mark.parametrize("start_tls", [True, False])
async def test_wrong_name(slapd: Slapd, *, start_tls: bool) -> None:
    """A certificate for another name is refused, though the authority is the right one."""
    scheme, port = ("ldap", slapd.port) if start_tls else ("ldaps", slapd.tls_port)
    log = slapd.log()
    settings = slapd.with_settings(
        url=f"{scheme}://127.0.0.2:{port}", start_tls=start_tls, ca_file=slapd.ca_file
    )
    await fails(settings, "another name.*ldap.url")
    assert "BIND" not in log.until("closed")


async def test_certificates_that_cannot_be_read(slapd: Slapd) -> None:
    """A missing or odd file of authorities is named; nothing is sent unchecked."""
    for ca_file in ("/no/such/file.pem", str(slapd.folder / "people.ldif")):
        await fails(
            slapd.with_settings(start_tls=True, ca_file=ca_file),
            f"ldap.ca_file '{ca_file}' cannot be read",
        )


async def test_mixed_up_ports(slapd: Slapd) -> None:
    """TLS spoken to a plain port, and the other way round, say which is which."""
    tls_at_plain = f"ldaps://127.0.0.1:{slapd.port}"
    await fails(slapd.with_settings(url=tls_at_plain, ca_file=slapd.ca_file), "usually 636")
    await fails(slapd.with_settings(url=f"ldap://127.0.0.1:{slapd.tls_port}"), "needs ldaps")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"bind_password": "wrong"}, "refuses the account 'cn=reader.*ldap.bind_password"),
        ({"bind_password": ""}, "ldap.bind_password is missing"),
        ({"bind_dn": "reader"}, "invalidDNSyntax"),
        ({"search_base": "ou=nowhere,dc=example,dc=org"}, "noSuchObject.*'ou=nowhere"),
        ({"search_base": "people"}, "invalidDNSyntax.*'people'"),
        ({"group_base": "ou=nowhere,dc=example,dc=org"}, "noSuchObject.*'ou=nowhere"),
        ({"search_filter": "(uid={username}"}, "ldap.search_filter"),
        ({"bind_dn": "", "bind_password": ""}, "noSuchObject"),  # strangers may not read here
    ],
)
async def test_wrong_settings(slapd: Slapd, changes: dict[str, str], sentence: str) -> None:
    """What is set wrong is told to the administrator, and never to those who log in."""
    await fails(slapd.with_settings(**changes), sentence)


async def test_a_template_that_is_no_dn(slapd: Slapd) -> None:
    """A DN template must be one; the check says how to write it."""
    directory = LdapDirectory(slapd.by_template(user_dn_template="{username}@example.org"))
    with pytest.raises(DirectoryUnavailable, match=r"is not a DN.*uid=\{username\}"):
        await directory.ping()


async def test_a_person_who_may_not_read_their_entry(slapd: Slapd) -> None:
    """The right password alone lets nobody in: the directory must say who they are."""
    directory = LdapDirectory(slapd.by_template())
    with pytest.raises(DirectoryUnavailable) as caught:
        await directory.authenticate("hidden", "hidden")
    assert "'uid=hidden,ou=people,dc=example,dc=org' cannot be read" in caught.value.__notes__[0]


async def test_ping(slapd: Slapd, open_slapd: Slapd) -> None:
    """A directory that is as configured passes, in every mode."""
    await LdapDirectory(slapd.settings).ping()
    await LdapDirectory(slapd.by_template()).ping()
    await LdapDirectory(slapd.with_settings(start_tls=True, ca_file=slapd.ca_file)).ping()
    await LdapDirectory(open_slapd.with_settings(bind_dn="", bind_password="")).ping()


async def look_up_fails(settings: Ldap, sentence: str) -> None:
    """Check that finding and suggesting raise, and never answer that nobody is there."""
    directory = LdapDirectory(settings, answer_seconds=2)
    with anyio.fail_after(LIMIT), pytest.raises(DirectoryUnavailable, match=sentence):
        await directory.find(UserId("alice"))
    with anyio.fail_after(LIMIT), pytest.raises(DirectoryUnavailable, match=sentence):
        await directory.suggest("alice", 5)


@pytest.mark.parametrize(
    ("behave", "sentence"),
    [
        (read_until_closed, "in time"),
        (answer_the_bind_and_fall_silent, "in time"),
        (drip, "in time"),
        (hang_up, "closed|does not answer"),
        (chatter, "closed|does not answer"),
    ],
)
async def test_nobody_is_taken_for_gone_by_a_server_that_misbehaves(
    slapd: Slapd, listen: Listen, behave: Behaviour, sentence: str
) -> None:
    """People keep their sessions while the directory is away: not to know is not to be gone."""
    url = listen(behave).url
    await look_up_fails(slapd.with_settings(url=url), sentence)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"bind_password": "wrong"}, "refuses the account"),
        ({"bind_password": ""}, "bind_password is missing"),
        ({"search_base": "ou=moved,dc=example,dc=org"}, "noSuchObject"),
        ({"group_base": "ou=moved,dc=example,dc=org"}, "noSuchObject"),
        ({"search_filter": "(uid={username}"}, "search_filter"),
    ],
)
async def test_nobody_is_taken_for_gone_by_a_wrong_setting(
    slapd: Slapd, changes: dict[str, str], sentence: str
) -> None:
    """Nor is anybody gone because a base, the filter or the account's password is wrong."""
    await look_up_fails(slapd.with_settings(**changes), sentence)


async def test_nobody_is_taken_for_gone_by_a_server_that_is_down(slapd: Slapd) -> None:
    """Nor because nobody listens there."""
    url = f"ldap://127.0.0.1:{free_port()}"
    await look_up_fails(slapd.with_settings(url=url), "refuses")
