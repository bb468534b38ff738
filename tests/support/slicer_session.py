"""A session of the real image as the hub runs it, and a client that speaks the page's protocol."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_T = TypeVar("_T")

IMAGE = os.environ.get("SLICERHUB_TEST_SLICER_IMAGE", "slicerhub/slicer:0.1.0")
READY_SECONDS = 240.0  # a start takes some seconds of a processor that may be shared with many
CLOSED_SECONDS = 30.0  # for what is closed at once, on a busy machine
SERVICE = {"X-Slicerhub-Role": "service"}
_HEADER_BYTES = 12


def docker(*words: str, check: bool = True) -> str:
    """Runs the engine's client and returns its stdout, stripped."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"docker {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip()


def until(ask: Callable[[], _T | None], what: str, seconds: float = READY_SECONDS) -> _T:
    """Asks again and again until the answer is not None; fails with ``what`` after ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (answer := ask()) is not None:
            return answer
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


def who(user: str, role: str) -> dict[str, str]:
    """The headers that the proxy sets."""
    return {"X-Slicerhub-User": user, "X-Slicerhub-Role": role}


class Session:
    """One container of the image: hardened, on an internal network, with the user's volume."""

    def __init__(
        self,
        network: str,
        volume: str,
        environment: Mapping[str, str],
        *,
        image: str = IMAGE,
        options: Sequence[str] = (),
    ) -> None:
        """Starts the container, with these further options of the engine; it is not ready yet."""
        self.name = f"slicer-test-{secrets.token_hex(4)}"
        settings = [word for pair in environment.items() for word in ("--env", "=".join(pair))]
        docker(
            *("run", "--detach", "--name", self.name, "--network", network, "--read-only"),
            *("--tmpfs", "/tmp:rw,nosuid,nodev,size=512m"),  # noqa: S108 - the container's own
            *("--cap-drop", "ALL"),
            *("--security-opt", "no-new-privileges", "--memory", "3g", "--pids-limit", "256"),
            *("--volume", f"{volume}:/home/slicer", *settings, *options, image),
        )
        networks = json.loads(docker("inspect", self.name))[0]["NetworkSettings"]["Networks"]
        self.address: str = networks[network]["IPAddress"]
        self.url = f"http://{self.address}:8080"

    def ask(
        self,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        method: str = "GET",
        content: bytes | None = None,
    ) -> httpx.Response:
        """One request, by default as nobody."""
        return httpx.request(
            method, self.url + path, headers=headers, content=content, timeout=30, trust_env=False
        )

    def answer_of(self, path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """Like `ask`, but waits until somebody listens."""

        def once() -> httpx.Response | None:
            try:
                return self.ask(path, headers)
            except httpx.TransportError:
                return None

        return until(once, f"{path} is answered")

    def wait_ready(self) -> Self:
        """Waits until the session says that it is ready."""

        def ready() -> bool | None:
            assert self.is_running, self.logs
            return True if self.answer_of("/-/ready").status_code == 200 else None

        try:
            until(ready, "the session is ready")
        except AssertionError as late:
            raise AssertionError(f"{late}; its log: {self.logs}") from None
        return self

    @property
    def activity(self) -> dict[str, Any]:
        """What the session reports to the hub."""
        answer = self.ask("/-/activity", SERVICE)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: object) -> httpx.Response:
        """One of the hub's own calls."""
        return self.ask(path, SERVICE, method="POST", content=msgspec.json.encode(body))

    @property
    def logs(self) -> str:
        """All that the container wrote."""
        done = subprocess.run(
            ["docker", "logs", self.name], capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    @property
    def events(self) -> list[dict[str, Any]]:
        """The log as events; fails if a line is none."""
        return [json.loads(line) for line in self.logs.splitlines()]

    @property
    def is_running(self) -> bool:
        """Whether the container still runs."""
        return docker("inspect", "--format", "{{.State.Running}}", self.name) == "true"

    @property
    def exit_code(self) -> int:
        """What the container ended with; waits for its end."""
        return int(docker("wait", self.name))

    def list_files(self, folder: str) -> list[str]:
        """Names in a folder below the user's files."""
        text = docker("exec", self.name, "ls", "-A", f"/home/slicer/files/{folder}", check=False)
        return text.splitlines()

    def stop(self) -> int:
        """Stops it the way the hub does, with the engine's ten seconds; returns the exit code."""
        docker("stop", "--time", "10", self.name)
        return self.exit_code

    def remove(self) -> None:
        """Takes the container away; the volume stays."""
        docker("rm", "--force", self.name, check=False)


class Page:
    """Speaks wslink over a WebSocket, politely or not.

    A message is a header of three 32-bit numbers (id, offset, size; little-endian) and a msgpack
    map.
    """

    def __init__(self, session: Session, headers: Mapping[str, str]) -> None:
        """Opens the socket with these headers, and says nothing yet."""
        self._next = 0
        self._open = ExitStack()
        self.socket: ClientConnection = self._open.enter_context(
            connect(
                f"ws://{session.address}:8080/ws",
                additional_headers=dict(headers),
                max_size=None,
                proxy=None,
                ping_interval=None,
            )
        )
        self._parts: dict[int, bytearray] = {}

    def __enter__(self) -> Self:
        """Greets."""
        self.greet()
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the socket."""
        self._open.close()

    def greet(self) -> None:
        """What the page says first; without it the server talks to nobody."""
        self.send("wslink.hello", [{"secret": "wslink-secret"}], kind="system")
        self.receive(lambda message: str(message["id"]).startswith("system:"))

    def send_raw(self, content: bytes, *, size: int | None = None) -> None:
        """One frame; with ``size`` it claims to be the first part of a message of that size."""
        self._next += 1
        total = len(content) if size is None else size
        head = b"".join(number.to_bytes(4, "little") for number in (self._next, 0, total))
        self.socket.send(head + content)

    def send(self, method: str, args: list[Any], *, kind: str = "rpc") -> str:
        """Sends a message and returns its id."""
        rpc = f"{kind}:{secrets.token_hex(4)}"
        message: dict[str, Any] = {
            "wslink": "1.0",
            "id": rpc,
            "method": method,
            "args": args,
            "kwargs": {},
        }
        self.send_raw(msgspec.msgpack.encode(message))
        return rpc

    def call(self, method: str, args: list[Any]) -> dict[str, Any]:
        """Sends a message and waits for its answer."""
        rpc = self.send(method, args)
        return self.receive(lambda message: message["id"] == rpc)

    def receive(
        self, matches: Callable[[dict[str, Any]], bool], seconds: float = 20.0
    ) -> dict[str, Any]:
        """The next message that matches; fails after ``seconds``."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            frame = self.socket.recv(timeout=left)
            assert isinstance(frame, bytes)
            number, offset, size = (
                int.from_bytes(frame[at : at + 4], "little") for at in range(0, _HEADER_BYTES, 4)
            )
            whole = self._parts.setdefault(number, bytearray(size))
            whole[offset : offset + len(frame) - _HEADER_BYTES] = frame[_HEADER_BYTES:]
            if offset + len(frame) - _HEADER_BYTES < size:
                continue
            message = msgspec.msgpack.decode(bytes(self._parts.pop(number)))
            if matches(message):
                return message
        raise AssertionError("no such message came")

    def state(self) -> dict[str, Any]:
        """The page's whole state."""
        return self.call("trame.state.get", [])["result"]["state"]

    def closed_after(self, seconds: float = CLOSED_SECONDS) -> float:
        """Reads until the server closes; returns the seconds that took. Fails if it does not."""
        return _closed_after(self.socket, seconds)


class Picture(msgspec.Struct, frozen=True):
    """A picture as a page gets it: its head and its file."""

    head: dict[str, Any]
    content: bytes


class Stream:
    """A page's second socket: input one way, pictures the other, politely or not."""

    def __init__(self, session: Session, headers: Mapping[str, str]) -> None:
        """Opens the socket with these headers, and says nothing yet."""
        self._number = 0
        self._open = ExitStack()
        self.socket: ClientConnection = self._open.enter_context(
            connect(
                f"ws://{session.address}:8080/stream",
                additional_headers=dict(headers),
                max_size=None,
                proxy=None,
                ping_interval=None,
            )
        )

    def __enter__(self) -> Self:
        """It is open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the socket."""
        self._open.close()

    def say(self, kind: str, **parts: Any) -> None:  # noqa: ANN401 - whatever a test makes up
        """One message."""
        self.socket.send(json.dumps({"type": kind, **parts}))

    def watch(self, view: str) -> None:
        """Wants the pictures of a view."""
        self.say("watch", view=view)

    def size(self, view: str, width: int, height: int, ratio: float = 1) -> None:
        """Shows a view in this size."""
        self.say("size", view=view, width=width, height=height, ratio=ratio)

    def input(self, view: str, event: Mapping[str, Any]) -> int:
        """Sends an event; returns its number, which a picture with it tells back."""
        self._number += 1
        self.say("input", number=self._number, view=view, event=event)
        return self._number

    def seen(self, picture: Picture) -> None:
        """Says that a picture was decoded."""
        self.say("seen", number=picture.head["number"], took=1.0)

    def next(self, seconds: float = 20.0) -> Picture:
        """The next picture, of which nothing is said yet."""
        message = self.socket.recv(timeout=seconds)
        assert isinstance(message, bytes)
        end = 2 + int.from_bytes(message[:2], "big")
        return Picture(json.loads(message[2:end]), message[end:])

    def picture(self, matches: Callable[[dict[str, Any]], bool], seconds: float = 20.0) -> Picture:
        """The next picture whose head matches; those before it are seen, and so is it."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            picture = self.next(left)
            self.seen(picture)
            if matches(picture.head):
                return picture
        raise AssertionError("no such picture came")

    def closed_after(self, seconds: float = CLOSED_SECONDS) -> float:
        """Reads until the server closes, see `Page.closed_after`."""
        return _closed_after(self.socket, seconds)


def _closed_after(socket: ClientConnection, seconds: float) -> float:
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        try:
            socket.recv(timeout=seconds)
        except ConnectionClosed:
            return time.monotonic() - began
        except TimeoutError:
            break
    raise AssertionError(f"still open after {seconds} s")


def file_url(name: str) -> str:
    """The address of one of the user's own files."""
    return "/files/" + quote("My files") + "/" + quote(name)
