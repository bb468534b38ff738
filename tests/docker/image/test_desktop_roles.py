"""Who may do what in a desktop session of the real image, tried by clients that play unfair."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from datetime import datetime

import pytest
from websockets.exceptions import InvalidStatus

from tests.support.desktop_session import (
    ADDITIONS,
    DOCKERFILE,
    Desktop,
    Vnc,
    announce,
    build,
    cut_text,
    desktop_size,
    extended_cut_text,
    extended_key,
    fence,
    key,
    pointer,
    typed,
    update_request,
    wait_text,
)
from tests.support.slicer_session import SERVICE, docker, until, who

ALICE = who("alice", "owner")
BOB = who("bob", "view")
CAROL = who("carol", "control")


@pytest.mark.parametrize(
    ("headers", "path", "status"),
    [
        ({}, "/", 403),
        ({}, "/-/ready", 200),
        ({}, "/-/activity", 403),
        ({}, "/ws", 403),
        ({"X-Slicerhub-Role": "owner"}, "/", 403),
        (who("alice", "root"), "/", 403),
        (ALICE, "/", 200),
        (BOB, "/", 200),
        (ALICE, "/-/activity", 403),
        (BOB, "/-/activity", 403),
        (SERVICE, "/-/activity", 200),
        (SERVICE, "/", 403),
        (SERVICE, "/ws", 403),
        (BOB, "/files/My%20files/x", 403),
        (CAROL, "/files/My%20files/none", 404),
        (ALICE, "/files/My%20files/%2e%2e%2f%2e%2e%2fetc%2fpasswd", 400),
        (ALICE, "/assets/../../program.json", 404),
    ],
)
def test_each_door(desktop: Desktop, headers: dict[str, str], path: str, status: int) -> None:
    """Only those whom the hub names get in, and each only where their role leads."""
    assert desktop.ask(path, headers).status_code == status


@pytest.mark.parametrize("path", ["kick", "save", "notice"])
def test_the_hub_s_calls_are_the_hub_s(desktop: Desktop, path: str) -> None:
    """Not even the owner can let people go or show them notices."""
    for headers in ({}, ALICE, BOB, CAROL):
        answer = desktop.ask(f"/-/{path}", headers, method="POST", content=b'{"all": true}')
        assert answer.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [{}, {"X-Slicerhub-User": "alice"}, SERVICE, {**ALICE, "Origin": "https://evil.example"}],
)
def test_no_websocket_for_others(desktop: Desktop, headers: dict[str, str]) -> None:
    """The socket behind the page is as closed as the page, to pages of other sites too."""
    with pytest.raises(InvalidStatus) as refused:
        Vnc(desktop, headers)
    assert refused.value.response.status_code == 403


def test_only_the_gate_listens(desktop: Desktop) -> None:
    """Nothing but port 8080 can be reached, and everything runs as an ordinary user."""
    lines = desktop.run("cat /proc/net/tcp /proc/net/tcp6").splitlines()
    listening = {line.split()[1].split(":")[1] for line in lines if line.split()[3] == "0A"}
    # The engine's own resolver listens in each container, on loopback.
    own = {line.split()[1] for line in lines if line.split()[1].startswith("0B00007F")}
    assert listening - {each.split(":")[1] for each in own} == {f"{8080:04X}"}
    users = desktop.run("stat -c %u /proc/[0-9]*").split()
    assert set(users) == {"1000"}
    assert desktop.run("stat -c %a /tmp/session /tmp/session/vnc").split() == ["700", "600"]


def test_what_is_typed_arrives(desktop: Desktop) -> None:
    """The owner, and a guest with control, type into the program, and it does what they type."""
    with Vnc(desktop, ALICE) as alice, Vnc(desktop, CAROL) as carol:
        alice.type("echo from alice > files/alice\n")
        assert wait_text(desktop, "files/alice") == "from alice"
        carol.type("echo from carol > files/carol\n")
        assert wait_text(desktop, "files/carol") == "from carol"


def hostile_messages() -> list[bytes]:
    """Everything that would change something, as it stands in the protocol."""
    hidden = [extended_key(ord(letter), 30, down=down) for letter in "x" for down in (True, False)]
    return [
        typed("echo forged > files/forged\n"),
        *hidden,
        extended_key(0xFF0D, 28, down=True),
        extended_key(0xFF0D, 28, down=False),
        pointer(1, 200, 200) + pointer(0, 300, 220),
        pointer(2, 200, 200) + pointer(0, 200, 200),
        cut_text("forged"),
        extended_cut_text(bytes([1 << 4, 0, 0, 1]) + bytes(8)),
        desktop_size(800, 600),
    ]


def harmless_messages() -> list[bytes]:
    """What a page that only shows the desktop sends, in among which the others hide."""
    return [
        update_request(),
        bytes([0, 0, 0, 0, 32, 24, 0, 1]) + bytes.fromhex("00ff00ff00ff100800") + bytes(3),
        announce(*ADDITIONS, -223),
    ]


@pytest.mark.parametrize("cut", ["whole", "in one", "bytes", "anywhere"])
def test_view_only_holds(desktop: Desktop, cut: str) -> None:
    """However a viewer forges and cuts up VNC's messages, nothing in the session changes."""
    dice = random.Random(f"hostile {cut}")  # noqa: S311 - to be the same each time
    messages = hostile_messages() + harmless_messages() * 3
    dice.shuffle(messages)
    stream = b"".join(messages)
    with Vnc(desktop, ALICE) as alice, Vnc(desktop, BOB) as bob:
        alice.socket.send(cut_text("from alice"))
        until(lambda: desktop.clipboard == "from alice" or None, "the clipboard is set")
        size, before = desktop.size, desktop.activity["last_input_at"]
        if cut == "whole":
            frames = messages
        elif cut == "in one":
            frames = [stream]
        elif cut == "bytes":
            frames = [stream[at : at + 1] for at in range(len(stream))]
        else:
            bounds = sorted(dice.sample(range(1, len(stream)), 60))
            starts, ends = [0, *bounds], [*bounds, len(stream)]
            frames = [stream[start:end] for start, end in zip(starts, ends, strict=True)]
        bob.settle()
        for frame in frames:
            bob.socket.send(frame)
        bob.settle()
        assert desktop.activity["last_input_at"] == before
        alice.type(f"echo done > 'files/{cut}'\n")
        assert wait_text(desktop, f"'files/{cut}'") == "done"
        assert desktop.read("files/forged") is None
        assert (desktop.size, desktop.clipboard) == (size, "from alice")


def test_the_vnc_server_holds_viewers_back_too(desktop: Desktop) -> None:
    """With the gate's filter out of the way, the server itself still takes nothing of a viewer."""
    size = desktop.size
    mark = b"all of it is read"
    start, end = announce(*ADDITIONS), fence(mark)
    streams = [(start + message + end).hex() for message in hostile_messages()]
    script = f"""
import asyncio, pathlib
from Crypto.Cipher import DES
from desktop.vnc import _FILE_KEY, open_line
hidden = pathlib.Path("/tmp/session/passwords").read_bytes()
mirrored = bytes(int(f"{{byte:08b}}"[::-1], 2) for byte in _FILE_KEY)
view = DES.new(mirrored, DES.MODE_ECB).decrypt(hidden[8:]).decode()
async def main(stream):
    line = await open_line(pathlib.Path("/tmp/session/vnc"), view)
    line.writer.write(bytes.fromhex(stream))
    try:
        await asyncio.wait_for(line.reader.readuntil({mark!r}), 30)
    except asyncio.IncompleteReadError:
        pass  # the server ended the connection, as it may
    line.writer.close()
for stream in {streams!r}:
    asyncio.run(main(stream))
"""
    docker("exec", desktop.name, "/opt/desktop/bin/python", "-c", script)
    with Vnc(desktop, ALICE) as alice:
        alice.type("echo done > files/server\n")
        assert wait_text(desktop, "files/server") == "done"
    assert desktop.read("files/forged") is None
    assert desktop.size == size
    assert desktop.clipboard != "forged"


@pytest.mark.parametrize("headers", [BOB, CAROL], ids=["view", "control"])
@pytest.mark.parametrize(
    "message",
    [
        bytes([1, 0]),
        bytes([7]),
        bytes([250, 0, 1, 2]),
        bytes([255, 1, 0, 0]),
        bytes([6, 0, 0, 0, 0x7F, 0xFF, 0xFF, 0xFF]),
        bytes([6, 0, 0, 0, 0x80, 0, 0, 0]),
        # Not announced: the VNC server would crash.
        desktop_size(800, 600),
        fence(b"mark"),
        announce(*ADDITIONS) + announce(0) + desktop_size(800, 600),
    ],
    ids=[
        *("colours", "unknown", "shut down", "sound", "huge text", "most negative"),
        *("size", "fence", "size taken back"),
    ],
)
def test_what_no_page_says_ends_the_connection(
    desktop: Desktop, headers: dict[str, str], message: bytes
) -> None:
    """A message that cannot be told from the next one is the last of that client."""
    with Vnc(desktop, ALICE) as alice, Vnc(desktop, headers) as other:
        other.socket.send(message + typed("echo forged > files/forged\n"))
        other.closed_after()
        alice.settle()
    assert desktop.read("files/forged") is None


def test_text_messages_are_no_way_in(desktop: Desktop) -> None:
    """A viewer's "keep" counts for nothing, and other words end the connection."""
    before = desktop.activity["last_input_at"]
    with Vnc(desktop, BOB) as bob:
        bob.socket.send("keep")
        bob.settle()
        assert desktop.activity["last_input_at"] == before
        bob.socket.send('{"role": "owner"}')
        bob.closed_after()


def test_many_windows_of_one_person(desktop: Desktop) -> None:
    """Nobody keeps the others out by opening the session again and again."""
    with ExitStack() as windows:
        for _ in range(8):
            windows.enter_context(Vnc(desktop, BOB))
        with pytest.raises(InvalidStatus) as refused:
            Vnc(desktop, BOB)
        assert refused.value.response.status_code == 429
        with Vnc(desktop, ALICE) as alice:
            alice.settle()
    until(lambda: not desktop.activity["clients"] or None, "all have left")


def test_many_come_while_the_desktop_is_busy(desktop: Desktop) -> None:
    """A meeting opens the link while the desktop stands still, and all are in once it goes on."""
    names = [f"guest-{number}" for number in range(12)]
    with ExitStack() as windows:
        desktop.signal("STOP")
        try:
            guests = [Vnc(desktop, who(name, "view")) for name in names]
        finally:
            desktop.signal("CONT")
        for guest in guests:
            windows.enter_context(guest)
        for guest in guests:
            guest.settle()
        assert sorted(each["user"] for each in desktop.activity["clients"]) == sorted(names)
    until(lambda: not desktop.activity["clients"] or None, "all have left")


def test_kick(desktop: Desktop) -> None:
    """The named are gone within a second, whether they listen or not; the others notice nothing."""
    with Vnc(desktop, ALICE) as alice, Vnc(desktop, BOB) as bob, Vnc(desktop, CAROL) as carol:
        assert desktop.post("/-/kick", {}).status_code == 400
        assert desktop.post("/-/kick", {"user": "bob"}).json() == {"closed": 1}
        assert bob.closed_after() < 1
        assert [client["user"] for client in desktop.activity["clients"]] == ["alice", "carol"]
        alice.settle()
        assert desktop.post("/-/kick", {"role": "control"}).json() == {"closed": 1}
        assert carol.closed_after() < 1
        alice.settle()
        began = time.monotonic()
        assert desktop.post("/-/kick", {"all": True}).json() == {"closed": 1}
        # This one has not answered the closing.
        assert time.monotonic() - began < 2
        assert desktop.activity["clients"] == []


def test_activity(desktop: Desktop) -> None:
    """An open page is no activity, looking on is none; a key and the mouse of a worker are."""
    with Vnc(desktop, ALICE) as alice, Vnc(desktop, BOB) as bob:
        before = desktop.activity
        assert [(each["user"], each["role"]) for each in before["clients"]] == [
            ("alice", "owner"),
            ("bob", "view"),
        ]
        assert all(datetime.fromisoformat(each["since"]).tzinfo for each in before["clients"])
        alice.settle()
        bob.settle()  # the server lets clients go that do not know of a new size
        alice.socket.send(desktop_size(1024, 700) + cut_text("text"))
        bob.socket.send(pointer(0, 9, 9) + typed("x"))
        bob.settle()
        until(lambda: desktop.size == (1024, 700) or None, "the desktop has its size")
        assert desktop.activity["last_input_at"] == before["last_input_at"]
        alice.socket.send(pointer(0, 9, 9))

        def moved() -> str | None:
            last = desktop.activity["last_input_at"]
            return last if last != before["last_input_at"] else None

        first = until(moved, "the mouse counts")
        assert datetime.fromisoformat(first).tzinfo is not None
        alice.socket.send(key(ord(" "), down=True) + key(ord(" "), down=False))
        until(lambda: desktop.activity["last_input_at"] != first or None, "keys count")


def test_busy(desktop: Desktop) -> None:
    """While the program computes the session says so, and not any longer."""
    with Vnc(desktop, ALICE) as alice:
        alice.type("while [ ! -e files/enough ]; do :; done\n")
        until(lambda: desktop.activity["busy"] or None, "it is busy")
        desktop.run("touch files/enough")
        until(lambda: not desktop.activity["busy"] or None, "it is idle again")


def test_the_build_without_a_program() -> None:
    """Without the maker's Slicer the build says what is missing and how to give it."""
    assert DOCKERFILE.is_file()
    done = build()
    assert done.returncode != 0
    told = done.stdout + done.stderr
    assert "SLICER_URL=" in told
    assert "SLICER_SHA256=" in told
    assert "https://download.slicer.org" in told
    assert "SLICER_STANDIN=xterm" in told
