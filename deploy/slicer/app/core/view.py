"""A view of trame-slicer as something that draws pictures: input in, pixels out.

It takes the place of the library's own scheduler of renderings (trame-rca 2.11), which drew every
view on a timer of its own, sent one quality to everybody, and never dropped a picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from slicer import vtkMRMLLayerDisplayableManager
from trame_rca.utils import RcaViewAdapter
from trame_slicer.rca_view import rca_view_factory
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonDataModel import vtkImageData

from app.core.pixels import Pixels

if TYPE_CHECKING:
    from collections.abc import Callable

    Add = Callable[[str, "RemoteView"], Callable[[], None]]

# Samples of a pixel. llvmpipe draws each of them, in every one of a view's seven layers: with four
# a slice of 618x366 takes 10 ms instead of 3, and what moves needs none.
_MOVING_SAMPLES = 0
_FINAL_SAMPLES = 4


# As on a screen of 4K; more are drawn smaller, as the library does it. A page may ask for any size.
MOST_PIXELS = 3840 * 2160
_PRESSES = ("Press", "Release")
_MOVEMENTS = ("MouseWheel", "Pinch", "Pan", "Rotate")


# What is applied. Keys are not: by some, VTK's own styles end its loop or switch how surfaces look.
_EVENTS = frozenset(
    ["MouseMove"]
    + [f"{button}Button{what}" for button in ("Left", "Middle", "Right") for what in _PRESSES]
    + [f"{part}{what}" for part in ("Start", "", "End") for what in _MOVEMENTS]
)


class RemoteView:
    """One view. All of it runs on the event loop's thread, which VTK's contexts belong to."""

    def __init__(self, adapter: Any) -> None:  # noqa: ANN401 - trame-rca
        """``adapter``: the library's, which scales and applies events and sizes."""
        self._adapter = adapter
        adapter.max_pixel_count = MOST_PIXELS
        self._window: Any = adapter._rca._vtk_render_window  # noqa: SLF001
        self._window.SetMultiSamples(_MOVING_SAMPLES)
        self._window.AddObserver("AbortCheckEvent", self._check)
        self._interrupted: Callable[[], bool] | None = None
        self._image: Any = vtkImageData()

    @property
    def is_heavy(self) -> bool:
        """Whether a volume is rendered in it."""
        return bool(self._mappers())

    def draw(
        self, distance: float, *, final: bool, interrupted: Callable[[], bool] | None
    ) -> Pixels | None:
        """Draws it, see `app.stream.drawing.Surface`."""
        for mapper in self._mappers():
            mapper.SetAutoAdjustSampleDistances(False)  # noqa: FBT003 - VTK takes no names
            mapper.SetImageSampleDistance(distance)
        samples = _FINAL_SAMPLES if final else _MOVING_SAMPLES
        if self._window.GetMultiSamples() != samples:
            self._window.SetMultiSamples(samples)
        self._interrupted = interrupted
        self._window.Render()
        self._interrupted = None
        if self._window.GetAbortRender():
            return None
        vtkMRMLLayerDisplayableManager.RenderWindowBufferToImage(self._window, self._image)
        width, height, _ = self._image.GetDimensions()
        pixels = vtk_to_numpy(self._image.GetPointData().GetScalars())
        upright = pixels.reshape((height, width, -1))[::-1]  # VTK counts from below
        return Pixels(width, height, upright.tobytes())

    def handle(self, event: Any, times: int) -> None:  # noqa: ANN401 - a Struct
        """Applies an input, see `app.stream.drawing.Surface`."""
        if event.type not in _EVENTS:
            return
        for _ in range(times):
            self._adapter.on_interaction("", msgspec.to_builtins(event))

    def resize(self, width: float, height: float, ratio: float) -> None:
        """Takes a size, see `app.stream.drawing.Surface`."""
        self._adapter.update_size("", {"w": width, "h": height, "p": ratio})

    def _mappers(self) -> list[Any]:
        return [
            volume.GetMapper()
            for renderer in self._window.GetRenderers()
            for volume in renderer.GetVolumes()
            if volume.GetVisibility() and hasattr(volume.GetMapper(), "SetImageSampleDistance")
        ]

    def _check(self, *_: object) -> None:
        if self._interrupted is not None and self._interrupted():
            self._window.SetAbortRender(True)  # noqa: FBT003


class _Schedule:
    """What trame-slicer asks for a new picture: it only passes that on."""

    def __init__(self, window: Any, **_: object) -> None:  # noqa: ANN401
        self.rca = window
        self.target_fps = 0.0  # the library sets it; how often is drawn is decided elsewhere
        self.changed: Callable[[], None] | None = None

    def set_push_callback(self, _push: object) -> None:
        """Nothing is pushed over the library's connection."""

    def schedule_render(self) -> None:
        """The view has changed."""
        if self.changed is not None:
            self.changed()

    async def close(self) -> None:
        """Nothing is running."""

    def reset(self) -> None:
        """Nothing is kept."""


def take_views(add: Add) -> None:
    """From now on ``add(name, view)`` gets each view that trame-slicer makes.

    It returns what is called whenever that view has changed.
    """

    def adapt(*, window: object, name: str, scheduler: _Schedule, **more: object) -> Any:  # noqa: ANN401
        adapter: Any = RcaViewAdapter(window, name, scheduler=scheduler, **more)
        scheduler.changed = add(name, RemoteView(adapter))
        return adapter

    factory: Any = rca_view_factory
    factory.RcaImageRenderScheduler = _Schedule
    factory.RcaViewAdapter = adapt
