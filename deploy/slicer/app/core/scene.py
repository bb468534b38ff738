"""The one module that touches 3D Slicer's core: what is open, opening, saving, drawing.

Importing it loads VTK and Slicer (seconds). All of it runs on the event loop's thread: VTK's scene
and its OpenGL contexts belong to one thread.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import trame.app
from PIL import features
from trame_slicer import module as trame_slicer_module
from trame_slicer.app.logic import MedicalViewerLogic
from trame_slicer.core import SlicerApp
from trame_slicer.segmentation.segmentation_paint_pipeline import SegmentationPaintPipeline
from vtkmodules.vtkCommonCore import vtkLogger, vtkMultiThreader, vtkOutputWindow, vtkSMPTools

from app.core import log
from app.core.errors import CoreError, FileError
from app.core.kinds import Kind, kind_of, preset_for
from app.core.lean import lean_views
from app.core.picture import picture_of
from app.core.view import take_views

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from app.core.view import Add

# trame has no types, so values from it have none, either.
_UNTYPED: Any = trame.app
_CPU_RAY_CAST = "vtkMRMLCPURayCastVolumeRenderingDisplayNode"
# Mesa's names for renderers without a graphics card.
_SOFTWARE = ("llvmpipe", "softpipe", "swrast")
_FIRST_SIZE = 400
# Pillow's encoder, which includes libjpeg-turbo. Unless it is named, the library uses one of the
# system, or this one without a message if that is too old.
_ENCODER = "jpeg"
_CLASSES = {
    Kind.VOLUME: "vtkMRMLVolumeNode",
    Kind.SEGMENTATION: "vtkMRMLSegmentationNode",
    Kind.MODEL: "vtkMRMLModelNode",
}
_MOST_DICOM_FILES = 20_000
# Colours of new segments: those of the desktop's table that stand out from a grey scan.
_COLOURS = (
    (128, 174, 128),
    (241, 214, 145),
    (177, 122, 101),
    (111, 184, 210),
    (216, 101, 79),
    (144, 238, 144),
    (192, 104, 88),
    (220, 245, 20),
    (230, 220, 70),
    (0, 151, 206),
    (183, 156, 220),
    (221, 130, 101),
)


def limit_threads(processors: int) -> None:
    """Lets VTK's filters use so many threads."""
    vtkMultiThreader.SetGlobalMaximumNumberOfThreads(processors)
    vtkMultiThreader.SetGlobalDefaultNumberOfThreads(processors)
    vtkSMPTools.Initialize(processors)


class Node(msgspec.Struct, frozen=True):
    """One part of the scene that can be saved by itself. ``id`` is that of the scene."""

    id: str
    name: str
    kind: Kind


class Scene:
    """Slicer's application logic with the viewer on it."""

    def __init__(self, add: Add, tools: Iterable[Callable[[Any], None]] = ()) -> None:
        """Builds core, views and logic; a second or two.

        ``add``: gets each view, see `app.core.view.take_views`.
        ``tools``: what is drawn on the views; each gets trame-slicer's ViewManager once.
        Raises CoreError if OpenGL does not come up.
        """
        _quiet_vtk()
        take_views(add)
        self.server: Any = _UNTYPED.get_server("session", client_type="vue3")
        self.server.enable_module(trame_slicer_module)
        self.core: Any = SlicerApp()
        _log_vtk()
        with lean_views():
            self.logic: Any = MedicalViewerLogic(self.server, self.core, rca_encoder=_ENCODER)
        _mend_brushes(self.core.view_manager)
        _mend_colours(self.core.segmentation_editor)
        for show in tools:
            show(self.core.view_manager)
        views = self.core.view_manager.get_threed_views()
        if not views:
            raise CoreError("No 3D view could be made. Is OpenGL (EGL) missing in this image?")
        views[0].render_window().Render()
        self.renderer = _renderer_of(views[0].render_window())
        self.encoder = _encoder()
        if any(name in self.renderer.lower() for name in _SOFTWARE):
            # Twelve times as fast as the graphics card's method is on a processor: it stops at
            # the first opaque point of each ray and uses all cores.
            self.core.volume_rendering._logic.SetDefaultRenderingMethod(_CPU_RAY_CAST)  # noqa: SLF001

    @property
    def is_empty(self) -> bool:
        """Whether the scene contains no work of the user.

        Each slice view brings a model of its own, hidden, and a tool may have markups without a
        point in them: neither is anybody's work.
        """
        if self.list_nodes():
            return False
        markups = self.core.scene.GetNodesByClass("vtkMRMLMarkupsNode")
        return not any(node.GetNumberOfControlPoints() for node in markups)

    def open(self, path: Path) -> str:
        """Opens a file or a folder of DICOM files; returns a message for the user.

        A scene or a volume replaces what was open; a segmentation or a model is added.
        Raises FileError.
        """
        kind = Kind.FOLDER if path.is_dir() else kind_of(path.name)
        if kind is Kind.SCENE:
            return self._open_scene(path)
        if kind is Kind.SEGMENTATION:
            if self.core.io_manager.load_segmentation(path.as_posix()) is None:
                raise FileError(f"{path.name} is not a segmentation that 3D Slicer can read.")
            return f"Opened {path.name}"
        if kind is Kind.MODEL:
            if self.core.io_manager.load_model(path) is None:
                raise FileError(f"{path.name} is not a model that 3D Slicer can read.")
            return f"Opened {path.name}"
        return self._open_volume(path)

    def write(self, path: Path) -> None:
        """Writes the scene, its data and a picture of it as one .mrb file. Raises FileError."""
        scene = self.core.scene
        scene.SetURL(path.as_posix())
        scene.SetRootDirectory(path.parent.as_posix())
        picture = picture_of([view.render_window() for view in self._shown()])
        if not scene.WriteToMRB(path.as_posix(), picture):
            raise FileError("3D Slicer could not write the scene. Is the disk full?")

    def list_nodes(self) -> list[Node]:
        """Volumes, segmentations and models that are not empty and not the program's own."""
        return [
            Node(id=node.GetID(), name=node.GetName(), kind=kind)
            for kind, name in _CLASSES.items()
            for node in self.core.scene.GetNodesByClass(name)
            if not node.GetHideFromEditors() and not _is_hollow(node, kind)
        ]

    def write_node(self, node: Node, path: Path) -> None:
        """Writes one part of the scene in the format of ``path``'s ending. Raises FileError."""
        found = self.core.scene.GetNodeByID(node.id)
        if found is None:
            raise FileError(f"{node.name} is not in the scene any more.")
        if not self._write(found, node.kind, path):
            raise FileError(f"3D Slicer could not write {node.name}. Is the disk full?")

    def _write(self, found: Any, kind: Kind, path: Path) -> bool:  # noqa: ANN401 - VTK
        if kind is Kind.SEGMENTATION and kind_of(path.name) is Kind.VOLUME:
            # As a label map, one number per segment, for programs without segmentations.
            self.core.io_manager.write_segmentation(found, path.as_posix())
            return path.is_file()
        storage = found.CreateDefaultStorageNode()
        storage.SetFileName(path.as_posix())
        return bool(storage.WriteData(found)) and path.is_file()

    def draw(self) -> None:
        """Draws every view of the layout once, so that the first visitor does not wait."""
        for view in self._shown():
            view.update_size(_FIRST_SIZE, _FIRST_SIZE)
            view.render_window().Render()

    def _shown(self) -> list[Any]:
        """The views of the layout."""
        manager = self.core.view_manager
        return list(manager.filter_visible_views(manager.get_views()))

    def _open_scene(self, path: Path) -> str:
        self.core.scene.Clear(False)  # noqa: FBT003 - VTK takes no names
        if not self.core.io_manager.load_scene(path):
            raise FileError(f"{path.name} is not a scene that 3D Slicer can read.")
        volumes = list(self.core.scene.GetNodesByClass("vtkMRMLScalarVolumeNode"))
        if volumes:
            self._show(volumes)
        return f"Opened {path.name}"

    def _open_volume(self, path: Path) -> str:
        names = [path.as_posix()]
        if path.is_dir():
            names = sorted(each.as_posix() for each in path.rglob("*") if each.is_file())
            names = names[:_MOST_DICOM_FILES]
        if not names:
            raise FileError(f"The folder {path.name} is empty.")
        before = set(self.core.scene.GetNodesByClass("vtkMRMLVolumeNode"))
        volumes = self.core.io_manager.load_volumes(names)
        if not volumes:
            raise FileError(f"{path.name} holds no image that 3D Slicer can read.")
        for node in before:
            self.core.scene.RemoveNode(node)
        self._show(volumes)
        return f"Opened {path.name}"

    def _show(self, volumes: list[Any]) -> None:
        least = min(volume.GetImageData().GetScalarRange()[0] for volume in volumes)
        self.logic._volume_properties_logic.data.preset_3d_name = preset_for(least)  # noqa: SLF001
        self.logic._load_files_logic._show_largest_volume(volumes)  # noqa: SLF001


def _mend_brushes(views: Any) -> None:  # noqa: ANN401 - trame-slicer
    """Without this, painting, erasing and smoothing fail (trame-slicer 2.0.0).

    Its brushes are switched on while they are made, before they know their view, so they cannot
    draw.
    """
    brush: Any = SegmentationPaintPipeline
    switch = brush.SetActive

    def in_its_view(self: Any, is_active: bool) -> None:  # noqa: ANN401
        if self._view is None:
            self.SetView(views.get_view(self.GetViewNode()))
        switch(self, is_active)

    brush.SetActive = in_its_view


def _mend_colours(editor: Any) -> None:  # noqa: ANN401 - trame-slicer
    """Without this, a new segment may be grey or black over the grey scan, and invisible.

    The library does not contain the desktop's table of colours and chooses at random.
    """
    add = editor.add_empty_segment

    def in_colour(*, segment_color: list[float] | None = None, **more: object) -> str:
        return add(segment_color=segment_color or _unused_colour(editor), **more)

    editor.add_empty_segment = in_colour


def _unused_colour(editor: Any) -> list[float]:  # noqa: ANN401 - trame-slicer
    """The first unused colour; the least used one if all are used."""
    segmentation = editor.active_segmentation
    present = segmentation.get_segment_colors() if segmentation else []
    used = [tuple(round(255 * part) for part in colour) for colour in present]
    return [part / 255 for part in min(_COLOURS, key=used.count)]


def _is_hollow(node: Any, kind: Kind) -> bool:  # noqa: ANN401 - VTK
    if kind is Kind.VOLUME:
        return node.GetImageData() is None
    if kind is Kind.SEGMENTATION:
        return node.GetSegmentation().GetNumberOfSegments() == 0
    return node.GetPolyData() is None


def _renderer_of(window: Any) -> str:  # noqa: ANN401 - VTK
    for line in window.ReportCapabilities().splitlines():
        if line.lower().startswith("opengl renderer string"):
            return line.partition(":")[2].strip()
    raise CoreError("OpenGL names no renderer. Is libgl1-mesa-dri missing in this image?")


def _encoder() -> str:
    """Logs which encoder makes the sent pictures, with a warning if it is not the fast one."""
    version = features.version_feature("libjpeg_turbo")
    if version:
        return f"libjpeg-turbo {version}"
    log.event("encoder.slow", level=logging.WARNING, message="Pillow has no libjpeg-turbo")
    return "libjpeg"


def _quiet_vtk() -> None:
    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_OFF)
    Path(tempfile.gettempdir()).mkdir(exist_ok=True)


def _log_vtk() -> None:
    """Logs VTK's warnings, each text once: some come with every change of a view's size."""
    seen: set[str] = set()
    window: Any = vtkOutputWindow()
    window.SetDisplayModeToNever()

    def report(_window: object, event: str, text: str = "") -> None:
        short = " ".join(str(text).split())
        if short and short not in seen and len(seen) < 1000:  # noqa: PLR2004 - bounded memory
            seen.add(short)
            level = logging.ERROR if event == "ErrorEvent" else logging.WARNING
            logging.getLogger("vtk").log(level, short)

    # VTK reads from the function what it wants to be given.
    vars(report)["CallDataType"] = "string0"
    window.AddObserver("ErrorEvent", report)
    window.AddObserver("WarningEvent", report)
    vtkOutputWindow.SetInstance(window)
