"""Views of the first page: profiles, sessions, companions and notices."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from controller.core.model import Phase, Role
from controller.rules.queue import QueuePosition
from controller.rules.quotas import Resource
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
from controller.web.render import Viewer
from tests.support.page_views.common import ALICE, CAROL, HOSTILE, LONG, NOW, Pages
from tests.support.page_views.session import FAILURE

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
    card(3, Phase.PENDING, "planning"), place=QueuePosition(position=2, waits_for=Resource.TOTAL)
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

HOME = HomeView(viewer=ALICE, now=NOW, profiles=(SLICER, LARGE, DESKTOP), sessions=(READY,))
EMPTY = replace(HOME, sessions=(), profiles=(SLICER,))
QUOTA = "You have 2 of 2 sessions. Stop one to start another."

PAGES: Pages = {
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
        replace(
            EMPTY,
            launch_error="The server that runs sessions does not answer. Try again in a minute.",
        )
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
}
