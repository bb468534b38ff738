"""What a saved scene tells of itself before anybody opens it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from app.files.bundles import Thing, describe, picture_in, things_in, things_of

PNG = b"\x89PNG\r\n\x1a\n" + b"how it looked"


@pytest.mark.parametrize(
    ("member", "thing"),
    [
        ("S/Data/MNI152%20T1.nrrd", Thing("MNI152 T1", "volume")),
        ("S/Data/Liver.seg.nrrd", Thing("Liver", "segmentation")),
        ("S/Data/skull.vtk", Thing("skull", "model")),
        ("S/Data/F.mrk.json", Thing("F", "markups")),
        ("S/Data/colours.ctbl", None),
        ("S/Data/", None),
        ("S/S.mrml", None),
        ("S/picture.png", None),
    ],
)
def test_what_is_in_a_scene(member: str, thing: Thing | None) -> None:
    """Volumes, segmentations, models and markups by their names, and none of what helps them."""
    assert things_of([member]) == ((thing,) if thing else ())


def test_how_it_is_told() -> None:
    """Names and kinds, not without end, and nothing where it is not known."""
    things = tuple(Thing(str(number), "model") for number in range(8))
    assert describe(things[:2]) == "0 (model), 1 (model), "
    assert describe(things).endswith("5 (model), 2 more, ")
    assert describe(None) == ""


@pytest.mark.parametrize("content", [b"", b"a scene", b"PK\x03\x04" + b"\0" * 40])
def test_what_is_no_scene_is_not_taken_for_an_empty_one(tmp_path: Path, content: bytes) -> None:
    """It cannot be told what is in it, which is no reason to drop it."""
    path = tmp_path / "scene.mrb"
    path.write_bytes(content)
    assert things_in(path) is None
    assert things_in(tmp_path / "missing.mrb") is None


def bundle(path: Path, *members: str, content: bytes = PNG) -> Path:
    """A saved scene with these files in it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for member in members:
            file.writestr(member, content)
    return path


@pytest.mark.parametrize(
    ("member", "found"),
    [
        ("Scene/Scene.png", True),
        ("Scene/Other.PNG", True),
        ("Scene/Data/Photo.png", False),
        ("Scene.png", False),
        ("Scene/Scene.jpg", False),
    ],
)
def test_how_it_looked(tmp_path: Path, member: str, found: bool) -> None:
    """The picture beside the scene is taken, and none of those that are data in it."""
    path = bundle(tmp_path / "scene.mrb", "Scene/Scene.mrml", member)
    assert picture_in(path) == (PNG if found else b"")


@pytest.mark.parametrize("content", [b"", b"<script>", PNG + bytes(1 << 20)])
def test_what_is_no_picture_is_not_shown(tmp_path: Path, content: bytes) -> None:
    """Nor one that grows beyond all measure when it is unpacked."""
    assert picture_in(bundle(tmp_path / "scene.mrb", "S/S.png", content=content)) == b""


def test_a_spoilt_file_harms_nobody(tmp_path: Path) -> None:
    """Whatever byte of it is damaged, the start of a session goes on."""
    whole = bundle(tmp_path / "scene.mrb", "S/S.png").read_bytes()
    path = tmp_path / "spoilt.mrb"
    for place in range(len(whole)):
        for flip in (0x01, 0x80, 0xFF):
            spoilt = bytearray(whole)
            spoilt[place] ^= flip
            path.write_bytes(spoilt)
            assert picture_in(path) in {b"", PNG}
            assert things_in(path) in {None, ()}
    assert picture_in(tmp_path / "missing.mrb") == b""
