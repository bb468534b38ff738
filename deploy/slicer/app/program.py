"""The second process of a session: puts scene, gate, endpoints and panel together and serves them.

No heavy module is imported before the first message on the channel, so that the page can already
show the progress.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.core import log
from app.core.errors import FileError, SlicerError, VolumeError
from app.core.lean import stand_in_for_vtk
from app.core.processors import count_processors
from app.files.autosaves import Autosaves, Keeper
from app.files.folders import write_whole
from app.files.paths import find_roots
from app.modules.orientation import show_letters
from app.people.activity import Activity
from app.people.felt import Felt
from app.people.roles import STREAM_PATH
from app.stream.channel import Channel, Connected, FromFront, Ready, Stage, Status
from app.stream.messages import TRIGGER, Message

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine

    from app.core.scene import Scene
    from app.core.settings import Settings
    from app.people.activity import Selection
    from app.stream.drawing import Drawing

_QUIET_SECONDS = 10.0
_ENCODERS = 2  # threads; a picture takes less than a millisecond of one
_MOST_QUIETS = 12  # after this the scene is saved in any case
# Messages of trame-slicer's views (rca_view_factory): the pointer entered or left a view.
_HOVER = frozenset({"set_focus_fps", "set_blur_fps"})
_SAMPLE = "MNI152-T1-brain.nii.gz"


def run(settings: Settings, end: socket.socket) -> int:
    """Loads 3D Slicer and serves it until SIGTERM; returns the exit code. Never raises.

    ``end`` is this process's end of the pair that `app.stream.channel` speaks over.
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
    # Compressing JPEG frames again gains nothing and costs a tenth of a core.
    os.environ["WSLINK_WS_COMPRESS"] = "0"
    processors = count_processors(Path("/sys/fs/cgroup"), len(os.sched_getaffinity(0)))
    os.environ["LP_NUM_THREADS"] = str(processors)  # llvmpipe's
    stand_in_for_vtk()
    from app.core.scene import Scene, limit_threads
    from app.stream.drawing import Drawing

    stage("build")
    limit_threads(processors)
    drawing = Drawing()
    session = Session(settings, Scene(drawing.add, [show_letters]), drawing, channel)
    scene = session.scene
    log.event(
        "core.built",
        renderer=scene.renderer,
        encoder=scene.encoder,
        processors=processors,
        seconds=_since(began),
    )
    stage("open")
    session.prepare_volume()
    session.open_first()
    stage("render")
    session.scene.draw()
    await session.serve()


class Session:
    """One running session: the scene and the people connected to it."""

    def __init__(
        self, settings: Settings, scene: Scene, drawing: Drawing, channel: Channel[FromFront]
    ) -> None:
        """Builds the page around the scene, whose views ``drawing`` has."""
        from trame_client.module import vue3

        from app.front.endpoints import Endpoints
        from app.front.gate import Gate
        from app.page.head import page_with
        from app.page.panel import EARLY_SCRIPTS, Panel
        from app.stream.pages import Pages

        self.settings = settings
        self.scene = scene
        self.activity = Activity()
        self.felt = Felt()
        self._channel = channel
        self._drawing = drawing
        self._pages = Pages(
            drawing,
            ThreadPoolExecutor(_ENCODERS, "encoder"),
            standalone=settings.standalone,
            touched=self._touched,
            felt=lambda sample: self.felt.note(sample, time.monotonic()),
        )
        roots = find_roots(settings.files, settings.groups)
        self._autosaves = Autosaves(settings.home, settings.files, settings.slug)
        self._panel = Panel(
            scene,
            roots,
            self.activity,
            share_url=settings.share_url,
            put=functools.partial(write_whole, settings.home),
            answered=self._autosaves.answered,
        )
        self._keeper = Keeper(
            self._autosaves,
            inputs=lambda: self.activity.inputs,
            is_empty=lambda: scene.is_empty,
            write=scene.write,
            now=lambda: datetime.now(UTC),
            trouble=self._panel.banners.show_trouble,
        )
        index = (Path(vue3.www) / "index.html").read_text(encoding="utf-8")
        self._gate = Gate(
            self.activity,
            standalone=settings.standalone,
            changed=self._panel.people.show,
            report=self._report,
            greet=lambda client: self._gate.tell(client.id, self._panel.greeting(client)),
            is_hover=self._is_hover,
        )
        self._endpoints = Endpoints(
            self.activity,
            roots,
            page_with(index, settings, *EARLY_SCRIPTS),
            standalone=settings.standalone,
            save=self._keeper.save,
            notify=self._panel.banners.show_notice,
            ask=self._panel.people.show_asking,
        )

    def prepare_volume(self) -> None:
        """Makes the folder for the user's files and puts the samples into an empty one.

        Raises VolumeError if the volume cannot be written.
        """
        files = self.settings.files
        try:
            is_new = not files.is_dir() or not any(files.iterdir())
            files.mkdir(parents=True, exist_ok=True)
            if is_new:
                # A copy of 2 MB, because a link would lead out of the folder.
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
        """Shows the sample, unless the user has saved work, which is offered instead."""
        try:
            offers = self._autosaves.offers()
        except FileError as error:
            log.failure("autosave.unread", error)
            offers = []
        if offers:
            self._panel.offers.show(offers)
            return
        sample = self.settings.samples / _SAMPLE
        self.scene.open(sample)

    def _is_hover(self, message: Message) -> bool:
        """Whether a message says only that a pointer is over a view, which needs no movement."""
        name = message.args[0] if message.method == TRIGGER and message.args else ""
        function = self.scene.server.controller.trigger_fn(name)
        return getattr(function, "__name__", "") in _HOVER

    def _touched(self) -> None:
        self.activity.touched(datetime.now(UTC))
        self._report()

    async def _kick(self, selection: Selection) -> None:
        await asyncio.gather(self._gate.kick(selection), self._pages.kick(selection))

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
                felt=self.felt.summary(time.monotonic()),
            )
        )

    async def serve(self) -> None:
        """Tells the first process that connections may come, serves, and saves at SIGTERM."""
        server: Any = self.scene.server
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

        def bound(wslink: Any) -> None:  # noqa: ANN401 - wslink has no types
            self._endpoints.mount(wslink.app)
            wslink.app.router.add_get(STREAM_PATH, self._pages.serve)
            for handler in wslink._ws_handlers:  # noqa: SLF001
                self._gate.attach(handler)
            wslink.start = functools.partial(_start_on_channel, wslink, self._channel, self._kick)

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
            asyncio.create_task(self._drawing.run(self._pages)),
            asyncio.create_task(self._gate.watch()),
            asyncio.create_task(self._autosave_forever()),
        ]
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in background:
            task.cancel()
        if serving.done():
            serving.result()
        self._keeper.try_save()
        # Not closed part by part: VTK's own order at exit is slow, and nobody needs it.
        log.event("session.stopped")

    async def _autosave_forever(self) -> None:
        pause = self.settings.autosave_seconds
        while pause:
            await asyncio.sleep(pause)
            if self._keeper.is_due:
                await self._quiet()
                self._keeper.try_save()

    async def _quiet(self) -> None:
        """Waits with saving, which stops the picture for a moment, while somebody is active."""
        for _ in range(_MOST_QUIETS):
            inputs = self.activity.inputs
            await asyncio.sleep(_QUIET_SECONDS)
            if self.activity.inputs == inputs:
                return


async def _start_on_channel(
    wslink: Any,  # noqa: ANN401
    channel: Channel[FromFront],
    kick: Callable[[Selection], Coroutine[Any, Any, object]],
    port_callback: Any,  # noqa: ANN401
) -> None:
    """In place of the library's own start, which would bind a port of its own."""
    from aiohttp import web

    from app.stream.intake import Intake

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
