"""Views of a session's own pages: its start, and the questions before it is stopped."""

from __future__ import annotations

from msgspec.structs import replace

from controller.rules.queue import QueuePosition
from controller.rules.quotas import Resource
from controller.web import render
from controller.web.pages.session import ConfirmStopView, Failure, RestartView, StartingView
from controller.web.render import StepState
from tests.support.page_views.common import ALICE, Pages

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
QUEUED = replace(
    STARTING_VIEW,
    elapsed=83,
    steps=tuple(render.Step(step.title, StepState.TODO) for step in STEPS),
    place=QueuePosition(2, Resource.GPUS),
)
CONFIRM = ConfirmStopView(viewer=ALICE, id="a" * 26, profile_title="Slicer", name="thesis")
RESTART = RestartView(viewer=ALICE, id="a" * 26, profile_title="Slicer", name="thesis")

PAGES: Pages = {
    "starting": lambda r: r.page(STARTING_VIEW),
    "starting_queued": lambda r: r.page(QUEUED),
    "starting_failed": lambda r: r.page(STARTING_FAILED),
    "confirm_stop": lambda r: r.page(CONFIRM),
    "confirm_restart": lambda r: r.page(RESTART),
}
