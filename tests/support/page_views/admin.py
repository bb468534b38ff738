"""Views of the administrators' pages."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from controller.core.model import Phase
from controller.rules.keeping import Keeping, KeepReason
from controller.rules.queue import QueuePosition
from controller.rules.quotas import Resource
from controller.web import sparkline
from controller.web.pages.admin.acts import AdminActView
from controller.web.pages.admin.common import Pager
from controller.web.pages.admin.drain import AdminDrainView, DrainState
from controller.web.pages.admin.plots import Tile
from controller.web.pages.admin.rows import AdminRow, Bar, FeltCell
from controller.web.pages.admin.sessions import AdminView, Column
from controller.web.pages.admin.users import (
    AdminFilesView,
    AdminThrottledView,
    AdminUser,
    AdminUsersView,
    AdminUserView,
    ThrottledRow,
)
from tests.support.page_views.common import CAROL, HOSTILE, LONG, NOW, Pages
from tests.support.page_views.home import card


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
        why=KeepReason(Keeping.INPUT, 0.0),
        why_at=NOW - timedelta(minutes=number),
        ends=NOW + timedelta(hours=20),
        cpu=Bar(f"{number % 40 / 10:.1f} of 4", number % 40 * 2.5),
        memory=Bar(f"{number % 8}.5 GB of 8.0 GB", number % 8 * 12.5 + 6),
        felt=FeltCell(
            f"{number * 21} / {number * 47} ms",
            "From the pointer to the picture in the last minute: "
            f"half within {number * 21} ms, 95 % within {number * 47} ms; most of it: render",
        ),
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
            why=KeepReason(Keeping.KEPT_UNTIL, 0.0, by="bob"),
            why_at=NOW + timedelta(hours=2),
            extra=timedelta(hours=4),
            cpu=Bar("3.9 of 4", 97.5),
        ),
        replace(
            row(4, Phase.STARTING),
            why=KeepReason(Keeping.STARTING),
            why_at=None,
            cpu=None,
            memory=None,
            felt=None,
        ),
        replace(
            row(5, Phase.FAILED, "dana"),
            why=KeepReason(Keeping.FAILED, 0.0),
            why_at=NOW + timedelta(minutes=5),
            cpu=None,
            memory=None,
            felt=None,
        ),
        replace(
            row(6, Phase.PENDING, "erin"),
            why=KeepReason(Keeping.QUEUED, place=QueuePosition(1, Resource.TOTAL)),
            why_at=None,
            cpu=None,
            memory=None,
            felt=None,
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
            ("felt", "Felt"),
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

PAGES: Pages = {
    "admin_throttled": lambda r: r.page(THROTTLED),
    "admin_throttled_none": lambda r: r.page(
        replace(THROTTLED, rows=(), said="Released. A correct password is accepted again.")
    ),
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
                replace(
                    row(7),
                    owner=LONG,
                    title=HOSTILE,
                    why=KeepReason(Keeping.KEPT, by=HOSTILE),
                    why_at=None,
                ),
            ),
            query=HOSTILE,
            said=HOSTILE,
        )
    ),
    "admin_stop": lambda r: r.page(ADMIN_STOP),
    "admin_stop_refused": lambda r: r.page(
        replace(
            ADMIN_STOP, rows=ADMIN.rows[:1], error="The server that runs sessions does not answer."
        )
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
        replace(
            ADMIN_USERS, users=(), query="x", fault="The server that runs sessions does not answer."
        )
    ),
    "admin_user": lambda r: r.page(replace(ADMIN_ONE, said="The new limit applies from now on.")),
    "admin_user_hostile": lambda r: r.page(
        replace(ADMIN_ONE, user=replace(ADMIN_USER, user=LONG), error=HOSTILE)
    ),
    "admin_files": lambda r: r.page(ADMIN_FILES),
    "admin_files_in_use": lambda r: r.page(
        replace(ADMIN_FILES, user=ADMIN_USER, error="That is not their user name.")
    ),
}
