"""Starting and stopping a session of the real image."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.slicer_session import IMAGE, Page, Session, docker, file_url, who

if TYPE_CHECKING:
    from collections.abc import Callable

    Start = Callable[..., Session]

OWNER = who("alice", "owner")
PAGE = {"Accept": "text/html", **OWNER}


def test_a_page_is_there_while_slicer_still_loads(start: Start) -> None:
    """Who opens the session too early sees at once that it is starting, and how far it is."""
    session = start()
    page = session.answer_of("/", PAGE)
    assert page.status_code == 503
    assert "3D Slicer is starting" in page.text
    assert page.headers["Retry-After"] == "1"
    state = session.ask("/-/ready")
    assert state.status_code == 503
    assert state.json()["ready"] is False
    assert state.json()["message"] != ""
    assert session.ask("/").status_code == 403


def test_ready_means_drawn_and_stays(start: Start) -> None:
    """Once ready was said, the page is the viewer and every further question says ready too."""
    session = start().wait_ready()
    assert {session.ask("/-/ready").status_code for _ in range(50)} == {200}
    assert '<div id="app">' in session.ask("/", PAGE).text
    stages = [event["stage"] for event in session.events if event["event"] == "stage"]
    assert stages == ["import", "build", "open", "render"]


def test_the_first_start_puts_the_named_sample_into_the_volume(start: Start) -> None:
    """A new user finds a real brain to try things on, with its source beside it."""
    session = start().wait_ready()
    assert session.list_files("samples") == [
        "CT-5-slices-DICOM",
        "MNI152-T1-brain.nii.gz",
        "SOURCES.txt",
    ]
    source = session.ask(file_url("samples/SOURCES.txt"), OWNER)
    assert "Montreal" in source.text
    with Page(session, OWNER) as page:
        assert page.state()["ViewerLayoutState__is_volume_loaded"] is True


def test_nothing_is_written_outside_the_volume(start: Start) -> None:
    """The root file system is read-only and nothing minds: no error in the log, no change."""
    session = start().wait_ready()
    assert docker("diff", session.name) == ""
    assert [event for event in session.events if event["level"] == "error"] == []


def test_the_work_survives_a_stop(start: Start) -> None:
    """What was open is saved when the session is stopped, and offered when it starts again."""
    session = start().wait_ready()
    volume = docker("inspect", "--format", "{{(index .Mounts 0).Name}}", session.name)
    with Page(session, OWNER) as page:
        page.call("trame.state.update", [[{"key": "hub_saving_as", "value": "x"}]])
    began = time.monotonic()
    assert session.stop() == 0
    assert time.monotonic() - began < 10
    session.remove()
    again = start(volume=volume).wait_ready()
    saved = [name for name in again.list_files("autosave/unnamed") if not name.startswith(".")]
    assert len(saved) == 1
    assert saved[0].startswith("scene-")
    with Page(again, OWNER) as page:
        (offer,) = page.state()["hub_offers"]
        assert offer["name"] == saved[0]
        assert "(volume)" in offer["what"]
        assert offer["picture"].startswith("data:image/png;base64,")


def test_nobody_did_anything_nothing_is_saved(start: Start) -> None:
    """A session that was only opened and stopped leaves no autosave behind."""
    session = start().wait_ready()
    with Page(session, OWNER) as page:
        page.state()
    assert session.stop() == 0
    assert "session.stopped" in [event["event"] for event in session.events]
    assert "scene.saved" not in [event["event"] for event in session.events]


def test_a_stop_while_loading_is_no_failure(start: Start) -> None:
    """Who changes their mind during the start gets a clean end at once."""
    session = start()
    session.answer_of("/-/ready")
    assert session.stop() == 0


def test_a_wrong_setting_is_named(start: Start) -> None:
    """The log says which variable is wrong and what it may be; the exit code says usage."""
    session = start(environment={"SLICERHUB_AUTOSAVE_SEC": "soon", "SLICERHUB_STANDALONE": "yes"})
    assert session.exit_code == 64
    message = session.events[-1]["message"]
    assert "SLICERHUB_AUTOSAVE_SEC" in message
    assert "SLICERHUB_STANDALONE" in message


def test_a_volume_that_cannot_be_written_is_named(start: Start, network: str) -> None:
    """A volume of another owner ends the session with the reason, not with a traceback."""
    volume = "slicer-test-foreign"
    docker("volume", "create", volume)
    try:
        docker(
            *("run", "--rm", "--user", "0", "--entrypoint", "sh", "--volume", f"{volume}:/v"),
            *("--network", network, IMAGE, "-c", "mkdir /v/files && chown -R 0:0 /v"),
        )
        session = start(volume=volume)
        assert session.exit_code == 73
        assert "uid 1000" in session.logs
        session.remove()
    finally:
        docker("volume", "rm", "--force", volume, check=False)


def test_nothing_that_was_left_out_is_missed() -> None:
    """All of VTK that the image has can be imported together, whatever was taken out of it."""
    ask = "import slicer, vtk, vtkmodules.all; print(vtk.vtkVersion().GetVTKVersion())"
    said = docker("run", "--rm", "--entrypoint", "/opt/slicer/bin/python", IMAGE, "-c", ask)
    assert said.splitlines()[-1].startswith("9.")


@pytest.mark.parametrize("path", ["HEALTHCHECK", "root"])
def test_the_image_asks_for_nothing_special(path: str) -> None:
    """No engine health check that would delay the route, no root, no Traefik labels of its own."""
    wanted = {
        "HEALTHCHECK": ("{{.Config.Healthcheck}}", "<nil>"),
        "root": ("{{.Config.User}}", "1000:1000"),
    }
    form, expected = wanted[path]
    assert docker("inspect", "--format", form, IMAGE) == expected
    assert "traefik." not in docker("inspect", "--format", "{{.Config.Labels}}", IMAGE)


LETTERS = """
import asyncio, json
from pathlib import Path

async def main():
    from app.core.scene import Scene
    from app.modules.orientation import show_letters
    from vtkmodules.vtkRenderingCore import vtkTextActor
    scene = Scene(lambda *_: lambda: None, [show_letters])
    shown = {}
    def look(name):
        scene.draw()
        shown[name] = {}
        for view in scene.core.view_manager.get_slice_views():
            top = max(view.renderers(), key=lambda one: one.GetLayer())
            texts = [one for one in top.GetViewProps() if isinstance(one, vtkTextActor)]
            found = [one.GetInput() for one in texts if one.GetVisibility()]
            shown[name][view.get_orientation()] = found
    look("empty")
    scene.open(Path("/opt/slicer/share/samples/MNI152-T1-brain.nii.gz"))
    look("brain")
    view = next(each for each in scene.core.view_manager.get_slice_views()
                if each.get_orientation() == "Axial")
    to_ras = view.get_view_node().GetSliceToRAS()
    for row in range(3):
        to_ras.SetElement(row, 0, -to_ras.GetElement(row, 0))
    view.get_view_node().UpdateMatrices()
    view.render_window().Render()
    look("mirrored")
    print(json.dumps(shown))

asyncio.run(main())
"""


def test_left_and_right_can_be_told() -> None:
    """Each slice says at its edges where it leads, as it is drawn; without a scan nothing."""
    python = ("--entrypoint", "/opt/slicer/bin/python", IMAGE, "-c", LETTERS)
    shown = json.loads(docker("run", "--rm", *python).splitlines()[-1])
    assert set(map(len, shown["empty"].values())) == {0}
    assert shown["brain"] == {
        "Axial": ["R", "L", "A", "P"],
        "Coronal": ["R", "L", "S", "I"],
        "Sagittal": ["A", "P", "S", "I"],
    }
    assert ["L", "R", "A", "P"] in shown["mirrored"].values()
