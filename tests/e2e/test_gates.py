"""The gates of the running stack: what each answers, also while others are away."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from docker import DockerClient
from e2e.gates import GATES, ask, statuses, stop_worker
from e2e.stack import PATH_MODE, URL, Member, origin_of, part, place_of

from tests.support.breakage import healthy, wait_for_hub
from tests.support.waits import until

TIMES = 5  # what must hold each time may hold once by chance


def bearer(member: Member) -> dict[str, str]:
    """Return what a script of somebody's sends."""
    return {"Authorization": f"Bearer {member.token}"}


def test_each_gate_knows_who_may_pass(
    engine: DockerClient, alice: Member, bob: Member, echo: dict[str, Any]
) -> None:
    """It makes no difference which gate is asked."""
    assert statuses(engine, echo, **bearer(alice)) == [200, 200]
    assert statuses(engine, echo, **bearer(bob)) == [403, 403]
    assert statuses(engine, echo) == [401, 401]


def test_what_was_answered_counts_at_each_gate(
    engine: DockerClient, alice: Member, bob: Member, echo: dict[str, Any]
) -> None:
    """Who was invited a moment ago passes at once, and who is out does not, at either gate."""
    share = f"/api/v1/sessions/{echo['id']}/shares/bob"
    for _ in range(TIMES):
        assert alice.api.put(share, json={"role": "view"}).status_code in {200, 201}
        assert statuses(engine, echo, **bearer(bob)) == [200, 200]
        assert alice.api.delete(share).status_code == 200
        assert statuses(engine, echo, **bearer(bob)) == [403, 403]


def test_log_ins_count_at_each_gate(engine: DockerClient, echo: dict[str, Any]) -> None:
    """A token is good at either gate once it is there, and at neither after its log-out."""
    for _ in range(TIMES):
        with httpx.Client(base_url=URL) as script:
            who = {"username": "alice", "password": "alice"}
            made = script.post("/api/v1/login", json=who)
            known = {"Authorization": f"Bearer {made.json()['token']}"}
            assert statuses(engine, echo, **known) == [200, 200]
            logins = script.get("/api/v1/me/logins", headers=known).json()["items"]
            (here,) = [one["id"] for one in logins if one["current"]]
            gone = script.delete(f"/api/v1/me/logins/{here}", headers=known)
            assert gone.status_code in {200, 204}, gone.text
            assert statuses(engine, echo, **known) == [401, 401]


def test_sessions_are_served_without_the_controller(
    engine: DockerClient, alice: Member, bob: Member, echo: dict[str, Any]
) -> None:
    """While the controller is away people get into their sessions, and nobody else does."""
    controller, place = part(engine, "controller"), place_of(echo)
    entered = alice.cookie_in(echo)
    controller.stop(timeout=30)
    try:
        for _ in range(2 * TIMES):
            assert alice.browser.get(place, headers=entered).status_code == 200
            assert bob.browser.step(place).status_code in {302, 403}
            assert httpx.get(f"{URL}/login").status_code in {502, 503, 504}
    finally:
        controller.start()
        wait_for_hub()
    assert statuses(engine, echo, **bearer(alice)) == [200, 200]


@pytest.mark.row(58)
def test_a_gate_that_stood_still(
    engine: DockerClient, alice: Member, bob: Member, echo: dict[str, Any]
) -> None:
    """What was taken back meanwhile a gate does not grant when it goes on, not for a moment."""
    share = f"/api/v1/sessions/{echo['id']}/shares/bob"
    assert alice.api.put(share, json={"role": "view"}).status_code in {200, 201}
    gate = part(engine, "gate-1")
    assert statuses(engine, echo, **bearer(bob)) == [200, 200]
    gate.pause()
    try:
        taken = alice.api.delete(share)
    finally:
        gate.unpause()
    # Said to be done, since a gate that was silent for so long denies.
    assert taken.status_code == 200, taken.text
    found: set[int] = set()

    def goes_on() -> bool:
        found.add(ask(engine, "gate-1", echo, **bearer(bob))[0])
        return 403 in found

    until(goes_on, what="a gate that has heard anew")
    assert found <= {403, 503}
    assert ask(engine, "gate-2", echo, **bearer(bob))[0] == 403
    until(lambda: healthy(engine, "gate-1"), what="both gates")


def test_a_gate_whose_program_hangs(
    engine: DockerClient, alice: Member, echo: dict[str, Any]
) -> None:
    """A program that stands still is replaced: nobody waits until Traefik gives up."""
    for gate in GATES:
        stop_worker(engine, gate)
    assert alice.browser.get(place_of(echo)).status_code in {200, 503}
    until(lambda: statuses(engine, echo, **bearer(alice)) == [200, 200], what="both gates")


@pytest.mark.skipif(PATH_MODE, reason="path mode has no hand-off")
@pytest.mark.row(59)
def test_a_code_that_was_used_at_the_other_gate(
    engine: DockerClient, alice: Member, echo: dict[str, Any]
) -> None:
    """Who has read a code somewhere gets in by it at neither gate: it is bound to its browser."""
    place = place_of(echo)
    with Member("alice") as again:
        asked = again.browser.step(origin_of(place) + "/")
        sent = again.browser.step(asked.headers["location"])
        cookie = again.browser.cookie_at(place)
        uri = sent.headers["location"].removeprefix(origin_of(place))
        assert uri.startswith("/.slicerhub/enter?code=")
        page = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}
        for gate, headers in ((GATES[0], {"Cookie": cookie}), (GATES[1], {}), (GATES[0], {})):
            _, answered = ask(engine, gate, echo, uri, **page, **headers)
            entries = [one for name, one in answered if name == "set-cookie" and "-entry=" in one]
            assert bool(entries) is bool(headers)
    assert alice.browser.get(place).status_code == 200
