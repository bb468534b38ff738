"""What the cluster says of a Pod, and what session that is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from controller.core.model import Observed
from controller.engines.kubernetes import observed, progress
from controller.engines.kubernetes.children import child_names
from controller.settings.loading import SLICER
from tests.support.samples import session
from tests.unit.engines.kubernetes.pods import (
    ENDED,
    FORBIDDEN_WORDS,
    HUB,
    RUNNING,
    UID,
    Facts,
    conditions,
    pod,
    statuses,
)


def ended(reason: str, code: int, phase: str = "Failed") -> Facts:
    """Return the status of a Pod whose program ended."""
    end = {"exitCode": code, "reason": reason, "finishedAt": ENDED}
    return {"phase": phase, "containerStatuses": statuses(terminated=end)}


ENDS: list[tuple[Facts, int, str, str]] = [
    (ended("Error", 3), 3, "", ""),
    (ended("Completed", 0, "Succeeded"), 0, "", ""),
    ({"phase": "Succeeded"}, 0, "", ""),
    (ended("OOMKilled", 137), 137, "It needed more memory than it may have.", "OOMKilled"),
    (ended("OOMKilled", 0), 137, "It needed more memory than it may have.", "OOMKilled"),
    (
        ended("Completed", 0)
        | {"reason": "Evicted", "message": "The node was low on resource: memory."},
        143,
        "The machine that it ran on ran short of memory or disk space.",
        "Evicted: The node was low on resource: memory.",
    ),
    (
        {"phase": "Failed", "reason": "Evicted", "message": "Pod ephemeral local storage"},
        143,
        "The machine that it ran on ran short of memory or disk space.",
        "Evicted: Pod ephemeral local storage",
    ),
    (
        {"phase": "Failed", "reason": "OutOfcpu", "message": "Node didn't have enough resource"},
        143,
        "The machine that was chosen for it had no room.",
        "OutOfcpu: Node didn't have enough resource",
    ),
    (
        ended("Error", 137)
        | {"conditions": conditions(DisruptionTarget=("True", "PreemptionByScheduler", ""))},
        137,
        "It was stopped to make room for something more important.",
        "Preempting",
    ),
    (
        {"phase": "Failed", "reason": "Terminated", "message": "node shutdown"},
        143,
        "The machine that it ran on was switched off.",
        "Terminated: node shutdown",
    ),
]


@pytest.mark.parametrize(("status", "code", "told", "message"), ENDS)
def test_an_end(status: Facts, code: int, told: str, message: str) -> None:
    """Why a session ended is told as far as it did not end by itself."""
    found = pod(status)
    assert progress.has_ended(found)
    (seen,), faults = observed.observe([found], set(), {}, HUB)
    assert not faults
    assert (seen.exit_code, str(seen.progress or ""), seen.message) == (code, told, message)
    assert not seen.running
    assert not FORBIDDEN_WORDS.search(told)


def test_whole() -> None:
    """A running Pod with all that belongs to it is a whole session, and nothing is said of it."""
    wanted = child_names(session().id, SLICER, HUB)
    children = {(kind, name, UID) for kind, name in wanted}
    seen, _ = observed.observe([pod(RUNNING)], children, {}, HUB)
    assert seen == [Observed(session=session(), running=True)]
    for missing in children:
        (seen,), _ = observed.observe([pod(RUNNING)], children - {missing}, {}, HUB)
        assert not seen.complete
    foreign = {(kind, name, "another Pod") for kind, name in wanted}
    (seen,), _ = observed.observe([pod(RUNNING)], foreign, {}, HUB)
    assert not seen.complete


def test_being_deleted() -> None:
    """A Pod that is being deleted is a session that is stopping, whatever it does yet."""
    (seen,), _ = observed.observe([pod(RUNNING, deletionTimestamp=ENDED)], set(), {}, HUB)
    assert seen.deleting
    assert seen.running


def test_lost_node() -> None:
    """A session on a machine that does not answer is not healthy."""
    lost = RUNNING | {"conditions": conditions(Ready="False", ContainersReady="True")}
    (seen,), _ = observed.observe([pod(lost)], set(), {}, HUB)
    assert not seen.healthy


def test_end_time() -> None:
    """When a program ended is known."""
    (seen,), _ = observed.observe([pod(ended("Error", 3))], set(), {}, HUB)
    assert seen.ended_at == datetime(2026, 3, 5, 15, tzinfo=UTC)


def test_profile_gone() -> None:
    """A session whose profile is no longer configured counts as whole: nothing can be mended."""
    without = replace(HUB, profiles=())
    (seen,), _ = observed.observe([pod(RUNNING)], set(), {}, without)
    assert seen.complete


def test_unreadable() -> None:
    """A Pod that records no session is left out, and it is said why."""
    seen, faults = observed.observe(
        [pod(RUNNING, annotations={"slicerhub/schema": "?"})], (), {}, HUB
    )
    assert seen == []
    assert "slicerhub.schema is '?'" in faults[0]


def test_of_a_newer_hub() -> None:
    """A Pod of a newer hub is shown as such; it is no fault, and nothing else is said of it."""
    record = {"slicerhub/schema": "9", "slicerhub/session": session().id}
    (seen,), faults = observed.observe([pod(RUNNING, annotations=record)], (), {}, HUB)
    assert (seen.newer, seen.running, seen.session.id) == (True, True, session().id)
    assert faults == []
