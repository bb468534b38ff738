"""Leaves out work of the libraries at the start: a third of the time to the first picture.

Each patch is undone when the page is built, except the stand-in for `vtk`, which stays and offers
everything that the real one does. Measured in this image (imports of Slicer and VTK: 1.4 s): `vtk`
0.3 s, drawing while building 0.7 s, drawing for a type check 0.25 s, rendering templates 0.3 s.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator

_FEW = ("vtkCommonCore", "vtkCommonDataModel", "vtkRenderingCore", "vtkInteractionWidgets")


class _Vtk(types.ModuleType):
    """`import vtk` loads a hundred and fifty extension modules; the viewer uses ten names of it."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        if name.startswith("__"):
            raise AttributeError(name)
        for each in _FEW:
            module = importlib.import_module(f"vtkmodules.{each}")
            if hasattr(module, name):
                return getattr(module, name)
        return getattr(importlib.import_module("vtkmodules.all"), name)


def stand_in_for_vtk() -> None:
    """Must be called before anything imports `vtk`."""
    if "vtk" not in sys.modules:
        import vtkmodules

        stand_in = _Vtk("vtk")
        stand_in.__path__ = vtkmodules.__path__
        sys.modules["vtk"] = stand_in


@contextlib.contextmanager
def lean_views() -> Generator[None]:
    """While views are made.

    Each of two hundred settings would draw the still empty view.
    """
    from trame_slicer.views.render_scheduler import DirectRendering

    direct: Any = DirectRendering

    def nothing(_self: object) -> None: ...

    schedule = direct.schedule_render
    direct.schedule_render = nothing
    try:
        yield
    finally:
        direct.schedule_render = schedule


@contextlib.contextmanager
def lean_page() -> Generator[None]:
    """While the page is built: each element would render itself and everything below it.

    The whole page is rendered at the end in any case.
    """
    from trame_client.widgets import core

    element: Any = core.AbstractElement
    context: Any = core.HTML_CTX

    def leave_only(self: object, *_: object) -> None:
        context.exit(self)

    leave = element.__exit__
    element.__exit__ = leave_only
    try:
        yield
    finally:
        element.__exit__ = leave
