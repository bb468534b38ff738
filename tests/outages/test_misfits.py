"""Programs in sessions that misbehave: their people are told, and nobody else notices."""

from __future__ import annotations

import time
from typing import Any

import pytest
from docker import DockerClient
from e2e.stack import Member, container_of, place_of
from outages.conftest import Outage
from outages.watch import DOWN, SESSION, Notices, Scene, Vigil, words_of

from tests.support.inside import inside
from tests.support.waits import until

HANG_SECONDS = 6
NEVER_READY = {
    "idle": "a program that never gets ready (it does not listen)",
    "silent": "a port that lies: it takes connections and never answers",
    "babbling": "a port that lies: it speaks another protocol",
}


def keep_file(engine: DockerClient, session: dict[str, Any], name: str) -> None:
    """Let a session write a file."""
    command = ("sh", "-c", f"echo kept > '/home/slicer/{name}'")
    inside(container_of(engine, session["id"]), *command)


def has_file(engine: DockerClient, session: dict[str, Any], name: str) -> bool:
    """Tell whether a session of the same person finds that file."""
    found = inside(container_of(engine, session["id"]), "cat", f"/home/slicer/{name}")
    return found == "kept\n"


def note_page(vigil: Vigil, member: Member, session: dict[str, Any]) -> None:
    """Note what somebody gets who opens a session's page."""
    answer = member.browser.get(place_of(session))
    vigil.note("its page", words_of(answer))


def test_a_session_runs_out_of_memory(broken: Outage, scene: Scene, engine: DockerClient) -> None:
    """It is killed alone, its owner reads why, and starts it again with the same files."""
    alice = scene.alice
    fault = "a session runs out of memory (of another session than the open desktop)"
    with broken(fault, by_itself=True) as vigil:
        session = alice.launch("hungry", "hungry")
        keep_file(engine, session, "before it ate")
        vigil.fault_at = time.monotonic()
        answer = alice.browser.get(f"{place_of(session)}eat")
        vigil.note("its page", words_of(answer))
        told = alice.wait(session["id"], "failed")
        assert "more memory than it may have" in told["message"]
        vigil.note("its card", f"failed: {told['message']}")
        again = alice.launch("hungry", "hungry")
        assert has_file(engine, again, "before it ate")
        alice.stop(again["id"])


def test_a_session_ignores_sigterm(broken: Outage, scene: Scene, engine: DockerClient) -> None:
    """It is killed once its grace is over; the files stay, and the name is free again."""
    alice = scene.alice
    with broken("a session ignores SIGTERM when it is stopped", by_itself=True) as vigil:
        session = alice.launch("deaf", "deaf")
        keep_file(engine, session, "before it was stopped")
        vigil.fault_at = time.monotonic()
        assert alice.api.delete(f"/api/v1/sessions/{session['id']}").status_code == 202
        vigil.note("its card", f"{alice.phase(session['id'])}, gone at the end")
        refused = alice.api.post("/api/v1/sessions", json={"profile": "deaf", "name": "deaf"})
        vigil.note("start of that name", words_of(refused))
        assert refused.status_code == 409
        alice.wait(session["id"], "gone")
        again = alice.launch("echo", "deaf")
        assert has_file(engine, again, "before it was stopped")
        alice.stop(again["id"])


@pytest.mark.parametrize("profile", NEVER_READY)
def test_a_session_never_gets_ready(broken: Outage, scene: Scene, profile: str) -> None:
    """It never counts as ready; its owner is told after the start limit, and may stop it."""
    alice = scene.alice
    with broken(NEVER_READY[profile], by_itself=True) as vigil:
        session = alice.begin(profile, profile)
        seen: list[str] = []

        def over() -> bool:
            seen.append(alice.phase(session["id"]))
            return seen[-1] == "failed"

        until(over, seconds=90, what="the end of the start")
        assert "ready" not in seen
        note_page(vigil, alice, session)
        told = alice.api.get(f"/api/v1/sessions/{session['id']}").json()
        vigil.note("its card", f"{', '.join(dict.fromkeys(seen))}: {told['message']}")
        assert "was not ready" in told["message"]
        alice.stop(session["id"])


def test_a_session_hangs(broken: Outage, scene: Scene, engine: DockerClient) -> None:
    """People who work in it wait; once it goes on everything is as it was."""
    container = container_of(engine, scene.desktop["id"])
    fault = f"the session of the open desktop hangs for {HANG_SECONDS} s (paused)"
    with broken(fault, may={SESSION: DOWN}, notices=Notices.SILENCE) as vigil:
        container.pause()
        try:
            vigil.last(HANG_SECONDS)
        finally:
            container.unpause()
