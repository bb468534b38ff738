"""A small picture of all views, which is saved with the scene, as the desktop does."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from vtkmodules.vtkFiltersCore import vtkImageAppend
from vtkmodules.vtkImagingCore import vtkImageConstantPad, vtkImageResize
from vtkmodules.vtkRenderingCore import vtkWindowToImageFilter

if TYPE_CHECKING:
    from collections.abc import Sequence

_TILE = (200, 150)  # pixels of each view
_ACROSS = 2  # views in a row
_GREY = 26  # between the views and around them, 0 to 255: the page's own, nearly


def picture_of(windows: Sequence[Any]) -> Any:  # noqa: ANN401 - VTK
    """The last picture of each window, row by row (vtkImageData, RGB); None if none is open.

    Nothing is drawn again.
    """
    tiles = [_tile(window) for window in windows if min(window.GetSize()) > 0]
    if not tiles:
        return None
    across = min(_ACROSS, len(tiles))
    tiles += [_blank(tiles[0])] * (-len(tiles) % across)
    rows = [_append(tiles[first : first + across], 0) for first in range(0, len(tiles), across)]
    return _append(rows[::-1], 1)  # VTK counts from below


def fit(width: int, height: int) -> tuple[int, int]:
    """The largest size of these proportions that a tile has room for, in pixels."""
    scale = min(_TILE[0] / width, _TILE[1] / height)
    return max(1, math.floor(width * scale)), max(1, math.floor(height * scale))


def _tile(window: Any) -> Any:  # noqa: ANN401 - VTK
    grab: Any = vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ShouldRerenderOff()
    grab.ReadFrontBufferOff()
    grab.Update()
    width, height, _ = grab.GetOutput().GetDimensions()
    size = fit(width, height)
    small: Any = vtkImageResize()
    small.SetInputConnection(grab.GetOutputPort())
    small.SetOutputDimensions(*size, 1)
    small.Update()
    left, below = ((tile - own) // 2 for tile, own in zip(_TILE, size, strict=True))
    return _padded(small.GetOutput(), -left, -below)


def _padded(image: Any, left: int, below: int) -> Any:  # noqa: ANN401 - VTK
    pad: Any = vtkImageConstantPad()
    pad.SetInputData(image)
    pad.SetConstant(_GREY)
    pad.SetOutputWholeExtent(left, left + _TILE[0] - 1, below, below + _TILE[1] - 1, 0, 0)
    pad.Update()
    padded = pad.GetOutput()
    padded.SetExtent(0, _TILE[0] - 1, 0, _TILE[1] - 1, 0, 0)  # tiles meet at their corners
    return padded


def _blank(tile: Any) -> Any:  # noqa: ANN401 - VTK
    """A tile that shows nothing of the given picture."""
    return _padded(tile, tile.GetExtent()[1] + 1, 0)


def _append(images: Sequence[Any], axis: int) -> Any:  # noqa: ANN401 - VTK
    append: Any = vtkImageAppend()
    append.SetAppendAxis(axis)
    for image in images:
        append.AddInputData(image)
    append.Update()
    return append.GetOutput()
