"""One desktop session from start to end: puts screen, relay, saving and endpoints together."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web
from app import front
from app.core import log
from app.core.errors import SlicerError, VolumeError
from app.core.settings import Settings
from app.files.autosaves import Autosaves
from app.files.paths import find_roots
from app.page.head import page_with
from app.people.activity import Activity
from app.people.roles import Role

from desktop.endpoints import DesktopEndpoints
from desktop.errors import CannotSave, DesktopError
from desktop.load import Load, sample_of
from desktop.program import Program, read_program, settings_folder
from desktop.race import race
from desktop.relay import Relay
from desktop.saving import Saver
from desktop.screen import Screen
from desktop.vnc import Line, make_passwords, open_line

# What the build made: program.json, openbox.xml, page/.
SHARE = Path("/opt/desktop/share")
# In memory, for this user only: sockets, passwords, and what is said with the program.
_RUNTIME = Path("/tmp/session")  # noqa: S108 - a file system of the session's own
_LOAD_SECONDS = 2.0
_SAVE_SECONDS = 30.0
# The engine kills ten seconds after it has asked to stop.
_LAST_SAVE_SECONDS = 4.5
_PROGRAM_STOP_SECONDS = 2.0


def program_environment(
    environ: Mapping[str, str], runtime: Path, settings: Path
) -> dict[str, str]:
    """What the program finds around it: its settings' folder, and where it is asked to save."""
    return {
        **environ,
        "XDG_CONFIG_HOME": str(settings / "config"),
        "XDG_DATA_HOME": str(settings / "data"),
        "XDG_STATE_HOME": str(settings / "state"),
        "XDG_RUNTIME_DIR": str(runtime),
        # Packages of Python that an extension installs; the program's own folder is read-only.
        "PIP_TARGET": str(settings / "python"),
        "SLICERHUB_SAVE_DIR": str(runtime / "save"),
    }


async def run(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT. Raises SlicerError if the session cannot go on."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    session = Session(settings, read_program(SHARE / "program.json"))
    try:
        await race(session.work(), session.stop_after(stop))
    finally:
        await session.end()
    log.event("session.stopped")


class Session:
    """The program on its screen, and the people connected to it."""

    def __init__(self, settings: Settings, program: Program) -> None:
        self._settings = settings
        self._program = program
        self._began = time.monotonic()
        self._stage: str | None = "Starting"
        self._activity = Activity()
        self._passwords = make_passwords()
        place = settings_folder(settings.home, program)
        self._folders = [
            *(settings.files, place / "slicer.org", place / "python"),
            *(place / name for name in ("config", "data", "state")),
        ]
        self._screen = Screen(
            program,
            self._passwords,
            _RUNTIME,
            SHARE / "openbox.xml",
            program_environment(os.environ, _RUNTIME, place),
        )
        self._line_turn = asyncio.Lock()
        self._relay = Relay(self._activity, self._open_line, standalone=settings.standalone)
        self._saver = Saver(
            _RUNTIME / "save",
            Autosaves(settings.home, settings.files, settings.slug),
            self._activity,
            lambda: datetime.now(UTC),
            able=program.saves,
        )
        self._runner: web.AppRunner | None = None

    async def work(self) -> None:
        """Starts everything and watches it; ends only by SlicerError."""
        self._prepare_folders()
        await self._listen()
        await self._screen.start()
        self._stage = f"Starting {self._program.name}"
        await race(self._screen.run_program(self._ready), self._watch_load(), self._watch_helpers())

    async def stop_after(self, stop: asyncio.Event) -> None:
        """Waits for the signal; then saves what was done since the last time."""
        await stop.wait()
        log.event("session.stopping")
        try:
            await self._saver.save(_LAST_SAVE_SECONDS)
        except CannotSave:
            log.event("save.impossible", program=self._program.name)
        except SlicerError as error:
            log.failure("save.failed", error)

    async def end(self) -> None:
        """Disconnects everybody and ends the processes."""
        await self._relay.end()
        await self._screen.stop(_PROGRAM_STOP_SECONDS)
        if self._runner is not None:
            await self._runner.cleanup()

    def _prepare_folders(self) -> None:
        (_RUNTIME / "save").mkdir(mode=0o700, parents=True, exist_ok=True)
        _RUNTIME.chmod(0o700)
        try:
            for folder in self._folders:
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise VolumeError(
                f"The user's volume at {self._settings.home} cannot be written: {error.strerror}."
                " It must belong to uid 1000."
            ) from error

    async def _listen(self) -> None:
        endpoints = DesktopEndpoints(
            self._activity,
            self._relay,
            find_roots(self._settings.files, self._settings.groups),
            page_with((SHARE / "page/index.html").read_text(encoding="utf-8"), self._settings),
            assets=SHARE / "page/assets",
            starting=Path(front.__file__).with_name("loading.html").read_text(encoding="utf-8"),
            standalone=self._settings.standalone,
            stage=lambda: self._stage,
            save=lambda: self._saver.save(_SAVE_SECONDS),
        )
        application = web.Application()
        endpoints.mount(application)
        self._runner = web.AppRunner(
            application, handle_signals=False, access_log=None, shutdown_timeout=1.0
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, port=self._settings.port).start()
        log.event("gate.listening", port=self._settings.port)

    def _ready(self) -> None:
        if self._stage is not None:
            self._stage = None
            log.event("session.ready", seconds=round(time.monotonic() - self._began, 3))

    async def _open_line(self, role: Role) -> Line:
        secret = self._passwords.control if role.may_change else self._passwords.view
        async with self._line_turn:
            return await open_line(self._screen.socket, secret)

    async def _watch_load(self) -> None:
        """Reports a computation for as long as the program computes, or would if it could."""
        number: int | None = None
        proc = Path("/proc")
        since = time.monotonic()
        load = Load(sample_of(proc, self._screen.own_pids), since)
        while True:
            await asyncio.sleep(_LOAD_SECONDS)
            now = time.monotonic()
            is_busy = load.is_busy(sample_of(proc, self._screen.own_pids), now)
            if is_busy and number is None:
                number = self._activity.begun(since)
            elif not is_busy and number is not None:
                self._activity.ended(number)
                number = None
            since = now

    async def _watch_helpers(self) -> None:
        raise DesktopError(await self._screen.helper_ended())
