"""Views of every page in every state, for the tests that render and those that look at them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from controller.core.errors import DirectoryUnavailable, Forged
from controller.core.model import Phase, QueuePosition, Role
from controller.rules.sentences import KeepReason
from controller.web import render, sparkline
from controller.web.answers import HttpError
from controller.web.pages.admin.acts import AdminActView
from controller.web.pages.admin.common import Pager
from controller.web.pages.admin.drain import AdminDrainView, DrainState
from controller.web.pages.admin.plots import Tile
from controller.web.pages.admin.rows import AdminRow, Bar
from controller.web.pages.admin.sessions import AdminView, Column
from controller.web.pages.admin.users import (
    AdminFilesView,
    AdminThrottledView,
    AdminUser,
    AdminUsersView,
    AdminUserView,
    ThrottledRow,
)
from controller.web.pages.forms import ErrorView, error_view
from controller.web.pages.home import (
    CompanionLink,
    HomeView,
    NoticeKind,
    NoticeView,
    ProfileChoice,
    SessionCard,
    SharedCard,
    StopWarning,
)
from controller.web.pages.login import DemoAccount, LoginRow, LoginsView, LoginView
from controller.web.pages.session import ConfirmStopView, Failure, RestartView, StartingView
from controller.web.pages.sharing import GuestRow, JoinView, LinkRow, ShareView, ShownLink
from controller.web.render import RefusalView, Renderer, StepState, Viewer

NOW = datetime(2026, 3, 5, 14, 5, tzinfo=UTC)
ALICE = Viewer(user="alice", display_name="Alice Example", csrf="c5rf")
CAROL = Viewer(user="carol", display_name="Carol Example", csrf="c5rf", admin=True)

SLICER = ProfileChoice(
    id="slicer",
    title="Slicer",
    description="Volumes, volume rendering, segmentation.",
    resources="4 cores · 16 GB",
    default=True,
)
LARGE = ProfileChoice(
    id="large",
    title="Slicer, large",
    description="For long segmentations and big time series.",
    resources="16 cores · 64 GB",
)
DESKTOP = ProfileChoice(
    id="desktop",
    title="Full desktop",
    description="The whole desktop program with its extensions.",
    resources="8 cores · 32 GB · GPU",
    available=False,
    why_not="The GPU is in use. Somebody's session on it ends at 15:30 at the latest.",
)

AHEAD = replace(SLICER, ahead=True)
LINED = replace(LARGE, ahead=False, queue=3, gpus="GPU: 1 free")

FAILURE = Failure(
    reason="Slicer ended while it was loading: it ran out of memory.",
    log=(
        "14:01:58 loading volume /home/slicer/thorax-0.6mm.nrrd",
        "14:02:03 allocating 18253611008 bytes",
        "14:02:03 std::bad_alloc",
        "14:02:03 " + "frame " * 40,
    ),
    code="7K2M-9QXD",
)


def card(number: int, phase: Phase = Phase.READY, name: str = "thesis") -> SessionCard:
    """One of Alice's sessions."""
    ident = f"{number:x}".translate(str.maketrans("01", "xy")).rjust(26, "a")
    return SessionCard(
        id=ident,
        profile="slicer",
        profile_title="Slicer",
        name=name,
        phase=phase,
        url=f"/s/{ident}/",
        started=NOW - timedelta(hours=4, minutes=24),
        last_used=NOW - timedelta(minutes=3),
        stops_after=timedelta(minutes=30),
    )


READY = card(2)
PENDING = replace(
    card(3, Phase.PENDING, "planning"), place=QueuePosition(position=2, waits_for="a free place")
)
WATCHED = replace(
    READY, shared_with=2, watching=("Bob Example is watching", "Dana Example has control")
)
UNUSED = replace(
    card(10, name="atlas"),
    ahead=True,
    warning=StopWarning(at=NOW + timedelta(minutes=5), why="unused"),
)
OVERDUE = replace(
    card(11, name="series"),
    shared_with=1,
    warning=StopWarning(at=NOW + timedelta(minutes=5), why="lifetime"),
)
STARTING = card(4, Phase.STARTING, "")
STOPPING = card(5, Phase.STOPPING, "review")
FAILED = replace(card(6, Phase.FAILED, "thorax"), failure=FAILURE)
SHARED = SharedCard(
    id="b" * 26,
    owner="Carol Example",
    profile_title="Slicer",
    name="planning",
    phase=Phase.READY,
    url=f"/s/{'b' * 26}/",
    role=Role.VIEW,
    can_ask=True,
    until=NOW + timedelta(hours=20),
)
COMPANIONS = (
    CompanionLink("pictures", "Pictures of the department", "/apps/pictures/"),
    CompanionLink("wiki", "Wiki", "/apps/wiki/"),
)
IDLE_NOTICE = NoticeView(
    id="n1",
    text="Slicer · thesis was stopped at",
    at=NOW - timedelta(minutes=3),
    more="after 30 minutes unused. Your files are there.",
)
DRAIN_NOTICE = NoticeView(
    id="n2",
    text="The hub is restarted at",
    at=NOW + timedelta(hours=4),
    more=". Save your work before then.",
    kind=NoticeKind.WARNING,
    dismissable=False,
)

HOSTILE = """<script>alert('x')</script>"'`{{ 7*7 }}</title></textarea>\u202e onload=alert(1)"""
LONG = "Wolfeschlegelsteinhausenbergerdorff" * 3

LOGIN = LoginView(
    organisation="Department of Example",
    help_line="No account yet? Write to help@hub.example.",
    next="/",
)
HOME = HomeView(viewer=ALICE, now=NOW, profiles=(SLICER, LARGE, DESKTOP), sessions=(READY,))
STEPS = (
    render.Step("Place found", StepState.DONE),
    render.Step("Your files connected", StepState.DONE),
    render.Step("Slicer is loading", StepState.ACTIVE, "usually 6 s"),
    render.Step("Ready", StepState.TODO),
)
STARTING_VIEW = StartingView(
    viewer=ALICE,
    id="a" * 26,
    profile="slicer",
    profile_title="Slicer",
    name="thesis",
    url=f"/s/{'a' * 26}/",
    elapsed=8.4,
    steps=STEPS,
)
STARTING_FAILED = replace(
    STARTING_VIEW,
    steps=(*STEPS[:2], render.Step("Slicer is loading", StepState.FAILED), STEPS[3]),
    failure=FAILURE,
)
CONFIRM = ConfirmStopView(viewer=ALICE, id="a" * 26, profile_title="Slicer", name="thesis")
EMPTY = replace(HOME, sessions=(), profiles=(SLICER,))
QUEUED = replace(
    STARTING_VIEW,
    elapsed=83,
    steps=tuple(render.Step(step.title, StepState.TODO) for step in STEPS),
    place=QueuePosition(2, "a graphics card"),
)
RESTART = RestartView(viewer=ALICE, id="a" * 26, profile_title="Slicer", name="thesis")

BOB = GuestRow(user="bob", display_name="Bob Example", role=Role.VIEW, connected=True)
DANA = GuestRow(
    user="dana",
    display_name="Dana Example",
    role=Role.CONTROL,
    until=NOW + timedelta(hours=1),
)
LINK = LinkRow(id="l1", role=Role.VIEW, until=NOW + timedelta(days=1), uses=0, max_uses=1)
QR = (
    "111111100100111011111111001111111",
    "100000100000111111000000001000001",
    "101110101010110011110110001011101",
    "101110101101001110010010001011101",
    "101110101111100101100001101011101",
    "100000101100000111000100001000001",
    "111111101010101010101010101111111",
    "000000001010001100000100000000000",
    "101111100000010111000010101111100",
    "111111000101001000111101001101111",
    "001101100011100100101010100010110",
    "100010010001101010011101001011110",
    "011000100111000100110001110011010",
    "010111010110111111000111001100011",
    "101010100010000000101100011110110",
    "100001011110010010011110011100100",
    "000010101100111011000010110111001",
    "011111011100100011110101101101111",
    "100000110100101111001110100110100",
    "110111000110110001101101111111110",
    "111000100000000110001010000111011",
    "110010011011000101110001111001101",
    "101111101011011111000110101110110",
    "100101011110000100100110000001111",
    "100001111001101111110010111110000",
    "000000001010001000111110100010101",
    "111111100011000110100011101010110",
    "100000101000001000001111100011101",
    "101110101011010000110000111111000",
    "101110101110101111011111110010111",
    "101110101100011001000101111101100",
    "100000100000110010011100010010100",
    "111111101110011001000011111101010",
)
"""The QR code of ``FRESH``'s address, level M."""
FRESH = ShownLink(
    url="https://hub.example/join/k3v7q2m5x4a6b2c7d5e3f4g6h7",
    role=Role.VIEW,
    until=NOW + timedelta(days=1),
    max_uses=1,
    qr=QR,
)
SHARE = ShareView(
    viewer=ALICE,
    now=NOW,
    id=READY.id,
    profile_title="Slicer",
    name="thesis",
    connected=("Alice Example (you)",),
    can_suggest=True,
)
SHARED_OUT = replace(
    SHARE,
    people=(BOB, DANA),
    links=(LINK, replace(LINK, id="l2", role=Role.CONTROL, uses=3, max_uses=None)),
    connected=("Alice Example (you)", "Bob Example"),
)
JOIN = JoinView(
    viewer=ALICE,
    code="k3v7q2m5x4a6b2c7d5e3f4g6h7",
    owner="Carol Example",
    title="Slicer · planning",
    role=Role.VIEW,
    until=NOW + timedelta(days=1),
    now=NOW,
)
QUOTA = "You have 2 of 2 sessions. Stop one to start another."


def row(number: int, phase: Phase = Phase.READY, owner: str = "alice") -> AdminRow:
    """Anybody's session, as administrators see it; each number differs a little."""
    one = card(number, phase)
    return AdminRow(
        id=one.id,
        owner=owner,
        title=one.title,
        phase=phase,
        started=one.started,
        last_active=NOW - timedelta(minutes=number),
        why=KeepReason("input", 0.0, past=True),
        why_at=NOW - timedelta(minutes=number),
        ends=NOW + timedelta(hours=20),
        cpu=Bar(f"{number % 40 / 10:.1f} of 4", number % 40 * 2.5),
        memory=Bar(f"{number % 8}.5 GB of 8.0 GB", number % 8 * 12.5 + 6),
    )


def day(top: float) -> sparkline.Plot:
    """A working day, with a gap at noon."""
    hours = [*range(6, 12), *range(14, 24)]
    values = [
        sparkline.Value(60.0 * minute + 3600 * hour, top * min(hour - 5, 24 - hour) / 10)
        for hour in hours
        for minute in range(0, 60, 5)
    ]
    return sparkline.plot(values, now=86_400, span=86_400)


TILES = (
    Tile("Sessions", "12", "37", day(37), NOW - timedelta(hours=3)),
    Tile("CPU", "18.4 cores", "61.0 cores", day(61), NOW - timedelta(hours=3)),
    Tile("Memory", "96 GB", "210 GB", day(2.1e11), NOW - timedelta(hours=2)),
    Tile("Longest wait", "0 s", "4 min 10 s", day(250), NOW - timedelta(hours=5)),
)
BLANK = sparkline.plot([], now=86_400, span=86_400)
ADMIN = AdminView(
    viewer=CAROL,
    now=NOW,
    here="/admin",
    rows=(
        row(2),
        replace(
            row(3, owner="bob"),
            why=KeepReason("kept by bob until", 0.0),
            why_at=NOW + timedelta(hours=2),
            extra=timedelta(hours=4),
            cpu=Bar("3.9 of 4", 97.5),
        ),
        replace(
            row(4, Phase.STARTING), why=KeepReason("starting"), why_at=None, cpu=None, memory=None
        ),
        replace(
            row(5, Phase.FAILED, "dana"),
            why=KeepReason("failed, shown until", 0.0),
            why_at=NOW + timedelta(minutes=5),
            cpu=None,
            memory=None,
        ),
        replace(
            row(6, Phase.PENDING, "erin"),
            why=KeepReason("1st in the queue, waits for a free place"),
            why_at=None,
            cpu=None,
            memory=None,
            ends=None,
        ),
    ),
    columns=tuple(
        Column(key, title, f"/admin?sort={key}", "ascending" if key == "started" else "")
        for key, title in (
            ("owner", "Owner"),
            ("title", "Session"),
            ("phase", "State"),
            ("cpu", "CPU"),
            ("memory", "Memory"),
            ("activity", "Last used"),
            ("started", "Started"),
        )
    ),
    pager=Pager(found=5),
    total=5,
    summary="5 sessions: 1 failed, 1 waiting, 2 ready, 1 starting",
    tiles=TILES,
    hours=tuple(
        (NOW - timedelta(hours=ago), (str(40 - ago), "18.4 cores", "96 GB", "0 s"))
        for ago in range(1, 25)
    ),
    may_look=True,
)
ADMIN_MANY = replace(
    ADMIN,
    rows=tuple(row(number + 2, owner=f"user{number % 40}") for number in range(50)),
    pager=Pager(3, 10, 500, "/admin?page=2", "/admin?page=4"),
    total=500,
    summary="500 sessions: 500 ready",
)
ADMIN_EMPTY = replace(
    ADMIN,
    rows=(),
    total=0,
    pager=Pager(),
    summary="No sessions",
    tiles=tuple(replace(one, plot=BLANK, now="", most="", most_at=None) for one in TILES),
    hours=(),
)
ADMIN_STOP = AdminActView(
    viewer=CAROL,
    now=NOW,
    act="stop",
    rows=ADMIN.rows,
    back="/admin",
    most_hours=168,
    most_characters=200,
    look_minutes=30,
)
ADMIN_DRAIN = AdminDrainView(viewer=CAROL, now=NOW, sessions=37, owners=21, most_characters=200)
ADMIN_USER = AdminUser(
    "alice", "/admin/user?user=alice", sessions=1, most=3, logged_in=True, files="3.2 GB"
)
ADMIN_USERS = AdminUsersView(
    viewer=CAROL,
    now=NOW,
    users=(
        ADMIN_USER,
        AdminUser("bob", "/admin/user?user=bob", sessions=0, most=6, quota=6),
    ),
    pager=Pager(found=2),
    measured=NOW - timedelta(minutes=2),
    measure="/admin/users?measure=1",
)
ADMIN_ONE = AdminUserView(
    viewer=CAROL, user=ADMIN_USER, configured=3, volume="slicerhub-home-alice-2bd806c9"
)
ADMIN_FILES = AdminFilesView(
    viewer=CAROL,
    user=replace(ADMIN_USER, sessions=0),
    volume="slicerhub-home-alice-2bd806c9",
)

FIREFOX = LoginRow(
    id="f" * 32,
    client="Firefox on Windows",
    address="10.14.3.77",
    since=NOW - timedelta(hours=5),
    seen=NOW - timedelta(seconds=20),
    ends=NOW + timedelta(hours=7),
    current=True,
)
SCRIPT = replace(
    FIREFOX, id="5" * 32, client="Script", current=False, seen=NOW - timedelta(minutes=12)
)
LOGINS = LoginsView(
    viewer=ALICE,
    now=NOW,
    rows=(
        FIREFOX,
        replace(
            SCRIPT,
            id="a" * 32,
            client="Safari on an iPhone",
            address="2001:db8:85a3:8d3:1319:8a2e:370:7348",
            since=NOW - timedelta(hours=11),
            seen=NOW - timedelta(hours=9),
        ),
        SCRIPT,
    ),
)
THROTTLED = AdminThrottledView(
    viewer=CAROL,
    now=NOW,
    rows=(
        ThrottledRow("1" * 32, "", "2001:db8:85a3:8d3::/64", 30, NOW + timedelta(minutes=4)),
        ThrottledRow("2" * 32, "alice", "10.14.3.77", 5, NOW + timedelta(minutes=2)),
        ThrottledRow("3" * 32, HOSTILE, LONG, 5, NOW + timedelta(minutes=1)),
    ),
    per_user=5,
    per_address=30,
    window=timedelta(minutes=5),
)


API: Mapping[str, object] = {
    "paths": {
        "/api/v1/sessions": {
            "post": {
                "summary": "Launch",
                "description": HOSTILE,
                "requestBody": {
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/LaunchIn"}}
                    }
                },
                "responses": {
                    "202": {
                        "content": {
                            "application/json": {
                                "schema": {"$ref": "#/components/schemas/SessionOut"}
                            }
                        }
                    }
                },
            }
        }
    },
    "components": {
        "schemas": {
            "LaunchIn": {
                "properties": {
                    "profile": {"type": "string", "maxLength": 64},
                    "name": {"type": "string", "maxLength": 160},
                },
                "required": ["profile"],
            },
            "SessionOut": {
                "properties": {
                    "id": {"type": "string"},
                    "created_at": {"type": "string", "format": "date-time"},
                    "a_field_with_a_long_name_that_goes_on": {"enum": ["pending", "ready"]},
                },
            },
        }
    },
}

AWAY = DirectoryUnavailable(
    "The directory does not answer; people who are logged in can go on working."
)

PAGES: Mapping[str, Callable[[Renderer], str]] = {
    "login": lambda r: r.page(LOGIN),
    "login_bare": lambda r: r.page(LoginView()),
    "login_demo_error": lambda r: r.page(
        replace(
            LOGIN,
            username="alice",
            error="User name or password is wrong, or this account may not use the hub.",
            demo=(
                DemoAccount("alice", "alice"),
                DemoAccount("bob", "bob"),
                DemoAccount("carol", "carol", "administrator"),
            ),
        )
    ),
    "logins": lambda r: r.page(LOGINS),
    "logins_one": lambda r: r.page(replace(LOGINS, rows=(FIREFOX,))),
    "logins_ended": lambda r: r.page(
        replace(LOGINS, rows=(FIREFOX, SCRIPT), said="That log-in has ended.")
    ),
    "logins_hostile": lambda r: r.page(
        replace(
            LOGINS,
            viewer=replace(ALICE, user=LONG, display_name=HOSTILE),
            rows=(
                replace(FIREFOX, client=HOSTILE, address=LONG),
                replace(SCRIPT, client=LONG, address=""),
            ),
        )
    ),
    "admin_throttled": lambda r: r.page(THROTTLED),
    "admin_throttled_none": lambda r: r.page(
        replace(THROTTLED, rows=(), said="They can try again.")
    ),
    "home_empty": lambda r: r.page(EMPTY),
    "home_empty_many_profiles": lambda r: r.page(
        replace(HOME, sessions=(), notices=(IDLE_NOTICE,))
    ),
    "home_empty_blocked": lambda r: r.page(
        replace(EMPTY, blocked="The hub is full. Try again in a few minutes.")
    ),
    "home_no_profiles": lambda r: r.page(replace(EMPTY, profiles=())),
    "home_one": lambda r: r.page(HOME),
    "home_many": lambda r: r.page(
        replace(
            HOME,
            viewer=CAROL,
            sessions=(READY, PENDING, STARTING, STOPPING, FAILED),
            notices=(IDLE_NOTICE, DRAIN_NOTICE),
            shared=(SHARED, replace(SHARED, id="c" * 26, role=Role.CONTROL)),
        )
    ),
    "home_watched": lambda r: r.page(replace(HOME, sessions=(WATCHED, UNUSED, OVERDUE))),
    "home_shared_only": lambda r: r.page(
        replace(EMPTY, shared=(SHARED, replace(SHARED, id="c" * 26, asked=True)))
    ),
    "home_companions": lambda r: r.page(replace(HOME, companions=COMPANIONS)),
    "home_empty_companions": lambda r: r.page(replace(EMPTY, companions=COMPANIONS[:1])),
    "home_ahead": lambda r: r.page(replace(HOME, profiles=(AHEAD, LINED, DESKTOP))),
    "home_empty_ahead": lambda r: r.page(
        replace(EMPTY, profiles=(replace(AHEAD, ahead=False), LINED))
    ),
    "home_quota": lambda r: r.page(
        replace(HOME, sessions=(READY, card(7, name="two")), blocked=QUOTA)
    ),
    "home_name_refused": lambda r: r.page(
        replace(
            HOME,
            launch_name="thesis",
            launch_error="A session with this name is already running. Open it, or choose another "
            "name.",
        )
    ),
    "home_unavailable": lambda r: r.page(
        replace(EMPTY, launch_error="The engine does not answer. Try again in a minute.")
    ),
    "home_hostile": lambda r: r.page(
        replace(
            HOME,
            viewer=Viewer(user=LONG, display_name=LONG, csrf='"><b>'),
            sessions=(card(8, name=HOSTILE), card(9, name=LONG)),
            profiles=(replace(SLICER, title=HOSTILE, description=LONG),),
            notices=(replace(IDLE_NOTICE, text=HOSTILE, more=LONG),),
            shared=(replace(SHARED, owner=HOSTILE),),
            companions=(replace(COMPANIONS[0], title=HOSTILE), replace(COMPANIONS[1], title=LONG)),
            launch_name=HOSTILE,
            launch_error=HOSTILE,
        )
    ),
    "starting": lambda r: r.page(STARTING_VIEW),
    "starting_queued": lambda r: r.page(QUEUED),
    "starting_failed": lambda r: r.page(STARTING_FAILED),
    "confirm_stop": lambda r: r.page(CONFIRM),
    "confirm_restart": lambda r: r.page(RESTART),
    "share_nobody": lambda r: r.page(SHARE),
    "share_people": lambda r: r.page(SHARED_OUT),
    "share_asked": lambda r: r.page(
        replace(SHARED_OUT, people=(BOB, DANA), ask=("bob",), links=(), kickable=False)
    ),
    "share_link": lambda r: r.page(replace(SHARED_OUT, fresh=FRESH)),
    "share_refused": lambda r: r.page(
        replace(
            SHARED_OUT,
            error="Nobody of that name may use the hub. Check how it is spelled.",
            typed_user="bbo",
        )
    ),
    "share_hostile": lambda r: r.page(
        replace(
            SHARE,
            name=HOSTILE,
            people=(replace(BOB, user=LONG, display_name=HOSTILE, asks=True),),
            connected=(HOSTILE, LONG),
            fresh=replace(FRESH, url=f"https://hub.example/{LONG}"),
            error=HOSTILE,
            typed_user=HOSTILE,
        )
    ),
    "join_view": lambda r: r.page(JOIN),
    "join_control": lambda r: r.page(replace(JOIN, role=Role.CONTROL, until=None)),
    "join_hostile": lambda r: r.page(replace(JOIN, owner=LONG, title=HOSTILE)),
    "join_refused": lambda r: r.page(
        ErrorView(
            status=410,
            title="This link has been used or has ended",
            sentence="Ask for a new one.",
            viewer=ALICE,
        )
    ),
    "forbidden": lambda r: r.page(error_view(Forged(), ALICE)),
    "not_found": lambda r: r.page(error_view(HttpError(404))),
    "unavailable": lambda r: r.page(error_view(AWAY)),
    "too_large": lambda r: r.page(error_view(HttpError(413), ALICE)),
    "admin": lambda r: r.page(ADMIN),
    "admin_empty": lambda r: r.page(ADMIN_EMPTY),
    "admin_many": lambda r: r.page(ADMIN_MANY),
    "admin_nothing_found": lambda r: r.page(replace(ADMIN, rows=(), query=HOSTILE)),
    "admin_draining": lambda r: r.page(
        replace(
            ADMIN,
            said="2 sessions are being stopped.",
            drain=DrainState("carol", NOW, "New disks are put in.", NOW + timedelta(hours=4)),
        )
    ),
    "admin_hostile": lambda r: r.page(
        replace(
            ADMIN,
            rows=(
                replace(row(7), owner=LONG, title=HOSTILE, why=KeepReason(HOSTILE), why_at=None),
            ),
            query=HOSTILE,
            said=HOSTILE,
        )
    ),
    "admin_stop": lambda r: r.page(ADMIN_STOP),
    "admin_stop_refused": lambda r: r.page(
        replace(ADMIN_STOP, rows=ADMIN.rows[:1], error="The engine does not answer.")
    ),
    "admin_message": lambda r: r.page(replace(ADMIN_STOP, act="message")),
    "admin_message_refused": lambda r: r.page(
        replace(ADMIN_STOP, act="message", error=HOSTILE, typed=HOSTILE)
    ),
    "admin_extend": lambda r: r.page(
        replace(ADMIN_STOP, act="extend", rows=ADMIN.rows[:1], error=HOSTILE, typed="900")
    ),
    "admin_look": lambda r: r.page(replace(ADMIN_STOP, act="look", rows=ADMIN.rows[:1])),
    "admin_drain": lambda r: r.page(ADMIN_DRAIN),
    "admin_drain_refused": lambda r: r.page(
        replace(ADMIN_DRAIN, sessions=1, owners=1, error=HOSTILE, message=HOSTILE)
    ),
    "admin_users": lambda r: r.page(ADMIN_USERS),
    "admin_users_nobody": lambda r: r.page(
        replace(ADMIN_USERS, users=(), query="x", fault="The engine does not answer.")
    ),
    "admin_user": lambda r: r.page(replace(ADMIN_ONE, said="The new limit counts from now on.")),
    "admin_user_hostile": lambda r: r.page(
        replace(ADMIN_ONE, user=replace(ADMIN_USER, user=LONG), error=HOSTILE)
    ),
    "admin_files": lambda r: r.page(ADMIN_FILES),
    "admin_files_in_use": lambda r: r.page(
        replace(ADMIN_FILES, user=ADMIN_USER, error="That is not their user name.")
    ),
    "docs": lambda r: r.docs(API),
    "refusal": lambda r: r.refusal(RefusalView(stylesheet=r.stylesheet)),
}
"""Each page in each of its states, by a name fit for a file."""
