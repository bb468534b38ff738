"""The session's decisions that need neither VTK nor a network: who, what, when, which file."""

from __future__ import annotations

import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import msgspec
import pytest
from app.core.errors import FileError, SettingsError
from app.core.kinds import FORMATS, Kind, kind_of, preset_for
from app.core.log import format_event
from app.core.settings import Settings, parse_settings
from app.files.paths import find_roots, free_name, list_folder, parse_relative, resolve_inside
from app.front.request import parse_head
from app.page.head import page_with
from app.people.activity import (
    BUSY_ECHO_SECONDS,
    BUSY_SECONDS,
    Activity,
    Client,
    Selection,
    select,
    viewing_sentence,
)
from app.people.roles import Role, Visitor, is_own_page, may_request, parse_visitor
from app.stream.channel import Channel, Connected, Handed, Kick, Status
from app.stream.messages import Message, Verdict, decide, is_input, parse_message
from hypothesis import given
from hypothesis import strategies as st

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
ALICE = Visitor(user="alice", role=Role.OWNER)
BOB = Visitor(user="bob", role=Role.VIEW)
HUB = Visitor(user="", role=Role.SERVICE)


@pytest.mark.parametrize(
    ("user", "role", "standalone", "expected"),
    [
        ("alice", "owner", False, ALICE),
        ("bob", "view", False, BOB),
        (None, "service", False, HUB),
        ("mallory", "service", False, HUB),
        (None, None, False, None),
        (None, None, True, Visitor(user="owner", role=Role.OWNER)),
        ("alice", None, True, None),
        ("alice", "", True, None),
        ("alice", "Owner", False, None),
        ("alice", "owner ", False, None),
        (None, "owner", False, None),
        ("", "owner", True, None),
    ],
)
def test_who_asks(
    user: str | None, role: str | None, standalone: bool, expected: Visitor | None
) -> None:
    """Both headers together name a visitor; anything else is nobody, except alone by hand."""
    given_headers = {"X-Slicerhub-User": user, "X-Slicerhub-Role": role}
    headers = {name: value for name, value in given_headers.items() if value is not None}
    assert expected == parse_visitor(headers, standalone=standalone)


@given(path=st.text(), method=st.sampled_from(["GET", "POST", "PUT", "OPTIONS"]))
def test_nobody_gets_nothing_but_readiness(path: str, method: str) -> None:
    """Without a visitor every path but the readiness probe is refused."""
    expected = path == "/-/ready" and method == "GET"
    assert expected == may_request(path, method, None)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/", {Role.OWNER, Role.CONTROL, Role.VIEW}),
        ("/ws", {Role.OWNER, Role.CONTROL, Role.VIEW}),
        ("/files/My files/a.nrrd", {Role.OWNER, Role.CONTROL}),
        ("/-/activity", {Role.SERVICE}),
        ("/-/kick", {Role.SERVICE}),
        ("/-/anything", {Role.SERVICE}),
        ("/ask", set[Role]()),
    ],
)
def test_which_role_gets_where(path: str, allowed: set[Role]) -> None:
    """Each role reaches its own part of the session and no other."""
    reached = {role for role in Role if may_request(path, "GET", Visitor(user="x", role=role))}
    assert allowed == reached


def test_who_may_ask_for_control() -> None:
    """Only those who have it not."""
    asking = [role for role in Role if may_request("/ask", "POST", Visitor(user="x", role=role))]
    assert asking == [Role.VIEW]


def test_the_head_of_a_request() -> None:
    """Method, path without its query, and headers by their usual names."""
    head = b"POST /-/kick?x=1 HTTP/1.1\r\ncontent-LENGTH: 2\r\nX-Slicerhub-Role: view\r\n\r\n"
    request = parse_head(head)
    assert (request.method, request.path) == ("POST", "/-/kick")
    assert request.headers == {"Content-Length": "2", "X-Slicerhub-Role": "view"}
    with pytest.raises(ValueError, match="unpack"):
        parse_head(b"nonsense\r\n\r\n")


def test_the_two_processes_understand_each_other() -> None:
    """Each message arrives whole and in order, and a connection with the one that hands it on."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        front: Channel[Status] = Channel(ours, Status)
        program: Channel[Handed | Kick] = Channel(theirs, Handed | Kick)
        read, write = os.pipe()
        assert front.send(Handed(7), fd=write)
        assert front.send(Kick(Selection(user="bob")))
        os.close(write)
        (handed, fds), (kick, none) = program.received()
        assert (handed, kick, none) == (Handed(7), Kick(Selection(user="bob")), [])
        os.write(fds[0], b"x")
        os.close(fds[0])
        with os.fdopen(read, "rb") as stream:
            assert stream.read() == b"x"
        status = Status(NOON, busy=True, clients=[Connected(7, "bob", "view", NOON)])
        assert program.send(status)
        assert list(front.received()) == [(status, [])]
        theirs.close()
        assert not front.send(Handed(8))
        with pytest.raises(EOFError):
            list(front.received())


@pytest.mark.parametrize(
    ("origin", "host", "expected"),
    [
        (None, "hub:8080", True),
        ("http://hub:8080", "hub:8080", True),
        ("https://HUB", "hub", True),
        ("http://hub:8081", "hub:8080", False),
        ("https://evil.example", "hub", False),
        ("null", "hub", False),
        ("https://hub.evil.example", "hub", False),
        ("https://hub@evil.example", "hub", False),
    ],
)
def test_own_page(origin: str | None, host: str, expected: bool) -> None:
    """Only the session's own page may open its socket."""
    assert expected == is_own_page(origin, host)


KNOWN = [
    "wslink.hello", "trame.state.get", "trame.state.update", "trame.trigger", "trame.force.push",
    "trame.rca.event", "trame.rca.size", "trame.rca.push", "trame.rca.reset", "trame.rca.drop",
    "trame.lifecycle.update", "trame.error.client", "application.exit", "application.exit.later",
]  # fmt: skip


@pytest.mark.parametrize("method", KNOWN)
def test_viewing_passes_only_greeting_and_reading(method: str) -> None:
    """Of all methods there are, a guest's greeting and reading alone are dispatched."""
    kind = "system" if method == "wslink.hello" else "rpc"
    verdict = decide(Role.VIEW, Message(id=f"{kind}:1", method=method, args=[]))
    assert (method in {"wslink.hello", "trame.state.get"}) == (verdict is Verdict.PASS)


@given(method=st.text(), number=st.text(), role=st.sampled_from([Role.VIEW, Role.SERVICE]))
def test_unknown_methods_are_refused_to_guests(method: str, number: str, role: Role) -> None:
    """Whatever a later library adds is closed to guests until somebody opens it."""
    verdict = decide(role, Message(id=f"rpc:{number}", method=f"x.{method}", args=[]))
    assert verdict is Verdict.REFUSE


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("method", ["application.exit", "application.exit.later", "trame.rca.push"])
def test_some_things_nobody_may(role: Role, method: str) -> None:
    """No page ends the program or forges a picture."""
    assert decide(role, Message(id="rpc:1", method=method, args=[])) is Verdict.REFUSE


@pytest.mark.parametrize(
    "raw",
    [None, 1, [], {}, {"id": 1, "method": "x"}, {"id": "rpc:1"}, {"id": "rpc:1", "method": 2},
     {"id": "rpc:1", "method": "x", "args": "y"}],
)  # fmt: skip
def test_what_is_no_message(raw: object) -> None:
    """Anything without the form the library relies on ends the connection."""
    assert parse_message(raw) is None
    assert decide(Role.OWNER, parse_message(raw)) is Verdict.CLOSE


def test_what_counts_as_input() -> None:
    """A hand on mouse or keyboard, of somebody with control; never the page by itself."""
    event = Message(id="rpc:1", method="trame.rca.event", args=[])
    size = Message(id="rpc:1", method="trame.rca.size", args=[])
    assert [role for role in Role if is_input(role, event)] == [Role.OWNER, Role.CONTROL]
    assert not any(is_input(role, size) for role in Role)


def client(number: str, visitor: Visitor) -> Client:
    """A connection."""
    return Client(id=number, visitor=visitor, since=NOON)


def test_activity_follows_coming_and_going() -> None:
    """The list holds who is connected, each connection once, and forgets who left."""
    activity = Activity()
    activity.joined(client("1", ALICE))
    activity.joined(client("2", BOB))
    activity.left("1")
    activity.left("1")
    assert [each.id for each in activity.clients] == ["2"]
    assert activity.get("1") is None
    assert activity.last_input_at is None
    activity.touched(NOON)
    assert activity.last_input_at == NOON
    before = activity.inputs
    activity.touched(NOON)
    assert activity.inputs > before


def test_busy_while_something_runs_and_just_after_a_standstill() -> None:
    """A quick request is no computation; a long one is; so is a standstill that just ended."""
    activity = Activity()
    number = activity.begun(100.0)
    assert not activity.is_busy(100.0 + BUSY_SECONDS / 2)
    assert activity.is_busy(100.0 + BUSY_SECONDS)
    activity.ended(number)
    assert not activity.is_busy(200.0)
    activity.ticked(300.0, BUSY_SECONDS / 2)
    assert not activity.is_busy(300.0)
    activity.ticked(300.0, BUSY_SECONDS * 3)
    assert activity.is_busy(300.0 + BUSY_ECHO_SECONDS)
    assert not activity.is_busy(300.1 + BUSY_ECHO_SECONDS)


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({}, []),
        ({"user": "bob"}, ["2", "3"]),
        ({"role": "view"}, ["2"]),
        ({"user": "bob", "role": "control"}, ["3"]),
        ({"user": "nobody"}, []),
        ({"all": True}, ["1", "2", "3"]),
    ],
)
def test_whom_a_kick_means(selection: dict[str, object], expected: list[str]) -> None:
    """Every field given narrows it down; nothing given means nobody."""
    clients = [
        client("1", ALICE),
        client("2", BOB),
        client("3", Visitor(user="bob", role=Role.CONTROL)),
    ]
    chosen = select(clients, msgspec.convert(selection, Selection))
    assert expected == [each.id for each in chosen]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.nii.gz", Kind.VOLUME),
        ("A.NRRD", Kind.VOLUME),
        ("a.seg.nrrd", Kind.SEGMENTATION),
        ("a.mrb", Kind.SCENE),
        ("a.stl", Kind.MODEL),
        ("notes.txt", Kind.OTHER),
        ("nrrd", Kind.OTHER),
    ],
)
def test_kinds(name: str, kind: Kind) -> None:
    """A file is opened as what its ending says."""
    assert kind == kind_of(name)


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "/etc/passwd", "a/../b", "a//b", "a/", "a\\b", "a\nb", "a\x00b", "x" * 256,
     "\ud800", "a/\u2028"],
)  # fmt: skip
def test_names_that_are_refused(text: str) -> None:
    """Nothing that leads out of a folder or that no file system takes is a name."""
    with pytest.raises(FileError):
        parse_relative(text)


@given(st.text())
def test_no_name_leads_out(text: str) -> None:
    """Whatever is typed: it stays inside the folder or is refused."""
    base = Path("/nowhere/at/all")
    try:
        path = resolve_inside(base, parse_relative(text))
    except FileError:
        return
    assert path.is_relative_to(base)
    assert path != base


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    """A link in the volume does not open the rest of the system."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "out").symlink_to("/etc")
    with pytest.raises(FileError):
        resolve_inside(tmp_path / "files", PurePosixPath("out/passwd"))


@given(
    title=st.text(),
    ending=st.sampled_from(sorted({each for all_ in FORMATS.values() for each in all_})),
)
def test_what_is_saved_gets_a_name_of_its_own(title: str, ending: str) -> None:
    """Whatever a thing in the scene is called: its file has a name that exists not yet."""
    first = free_name(title, ending, [])
    second = free_name(title, ending, [first.casefold()])
    for name in (first, second):
        assert parse_relative(name).name == name
        assert name.endswith(ending)
        assert not name.startswith(".")
    assert first.casefold() != second.casefold()


def test_a_saved_name_keeps_one_ending() -> None:
    """What was opened from a file is not saved with two endings."""
    assert free_name("Brain.nii.gz", ".nrrd", []) == "Brain.nrrd"
    assert free_name("a/b: c", ".stl", ["a_b_ c.stl"]) == "a_b_ c 2.stl"


def test_the_list_of_a_folder(tmp_path: Path) -> None:
    """Folders first, hidden files not at all, sizes in bytes."""
    (tmp_path / "Z").mkdir()
    (tmp_path / "b.nrrd").write_bytes(b"12345")
    (tmp_path / ".part").write_bytes(b"")
    entries = list_folder(tmp_path, tmp_path)
    assert [(each.name, each.kind, each.size) for each in entries] == [
        ("Z", Kind.FOLDER, 0),
        ("b.nrrd", Kind.VOLUME, 5),
    ]
    with pytest.raises(FileError):
        list_folder(tmp_path, tmp_path / "missing")


def test_group_volumes_are_places_of_their_own(tmp_path: Path) -> None:
    """The user's own files first, then each mounted group volume by its name."""
    (tmp_path / "groups" / "atlas").mkdir(parents=True)
    assert list(find_roots(tmp_path / "f", tmp_path / "groups")) == ["My files", "atlas"]
    assert list(find_roots(tmp_path / "f", tmp_path / "none")) == ["My files"]


def test_ct_and_mr_are_shown_differently() -> None:
    """Negative values down to air mean CT."""
    assert preset_for(-1024.0) != preset_for(0.0)


@pytest.mark.parametrize("value", ["", "-1", "5.5", "1e3", "99999999", "soon"])
def test_wrong_settings_are_named(value: str) -> None:
    """Every wrong variable is in the message at once."""
    with pytest.raises(SettingsError, match=r"STANDALONE.*AUTOSAVE"):
        parse_settings({"SLICERHUB_STANDALONE": "maybe", "SLICERHUB_AUTOSAVE_SEC": value})


def test_settings_inside_the_hub() -> None:
    """With nothing set nobody gets in without the hub."""
    assert parse_settings({}).standalone is False
    assert parse_settings({"SLICERHUB_STANDALONE": "1"}).standalone is True
    assert parse_settings({"SLICERHUB_AUTOSAVE_SEC": "0"}).autosave_seconds == 0


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_an_event_is_one_line(fields: dict[str, str]) -> None:
    """Line ends in a name or message cannot forge a second event."""
    line = format_event(NOON, "info", "x", dict(fields))
    assert len(line.splitlines()) == 1
    assert isinstance(json.loads(line), dict)


def test_the_hub_s_names_are_read_as_people_write_them() -> None:
    """A header holds only ASCII: the hub's spelling of a name is undone, for pages and kicks."""
    headers = {"X-Slicerhub-User": "j%C3%BCrgen@example.org", "X-Slicerhub-Role": "view"}
    visitor = parse_visitor(headers, standalone=False)
    assert visitor == Visitor(user="jürgen@example.org", role=Role.VIEW)


@pytest.mark.parametrize(
    ("people", "sentence"),
    [
        ([], "You are viewing."),
        ([BOB], "You are viewing."),
        ([BOB, ALICE], "You are viewing; alice has control."),
        (
            [ALICE, ALICE, Visitor("carol", Role.CONTROL)],
            "You are viewing; alice and carol have control.",
        ),
        (
            [Visitor(name, Role.CONTROL) for name in "cab"],
            "You are viewing; a, b and c have control.",
        ),
    ],
)
def test_who_views_reads_who_has_control(people: list[Visitor], sentence: str) -> None:
    """Each person once, however many windows they have; nobody who only views."""
    clients = [Client(str(at), visitor, NOON) for at, visitor in enumerate(people)]
    assert viewing_sentence(clients) == sentence


@pytest.mark.parametrize(
    ("environ", "home", "share"),
    [
        ({}, "/", ""),
        ({"SLICERHUB_SESSION": "abc123"}, "/", "/sessions/abc123/share"),
        (
            {"SLICERHUB_SESSION": "abc123", "SLICERHUB_HUB_URL": "https://hub.example.org/"},
            "https://hub.example.org/",
            "https://hub.example.org/sessions/abc123/share",
        ),
    ],
)
def test_the_way_back_to_the_hub(environ: dict[str, str], home: str, share: str) -> None:
    """Below the hub's own address a path is enough; elsewhere the hub says where it is."""
    settings = parse_settings(environ)
    assert (settings.home_url, settings.share_url) == (home, share)
    page = page_with("<head><title>x</title>", settings, "door.js")
    assert f'<meta name="slicerhub-home" content="{home}">' in page
    assert f'<meta name="slicerhub-share" content="{share}">' in page
    assert page.index("door.js") < page.index("<title>")


def test_no_address_breaks_out_of_the_page() -> None:
    """Whatever an address holds stays an attribute's value."""
    page = page_with("<title>", Settings(hub_url='https://x/"><script>'), "a.js")
    assert page.count("<script") == 1


@pytest.mark.parametrize(
    "environ",
    [
        {"SLICERHUB_HUB_URL": "javascript:alert(1)"},
        {"SLICERHUB_HUB_URL": "//hub.example.org"},
        {"SLICERHUB_HUB_URL": "https://"},
        {"SLICERHUB_HUB_URL": "https://hub.example.org/?a=b"},
        {"SLICERHUB_HUB_URL": "https://[hub"},
        {"SLICERHUB_SESSION": "../x"},
        {"SLICERHUB_SESSION": "A"},
        {"SLICERHUB_SESSION_SLUG": "../x"},
        {"SLICERHUB_SESSION_SLUG": "My name"},
    ],
)
def test_what_no_hub_would_say_is_named(environ: dict[str, str]) -> None:
    """A wrong setting ends the start with its name."""
    (name,) = environ
    with pytest.raises(SettingsError, match=name):
        parse_settings(environ)
