"""Asks the program to save, through two small files in a folder that both can write.

The program checks regularly for ``request.json`` ({"id", "path"}), saves its scene to that path,
and writes ``answer.json`` ({"id", "saved", "message"}). They are files, because a program like 3D
Slicer has one thread for everything, where a timer is simpler than a socket.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec
from app.core import log
from app.files.autosaves import Autosaves
from app.people.activity import Activity

from desktop.errors import CannotSave, SaveError

_POLL_SECONDS = 0.05


class _Request(msgspec.Struct, frozen=True):
    id: str
    path: str


class _Answer(msgspec.Struct, frozen=True):
    id: str
    saved: bool
    message: str = ""


class Saver:
    """``talk``: the folder of the two files. ``able``: whether the program supports this."""

    def __init__(
        self,
        talk: Path,
        autosaves: Autosaves,
        activity: Activity,
        now: Callable[[], datetime],
        *,
        able: bool,
    ) -> None:
        self._talk = talk
        self._autosaves = autosaves
        self._activity = activity
        self._now = now
        self._able = able
        self._saved = activity.inputs
        self._turn = asyncio.Lock()

    async def save(self, seconds: float) -> str | None:
        """The name of the newest autosave, written now if there is something new; None for none.

        Raises CannotSave if the program cannot be asked, SaveError if it did not manage within
        ``seconds``, FileError if the file system did not let it.
        """
        if not self._able:
            raise CannotSave("This program saves only by its own menu. Save there.")
        async with self._turn:
            inputs = self._activity.inputs
            if inputs == self._saved:
                return self._autosaves.newest()
            began = time.monotonic()
            with self._autosaves.draft() as draft:
                await self._ask(_Request(id=draft.name, path=str(draft.path)), seconds)
                name = self._autosaves.keep(draft, self._now())
            self._saved = inputs
        if name is None:
            return self._autosaves.newest()
        log.event("scene.saved", name=name, seconds=round(time.monotonic() - began, 3))
        return name

    async def _ask(self, request: _Request, seconds: float) -> None:
        draft = self._talk / "request.part"
        draft.write_bytes(msgspec.json.encode(request))
        draft.replace(self._talk / "request.json")
        answer = self._talk / "answer.json"
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if answer.exists():
                try:
                    said = msgspec.json.decode(answer.read_bytes(), type=_Answer)
                except msgspec.DecodeError as error:
                    raise SaveError(f"The program's answer cannot be read: {error}.") from error
                finally:
                    answer.unlink()
                if said.id == request.id:
                    if said.saved:
                        return
                    raise SaveError(f"The program could not save: {said.message}")
            await asyncio.sleep(_POLL_SECONDS)
        (self._talk / "request.json").unlink(missing_ok=True)
        raise SaveError(f"The program did not save within {seconds:.0f} seconds.")
