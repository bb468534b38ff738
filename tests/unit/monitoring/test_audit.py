"""The record of acts: its lines, its file, and what happens when the disk does not take them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
import structlog
from structlog.testing import LogCapture

from controller.core.records import CONTROLLER, Actor
from controller.monitoring.audit import Act, Audit
from controller.monitoring.metrics import Metrics
from controller.settings.schema import AuditLog
from tests.support.hub import eventually

pytestmark = pytest.mark.anyio

ALICE = Actor("alice", "10.0.0.1")


class Desk:
    """A record over this file, and what it counts."""

    def __init__(self, file: Path | str = "", *, max_mib: int = 1, keep: int = 2) -> None:
        """Begin to write."""
        self.metrics = Metrics()
        settings = AuditLog(str(file), max_mib=max_mib, keep=keep)
        self.audit = Audit(settings, self.metrics, wall=lambda: 1_800_000_000.25)
        self.audit.start()

    @property
    def lost(self) -> float:
        """Return how many lines were lost."""
        lines = self.metrics.text().decode().splitlines()
        name = "slicerhub_audit_lines_lost_total "
        return next(float(one.removeprefix(name)) for one in lines if one.startswith(name))


@pytest.fixture
def said() -> Iterator[LogCapture]:
    """Give what goes to standard output."""
    capture = LogCapture()
    structlog.configure(processors=[capture])
    yield capture
    structlog.reset_defaults()


def lines_of(path: Path) -> list[dict[str, object]]:
    """Return the lines of a file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


async def test_line(tmp_path: Path, said: LogCapture) -> None:
    """A line says who did what to whose session, from where and when; in both places the same."""
    file = tmp_path / "audit.jsonl"
    desk = Desk(file)
    desk.audit.record(Act.SHARE, ALICE, whose="alice", session="abc", guest="bob", role="view")
    desk.audit.record(Act.STOP, CONTROLLER, whose="alice", session="abc", reason="idle", gone=None)
    await desk.audit.stop()
    shared = {
        "log": "audit",
        "at": "2027-01-15T08:00:00.250Z",
        "act": "share",
        "who": "alice",
        "whose": "alice",
        "session": "abc",
        "from": "10.0.0.1",
        "guest": "bob",
        "role": "view",
    }
    stopped = shared | {"act": "stop", "who": "controller", "from": None, "reason": "idle"}
    del stopped["guest"], stopped["role"]
    assert lines_of(file) == [shared, stopped]
    assert said.entries == [
        {"event": one["act"], "log_level": "info"} | one for one in (shared, stopped)
    ]


async def test_one_short_line_an_act(tmp_path: Path) -> None:
    """Whatever stands in a value, an act is one line, and not a long one."""
    file = tmp_path / "audit.jsonl"
    desk = Desk(file)
    name = 'eve\n{"act": "login"}\r\u2028\x1b[31m' + "a" * 100_000
    desk.audit.record(Act.LOGIN_FAILED, Actor(name, name), reason=name)
    await desk.audit.stop()
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) == 1
    assert "\x1b" not in text
    assert len(text) < 2000


async def test_for_the_owner_only(tmp_path: Path) -> None:
    """Nobody else on the machine reads who did what; a file that was turned over neither."""
    file = tmp_path / "audit.jsonl"
    desk = Desk(file)
    for number in range(6000):
        desk.audit.record(Act.OPEN, ALICE, session="s" * 100, number=number)
        if number % 1000 == 0:  # the disk is given time: more than fits in line would be lost
            waiting = desk.audit._waiting  # pyright: ignore[reportPrivateUsage] - what waits is looked at
            assert waiting is not None
            await eventually(waiting.empty)
    await desk.audit.stop()
    files = [file, file.with_suffix(".jsonl.1")]
    assert not file.with_suffix(".jsonl.2").exists()
    assert {one.stat().st_mode & 0o777 for one in files} == {0o600}
    numbers = [line["number"] for one in reversed(files) for line in lines_of(one)]
    assert numbers == list(range(6000))
    assert desk.lost == 0


async def test_full_disk(said: LogCapture) -> None:
    """On a full disk work goes on; what is lost is counted, and said once."""
    desk = Desk("/dev/full")
    for _ in range(3):
        desk.audit.record(Act.LOGIN, ALICE)
    await desk.audit.stop()
    assert desk.lost == 3
    (fault,) = [one for one in said.entries if one["event"] == "audit_file_unusable"]
    assert "No space left" in fault["error"]


async def test_mended_disk(tmp_path: Path, said: LogCapture) -> None:
    """Once the file can be written again it is; the next fault is said again."""
    folder = tmp_path / "folder"
    desk = Desk(folder / "audit.jsonl")
    desk.audit.record(Act.LOGIN, ALICE)
    await eventually(lambda: desk.lost == 1)
    folder.mkdir()
    desk.audit.record(Act.LOGOUT, ALICE)
    await eventually((folder / "audit.jsonl").exists)
    await desk.audit.stop()
    assert [line["act"] for line in lines_of(folder / "audit.jsonl")] == ["logout"]
    assert sum(one["event"] == "audit_file_unusable" for one in said.entries) == 1


async def test_hanging_disk(tmp_path: Path) -> None:
    """A disk that does not answer holds up nobody: neither those who work nor the program's end."""
    file = tmp_path / "pipe"
    os.mkfifo(file)  # opening it waits until somebody reads
    desk = Desk(file)
    begun = time.monotonic()
    for _ in range(12_000):
        desk.audit.record(Act.LOGIN, ALICE)
    lost = desk.lost
    assert 1990 <= lost <= 2000
    await desk.audit.stop()
    assert time.monotonic() - begun < 60  # not a measure: it would wait for ever
    waiting = desk.audit._waiting  # pyright: ignore[reportPrivateUsage] - the same
    assert waiting is not None
    arrived: list[str] = []
    async with anyio.create_task_group() as group:

        async def read() -> None:
            arrived.extend((await anyio.Path(file).read_text(encoding="utf-8")).splitlines())

        group.start_soon(read)
        await eventually(waiting.empty)
        await desk.audit.stop()
    assert len(arrived) == 12_000 - lost


async def test_no_file() -> None:
    """Without a file there is nothing to write, to lose or to wait for."""
    desk = Desk()
    desk.audit.record(Act.LOGIN, ALICE)
    await desk.audit.stop()
    assert desk.lost == 0
