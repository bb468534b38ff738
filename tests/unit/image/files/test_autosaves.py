"""What is saved by itself stays: whatever is killed, whoever saves too, whatever the time is."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path, PurePosixPath

import pytest
from app.core.errors import FileError
from app.files.autosaves import (
    KEPT_AUTOSAVES,
    UNNAMED,
    Autosaves,
    autosave_name,
    in_order,
    next_number,
    number_of,
    parse_autosave,
    surplus_autosaves,
)
from app.files.folders import Folder, open_folder
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.image.files.work import NOON, THESIS, Killed, Steps, Work, numbers, saved

FIRST = datetime(1970, 1, 1)  # noqa: DTZ001 - hypothesis adds the zone
LAST = datetime(2200, 1, 1)  # noqa: DTZ001
TIMES = st.datetimes(FIRST, LAST, timezones=st.just(UTC))
NUMBERS = st.integers(1, 10**12)


# Names and numbers.


@given(number=NUMBERS, when=TIMES)
def test_a_name_tells_number_and_time(number: int, when: datetime) -> None:
    """The name holds the number, and the second it was saved, whatever the zone."""
    there = when.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert parse_autosave(autosave_name(number, there)) == (number, when.replace(microsecond=0))


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("scene-000012-20260131T094100Z.mrb", 12),
        ("scene-1000000-20260131T094100Z.mrb", 1_000_000),
        ("scene-20260131T094100Z.mrb", 0),
        ("scene-000012-20261331T094100Z.mrb", None),
        ("scene-12-20260131T094100Z.mrb", None),
        ("scene-٠٠٠٠١٢-20260131T094100Z.mrb", None),
        (".scene-000012.taken", None),
        ("scene.mrb", None),
        ("", None),
    ],
)
def test_which_files_are_autosaves(name: str, number: int | None) -> None:
    """Nothing that a person may have called so is taken for one of ours."""
    found = parse_autosave(name)
    assert number == (found[0] if found else None)


@given(st.lists(st.tuples(NUMBERS, TIMES), unique_by=lambda pair: pair[0]))
def test_the_newest_three_are_kept_by_number(pairs: list[tuple[int, datetime]]) -> None:
    """Whatever the clock said when they were written, and nothing else is ever deleted."""
    names = [autosave_name(*pair) for pair in sorted(pairs)]
    others = ["mine.mrb", "scene-20260131T094100Z.mrb", ".scene-000001.offered"]
    surplus = surplus_autosaves([*names, *others])
    assert sorted(surplus) == sorted(names[:-KEPT_AUTOSAVES])
    assert surplus_autosaves(names, keep=names) == []


@given(st.lists(NUMBERS), st.lists(NUMBERS))
def test_a_number_is_above_all_others(used: list[int], taken: list[int]) -> None:
    """Also above those that another program is just about to use."""
    names = [autosave_name(number, NOON) for number in used]
    names += [f".scene-{number:06}.taken" for number in taken]
    assert next_number(names) == max([0, *used, *taken]) + 1


# One folder a name.


def test_sessions_of_other_names_keep_their_own(home: Path) -> None:
    """Working in one session for long leaves the autosaves of another one alone."""
    first, second = Work(home, THESIS), Work(home)
    name = first.do()
    for _ in range(10):
        second.do()
    assert saved(home, THESIS) == [name]
    assert numbers(home) == [8, 9, 10]


def test_the_newest_is_named_when_there_is_nothing_newer(home: Path) -> None:
    """What is there is told as saved; nothing, and nothing is written for it, if nothing is."""
    work = Work(home)
    assert work.keeper.save() is None
    assert list(home.rglob("*")) == [home / "files"]
    name = work.do()
    assert work.keeper.save() == name
    assert work.written == 1
    assert Work(home).keeper.save() == name
    assert Work(home, THESIS).keeper.save() is None


def test_an_empty_scene_is_no_autosave(home: Path) -> None:
    """An empty scene pushes no autosave out."""
    work = Work(home)
    name = work.do()
    work.things = ["colours.ctbl"]
    for _ in range(5):
        assert work.do() == name
    assert saved(home) == [name]


def test_a_program_that_writes_nothing_has_not_saved(home: Path) -> None:
    """Whatever it says, an empty file is an error in words."""
    autosaves = Autosaves(home, home / "files", "")
    with pytest.raises(FileError, match="wrote nothing"), autosaves.draft() as draft:
        autosaves.keep(draft, NOON)
    assert saved(home) == []


@pytest.mark.parametrize("days", [-400, -1, 1, 400])
def test_a_clock_that_jumps_changes_nothing(home: Path, days: int) -> None:
    """Each save is kept as the newest, before the jump, after it, and after the way back."""
    work = Work(home)
    for number, offset in enumerate((0, 0, days, days, 0, 0), start=1):
        work.now = NOON + timedelta(days=offset)
        name = work.do()
        assert saved(home)[-1] == name
        assert numbers(home)[-1] == number
    assert numbers(home) == [4, 5, 6]


def test_what_is_the_last_with_something_in_it_stays(home: Path) -> None:
    """A program that writes what cannot be read does not push out the last that can."""
    work = Work(home)
    work.do()
    for _ in range(5):
        with work.autosaves.draft() as draft:
            draft.write(b"a scene")
            work.autosaves.keep(draft, NOON)
    folder = home / "files" / "autosave" / UNNAMED
    names = in_order(each.name for each in folder.iterdir())
    assert sorted(map(number_of, names)) == [1, 4, 5, 6]


# Killed, full, and at once.


def steps_of_a_save(home: Path) -> int:
    """How many steps the fourth save takes, counted in a volume of its own."""
    for _ in range(3):
        Work(home).do()
    steps = Steps(-1, Killed)
    Work(home, steps=steps).do()
    return steps.done


def prefixes(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """For each number of steps of a save a volume with three autosaves."""
    (tmp_path / "count" / "files").mkdir(parents=True)
    for last in range(steps_of_a_save(tmp_path / "count")):
        home = tmp_path / str(last)
        (home / "files").mkdir(parents=True)
        for _ in range(3):
            Work(home).do()
        yield last, home


def test_a_save_that_is_killed_at_any_step_loses_nothing(tmp_path: Path) -> None:
    """All that was saved before is there and whole, and the next save works and tidies up."""
    tried = 0
    for last, home in prefixes(tmp_path):
        before = saved(home)
        with pytest.raises(Killed):
            Work(home, steps=Steps(last, Killed)).do()
        after = saved(home)
        # The oldest may have gone, but only for the new one.
        assert after[:3] == before or (after[:2] == before[1:] and len(after) == 3)
        work = Work(home)
        name = work.do()
        assert saved(home)[-1] == name
        assert len(saved(home)) == 3
        everything = [each.name for each in home.rglob("*") if each.is_file()]
        assert sorted(everything) == sorted(saved(home))
        tried += 1
    assert tried >= 8


def test_a_disk_that_is_full_at_any_step_is_told_and_survived(tmp_path: Path) -> None:
    """Nothing is lost, nothing half is left, and one sentence says what to do about it."""
    for last, home in prefixes(tmp_path):
        before = saved(home)
        work = Work(home, steps=Steps(last, lambda: OSError(errno.ENOSPC, "No space left")))
        work.inputs += 1
        work.keeper.try_save()
        assert saved(home)[:3] == before or saved(home)[-1] not in before
        assert all("Remove files that you do not need" in text for text in work.told)
        assert bool(work.told) == work.keeper.is_due


def test_trouble_is_told_once_and_its_end_once(home: Path) -> None:
    """A full disk does not end the saving: it goes on, and says so when it works again."""
    work = Work(home)
    work.do()
    work.full = True
    for _ in range(3):
        work.inputs += 1
        work.keeper.try_save()
    assert len(work.told) == 1
    assert "not saved" in work.told[0]
    assert "disk is full" in work.told[0]
    assert numbers(home) == [1]
    work.full = False
    work.keeper.try_save()
    work.do()
    assert work.told[1:] == [""]
    assert numbers(home) == [1, 2, 3]
    work.full = True
    with pytest.raises(FileError, match="disk is full"):
        work.do()
    assert len(work.told) == 3


def test_a_folder_that_vanished_is_made_anew(home: Path) -> None:
    """A scene is saved though its folder is deleted in the middle of a session."""
    work = Work(home)
    work.do()
    for each in (home / "files" / "autosave" / UNNAMED).iterdir():
        each.unlink()
    (home / "files" / "autosave" / UNNAMED).rmdir()
    assert work.keeper.save() is None
    work.do()
    assert numbers(home) == [1]


def test_a_link_in_place_of_the_folder_is_not_followed(home: Path) -> None:
    """Nothing is written where somebody made the folder lead to."""
    (home / "elsewhere").mkdir()
    (home / "files" / "autosave").symlink_to(home / "elsewhere")
    with pytest.raises(FileError, match="Your scene could not be written"):
        Work(home).do()
    assert list((home / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("sessions", [2, 3])
@pytest.mark.row(53)
def test_sessions_that_save_at_once_get_their_own_numbers(home: Path, sessions: int) -> None:
    """A session that is started anew before the old one has ended overwrites nothing."""
    at_once = threading.Barrier(sessions)
    named: list[str | None] = []

    def work_on() -> None:
        work = Work(home)
        at_once.wait()
        named.extend(work.do() for _ in range(12))

    threads = [threading.Thread(target=work_on) for _ in range(sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = sorted(number_of(name or "") for name in named)
    assert len(set(found)) == 12 * sessions
    assert found[0] >= 1  # a number that one lets go, since another has a higher one, stays unused
    last = saved(home)
    # Each keeps its own last one, which need not be among the newest three at that moment.
    assert KEPT_AUTOSAVES <= len(last) <= KEPT_AUTOSAVES + sessions
    assert number_of(last[-1]) == found[-1]


class Late(Steps):
    """Opens folders in which somebody else saves just before the first mark is made."""

    def __init__(self, other: Work) -> None:
        """Nothing has been done."""
        super().__init__(-1, Killed)
        self._other: Work | None = other

    def open(self, root: Path, relative: PurePosixPath, *, make: bool) -> Folder:
        """In place of `open_folder`."""
        opened = open_folder(root, relative, make=make)
        return LateFolder(opened.path, opened.handle, self)

    def take(self) -> None:
        """The moment has come, once."""
        other, self._other = self._other, None
        if other:
            other.do()


class LateFolder(Folder):
    """One of those."""

    def __init__(self, path: Path, handle: int, late: Late) -> None:
        """Takes over the handle."""
        super().__init__(path, handle)
        self._late = late

    def create(self, name: str) -> int:
        """After somebody else, if it is a mark."""
        if name.endswith(".taken"):
            self._late.take()
        return super().create(name)


def test_a_number_that_was_used_meanwhile_is_not_used_again(home: Path) -> None:
    """Not even if the other program has taken it and is done with it between look and mark."""
    other = Work(home)
    work = Work(home, steps=Late(other))
    work.do()
    assert numbers(home) == [1, 2]
    assert other.keeper.save() == saved(home)[-1]
