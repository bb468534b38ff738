"""Names of files stay inside their folder, and are there once."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
from app.core.errors import FileError
from app.core.kinds import FORMATS, Kind
from app.files.paths import find_roots, free_name, list_folder, parse_relative, resolve_inside
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "/etc/passwd", "a/../b", "a//b", "a/", "a\\b", "a\nb", "a\x00b", "x" * 256,
     "\ud800", "a/\u2028"],
)  # fmt: skip
def test_names_that_are_refused(text: str) -> None:
    """Nothing that leads out of a folder or that no file system takes is a name."""
    with pytest.raises(FileError):
        parse_relative(text)


@given(st.text())
def test_no_name_leads_out(text: str) -> None:
    """Whatever is typed: it stays inside the folder or is refused."""
    base = Path("/nowhere/at/all")
    try:
        path = resolve_inside(base, parse_relative(text))
    except FileError:
        return
    assert path.is_relative_to(base)
    assert path != base


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    """A link in the volume does not open the rest of the system."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "out").symlink_to("/etc")
    with pytest.raises(FileError):
        resolve_inside(tmp_path / "files", PurePosixPath("out/passwd"))


@given(
    title=st.text(),
    ending=st.sampled_from(sorted({each for all_ in FORMATS.values() for each in all_})),
)
def test_what_is_saved_gets_a_name_of_its_own(title: str, ending: str) -> None:
    """Whatever a thing in the scene is called: its file has a name that exists not yet."""
    first = free_name(title, ending, [])
    second = free_name(title, ending, [first.casefold()])
    for name in (first, second):
        assert parse_relative(name).name == name
        assert name.endswith(ending)
        assert not name.startswith(".")
    assert first.casefold() != second.casefold()


def test_a_saved_name_keeps_one_ending() -> None:
    """What was opened from a file is not saved with two endings."""
    assert free_name("Brain.nii.gz", ".nrrd", []) == "Brain.nrrd"
    assert free_name("a/b: c", ".stl", ["a_b_ c.stl"]) == "a_b_ c 2.stl"


def test_the_list_of_a_folder(tmp_path: Path) -> None:
    """Folders first, hidden files not at all, sizes in bytes."""
    (tmp_path / "Z").mkdir()
    (tmp_path / "b.nrrd").write_bytes(b"12345")
    (tmp_path / ".part").write_bytes(b"")
    entries = list_folder(tmp_path, tmp_path)
    assert [(each.name, each.kind, each.size) for each in entries] == [
        ("Z", Kind.FOLDER, 0),
        ("b.nrrd", Kind.VOLUME, 5),
    ]
    with pytest.raises(FileError):
        list_folder(tmp_path, tmp_path / "missing")


def test_group_volumes_are_places_of_their_own(tmp_path: Path) -> None:
    """The user's own files first, then each mounted group volume by its name."""
    (tmp_path / "groups" / "atlas").mkdir(parents=True)
    assert list(find_roots(tmp_path / "f", tmp_path / "groups")) == ["My files", "atlas"]
    assert list(find_roots(tmp_path / "f", tmp_path / "none")) == ["My files"]
