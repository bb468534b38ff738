"""Things to open in a page of the real image, and what its buttons do with them."""

from __future__ import annotations

from typing import Any

from tests.support.slicer_session import Page, Session, file_url, who

ALICE = who("alice", "owner")

SURFACE = b"""\
# vtk DataFile Version 3.0
a pyramid
ASCII
DATASET POLYDATA
POINTS 4 float
0 0 0 10 0 0 0 10 0 0 0 10
POLYGONS 4 16
3 0 2 1
3 0 1 3
3 0 3 2
3 1 2 3
"""

LABELS = bytes([0, 1, 1, 0, 2, 2, 0, 0])
SEGMENTATION = (
    b"""\
NRRD0004
type: unsigned char
dimension: 3
space: left-posterior-superior
sizes: 2 2 2
space directions: (1,0,0) (0,1,0) (0,0,1)
kinds: domain domain domain
encoding: raw
space origin: (0,0,0)
Segment0_ID:=bone
Segment0_Name:=Bone
Segment0_LabelValue:=1
Segment0_Layer:=0
Segment0_Extent:=0 1 0 1 0 1
Segment1_ID:=skin
Segment1_Name:=Skin
Segment1_LabelValue:=2
Segment1_Layer:=0
Segment1_Extent:=0 1 0 1 0 1

"""
    + LABELS
)


def press(page: Page, trigger: str, *args: object) -> None:
    """What a button of the page does."""
    answer = page.call("trame.trigger", [trigger, list(args), {}])
    assert "error" not in answer, answer


def open_only(page: Page, session: Session, name: str, content: bytes, icon: str) -> dict[str, Any]:
    """Uploads and opens a file; returns the line of the one new thing in the scene."""
    assert session.ask(file_url(name), ALICE, method="PUT", content=content).status_code == 201
    press(page, "hub_browse", "My files")
    before = {node["id"] for node in page.state()["hub_nodes"]}
    press(page, "hub_open", name)
    state = page.state()
    assert state["hub_message"] == f"Opened {name}"
    (new,) = (node for node in state["hub_nodes"] if node["id"] not in before)
    assert new["icon"] == icon
    return new


def save_as(page: Page, session: Session, node: dict[str, Any], ending: str) -> tuple[str, bytes]:
    """Saves one thing by itself; returns the new file's name and content."""
    press(page, "hub_save_node", node["id"], ending)
    text: str = page.state()["hub_message"]
    assert text.startswith("Saved as "), text
    name = text.removeprefix("Saved as ")
    return name, session.ask(file_url(name), ALICE).content


def nrrd_header(content: bytes) -> dict[str, str]:
    """The fields of an NRRD file."""
    lines = content.partition(b"\n\n")[0].decode().splitlines()
    return dict(line.split(": ", 1) for line in lines if ": " in line)
