"""What a gate keeps for its next start: for whom, for how long, and who can open it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from controller.core.model import Person, Phase, Role, SessionId, UserId
from controller.core.records import Login
from controller.feed.certificates import hand_out, make_proofs
from controller.gate.answers import answer
from controller.gate.facts import Extra, Guest, SessionFacts, Site, Snapshot
from controller.gate.kept import KEPT_SECONDS, KeptSnapshot, for_owners, is_good
from controller.gate.refusals import Closed
from controller.gate.sealed import NotOpened, SealedFile, machine_boot
from controller.rules.companions import Companion
from controller.settings.schema import Settings

NOW = 1_800_000_000.0
CONTACT = 5000.0  # seconds since the machine began
MACHINE = "5f0c"
ALICE = Person(UserId("alice"), "Alice")
PAGE = answer(403, {})
SNAPSHOT = Snapshot(
    number=7,
    site=Site(Settings(), Closed(PAGE, PAGE, PAGE, PAGE)),
    sessions=(
        SessionFacts(
            SessionId("a" * 26), ALICE.uid, Phase.READY, {UserId("bob"): Guest(Role.CONTROL)}
        ),
    ),
    logins=(
        Login("sid", ALICE, created=NOW, expires=NOW + 60, address="10.0.0.7", agent="Firefox"),
    ),
    revision=3,
    extra=Extra(b"public", b"signing-key", (Companion("atlas-app", "Atlas", frozenset()),), b"{}"),
)
KEPT = KeptSnapshot(for_owners(SNAPSHOT), CONTACT, MACHINE)


@pytest.mark.row(60)
def test_owners_only() -> None:
    """No guest, no companion and no key that signs is kept, and of log-ins what verdicts need."""
    kept = for_owners(SNAPSHOT)
    assert kept.sessions == (SessionFacts(SessionId("a" * 26), ALICE.uid, Phase.READY),)
    assert kept.logins == (Login("sid", ALICE, created=NOW, expires=NOW + 60),)
    assert kept.extra == Extra(b"public", b"")
    assert (kept.site, kept.revision) == (SNAPSHOT.site, 3)
    data = msgspec.msgpack.encode(kept)
    assert not any(
        one in data for one in (b"bob", b"signing-key", b"atlas-app", b"10.0.0.7", b"Firefox")
    )


@pytest.mark.parametrize(
    ("later", "machine", "changes", "good"),
    [
        (0, MACHINE, {}, True),
        (KEPT_SECONDS, MACHINE, {}, True),
        (KEPT_SECONDS + 0.001, MACHINE, {}, False),
        (-0.001, MACHINE, {}, False),
        (1, "6a1d", {}, False),
        (1, "", {}, False),
        (1, "", {"machine": ""}, False),
        (1, MACHINE, {"machine": ""}, False),
        (1, MACHINE, {"protocol": 0}, False),
        (1, MACHINE, {"contact": float("nan")}, False),
        (1, MACHINE, {"contact": float("-inf")}, False),
        (-CONTACT, MACHINE, {"contact": -1.0}, False),
    ],
)
@pytest.mark.row(60)
def test_how_long_it_is_good(
    later: float, machine: str, changes: dict[str, object], good: bool
) -> None:
    """It counts for ten minutes in the same run of the machine; whatever is odd does not."""
    assert is_good(replace(KEPT, **changes), now=CONTACT + later, machine=machine) is good


@pytest.fixture
def proofs(tmp_path: Path) -> Path:
    """Give a folder with what proves a gate."""
    folder = tmp_path / "gates"
    folder.mkdir()
    hand_out(make_proofs(NOW), folder)
    return folder


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Give an empty folder."""
    folder = tmp_path / "kept"
    folder.mkdir()
    return folder


@pytest.fixture
def file(kept: Path, proofs: Path) -> SealedFile:
    """Give a gate's file, written."""
    made = SealedFile(kept, proofs, "gate-1-0", MACHINE)
    made.write(KEPT)
    return made


def test_what_is_written_is_read(file: SealedFile, kept: Path) -> None:
    """A file is read as it was written, by its owner alone, and tells nobody else anything."""
    assert file.read() == KEPT
    (path,) = kept.iterdir()
    assert path.name == "gate-1-0.sealed"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"alice" not in path.read_bytes()
    later = replace(KEPT, contact=CONTACT + 1)
    file.write(later)
    assert file.read() == later
    assert [*kept.iterdir()] == [path]


def test_nothing_written(kept: Path, proofs: Path) -> None:
    """Where there is no file nothing was kept; nor is there anything to remove."""
    for folder in (kept, kept / "missing"):
        none = SealedFile(folder, proofs, "gate-1-0", MACHINE)
        assert none.read() is None
        none.remove()


def _another_gate(kept: Path, proofs: Path) -> SealedFile:
    (kept / "gate-1-0.sealed").rename(kept / "gate-2-0.sealed")
    return SealedFile(kept, proofs, "gate-2-0", MACHINE)


def _another_machine(kept: Path, proofs: Path) -> SealedFile:
    return SealedFile(kept, proofs, "gate-1-0", "6a1d")


def _another_key(kept: Path, proofs: Path) -> SealedFile:
    hand_out(make_proofs(NOW), proofs)
    return SealedFile(kept, proofs, "gate-1-0", MACHINE)


def _no_key(kept: Path, proofs: Path) -> SealedFile:
    (proofs / "gate.pem").unlink()
    return SealedFile(kept, proofs, "gate-1-0", MACHINE)


def _cut_short(kept: Path, proofs: Path) -> SealedFile:
    os.truncate(kept / "gate-1-0.sealed", 5)
    return SealedFile(kept, proofs, "gate-1-0", MACHINE)


def _a_link(kept: Path, proofs: Path) -> SealedFile:
    (kept / "gate-1-0.sealed").rename(kept / "other")
    (kept / "gate-1-0.sealed").symlink_to(kept / "other")
    return SealedFile(kept, proofs, "gate-1-0", MACHINE)


@pytest.mark.parametrize(
    "changed",
    [_another_gate, _another_machine, _another_key, _no_key, _cut_short, _a_link],
    ids=lambda one: one.__name__.strip("_"),
)
@pytest.mark.usefixtures("file")
@pytest.mark.row(60)
def test_nobody_else_opens_it(
    kept: Path, proofs: Path, changed: Callable[[Path, Path], SealedFile]
) -> None:
    """What is of another gate, another start of the machine or another key is not opened."""
    other = changed(kept, proofs)
    with pytest.raises(NotOpened):
        other.read()
    other.remove()
    assert other.read() is None


@pytest.mark.row(60)
def test_one_bit(file: SealedFile, kept: Path) -> None:
    """A file of which one bit has changed is not opened, wherever that is."""
    (path,) = kept.iterdir()
    whole = path.read_bytes()
    for at in (0, 12, len(whole) // 2, len(whole) - 1):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(NotOpened):
            file.read()
    path.write_bytes(whole)
    assert file.read() == KEPT


def test_a_draft_is_removed_too(file: SealedFile, kept: Path) -> None:
    """What a gate that was killed left half written is overwritten, or removed."""
    (kept / "gate-1-0.draft").write_bytes(b"half")
    file.write(KEPT)
    (kept / "gate-1-0.draft").write_bytes(b"half")
    file.remove()
    assert [*kept.iterdir()] == []


def test_this_machine() -> None:
    """The machine's own start has an id that stays."""
    assert machine_boot()
    assert machine_boot() == machine_boot()
