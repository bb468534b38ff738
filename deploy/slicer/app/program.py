"""The second process of a session: puts scene, gate, endpoints and panel together and serves them.

Nothing heavy is imported before the first line has been written to the channel: the page already
tells what is going on.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import shutil
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app import log
from app.activity import Activity
from app.channel import Channel, Connected, FromFront, Ready, Stage, Status
from app.errors import FileError, SlicerError, VolumeError
from app.files import (
    AUTOSAVE_FOLDER,
    autosave_name,
    find_roots,
    newest_autosave,
    surplus_autosaves,
)
from app.lean import stand_in_for_vtk
from app.messages import TRIGGER, Message

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine

    from app.activity import Selection
    from app.scene import Scene
    from app.settings import Settings

_QUIET_SECONDS = 10.0
# Of trame-slicer's views (rca_view_factory): the pointer came to be over one, or is so no more.
_HOVER = frozenset({"set_focus_fps", "set_blur_fps"})
_SAMPLE = "MNI152-T1-brain.nii.gz"


def run(settings: Settings, end: socket.socket) -> int:
    """Loads 3D Slicer and serves it until SIGTERM; returns the exit code. Never raises.

    ``end`` is this process's end of the pair that `channel` speaks over.
    """
    try:
        asyncio.run(_serve(settings, Channel(end, FromFront)))
    except SlicerError as error:
        log.event("session.failed", level=40, message=str(error))
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the last line of defence writes it down
        log.failure("session.failed", error)
        return SlicerError.exit_code
    return 0


async def _serve(settings: Settings, channel: Channel[FromFront]) -> None:
    began = time.monotonic()

    def stage(name: str) -> None:
        channel.send(Stage(name))

    stage("import")
    # JPEG frames do not get smaller by deflating them again; it costs a tenth of a core.
    os.environ["WSLINK_WS_COMPRESS"] = "0"
    stand_in_for_vtk()
    from app.scene import Scene

    stage("build")
    session = Session(settings, Scene(), channel)
    log.event("core.built", renderer=session.scene.renderer, seconds=_since(began))
    stage("open")
    session.prepare_volume()
    session.open_first()
    stage("render")
    session.scene.draw()
    await session.serve()


class Session:
    """One running session: the scene and everybody who looks at it."""

    def __init__(self, settings: Settings, scene: Scene, channel: Channel[FromFront]) -> None:
        """Builds the page around the scene."""
        from trame_client.module import vue3

        from app.endpoints import Endpoints, page_with
        from app.gate import Gate
        from app.panel import EARLY_SCRIPTS, Panel

        self.settings = settings
        self.scene = scene
        self.activity = Activity()
        self._channel = channel
        roots = find_roots(settings.files, settings.groups)
        self._panel = Panel(
            scene, roots, self.activity, share_url=settings.share_url, save=self.save_as
        )
        index = (Path(vue3.www) / "index.html").read_text(encoding="utf-8")
        self._gate = Gate(
            self.activity,
            standalone=settings.standalone,
            redraw=self._panel.redraw,
            changed=self._panel.show_people,
            report=self._report,
            greet=lambda client: self._gate.tell(client.id, self._panel.greeting(client)),
            is_hover=self._is_hover,
        )
        self._endpoints = Endpoints(
            self.activity,
            roots,
            page_with(index, settings, *EARLY_SCRIPTS),
            standalone=settings.standalone,
            save=self.autosave,
            notify=self._panel.show_notice,
            ask=self._panel.show_asking,
        )
        self._saved_at: datetime | None = None

    @property
    def _autosaves(self) -> Path:
        return self.settings.files / AUTOSAVE_FOLDER

    def prepare_volume(self) -> None:
        """Makes the folder for the user's files and puts the samples into an empty one.

        Raises VolumeError if the volume cannot be written.
        """
        files = self.settings.files
        try:
            is_new = not files.is_dir() or not any(files.iterdir())
            files.mkdir(parents=True, exist_ok=True)
            if is_new:
                # A link would lead out of the folder; the copy is 2 MB.
                shutil.copytree(
                    self.settings.samples, files / "samples", copy_function=shutil.copyfile
                )
                log.event("volume.new", samples=True)
        except OSError as error:
            raise VolumeError(
                f"The user's volume at {self.settings.home} cannot be written: {error.strerror}."
                " It must belong to uid 1000."
            ) from error

    def open_first(self) -> None:
        """Shows the sample, unless there is work of the user's: that is offered instead."""
        names = [path.name for path in self._autosaves.glob("*.mrb")]
        if newest := newest_autosave(names):
            self._panel.offer(self._autosaves / newest)
            return
        sample = self.settings.samples / _SAMPLE
        self.scene.open(sample)

    def _is_hover(self, message: Message) -> bool:
        """The views ask for more pictures while a pointer is over them, moved or not."""
        name = message.args[0] if message.method == TRIGGER and message.args else ""
        function = self.scene.server.controller.trigger_fn(name)
        return getattr(function, "__name__", "") in _HOVER

    def autosave(self) -> Path | None:
        """Saves the scene beside the earlier ones, drops the oldest; None if nobody did anything.

        Raises FileError.
        """
        touched = self.activity.last_input_at
        if self.scene.is_empty or touched is None:
            return None
        if self._saved_at is not None and touched <= self._saved_at:
            return None
        now = datetime.now(UTC)
        path = self._autosaves / autosave_name(now)
        began = time.monotonic()
        self.scene.save(path)
        self._saved_at = now
        for name in surplus_autosaves(each.name for each in self._autosaves.glob("*.mrb")):
            (self._autosaves / name).unlink()
        log.event("scene.saved", name=path.name, seconds=_since(began))
        return path

    def save_as(self, path: Path) -> None:
        """Saves the scene where the user wants it. Raises FileError.

        No reason to leave the next autosave out: that is what the next start offers.
        """
        self.scene.save(path)

    def _report(self) -> None:
        self._channel.send(
            Status(
                last_input_at=self.activity.last_input_at,
                busy=self.activity.is_busy(time.monotonic()),
                clients=[
                    Connected(
                        number=client.number,
                        user=client.visitor.user,
                        role=client.visitor.role.value,
                        since=client.since,
                    )
                    for client in self.activity.clients
                ],
            )
        )

    async def serve(self) -> None:
        """Tells the first process that connections may come, serves, and saves at SIGTERM."""
        server: Any = self.scene.server
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

        def bound(wslink: Any) -> None:  # noqa: ANN401 - wslink has no types
            self._endpoints.mount(wslink.app)
            for handler in wslink._ws_handlers:  # noqa: SLF001
                self._gate.attach(handler)
            wslink.start = functools.partial(
                _start_on_channel, wslink, self._channel, self._gate.kick
            )

        server.controller.on_server_bind.add(bound)
        serving = asyncio.ensure_future(
            server.start(
                exec_mode="coroutine",
                port=self.settings.port,
                open_browser=False,
                show_connection_info=False,
                timeout=0,
                thread=True,  # the signals are ours
            )
        )
        background = [
            asyncio.create_task(self._gate.watch()),
            asyncio.create_task(self._autosave_forever()),
        ]
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in background:
            task.cancel()
        if serving.done():
            serving.result()
        try:
            self.autosave()
        except FileError as error:
            log.failure("save.failed", error)
        # Not torn down piece by piece: VTK's own order at exit is slow and nobody waits for it.
        log.event("session.stopped")

    async def _autosave_forever(self) -> None:
        pause = self.settings.autosave_seconds
        while pause:
            await asyncio.sleep(pause)
            await self._quiet()
            try:
                self.autosave()
            except FileError as error:
                log.failure("save.failed", error)
                self._panel.say(f"Your scene was not saved. {error}")

    async def _quiet(self) -> None:
        """Saving stops the picture for a moment: not while somebody turns the brain."""
        while (last := self.activity.last_input_at) is not None:
            left = _QUIET_SECONDS - (datetime.now(UTC) - last).total_seconds()
            if left <= 0:
                return
            await asyncio.sleep(min(left, _QUIET_SECONDS))


async def _start_on_channel(
    wslink: Any,  # noqa: ANN401
    channel: Channel[FromFront],
    kick: Callable[[Selection], Coroutine[Any, Any, object]],
    port_callback: Any,  # noqa: ANN401
) -> None:
    """In place of the library's own start, which would bind a port of its own."""
    from aiohttp import web

    from app.intake import Intake

    wslink.app.add_routes(wslink._default_routes)  # noqa: SLF001
    runner = web.AppRunner(wslink.app, handle_signals=False, access_log=None)
    await runner.setup()
    Intake(runner.server, channel, kick).open()
    channel.send(Ready())
    port_callback(0)
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)
