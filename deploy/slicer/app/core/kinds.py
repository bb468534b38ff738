"""How 3D Slicer's core handles a file, by the file's name. A table only, without Slicer."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """How Slicer's core handles a file."""

    SCENE = "scene"
    SEGMENTATION = "segmentation"
    VOLUME = "volume"
    MODEL = "model"
    FOLDER = "folder"
    OTHER = "other"


# The longest ending wins; the table follows the storage nodes of Slicer's core.
ENDINGS: tuple[tuple[str, Kind], ...] = (
    (".seg.nrrd", Kind.SEGMENTATION),
    (".seg.vtm", Kind.SEGMENTATION),
    (".nii.gz", Kind.VOLUME),
    (".mrb", Kind.SCENE),
    (".mrml", Kind.SCENE),
    (".nrrd", Kind.VOLUME),
    (".nhdr", Kind.VOLUME),
    (".nii", Kind.VOLUME),
    (".mha", Kind.VOLUME),
    (".mhd", Kind.VOLUME),
    (".dcm", Kind.VOLUME),
    (".ima", Kind.VOLUME),
    (".hdr", Kind.VOLUME),
    (".stl", Kind.MODEL),
    (".obj", Kind.MODEL),
    (".ply", Kind.MODEL),
    (".vtk", Kind.MODEL),
    (".vtp", Kind.MODEL),
)


# Formats in which a part of the scene can be saved, the most complete one first.
FORMATS: dict[Kind, tuple[str, ...]] = {
    Kind.VOLUME: (".nrrd", ".nii.gz"),
    Kind.SEGMENTATION: (".seg.nrrd", ".nii.gz"),
    Kind.MODEL: (".vtk", ".stl"),
}


def kind_of(name: str) -> Kind:
    """The kind by the ending, without regard to case."""
    lower = name.lower()
    return next((kind for ending, kind in ENDINGS if lower.endswith(ending)), Kind.OTHER)


def ending_of(name: str) -> str:
    """The ending that says what is in the file, in small letters; empty for an unknown one."""
    lower = name.lower()
    return next((ending for ending, _ in ENDINGS if lower.endswith(ending)), "")


def preset_for(scalar_min: float) -> str:
    """The volume-rendering preset that shows a volume well at once.

    Air is about -1000 Hounsfield units in CT; MR has hardly any negative values.
    """
    return "CT-Chest-Contrast-Enhanced" if scalar_min < -500 else "MR-Default"  # noqa: PLR2004
