"""The desktop has its program save: what is kept, what is told, whatever the program does."""

from __future__ import annotations

import asyncio
import json
import zipfile
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from app.core.errors import FileError
from app.files.autosaves import Autosaves, in_order, number_of
from app.people.activity import Activity
from desktop.errors import CannotSave, SaveError
from desktop.saving import Saver

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


class Desktop:
    """A person's volume, a program that saves as it is told to, and the one who asks it."""

    def __init__(self, home: Path, *, able: bool = True) -> None:
        """Nobody did anything."""
        self.talk = home / "talk"
        self.talk.mkdir()
        (home / "files").mkdir()
        self.folder = home / "files" / "autosave" / "unnamed"
        self.activity = Activity()
        self.write: Callable[[Path], None] = write_brain
        self.refusal = ""
        autosaves = Autosaves(home, home / "files", "")
        self.saver = Saver(self.talk, autosaves, self.activity, lambda: NOON, able=able)

    async def do(self, seconds: float = 30) -> str | None:
        """Somebody does something, and the hub has it saved."""
        self.activity.touched(NOON)
        return await self.saver.save(seconds)

    @property
    def numbers(self) -> list[int]:
        """Of the autosaves, oldest first."""
        return sorted(map(number_of, in_order(each.name for each in self.folder.iterdir())))

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """While the program looks for requests."""
        program = asyncio.create_task(self._run())
        try:
            yield
        finally:
            program.cancel()

    async def _run(self) -> None:
        request = self.talk / "request.json"
        while True:
            await asyncio.sleep(0)
            if not request.exists():
                continue
            order = json.loads(request.read_text())
            request.unlink()
            if not self.refusal:
                self.write(Path(order["path"]))
            answer = {"id": order["id"], "saved": not self.refusal, "message": self.refusal}
            draft = self.talk / "answer.part"
            draft.write_text(json.dumps(answer))
            draft.replace(self.talk / "answer.json")


def write_scene(path: Path, *things: str) -> None:
    """A scene with files of these names in it."""
    with zipfile.ZipFile(path, "w") as bundle:
        bundle.writestr("Scene/Scene.mrml", "<MRML/>")
        for thing in things:
            bundle.writestr(f"Scene/Data/{thing}", "data")


def write_brain(path: Path) -> None:
    """A scene with a volume in it."""
    write_scene(path, "Brain.nrrd")


async def test_the_last_three_are_kept_in_the_session_s_folder(tmp_path: Path) -> None:
    """Each save is a file of its own, also within one second, and the newest is named again."""
    desktop = Desktop(tmp_path)
    async with desktop.running():
        assert await desktop.saver.save(30) is None
        names = [await desktop.do() for _ in range(5)]
        assert len(set(names)) == 5
        assert desktop.numbers == [3, 4, 5]
        assert await desktop.saver.save(30) == names[-1]
    assert desktop.numbers == [3, 4, 5]


async def test_an_empty_scene_pushes_nothing_out(tmp_path: Path) -> None:
    """The program saved it, and it is no autosave."""
    desktop = Desktop(tmp_path)
    async with desktop.running():
        name = await desktop.do()
        desktop.write = write_scene
        for _ in range(4):
            assert await desktop.do() == name
    assert desktop.numbers == [1]


async def test_a_failure_is_told_and_tried_again(tmp_path: Path) -> None:
    """A program that refuses, writes nothing or is silent costs no autosave and leaves no draft."""
    desktop = Desktop(tmp_path)
    async with desktop.running():
        await desktop.do()
        desktop.refusal = "no"
        with pytest.raises(SaveError, match="could not save: no"):
            await desktop.do()
        desktop.refusal, desktop.write = "", Path.touch
        with pytest.raises(FileError, match="wrote nothing"):
            await desktop.saver.save(30)
    with pytest.raises(SaveError, match="did not save within"):
        await desktop.saver.save(0)
    assert desktop.numbers == [1]
    desktop.write = write_brain
    async with desktop.running():
        assert await desktop.saver.save(30) is not None
    assert desktop.numbers == [1, 2]
    assert list((tmp_path / ".drafts").iterdir()) == []


async def test_a_program_without_an_ear_says_so(tmp_path: Path) -> None:
    """It is no failure, and nothing is tried."""
    with pytest.raises(CannotSave):
        await Desktop(tmp_path, able=False).do()
