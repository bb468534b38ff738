"""The letters at the edges of a slice: where the patient's left, back and head are.

They are part of the view's picture and computed each time that it is drawn, so that a picture never
shows the letters of another one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

# Right, anterior and superior are the positive directions of Slicer's coordinates (RAS, mm).
_LETTERS = (("R", "L"), ("A", "P"), ("S", "I"))
# From about 15 degrees off the first letter, a direction has a second and third one, in the order
# of their parts, as in DICOM (PS3.3 C.7.6.1.1.1, Patient Orientation).
_PART_MIN = 0.26
# Formats that do not tell, or not reliably, how the patient lies.
_SILENT = (".hdr",)

_SIZE = 18  # pixels
_MARGIN = 0.015  # of the view
_COLOUR = (0.9, 0.9, 0.9)  # no colour, because colours in a picture have a meaning
# Of each edge: where it stands in the view, 0 to 1 from below on the left, and how it is set there
# (VTK's numbers: 0 left or bottom, 1 in the middle, 2 right or top).
_PLACES = {
    "left": ((_MARGIN, 0.5), (0, 1)),
    "right": ((1 - _MARGIN, 0.5), (2, 1)),
    "top": ((0.5, 1 - _MARGIN), (1, 2)),
    "bottom": ((0.5, _MARGIN), (1, 0)),
}


class Edges(msgspec.Struct, frozen=True):
    """The letters at the edges of a slice; empty where they are not known."""

    left: str = ""
    right: str = ""
    top: str = ""
    bottom: str = ""


def letters_of(direction: Sequence[float]) -> str:
    """The letters of a direction in RAS, the largest part first; empty for no direction."""
    length = math.hypot(*direction)
    if not length > 0:  # also for what is no number
        return ""
    parts = [part / length for part in direction]
    order = sorted(range(3), key=lambda axis: -abs(parts[axis]))
    return "".join(
        _LETTERS[axis][parts[axis] < 0] for axis in order if abs(parts[axis]) >= _PART_MIN
    )


def edges_of(right: Sequence[float], up: Sequence[float]) -> Edges:
    """The letters at the edges, from where a view's right and upper edge are, in RAS."""
    return Edges(
        left=letters_of([-part for part in right]),
        right=letters_of(right),
        top=letters_of(up),
        bottom=letters_of([-part for part in up]),
    )


def says_how_it_lies(file: str) -> bool:
    """Tell whether a volume from this file says how the patient lies; "": from no file."""
    return not file.lower().endswith(_SILENT)


def show_letters(views: Any) -> None:  # noqa: ANN401 - trame-slicer's ViewManager
    """Shows them on each slice view, also on those of later layouts."""
    for view in views.get_slice_views():
        _Letters(view)
    create = views.create_view

    def create_with_letters(definition: Any) -> Any:  # noqa: ANN401
        before = views.is_view_created(definition.singleton_tag)
        view = create(definition)
        if not before and view in views.get_slice_views():
            _Letters(view)
        return view

    views.create_view = create_with_letters


class _Letters:
    """The four texts of one slice view. VTK's callback before drawing keeps them alive."""

    def __init__(self, view: Any) -> None:  # noqa: ANN401 - trame-slicer's SliceView
        # VTK finds its text renderer only if it was loaded.
        import vtkmodules.vtkRenderingFreeType  # noqa: F401  # pyright: ignore[reportUnusedImport]
        from vtkmodules.vtkRenderingCore import vtkTextActor

        above = max(view.renderers(), key=lambda one: one.GetLayer())
        self._view = view
        self._texts: dict[str, Any] = {}
        for edge, (place, (across, along)) in _PLACES.items():
            text: Any = vtkTextActor()
            where = text.GetPositionCoordinate()
            where.SetCoordinateSystemToNormalizedViewport()
            where.SetValue(*place)
            how = text.GetTextProperty()
            how.SetFontSize(_SIZE)
            how.BoldOn()
            how.ShadowOn()
            how.SetColor(*_COLOUR)
            how.SetJustification(across)
            how.SetVerticalJustification(along)
            text.PickableOff()
            self._texts[edge] = text
            above.AddViewProp(text)
        view.render_window().AddObserver("StartEvent", self._before_drawing)

    def _before_drawing(self, *_: object) -> None:
        found = self._found()
        for edge, text in self._texts.items():
            letters: str = getattr(found, edge)
            text.SetInput(letters)
            text.SetVisibility(bool(letters))

    def _found(self) -> Edges:
        node = self._view.get_view_node()
        shown = self._view.get_background_volume_id()
        volume = node.GetScene().GetNodeByID(shown) if node and shown else None
        if volume is None or not says_how_it_lies(_file_of(volume)):
            return Edges()
        to_ras = node.GetSliceToRAS()
        right, up = ([to_ras.GetElement(row, column) for row in range(3)] for column in (0, 1))
        return edges_of(right, up)


def _file_of(volume: Any) -> str:  # noqa: ANN401 - a node
    storage = volume.GetStorageNode()
    return (storage.GetFileName() or "") if storage else ""
