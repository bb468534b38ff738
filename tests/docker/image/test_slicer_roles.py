"""Who may do what in a session of the real image, tried by a client that does not play fair.

It opens and saves things, too: such a session takes a while to start, and one is enough for both.
"""

from __future__ import annotations

import gzip
import time
from contextlib import ExitStack
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.docker.image.opening import SEGMENTATION, SURFACE, nrrd_header, open_only, press, save_as
from tests.support.slicer_session import (
    SERVICE,
    Page,
    Picture,
    Session,
    Stream,
    file_url,
    until,
    who,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

ALICE = who("alice", "owner")
BOB = who("bob", "view")
CAROL = who("carol", "control")
MOUSE = {"type": "MouseMove", "x": 5, "y": 5, "w": 100, "h": 100}
KEYS = {"shiftKey": 0, "altKey": 0, "ctrlKey": 0, "metaKey": 0}  # an event without them is ignored


def area_of(state: Mapping[str, Any]) -> str:
    """The name of some view's area, as the page's template names it."""
    return next(key.removeprefix("trame__template_") for key in state if key.endswith("ThreeD"))


@pytest.mark.parametrize(
    ("headers", "path", "status"),
    [
        ({}, "/", 403),
        ({}, "/-/ready", 200),
        ({}, "/-/activity", 403),
        ({"X-Slicerhub-User": "alice"}, "/", 403),
        ({"X-Slicerhub-Role": "owner"}, "/", 403),
        (who("alice", "root"), "/", 403),
        (ALICE, "/", 200),
        (BOB, "/", 200),
        (ALICE, "/-/activity", 403),
        (BOB, "/-/activity", 403),
        (SERVICE, "/-/activity", 200),
        (SERVICE, "/", 403),
        (SERVICE, "/files/My%20files/samples/SOURCES.txt", 403),
        (BOB, "/files/My%20files/samples/SOURCES.txt", 403),
        (CAROL, "/files/My%20files/samples/SOURCES.txt", 200),
        (ALICE, "/files/My%20files/%2e%2e%2f%2e%2e%2fetc%2fpasswd", 400),
        (ALICE, "/files/etc/passwd", 404),
        (SERVICE, "/-/kick", 405),
    ],
)
def test_each_door(session: Session, headers: dict[str, str], path: str, status: int) -> None:
    """Only those whom the hub names get in, and each only where their role leads."""
    assert session.ask(path, headers).status_code == status


@pytest.mark.parametrize("kind", [Page, Stream])
@pytest.mark.parametrize("headers", [{}, {"X-Slicerhub-User": "alice"}, SERVICE])
def test_no_websocket_without_a_role(
    session: Session, headers: dict[str, str], kind: type[Page | Stream]
) -> None:
    """The sockets behind the page are as closed as the page."""
    with pytest.raises(InvalidStatus) as refused:
        kind(session, headers)
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("kind", [Page, Stream])
def test_no_websocket_from_a_foreign_page(session: Session, kind: type[Page | Stream]) -> None:
    """A page on another site cannot open the session with a visitor's rights."""
    with pytest.raises(InvalidStatus) as refused:
        kind(session, {**ALICE, "Origin": "https://evil.example"})
    assert refused.value.response.status_code == 403


FORGED: list[tuple[str, list[Any]]] = [
    ("trame.state.update", [[{"key": "hub_message", "value": "forged"}]]),
    ("trame.trigger", ["trigger__1", [], {}]),
    ("trame.force.push", ["hub_message"]),
    ("trame.rca.event", ["AREA", "origin", MOUSE]),
    ("trame.rca.push", ["AREA", {}, b"forged"]),
    ("trame.rca.reset", ["AREA"]),
    ("trame.rca.video.negotiate", ["AREA", []]),
    ("application.exit", []),
    ("application.exit.later", [0]),
    ("no.such.method", []),
]


@pytest.mark.parametrize(("method", "args"), FORGED)
def test_viewing_changes_nothing(session: Session, method: str, args: list[Any]) -> None:
    """Every message that could change something is refused to a guest who may only view."""
    with Page(session, ALICE) as alice, Page(session, BOB) as bob:
        before = alice.state()
        area = area_of(before)
        answer = bob.call(method, [area if arg == "AREA" else arg for arg in args])
        assert "error" in answer
        assert "result" not in answer
        after = alice.state()
        assert before == after
    assert session.is_running


def test_viewing_neither_resizes_nor_ends_the_views(session: Session) -> None:
    """A guest's small window does not shrink the owner's pictures; the guest still gets one."""
    with Page(session, ALICE) as page, Stream(session, ALICE) as alice, Stream(session, BOB) as bob:
        area = area_of(page.state())
        alice.watch(area)
        alice.size(area, 321, 123)
        alice.picture(lambda head: (head["width"], head["height"]) == (321, 123))
        bob.size(area, 50, 50)
        bob.watch(area)
        bob.picture(lambda head: (head["width"], head["height"]) == (321, 123))
        alice.input(area, MOUSE)
        alice.size(area, 322, 124)
        seen = bob.picture(lambda head: (head["width"], head["height"]) != (321, 123))
        assert (seen.head["width"], seen.head["height"]) == (322, 124)


@pytest.mark.parametrize(
    "event",
    [{"type": 5}, {"x": 5}, {**MOUSE, "x": "5"}, {**MOUSE, "y": None}, {**MOUSE, "shiftKey": "a"},
     {**MOUSE, "positions": [1]}],
)  # fmt: skip
def test_a_malformed_event_ends_only_its_sender(session: Session, event: dict[str, Any]) -> None:
    """What would end the program inside VTK is refused even to the owner, and the session goes on.

    Everybody else keeps their pictures.
    """
    with Page(session, ALICE) as page, Stream(session, CAROL) as carol:
        area = area_of(page.state())
        carol.watch(area)
        carol.size(area, 300, 200)
        carol.picture(lambda head: head["final"])
        alice = Stream(session, ALICE)
        alice.input(area, event)
        alice.closed_after()
        assert "hub_people" in page.state()
        drag(carol, area)
        assert carol.picture(lambda head: head["input"] > 0)


@pytest.mark.parametrize("kind", ["NoSuchEvent", "", "ExitEvent", "KeyDown"])
def test_unknown_events_do_nothing(session: Session, kind: str) -> None:
    """An event that VTK does not know, without any of its parts, changes nothing."""
    with Page(session, ALICE) as page, Stream(session, ALICE) as alice:
        area = area_of(page.state())
        alice.input(area, {"type": kind})
        alice.input("no such view", MOUSE)
        alice.watch(area)
        drag(alice, area)
        alice.picture(lambda head: head["input"] > 2)
    assert session.is_running


def drag(stream: Stream, area: str, to: int = 90) -> int:
    """Turns the brain a little; returns the number of the last input."""
    stream.input(area, {**MOUSE, **KEYS, "type": "LeftButtonPress"})
    stream.input(area, {**MOUSE, **KEYS, "x": to, "action": "down"})
    return stream.input(area, {**MOUSE, **KEYS, "x": to, "type": "LeftButtonRelease"})


def test_a_guest_who_stalls_stops_nobody(session: Session) -> None:
    """A guest who takes no pictures gets few, and the owner's follow the hand all the same."""
    with Page(session, ALICE) as page, Stream(session, ALICE) as alice, Stream(session, BOB) as bob:
        area = area_of(page.state())
        alice.size(area, 600, 400)
        bob.watch(area)
        alice.watch(area)
        alice.picture(lambda head: head["final"] and head["width"] == 600)
        number = 0
        for turn in range(40):
            number = drag(alice, area, to=20 + turn)
            alice.picture(lambda head, number=number: head["input"] >= number)
        last = alice.picture(lambda head, number=number: head["final"] and head["input"] >= number)
        first, got = bob.next(), 1
        while True:
            try:
                bob.next(seconds=1)
            except TimeoutError:
                break
            got += 1
        assert got < 40
        bob.seen(Picture({"number": first.head["number"] + got - 1}, b""))
        assert bob.picture(lambda head: head["final"]).content == last.content


def test_the_owner_can_do_what_a_guest_cannot(session: Session) -> None:
    """The same message that is refused to a guest works for those who have control."""
    with Page(session, CAROL) as carol, Page(session, ALICE) as alice:
        carol.call("trame.state.update", [[{"key": "hub_saving_as", "value": "mine"}]])
        assert alice.state()["hub_saving_as"] == "mine"


def test_a_page_is_told_again_what_it_missed(session: Session) -> None:
    """Who came while a guest's page was being built stands on it, though it dropped that news."""
    with Page(session, BOB) as bob:
        bob.state()
        with Page(session, ALICE):
            told = bob.receive(lambda message: "hub_role" in (message.get("result") or {}))
            while told["result"]["hub_viewing"] == "You are viewing.":  # said before alice came
                told = bob.receive(lambda message: "hub_role" in (message.get("result") or {}))
    assert told["result"]["hub_viewing"] == "You are viewing; alice has control."
    assert told["result"]["hub_user"] == "bob"
    assert {person["user"] for person in told["result"]["hub_people"]} == {"alice", "bob"}


def test_nobody_ends_the_program_from_the_page(session: Session) -> None:
    """Stopping a session is the hub's: not even its owner can do it past the hub."""
    with Page(session, ALICE) as alice:
        assert "error" in alice.call("application.exit", [])
    assert session.ask("/-/ready").status_code == 200


@pytest.mark.parametrize("content", [b"\xc1", b"\x01", b"\x93\x01\x02\x03", b"\x81\xa2id\x01", b""])
def test_garbage_ends_only_its_sender(session: Session, content: bytes) -> None:
    """A broken message costs its sender the connection and nobody else anything."""
    with Page(session, ALICE) as alice:
        bob = Page(session, BOB)
        bob.greet()
        bob.send_raw(content)
        bob.closed_after()
        assert "hub_people" in alice.state()


def test_a_guest_cannot_take_the_memory(session: Session) -> None:
    """A guest who announces a message of a gigabyte, or a thousand halves, is let go."""
    bob = Page(session, BOB)
    bob.greet()
    bob.state()
    bob.send_raw(b"x", size=1 << 30)
    bob.closed_after()
    halves = Page(session, BOB)
    halves.greet()
    halves.state()
    with pytest.raises(ConnectionClosed):  # noqa: PT012 - the server may close at any of them
        for _ in range(1000):
            halves.send_raw(b"x", size=60_000)
        halves.closed_after()
        halves.socket.send(b"more")
    assert session.ask("/-/ready").status_code == 200


def test_kick_lets_go_one_and_leaves_the_other(session: Session) -> None:
    """A guest whose invitation is taken back is out within a second; the owner notices nothing."""
    with (
        Page(session, ALICE) as alice,
        Stream(session, ALICE) as kept,
        Page(session, BOB) as bob,
        Stream(session, BOB) as watching,
    ):
        area = area_of(alice.state())
        for stream in (kept, watching):
            stream.watch(area)
            stream.picture(lambda head: head["view"] == area)
        assert {client["user"] for client in session.activity["clients"]} == {"alice", "bob"}
        began = time.monotonic()
        answer = session.post("/-/kick", {"user": "bob"})
        assert answer.json() == {"closed": 1}
        bob.closed_after()
        watching.closed_after()
        assert time.monotonic() - began < 1.0
        assert [client["user"] for client in session.activity["clients"]] == ["alice"]
        assert [person["user"] for person in alice.state()["hub_people"]] == ["alice"]
        number = drag(kept, area)
        kept.picture(lambda head: head["input"] >= number)


def test_kick_needs_a_name(session: Session) -> None:
    """An empty or misspelt request lets nobody go by accident."""
    with Page(session, ALICE):
        assert session.post("/-/kick", {}).status_code == 400
        assert session.post("/-/kick", {"usr": "alice"}).status_code == 400
        assert len(session.activity["clients"]) == 1
        assert session.post("/-/kick", {"role": "view"}).json() == {"closed": 0}
        assert session.post("/-/kick", {"all": True}).json() == {"closed": 1}


def test_input_is_what_a_person_with_control_does(session: Session) -> None:
    """Moving the mouse over a view keeps the session alive; an open page or a guest does not."""

    def last() -> datetime | None:
        text = session.activity["last_input_at"]
        return datetime.fromisoformat(text) if text else None

    with Page(session, ALICE) as page, Stream(session, ALICE) as alice, Stream(session, BOB) as bob:
        area = area_of(page.state())
        before = last()
        bob.input(area, MOUSE)
        bob.watch(area)
        bob.picture(lambda head: head["view"] == area)  # what it said before was heard
        alice.size(area, 300, 300)
        alice.watch(area)
        alice.picture(lambda head: head["width"] == 300)
        assert last() == before
        alice.input(area, MOUSE)
        after = until(lambda: last() if last() != before else None, "the input is told")
        assert before is None or after > before


def test_a_notice_reaches_everyone_and_keep_counts_as_input(session: Session) -> None:
    """Before a session is stopped everybody connected is told, and one press keeps it."""
    with Page(session, ALICE) as alice, Page(session, BOB) as bob:
        text = "This session stops in 5 minutes unless you use it."
        answer = session.post("/-/notice", {"text": text, "until": "2026-11-22T12:00:00Z"})
        assert answer.status_code == 204
        for page in (alice, bob):
            page.receive(
                lambda message: (
                    isinstance(message.get("result"), dict)
                    and message["result"].get("hub_notice") == text
                )
            )
        assert session.post("/-/notice", {"text": ""}).status_code == 204
        assert session.post("/-/notice", {"txt": "x"}).status_code == 400


def test_everyone_sees_who_else_is_there(session: Session) -> None:
    """Names and rights of all who are connected, the same for all."""
    with Page(session, ALICE) as alice, Page(session, BOB), Page(session, CAROL):
        assert alice.state()["hub_people"] == [
            {"user": "alice", "role": "owner"},
            {"user": "bob", "role": "viewing"},
            {"user": "carol", "role": "can control"},
        ]


def test_a_guest_asks_for_control(session: Session) -> None:
    """Who may only view can say so to the others, which changes no right; nobody else can."""
    with Page(session, ALICE) as alice, Page(session, BOB) as bob:
        assert session.ask("/ask", ALICE, method="POST").status_code == 403
        assert session.ask("/ask", SERVICE, method="POST").status_code == 403
        foreign = {**BOB, "Origin": "https://evil.example"}
        assert session.ask("/ask", foreign, method="POST").status_code == 403
        assert alice.state()["hub_asking"] == []
        for _ in range(2):
            assert session.ask("/ask", BOB, method="POST").status_code == 204
        assert alice.state()["hub_asking"] == ["bob"]
        assert "error" in bob.call("trame.state.update", [[{"key": "hub_saving_as", "value": "b"}]])
        press(alice, "hub_dismiss", "bob")
        assert alice.state()["hub_asking"] == []
    with Page(session, ALICE) as alice:

        def alone() -> bool | None:
            return True if len(session.activity["clients"]) == 1 else None

        until(alone, "bob has left")
        session.ask("/ask", BOB, method="POST")
        assert alice.state()["hub_asking"] == [], "somebody who is not there asked"


def test_a_dicom_folder_opens_and_comes_out_as_volumes(session: Session) -> None:
    """The sample series opens as its two acquisitions, each saved by itself in either format."""
    with Page(session, ALICE) as alice:
        press(alice, "hub_browse", "My files", "samples")
        listed = {entry["name"]: entry for entry in alice.state()["hub_entries"]}
        assert listed["CT-5-slices-DICOM"]["is_folder"] is True
        press(alice, "hub_open", "samples/CT-5-slices-DICOM")
        state = alice.state()
        assert state["hub_message"] == "Opened CT-5-slices-DICOM"
        for node in state["hub_nodes"]:
            for ending in node["endings"]:
                press(alice, "hub_save_node", node["id"], ending)
        names = [entry["name"] for entry in alice.state()["hub_entries"]]
    assert sum(name.endswith(".nii.gz") for name in names) == 1 + 2
    sizes: list[str] = []
    for name in names:
        if name.endswith(".nrrd"):
            header = nrrd_header(session.ask(file_url("samples/" + name), ALICE).content)
            sizes.append(header["sizes"])
            columns = [each.strip("()").split(",") for each in header["space directions"].split()]
            lengths = [round(sum(float(one) ** 2 for one in each) ** 0.5, 3) for each in columns]
            assert lengths == [0.488, 0.488, 2.5]
    assert sorted(sizes) == ["16 16 2", "16 16 3"]


def test_a_surface_is_saved_by_itself_and_opens_again(session: Session) -> None:
    """A model comes out as .vtk and as .stl, and each of them opens with its four triangles."""
    icon = "mdi-vector-triangle"
    with Page(session, ALICE) as alice:
        model = open_only(alice, session, "pyramid.vtk", SURFACE, icon)
        assert tuple(model["endings"]) == (".vtk", ".stl")
        for ending in model["endings"]:
            name, content = save_as(alice, session, model, ending)
            assert name.endswith(ending)
            again = open_only(alice, session, f"again{ending}", content, icon)
            _, stl = save_as(alice, session, again, ".stl")
            # Binary STL: 80 bytes, the number of triangles, 50 bytes each.
            assert int.from_bytes(stl[80:84], "little") == 4
            assert len(stl) == 84 + 4 * 50


def test_a_segmentation_is_saved_by_itself_and_opens_again(session: Session) -> None:
    """It keeps its segments as .seg.nrrd, and as a label map each segment has its number."""
    icon = "mdi-shape-outline"
    with Page(session, ALICE) as alice:
        parts = open_only(alice, session, "parts.seg.nrrd", SEGMENTATION, icon)
        assert tuple(parts["endings"]) == (".seg.nrrd", ".nii.gz")
        name, content = save_as(alice, session, parts, ".seg.nrrd")
        assert name.endswith(".seg.nrrd")
        again = open_only(alice, session, "again.seg.nrrd", content, icon)
        _, kept = save_as(alice, session, again, ".seg.nrrd")
        for whole in (content, kept):
            for field in (b"_Name:=Bone", b"_Name:=Skin", b"_LabelValue:=1", b"_LabelValue:=2"):
                assert field in whole
        name, packed = save_as(alice, session, again, ".nii.gz")
        voxels = gzip.decompress(packed)[352:]  # after NIfTI's header
        assert sorted(set(voxels)) == [0, 1, 2]
        press(alice, "hub_open", name)
        state = alice.state()
        assert state["hub_message"] == f"Opened {name}"
        assert [node["icon"] for node in state["hub_nodes"]].count("mdi-cube-scan") == 1


def test_what_is_no_image_says_so(session: Session) -> None:
    """A folder or file without an image is refused with a sentence, and what was open stays."""
    with Page(session, ALICE) as alice:
        session.ask(file_url("no/notes.txt"), ALICE, method="PUT", content=b"no image")
        press(alice, "hub_browse", "My files")
        before = alice.state()["hub_nodes"]
        for path in ("no", "no/notes.txt", "gone.nrrd"):
            press(alice, "hub_open", path)
            assert not alice.state()["hub_message"].startswith("Opened"), path
        assert alice.state()["hub_nodes"] == before


def test_files_go_in_and_out(session: Session) -> None:
    """What is uploaded is in the volume byte for byte, also under a name with accents."""
    content = bytes(range(256)) * 4096
    url = file_url("Schädel #1.nrrd")
    assert session.ask(url, BOB, method="PUT", content=content).status_code == 403
    assert session.ask(url, ALICE, method="PUT", content=content).status_code == 201
    answer = session.ask(url, ALICE)
    assert answer.content == content
    assert answer.headers["Content-Disposition"].startswith("attachment")
    foreign = {**ALICE, "Origin": "https://evil.example"}
    assert session.ask(url, foreign, method="PUT", content=b"").status_code == 403
    assert [name for name in session.list_files("") if name.endswith(".part")] == []


def test_save_on_request(session: Session) -> None:
    """The hub can have the scene saved; only the last three are kept, and the newest is named."""
    newest = ""
    for _ in range(5):
        with Page(session, ALICE) as alice:
            alice.call("trame.state.update", [[{"key": "hub_saving_as", "value": "again"}]])
        answer = session.post("/-/save", {})
        assert answer.status_code == 200
        newest = answer.json()["saved"]
        assert newest in session.list_files("autosave/unnamed")
    assert len(session.list_files("autosave/unnamed")) == 3
    assert session.post("/-/save", {}).json() == {"saved": newest}


def test_many_sockets_of_one_guest(session: Session) -> None:
    """A guest opens the session eight times and not once more; the owner notices nothing."""
    with ExitStack() as windows:
        for _ in range(8):
            windows.enter_context(Page(session, BOB))
        with pytest.raises(InvalidStatus) as refused:
            Page(session, BOB)
        assert refused.value.response.status_code == 429
        assert b"8 times" in refused.value.response.body
        with Page(session, ALICE) as alice:
            alice.state()
    until(lambda: not session.activity["clients"] or None, "all have left")


def test_the_encoder_is_the_one_that_is_meant(session: Session) -> None:
    """Pictures are made by libjpeg-turbo, and nothing took its place without a word."""
    (built,) = [event for event in session.events if event["event"] == "core.built"]
    assert built["encoder"].startswith("libjpeg-turbo ")
