"""The sample brain in two windows of an X screen, as a desktop program shows it.

Runs in the image beside this file. What it draws with is what Slicer sets for this volume: preset,
sample distance, camera, window, degrees per width. Unlike our viewer of today it draws coarser
while the hand turns the brain. The windows are apart, as Slicer's are, so that scrolling the slice
does not draw the brain again.
"""

from __future__ import annotations

import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

BRAIN = "/opt/slicer/share/samples/MNI152-T1-brain.nii.gz"
SIZE = (640, 400)  # pixels of each window
SAMPLE_DISTANCE = 0.5  # mm along a ray
PICTURES_PER_SECOND = 15.0  # while the hand moves
STILL_PICTURES_PER_SECOND = 0.001
VTKS_DEGREES = 20.0  # per width of the window and unit of the style's factor
DEGREES = 200.0  # per width, Slicer's
DISTANCE = 690.0  # mm of the camera
ANGLE = 21.3  # degrees it sees
WINDOW, LEVEL = 233.0, 116.5
COLOURS = (  # of Slicer's preset MR-Default: value, red, green, blue, opacity
    (0.0, 0.0, 0.0, 0.0, 0.0),
    (20.0, 0.1686, 0.0, 0.0, 0.0),
    (40.0, 0.4039, 0.1451, 0.0784, 0.15),
    (120.0, 0.7804, 0.6078, 0.3804, 0.3),
    (220.0, 0.8471, 0.8353, 0.7882, 0.375),
    (1024.0, 1.0, 1.0, 1.0, 0.5),
)

# VTK has no types that a checker here could see, for only the image has it.
Vtk = Any


def window_at(vtk: Vtk, place: tuple[int, int], style: Vtk) -> tuple[Vtk, Vtk]:
    """Return a renderer in a window at this place of the screen, and who takes its events."""
    renderer, window = vtk.vtkRenderer(), vtk.vtkRenderWindow()
    window.SetBorders(0)
    window.SetPosition(*place)
    window.SetSize(*SIZE)
    window.SetMultiSamples(0)
    window.AddRenderer(renderer)
    hand = vtk.vtkRenderWindowInteractor()
    hand.SetRenderWindow(window)
    hand.SetInteractorStyle(style)
    hand.Initialize()
    return renderer, hand


def brain_window(vtk: Vtk, data: Vtk) -> Vtk:
    """Show the brain so that the mouse turns it; return who takes the events."""
    colour, opacity = vtk.vtkColorTransferFunction(), vtk.vtkPiecewiseFunction()
    for value, *rgb, share in COLOURS:
        colour.AddRGBPoint(value, *rgb)
        opacity.AddPoint(value, share)
    volume = vtk.vtkVolume()
    look = volume.GetProperty()
    look.SetColor(colour)
    look.SetScalarOpacity(opacity)
    look.SetInterpolationTypeToLinear()
    look.ShadeOn()
    look.SetAmbient(0.2)
    look.SetDiffuse(1.0)
    look.SetSpecular(0.0)
    mapper = vtk.vtkFixedPointVolumeRayCastMapper()
    mapper.SetInputConnection(data)
    mapper.SetSampleDistance(SAMPLE_DISTANCE)
    mapper.SetInteractiveSampleDistance(SAMPLE_DISTANCE)
    mapper.SetAutoAdjustSampleDistances(1)
    volume.SetMapper(mapper)

    style = vtk.vtkInteractorStyleTrackballCamera()
    style.SetMotionFactor(DEGREES / VTKS_DEGREES)
    renderer, hand = window_at(vtk, (SIZE[0], 0), style)
    hand.SetDesiredUpdateRate(PICTURES_PER_SECOND)
    hand.SetStillUpdateRate(STILL_PICTURES_PER_SECOND)
    renderer.AddVolume(volume)
    renderer.SetBackground(0.12, 0.13, 0.13)
    x, y, z = volume.GetCenter()
    camera = renderer.GetActiveCamera()
    camera.SetFocalPoint(x, y, z)
    camera.SetPosition(x, y + DISTANCE, z)  # before the face
    camera.SetViewUp(0, 0, 1)
    camera.SetViewAngle(ANGLE)
    renderer.ResetCameraClippingRange()
    return hand


def slice_window(vtk: Vtk, data: Vtk) -> Vtk:
    """Show a slice that the wheel moves by one a notch; return who takes the events."""
    mapper = vtk.vtkImageSliceMapper()
    mapper.SetInputConnection(data)
    mapper.SetOrientationToZ()
    mapper.Update()
    mapper.SetSliceNumber((mapper.GetSliceNumberMinValue() + mapper.GetSliceNumberMaxValue()) // 2)
    actor = vtk.vtkImageSlice()
    actor.SetMapper(mapper)
    actor.GetProperty().SetColorWindow(WINDOW)
    actor.GetProperty().SetColorLevel(LEVEL)
    # The style that does nothing by itself.
    renderer, hand = window_at(vtk, (0, 0), vtk.vtkInteractorStyleUser())
    renderer.AddViewProp(actor)
    camera = renderer.GetActiveCamera()
    camera.ParallelProjectionOn()
    renderer.ResetCamera()
    low, high = actor.GetBounds()[2:4]
    camera.SetParallelScale((high - low) / 2)  # the slice fills the height

    def scroll(step: int, *_: object) -> None:
        mapper.SetSliceNumber(mapper.GetSliceNumber() + step)
        renderer.ResetCameraClippingRange()
        hand.Render()

    hand.AddObserver("MouseWheelForwardEvent", partial(scroll, 1))
    hand.AddObserver("MouseWheelBackwardEvent", partial(scroll, -1))
    return hand


def main() -> None:
    """Show both windows until the end; make the file that is named once they are drawn."""
    vtk = import_module("vtk")
    reader = vtk.vtkNIFTIImageReader()
    reader.SetFileName(BRAIN)
    data = reader.GetOutputPort()
    hands = [brain_window(vtk, data), slice_window(vtk, data)]
    for hand in hands:
        hand.Render()
    Path(sys.argv[1]).touch()
    hands[0].Start()  # of all windows


if __name__ == "__main__":
    main()
