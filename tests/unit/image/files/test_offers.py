"""What was saved by itself is offered to the next session, and stays until that is answered."""

from __future__ import annotations

import errno
import zipfile
from pathlib import Path

import pytest
from app.files.autosaves import KEPT_AUTOSAVES, Autosaves, number_of
from app.files.bundles import Thing

from tests.unit.image.files.work import NOON, THESIS, Steps, Work, numbers, saved, write_scene


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
    """A person who chose one or none is not asked again, and three are kept as before."""
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
