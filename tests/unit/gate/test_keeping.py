"""What a gate does about its file when the disk is slow, hangs or fails."""

from __future__ import annotations

import threading
from pathlib import Path

import anyio
import pytest

from controller.feed.certificates import hand_out, make_proofs
from controller.gate import keeping as keeping_module
from controller.gate.freshness import Freshness
from controller.gate.keeping import Keeping
from controller.gate.kept import KEPT_SECONDS
from controller.gate.sealed import SealedFile
from tests.support.waits import become
from tests.unit.gate.test_kept import MACHINE, NOW, SNAPSHOT

pytestmark = pytest.mark.anyio


class Gate:
    """A gate that is alone, and its disk, which the test lets go on."""

    def __init__(self, folder: Path) -> None:
        """It has heard its controller just now."""
        hand_out(make_proofs(NOW), folder)
        self.path = folder / "gate-1-0.sealed"
        self.seconds = 1000.0
        self.freshness = Freshness(lambda: self.seconds)
        self.file = SealedFile(folder, folder, "gate-1-0", MACHINE)
        self.keeping = Keeping(
            self.file,
            self.freshness,
            snapshot=lambda: SNAPSHOT,
            replace=lambda _: None,
            clock=lambda: self.seconds,
            machine=MACHINE,
        )
        self.freshness.hear(self.seconds)
        self.freshness.close()


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Give a gate that waits for its disk a moment only."""
    monkeypatch.setattr(keeping_module, "_DISK_SECONDS", 0.2)
    return Gate(tmp_path)


async def test_contact_is_when_it_was_heard(gate: Gate) -> None:
    """Ten minutes count from the last answer, not from when its loss was noticed."""
    gate.freshness.hear(gate.seconds)
    gate.seconds += 2
    assert gate.freshness.close()
    await gate.keeping.keep()
    kept = gate.file.read()
    assert kept is not None
    assert kept.contact == gate.seconds - 2


async def test_a_disk_that_hangs(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a write hangs nothing is confirmed, and what is written late is removed."""
    go_on = threading.Event()
    write = gate.file.write

    def slowly(kept: object) -> None:
        go_on.wait(10)
        write(kept)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(gate.file, "write", slowly)
    with anyio.fail_after(5):
        await gate.keeping.keep()
    with pytest.raises(TimeoutError), anyio.fail_after(5):
        await gate.keeping.forget()
    go_on.set()
    await become(gate.path.exists)
    await gate.keeping.forget()
    assert not gate.path.exists()


async def test_a_disk_that_hangs_for_long(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once what may be written is too old for any start the gate follows again."""
    go_on = threading.Event()

    def hang(kept: object) -> None:
        del kept
        go_on.wait(10)

    monkeypatch.setattr(gate.file, "write", hang)
    await gate.keeping.keep()
    gate.seconds += KEPT_SECONDS
    with pytest.raises(TimeoutError):
        await gate.keeping.forget()
    gate.seconds += 0.001
    await gate.keeping.forget()
    go_on.set()


async def test_a_write_that_waits_its_turn(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was to be written before it was forgotten is not written afterwards."""
    monkeypatch.setattr(keeping_module, "_DISK_SECONDS", 5.0)
    go_on, begun = threading.Event(), threading.Event()
    remove = gate.file.remove

    def slowly() -> None:
        begun.set()
        go_on.wait(10)
        remove()

    monkeypatch.setattr(gate.file, "remove", slowly)
    async with anyio.create_task_group() as group:
        group.start_soon(gate.keeping.forget)
        await become(begun.is_set)
        group.start_soon(gate.keeping.keep)
        await anyio.sleep(0.1)
        group.start_soon(gate.keeping.forget)
        await anyio.sleep(0.1)
        go_on.set()
    assert not gate.path.exists()


async def test_nothing_to_go_on_by(gate: Gate) -> None:
    """A start that has found nothing, or a controller, does not go on by anything."""
    await gate.keeping.load()
    assert not gate.keeping.resume()
    await gate.keeping.keep()
    await gate.keeping.load()
    gate.keeping.leave()
    assert not gate.keeping.resume()
