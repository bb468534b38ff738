"""Asks the program to save, through two small files in a folder that both can write.

The program looks every moment for ``request.json`` ({"id", "path"}), saves its scene to that path,
and writes ``answer.json`` ({"id", "saved", "message"}). Files, because a program like 3D Slicer has
one thread for everything and looks at a clock more gladly than at a socket.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from app import log
from app.activity import Activity
from app.files import AUTOSAVE_FOLDER, autosave_name, surplus_autosaves

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
    """``talk``: the folder of the two files. ``files``: the user's files.

    ``able``: whether the program listens at all.
    """

    def __init__(self, talk: Path, files: Path, activity: Activity, *, able: bool) -> None:
        """Nothing is saved before `save`."""
        self._talk = talk
        self._folder = files / AUTOSAVE_FOLDER
        self._activity = activity
        self._able = able
        self._saved_at: datetime | None = None
        self._turn = asyncio.Lock()

    @property
    def is_due(self) -> bool:
        """Whether somebody did something since the last time."""
        touched = self._activity.last_input_at
        return touched is not None and (self._saved_at is None or touched > self._saved_at)

    async def save(self, seconds: float) -> str | None:
        """The name of the file that was saved; None if nothing has happened since the last.

        Raises CannotSave if the program has no ear for it, SaveError if it did not manage within
        ``seconds``.
        """
        if not self._able:
            raise CannotSave("This program saves only by its own menu. Save there.")
        async with self._turn:
            if not self.is_due:
                return None
            now = datetime.now(UTC)
            began = time.monotonic()
            path = self._folder / autosave_name(now)
            self._folder.mkdir(parents=True, exist_ok=True)
            await self._ask(_Request(id=path.name, path=str(path)), seconds)
            self._saved_at = now
            for name in surplus_autosaves(each.name for each in self._folder.glob("*.mrb")):
                (self._folder / name).unlink()
        log.event("scene.saved", name=path.name, seconds=round(time.monotonic() - began, 3))
        return path.name

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
                    raise SaveError(
                        f"The program answered what cannot be read: {error}."
                    ) from error
                finally:
                    answer.unlink()
                if said.id == request.id:
                    if said.saved:
                        return
                    raise SaveError(f"The program could not save: {said.message}")
            await asyncio.sleep(_POLL_SECONDS)
        (self._talk / "request.json").unlink(missing_ok=True)
        raise SaveError(f"The program did not save within {seconds:.0f} seconds.")
