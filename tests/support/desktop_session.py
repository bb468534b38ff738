"""A desktop session of the real image with another X program in it, and a VNC client."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.support.slicer_session import CLOSED_SECONDS, Session, docker, until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# xterm shows what is typed and runs it; xclip shows what the desktop has on its clipboard.
STANDIN = "xterm xclip"
IMAGE = os.environ.get("SLICERHUB_TEST_DESKTOP_IMAGE", "slicerhub-test/desktop:standin")
_CONTEXT = Path(__file__).parents[2] / "deploy"
DOCKERFILE = _CONTEXT / "slicer-desktop" / "Dockerfile"

# Keys by their place, the desktop's size, fences, the clipboard's long form.
ADDITIONS = (-258, -308, -312, -1063131698)

_VERSION = b"RFB 003.008\n"
_RETURN = 0xFF0D


def build(*arguments: str, tag: str | None = None) -> subprocess.CompletedProcess[str]:
    """Builds the image with these build arguments; the engine keeps what has not changed."""
    options = [word for each in arguments for word in ("--build-arg", each)]
    tags = ["--tag", tag] if tag else []
    return subprocess.run(
        ["docker", "build", "--file", str(DOCKERFILE), *tags, *options, str(_CONTEXT)],
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )


def build_standin() -> None:
    """Builds the image with the stand-in; fails with what the engine says."""
    built = build(f"SLICER_STANDIN={STANDIN}", tag=IMAGE)
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]


class Desktop(Session):
    """One container of the image with the stand-in."""

    def __init__(
        self,
        network: str,
        volume: str,
        environment: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> None:
        """Starts the container with these options of `docker run` besides; not ready yet."""
        super().__init__(network, volume, environment or {}, image=IMAGE, options=options)

    def run(self, command: str, *, check: bool = True) -> str:
        """What a command of the shell inside the session writes."""
        return docker(
            *("exec", "--env", "DISPLAY=:0", self.name, "timeout", "10", "bash", "-c", command),
            check=check,
        )

    def read(self, path: str) -> str | None:
        """A file's text, None while there is none."""
        done = self.run(f"cat {path} && echo .", check=False)
        return done.removesuffix(".").strip() if done else None

    @property
    def clipboard(self) -> str:
        """What a program of the desktop would paste."""
        return self.run("timeout 3 xclip -selection clipboard -o", check=False)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the desktop in pixels."""
        words = self.run("xwininfo -root").split()
        return int(words[words.index("Width:") + 1]), int(words[words.index("Height:") + 1])

    def signal(self, name: str) -> None:
        """Sends it to the VNC server; STOP makes it busy for as long as one likes."""
        found = self.run("grep -l Xtigervnc /proc/[0-9]*/comm").split()
        self.run(f"kill -{name} {' '.join(path.split('/')[2] for path in found)}")

    def count(self, event: str) -> int:
        """How often the log has an event."""
        return sum(each["event"] == event for each in self.events)


class Vnc:
    """Speaks VNC over the session's WebSocket, politely or not."""

    def __init__(self, session: Session, headers: Mapping[str, str]) -> None:
        """Opens the socket with these headers, and says nothing yet."""
        self._open = ExitStack()
        self.texts: list[str] = []
        self._rest = b""
        self.socket: ClientConnection = self._open.enter_context(
            connect(
                f"ws://{session.address}:8080/ws",
                additional_headers=dict(headers),
                subprotocols=[Subprotocol("binary")],
                max_size=None,
                proxy=None,
                ping_interval=None,
                close_timeout=1,
            )
        )

    def __enter__(self) -> Self:
        """Greets."""
        assert self.receive(12) == _VERSION
        self.socket.send(_VERSION)
        assert self.receive(2) == bytes([1, 1])
        self.socket.send(b"\x01")
        assert self.receive(4) == bytes(4)
        self.socket.send(b"\x01")
        hello = self.receive(24)
        self.receive(int.from_bytes(hello[20:]))
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the socket."""
        self._open.close()

    def receive(self, count: int, seconds: float = 20.0) -> bytes:
        """Exactly so many bytes of VNC; text messages are put aside."""
        deadline = time.monotonic() + seconds
        while len(self._rest) < count:
            message = self.socket.recv(timeout=max(0.0, deadline - time.monotonic()))
            if isinstance(message, str):
                self.texts.append(message)
            else:
                self._rest += message
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken

    def settle(self) -> None:
        """Returns once the server has handled all that was sent before."""
        mark = secrets.token_bytes(16)
        self.socket.send(announce(*ADDITIONS) + fence(mark))
        seen = b""
        while mark not in seen:
            seen = seen[-len(mark) :] + self.receive(1)
            seen, self._rest = seen + self._rest, b""

    def type(self, text: str) -> None:
        """Types it, a newline at the end included."""
        self.socket.send(typed(text))

    def closed_after(self, seconds: float = CLOSED_SECONDS) -> float:
        """Reads until the server closes; returns the seconds that took. Fails if it does not."""
        began = time.monotonic()
        try:
            while (left := seconds - (time.monotonic() - began)) > 0:
                self.socket.recv(timeout=left)
        except ConnectionClosed:
            return time.monotonic() - began
        except TimeoutError:
            pass
        raise AssertionError(f"still open after {seconds} s")


def key(symbol: int, *, down: bool) -> bytes:
    """A KeyEvent."""
    return bytes([4, down, 0, 0]) + symbol.to_bytes(4)


def extended_key(symbol: int, code: int, *, down: bool) -> bytes:
    """A key as noVNC sends it, with the place of the key on the keyboard."""
    return bytes([255, 0, 0, down]) + symbol.to_bytes(4) + code.to_bytes(4)


def pointer(buttons: int, x: int, y: int) -> bytes:
    """A PointerEvent."""
    return bytes([5, buttons]) + x.to_bytes(2) + y.to_bytes(2)


def cut_text(text: str) -> bytes:
    """A clipboard in VNC's first form."""
    return bytes([6, 0, 0, 0]) + len(text).to_bytes(4) + text.encode("latin-1")


def extended_cut_text(content: bytes) -> bytes:
    """A clipboard in TigerVNC's form: the length is negative."""
    return bytes([6, 0, 0, 0]) + (-len(content)).to_bytes(4, signed=True) + content


def desktop_size(width: int, height: int) -> bytes:
    """A SetDesktopSize with one screen."""
    size = width.to_bytes(2) + height.to_bytes(2)
    return bytes([251, 0]) + size + bytes([1, 0]) + bytes(8) + size + bytes(4)


def update_request() -> bytes:
    """Asks for a corner of the picture, changed or not."""
    return bytes([3, 0, 0, 0, 0, 0, 0, 8, 0, 8])


def announce(*encodings: int) -> bytes:
    """A SetEncodings: the picture as it is, and these additions to the protocol."""
    numbers = b"".join(number.to_bytes(4, signed=True) for number in (0, *encodings))
    return bytes([2, 0]) + (1 + len(encodings)).to_bytes(2) + numbers


def fence(mark: bytes) -> bytes:
    """Asks the server to send ``mark`` back."""
    return bytes([248, 0, 0, 0]) + (1 << 31).to_bytes(4) + bytes([len(mark)]) + mark


def typed(text: str) -> bytes:
    """Every key of a text, pressed and released."""
    messages: list[bytes] = []
    for letter in text:
        symbol = _RETURN if letter == "\n" else ord(letter)
        messages += [key(symbol, down=True), key(symbol, down=False)]
    return b"".join(messages)


def new_volume() -> str:
    """An empty volume; whoever makes it removes it."""
    name = f"slicer-test-{secrets.token_hex(4)}"
    docker("volume", "create", name)
    return name


def wait_text(session: Desktop, path: str) -> str:
    """A file's text once there is some."""
    return until(lambda: session.read(path) or None, f"{path} in the session")
