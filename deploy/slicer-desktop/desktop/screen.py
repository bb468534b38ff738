"""The VNC server, the window manager and the program, as child processes of the gate."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from app.core import log

from desktop.errors import DesktopError
from desktop.program import Program
from desktop.vnc import Passwords, encode_file

DISPLAY = ":0"
_SERVER = "Xtigervnc"
_X_SOCKETS = Path("/tmp/.X11-unix")  # noqa: S108 - where every X program looks
_SERVER_SECONDS = 30.0
_QUIET_SECONDS = 3.0
# A program that ends so soon after its start did not work; nobody closed it.
_SHORT_LIFE_SECONDS = 10.0
_MOST_SHORT_LIVES = 3
_LINE_BYTES = 64 * 1024
_EXIT_POLL_SECONDS = 0.1
_WINDOW_LIST = "_NET_CLIENT_LIST"


class Screen:
    """One X screen that VNC serves on a socket of the file system, with one program on it.

    ``runtime``: a folder in memory for sockets and passwords. ``environment``: of the program.
    """

    def __init__(
        self,
        program: Program,
        passwords: Passwords,
        runtime: Path,
        manager_config: Path,
        environment: Mapping[str, str],
    ) -> None:
        self.socket = runtime / "vnc"
        self._program = program
        self._passwords = passwords
        self._runtime = runtime
        self._manager_config = manager_config
        self._environment = {**environment, "DISPLAY": DISPLAY}
        self._helpers: dict[str, asyncio.subprocess.Process] = {}
        self._program_process: asyncio.subprocess.Process | None = None
        self._relays: set[asyncio.Task[None]] = set()
        self._managed = asyncio.Event()
        self._windows = 0
        self._windows_changed = asyncio.Event()

    @property
    def own_pids(self) -> set[int]:
        """The processes besides those of the program, including this one."""
        return {1, os.getpid(), *(helper.pid for helper in self._helpers.values())}

    async def start(self) -> None:
        """Starts the VNC server and the window manager. Raises DesktopError if they do not come."""
        await self._start_server(self._prepare_files())
        await self._help(
            "window manager",
            *("openbox", "--config-file", str(self._manager_config)),
            # Begun once the manager is there: from then on a line for each change.
            *("--startup", "stdbuf -oL xprop -root -spy _NET_CLIENT_LIST"),
        )
        # A window that is opened while the manager starts would never be managed.
        try:
            await asyncio.wait_for(self._managed.wait(), _SERVER_SECONDS)
        except TimeoutError as error:
            raise DesktopError("The window manager did not come up.") from error

    def _prepare_files(self) -> Path:
        # The X server makes this folder only as root.
        _X_SOCKETS.mkdir(mode=0o1777, exist_ok=True)
        secret = self._runtime / "passwords"
        secret.touch(mode=0o600)
        secret.write_bytes(encode_file(self._passwords))
        return secret

    async def _start_server(self, secret: Path) -> None:
        read_end, write_end = os.pipe()
        try:
            await self._help(
                "VNC server",
                *(_SERVER, DISPLAY, "-geometry", "1280x800", "-depth", "24"),
                *("-desktop", self._program.name),
                # No TCP: this gate is the only thing that listens.
                *("-rfbport", "-1", "-nolisten", "tcp", "-nolisten", "local"),
                *("-rfbunixpath", str(self.socket), "-rfbunixmode", "384"),  # 0600
                *("-SecurityTypes", "VncAuth", "-PasswordFile", str(secret)),
                # All connections come from the gate; one that breaks off must not lock it out.
                *("-UseBlacklist=0", "-AlwaysShared", "-DisconnectClients=0"),
                *("-IdleTimeout", "0", "-MaxIdleTime", "0", "-MaxDisconnectionTime", "0"),
                # Text that is only selected with the mouse is not sent to everybody's clipboard.
                *("-SendPrimary=0", "-SetPrimary=0"),
                *("-Log", "*:stderr:10", "-displayfd", str(write_end)),
                pass_fds=(write_end,),
            )
        finally:
            os.close(write_end)
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb")
        )
        try:
            # The whole line: the server ends if nobody listens to its end.
            line = await asyncio.wait_for(reader.readline(), _SERVER_SECONDS)
        except TimeoutError as error:
            raise DesktopError("The VNC server did not come up.") from error
        finally:
            transport.close()
        if not line.endswith(b"\n"):
            raise DesktopError("The VNC server ended at its start; the log says why.")

    async def run_program(self, on_window: Callable[[], None]) -> None:
        """Runs the program, again whenever its user has closed it; ``on_window`` once it is seen.

        Raises DesktopError if it ends again and again right after its start.
        """
        short_lives = 0
        while short_lives < _MOST_SHORT_LIVES:
            began = time.monotonic()
            await self._run_once(on_window)
            # 3D Slicer starts itself anew after an extension was installed: then there is, or
            # soon will be, a window that this process did not open.
            await self._wait_windowless()
            is_short = time.monotonic() - began < _SHORT_LIFE_SECONDS + _QUIET_SECONDS
            short_lives = short_lives + 1 if is_short else 0
        raise DesktopError(
            f"{self._program.name} ended {_MOST_SHORT_LIVES} times right after its start."
            " Its own messages are in the log."
        )

    async def _run_once(self, on_window: Callable[[], None]) -> None:
        process = await self._spawn(self._program.command)
        self._program_process = process
        log.event("program.started", name=self._program.name, pid=process.pid)
        watch = asyncio.create_task(self._announce(on_window))
        try:
            await _relay_lines(process, self._note)
            code = await _exit_of(process)
        finally:
            watch.cancel()
        log.event("program.ended", name=self._program.name, code=code)

    async def stop(self, seconds: float) -> None:
        """Ends the program, then the others; kills what is left after ``seconds``."""
        process = self._program_process
        if process is not None and process.returncode is None:
            await _end(process, seconds)
        # Without the server all X programs end, those included that the program left behind.
        for helper in reversed(self._helpers.values()):
            if helper.returncode is None:
                await _end(helper, 1.0)

    async def helper_ended(self) -> str:
        """Waits until the VNC server or the window manager ends; returns a sentence about it."""
        waits = {asyncio.create_task(_exit_of(each)): name for name, each in self._helpers.items()}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
        return f"The {waits[done.pop()]} ended."

    async def _announce(self, on_window: Callable[[], None]) -> None:
        await self._until(lambda windows: windows > 0)
        on_window()

    async def _wait_windowless(self) -> None:
        while True:
            await self._until(lambda windows: windows == 0)
            try:
                await asyncio.wait_for(self._until(lambda windows: windows > 0), _QUIET_SECONDS)
            except TimeoutError:
                return

    async def _until(self, holds: Callable[[int], bool]) -> None:
        while not holds(self._windows):
            self._windows_changed.clear()
            await self._windows_changed.wait()

    def _note(self, line: str) -> None:
        """One line of a child's: the list of windows, or a message for the log."""
        if line.startswith(_WINDOW_LIST):
            self._windows = line.count("0x")
            self._windows_changed.set()
            self._managed.set()
        else:
            log.event("screen.message", text=line)

    async def _help(self, name: str, *command: str, pass_fds: tuple[int, ...] = ()) -> None:
        helper = await self._spawn(command, pass_fds=pass_fds)
        self._helpers[name] = helper
        task = asyncio.create_task(_relay_lines(helper, self._note))
        self._relays.add(task)
        task.add_done_callback(self._relays.discard)

    async def _spawn(
        self, command: tuple[str, ...], *, pass_fds: tuple[int, ...] = ()
    ) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=self._environment,
                limit=_LINE_BYTES,
                pass_fds=pass_fds,
                start_new_session=True,  # ended as a group
            )
        except OSError as error:
            raise DesktopError(f"{command[0]} cannot be run: {error.strerror}.") from error


async def _relay_lines(process: asyncio.subprocess.Process, note: Callable[[str], None]) -> None:
    """Hands on each line that the process writes, until it and its children have closed the pipe.

    Ends with the process, even if another one still holds the pipe.
    """
    reader = process.stdout
    if reader is None:
        raise DesktopError("a child process without a pipe")
    ended = asyncio.create_task(_exit_of(process))
    try:
        while True:
            line = asyncio.create_task(_read_line(reader))
            await asyncio.wait({line, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not line.done():
                line.cancel()
                return
            if not (content := line.result()):
                return
            if text := content.decode(errors="replace").strip():
                note(text)
    finally:
        ended.cancel()


async def _exit_of(process: asyncio.subprocess.Process) -> int:
    """The exit code, once there is one.

    The library's own wait lasts until the pipe is closed, too: whatever the program has left behind
    may hold that for ever.
    """
    while (code := process.returncode) is None:  # noqa: ASYNC110 - see above
        await asyncio.sleep(_EXIT_POLL_SECONDS)
    return code


async def _read_line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except ValueError:  # longer than the limit; what is left of it comes as the next
        return b"(a line too long to show)"


async def _end(process: asyncio.subprocess.Process, seconds: float) -> None:
    """SIGTERM to the process and its group, SIGKILL after ``seconds``.

    Ends with the last of the group: 3D Slicer is started by a launcher that ends before it.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            async with asyncio.timeout(seconds):
                await _exit_of(process)
                while _group_lives(process.pid):  # noqa: ASYNC110 - nothing tells of its end
                    await asyncio.sleep(_EXIT_POLL_SECONDS)
        except TimeoutError:
            log.event("process.deaf", pid=process.pid, signal=number.name)
        else:
            return


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
