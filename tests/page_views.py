"""Views of every page in every state, for the tests that render and those that look at them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from controller import render
from controller.errors import DirectoryUnavailable, Forged
from controller.model import Phase, Role
from controller.render import Renderer, StepState
from controller.web import HttpError

NOW = datetime(2026, 3, 5, 14, 5, tzinfo=UTC)
ALICE = render.Viewer(user="alice", display_name="Alice Example", csrf="c5rf")
CAROL = render.Viewer(user="carol", display_name="Carol Example", csrf="c5rf", admin=True)

SLICER = render.ProfileChoice(
    id="slicer",
    title="Slicer",
    description="Volumes, volume rendering, segmentation.",
    resources="4 cores · 16 GB",
    default=True,
)
LARGE = render.ProfileChoice(
    id="large",
    title="Slicer, large",
    description="For long segmentations and big time series.",
    resources="16 cores · 64 GB",
)
DESKTOP = render.ProfileChoice(
    id="desktop",
    title="Full desktop",
    description="The whole desktop program with its extensions.",
    resources="8 cores · 32 GB · GPU",
    available=False,
    why_not="The GPU is in use. Somebody's session on it ends at 15:30 at the latest.",
)

FAILURE = render.Failure(
    reason="Slicer ended while it was loading: it ran out of memory.",
    log=(
        "14:01:58 loading volume /home/slicer/thorax-0.6mm.nrrd",
        "14:02:03 allocating 18253611008 bytes",
        "14:02:03 std::bad_alloc",
        "14:02:03 " + "frame " * 40,
    ),
    code="7K2M-9QXD",
)


def card(number: int, phase: Phase = Phase.READY, name: str = "thesis") -> render.SessionCard:
    """One of Alice's sessions."""
    ident = f"{number:x}".translate(str.maketrans("01", "xy")).rjust(26, "a")
    return render.SessionCard(
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
    card(3, Phase.PENDING, "planning"), message="Waiting for a free place; you are second in line."
)
STARTING = card(4, Phase.STARTING, "")
STOPPING = card(5, Phase.STOPPING, "review")
FAILED = replace(card(6, Phase.FAILED, "thorax"), failure=FAILURE)
SHARED = render.SharedCard(
    id="b" * 26,
    owner="Carol Example",
    profile_title="Slicer",
    name="planning",
    phase=Phase.READY,
    url=f"/s/{'b' * 26}/",
    role=Role.VIEW,
)
IDLE_NOTICE = render.Notice(
    id="n1",
    text="Slicer · thesis was stopped at",
    at=NOW - timedelta(minutes=3),
    more="after 30 minutes unused. Your files are there.",
)
DRAIN_NOTICE = render.Notice(
    id="n2",
    text="The hub is restarted at",
    at=NOW + timedelta(hours=4),
    more=". Save your work before.",
    kind=render.NoticeKind.WARNING,
    dismissable=False,
)

HOSTILE = """<script>alert('x')</script>"'`{{ 7*7 }}</title></textarea>\u202e onload=alert(1)"""
LONG = "Wolfeschlegelsteinhausenbergerdorff" * 3

LOGIN = render.LoginView(
    organisation="Department of Example",
    help_line="No account yet? Write to help@hub.example.",
    next="/",
)
HOME = render.HomeView(viewer=ALICE, now=NOW, profiles=(SLICER, LARGE, DESKTOP), sessions=(READY,))
STEPS = (
    render.Step("Place found", StepState.DONE),
    render.Step("Your files connected", StepState.DONE),
    render.Step("Slicer is loading", StepState.ACTIVE, "usually 6 s"),
    render.Step("Ready", StepState.TODO),
)
STARTING_VIEW = render.StartingView(
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
CONFIRM = render.ConfirmStopView(viewer=ALICE, id="a" * 26, profile_title="Slicer", name="thesis")
EMPTY = replace(HOME, sessions=(), profiles=(SLICER,))
QUOTA = "You have 2 of 2 sessions. Stop one to start another."


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
    "login": lambda r: r.login(LOGIN),
    "login_bare": lambda r: r.login(render.LoginView()),
    "login_demo_error": lambda r: r.login(
        replace(
            LOGIN,
            username="alice",
            error="User name or password is wrong, or this account may not use the hub.",
            demo=(
                render.DemoAccount("alice", "alice"),
                render.DemoAccount("bob", "bob"),
                render.DemoAccount("carol", "carol", "administrator"),
            ),
        )
    ),
    "home_empty": lambda r: r.home(EMPTY),
    "home_empty_many_profiles": lambda r: r.home(
        replace(HOME, sessions=(), notices=(IDLE_NOTICE,))
    ),
    "home_empty_blocked": lambda r: r.home(
        replace(EMPTY, blocked="The hub is full. Try again in a few minutes.")
    ),
    "home_no_profiles": lambda r: r.home(replace(EMPTY, profiles=())),
    "home_one": lambda r: r.home(HOME),
    "home_many": lambda r: r.home(
        replace(
            HOME,
            viewer=CAROL,
            sessions=(READY, PENDING, STARTING, STOPPING, FAILED),
            notices=(IDLE_NOTICE, DRAIN_NOTICE),
            shared=(SHARED, replace(SHARED, id="c" * 26, role=Role.CONTROL)),
        )
    ),
    "home_quota": lambda r: r.home(
        replace(HOME, sessions=(READY, card(7, name="two")), blocked=QUOTA)
    ),
    "home_name_refused": lambda r: r.home(
        replace(
            HOME,
            launch_name="thesis",
            launch_error="A session of that name runs already. Open it, or choose another name.",
        )
    ),
    "home_unavailable": lambda r: r.home(
        replace(EMPTY, launch_error="The engine does not answer. Try again in a minute.")
    ),
    "home_hostile": lambda r: r.home(
        replace(
            HOME,
            viewer=render.Viewer(user=LONG, display_name=LONG, csrf='"><b>'),
            sessions=(card(8, name=HOSTILE), card(9, name=LONG)),
            profiles=(replace(SLICER, title=HOSTILE, description=LONG),),
            notices=(replace(IDLE_NOTICE, text=HOSTILE, more=LONG),),
            shared=(replace(SHARED, owner=HOSTILE),),
            launch_name=HOSTILE,
            launch_error=HOSTILE,
        )
    ),
    "starting": lambda r: r.starting(STARTING_VIEW),
    "starting_queued": lambda r: r.starting(
        replace(
            STARTING_VIEW,
            elapsed=83,
            steps=(render.Step("Waiting for a place", StepState.ACTIVE), *STEPS[3:]),
            message="All places are taken; you are second in line.",
        )
    ),
    "starting_failed": lambda r: r.starting(STARTING_FAILED),
    "confirm_stop": lambda r: r.confirm_stop(CONFIRM),
    "forbidden": lambda r: r.error(render.error_view(Forged(), ALICE)),
    "not_found": lambda r: r.error(render.error_view(HttpError(404))),
    "unavailable": lambda r: r.error(render.error_view(AWAY)),
    "too_large": lambda r: r.error(render.error_view(HttpError(413), ALICE)),
    "docs": lambda r: r.docs(API),
    "refusal": lambda r: r.refusal(render.RefusalView(stylesheet=r.stylesheet)),
}
"""Each page in each of its states, by a name fit for a file."""
