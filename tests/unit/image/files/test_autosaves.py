"""What is saved by itself stays: whatever is killed, whoever saves too, whatever the time is."""

from __future__ import annotations

import errno
import threading
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path, PurePosixPath

import pytest
from app.core.errors import FileError
from app.files.autosaves import (
    KEPT_AUTOSAVES,
    UNNAMED,
    Autosaves,
    Keeper,
    autosave_name,
    in_order,
    next_number,
    number_of,
    parse_autosave,
    surplus_autosaves,
)
from app.files.bundles import Thing, things_in
from app.files.folders import Folder, open_folder
from hypothesis import given
from hypothesis import strategies as st

from controller.core.model import slug

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
FIRST = datetime(1970, 1, 1)  # noqa: DTZ001 - hypothesis adds the zone
LAST = datetime(2200, 1, 1)  # noqa: DTZ001
TIMES = st.datetimes(FIRST, LAST, timezones=st.just(UTC))
NUMBERS = st.integers(1, 10**12)
THESIS = slug("thesis")


class Killed(BaseException):
    """The program is no more: it does nothing else, not even tidy up."""


class Steps:
    """Opens folders that count what is done to the disk, and ``stop`` instead of step ``last``."""

    def __init__(self, last: int, stop: Callable[[], BaseException]) -> None:
        """Nothing has been done."""
        self.done = 0
        self.last = last
        self._stop = stop

    def take(self) -> None:
        """One step, or the end."""
        if self.done == self.last:
            raise self._stop()
        self.done += 1

    def open(self, root: Path, relative: PurePosixPath, *, make: bool) -> Folder:
        """In place of `open_folder`."""
        if make:
            self.take()
        opened = open_folder(root, relative, make=make)
        return Counted(opened.path, opened.handle, self)


class Counted(Folder):
    """A folder in which each change is a step."""

    def __init__(self, path: Path, handle: int, steps: Steps) -> None:
        """Takes over the handle."""
        super().__init__(path, handle)
        self._steps = steps

    def create(self, name: str) -> int:
        """A step."""
        self._steps.take()
        return super().create(name)

    def sync(self, name: str = ".") -> None:
        """A step."""
        self._steps.take()
        super().sync(name)

    def move(self, name: str, folder: Folder, new: str) -> None:
        """A step."""
        self._steps.take()
        super().move(name, folder, new)

    def remove(self, name: str) -> None:
        """A step."""
        self._steps.take()
        super().remove(name)


class Work:
    """What one session does: a scene with this in it, autosaved when ``save`` is called."""

    def __init__(self, home: Path, session: str = "", *, steps: Steps | None = None) -> None:
        """A session that has just started; nobody did anything."""
        self.autosaves = Autosaves(
            home, home / "files", session, opener=steps.open if steps else open_folder
        )
        self.things = ["Brain.nrrd"]
        self.inputs = 0
        self.now = NOON
        self.told: list[str] = []
        self.full = False
        self.written = 0
        self.keeper = Keeper(
            self.autosaves,
            inputs=lambda: self.inputs,
            is_empty=lambda: False,
            write=self._write,
            now=lambda: self.now,
            trouble=self.told.append,
        )

    def do(self) -> str | None:
        """Somebody does something, and it is saved."""
        self.inputs += 1
        return self.keeper.save()

    def _write(self, path: Path) -> None:
        self.written += 1
        if self.full:
            path.write_bytes(b"half a sc")
            raise OSError(errno.ENOSPC, "No space left on device")
        write_scene(path, *self.things)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A person's volume."""
    (tmp_path / "files").mkdir()
    return tmp_path


def write_scene(path: Path, *things: str) -> None:
    """A saved scene with files of these names in it."""
    with zipfile.ZipFile(path, "w") as bundle:
        bundle.writestr("Scene/Scene.mrml", "<MRML/>")
        for thing in things:
            bundle.writestr(f"Scene/Data/{thing}", "data")


def saved(home: Path, session: str = UNNAMED) -> list[str]:
    """The autosaves of a session's name, oldest first; fails if one is not whole."""
    folder = home / "files" / "autosave" / session
    names = in_order(each.name for each in folder.iterdir()) if folder.is_dir() else []
    for name in names:
        assert things_in(folder / name), f"{name} is not whole"
    return names[::-1]


def numbers(home: Path, session: str = UNNAMED) -> list[int]:
    """Their numbers."""
    return [number_of(name) for name in saved(home, session)]


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
    """Who empties a scene, or never had one, pushes nothing out."""
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
    """Who deletes the folder in the middle of a session is saved all the same."""
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
    assert found[0] == 1
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


# Offers.


def test_the_newest_is_offered_with_what_is_in_it(home: Path) -> None:
    """Names, kinds, size and time are told before it is opened."""
    work = Work(home)
    work.do()
    work.things = ["Brain.nrrd", "Tumour.seg.nrrd"]
    name = work.do()
    (offer,) = Work(home).autosaves.offers()
    assert offer.path.name == name
    assert offer.things == (Thing("Brain", "volume"), Thing("Tumour", "segmentation"))
    assert offer.saved_at == NOON
    assert offer.size == offer.path.stat().st_size
    assert Work(home, THESIS).autosaves.offers() == []


def test_the_offer_shows_how_it_looked(home: Path) -> None:
    """The picture in the saved scene is offered with it; where there is none, nothing."""
    picture = b"\x89PNG\r\n\x1a\n"
    autosaves = Autosaves(home, home / "files", "")
    for extra in ({}, {"Scene/Scene.png": picture}):
        with autosaves.draft() as draft:
            write_scene(draft.path, "Brain.nrrd")
            with zipfile.ZipFile(draft.path, "a") as bundle:
                for member, content in extra.items():
                    bundle.writestr(member, content)
            autosaves.keep(draft, NOON)
        (offer,) = Autosaves(home, home / "files", "").offers()
        assert offer.picture == extra.get("Scene/Scene.png", b"")
        autosaves.answered()


def test_an_offer_that_nobody_answered_outlives_all_that_comes_after(home: Path) -> None:
    """Neither this session's work nor that of three later ones pushes it out."""
    real = Work(home).do()
    for _ in range(3):
        work = Work(home)
        assert real in [offer.path.name for offer in work.autosaves.offers()]
        for _ in range(5):
            work.do()
    beside = Work(home)  # one of that name that has offered nothing
    for _ in range(5):
        beside.do()
    assert saved(home)[0] == real
    assert len(saved(home)) <= KEPT_AUTOSAVES + 3


def test_an_offer_that_was_answered_is_like_any_other(home: Path) -> None:
    """Whoever chose, one or none, is not asked again, and three are kept as before."""
    Work(home).do()
    work = Work(home)
    work.autosaves.offers()
    work.autosaves.answered()
    for _ in range(5):
        work.do()
    assert numbers(home) == [4, 5, 6]
    assert len(Work(home).autosaves.offers()) == 1


def test_answering_what_was_never_offered_is_no_error(home: Path) -> None:
    """A new volume has no folder yet."""
    Work(home).autosaves.answered()


@pytest.mark.parametrize("session", ["", THESIS])
def test_autosaves_of_before_are_offered_and_never_touched(home: Path, session: str) -> None:
    """What an older program left is offered to each session that has nothing of its own yet."""
    folder = home / "files" / "autosave"
    folder.mkdir()
    old = [f"scene-202501{day:02}T120000Z.mrb" for day in range(1, 7)]
    for name in old[:4]:
        write_scene(folder / name, "Brain.nrrd")
    for name in old[4:]:  # somebody looked around in an empty one
        write_scene(folder / name)
    work = Work(home, session)
    (offer,) = work.autosaves.offers()
    assert offer.path == folder / old[3]
    work.autosaves.answered()
    for _ in range(5):
        work.do()
    assert sorted(each.name for each in folder.iterdir() if each.is_file()) == old
    (offer,) = Work(home, session).autosaves.offers()
    assert number_of(offer.path.name) == 5


def test_a_disk_too_full_for_a_mark_still_offers(home: Path) -> None:
    """The offer is protected for as long as this session lasts."""
    name = Work(home).do()
    steps = Steps(0, lambda: OSError(errno.ENOSPC, "No space left"))
    work = Work(home, steps=steps)
    assert [offer.path.name for offer in work.autosaves.offers()] == [name]
    steps.last = -1  # there is room again
    for _ in range(5):
        work.do()
    assert saved(home)[0] == name
