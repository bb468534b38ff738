"""The gates of an installed hub: each request to a session is answered, whoever is away."""

from __future__ import annotations

import pytest

from tests.kubernetes.deployment import APPS, HUB, SESSIONS, Deployment
from tests.kubernetes.visitors import (
    KNOCKS,
    PAGE,
    Person,
    ask_anew,
    is_open,
    knocking,
)
from tests.kubernetes.waiting import until

TIMES = 30  # what must hold each time may hold once by chance
TOKEN = "/var/run/secrets/kubernetes.io"  # where Kubernetes would put one


def test_each_gate_knows_who_may_pass(
    hub: Deployment, alice: Person, bob: Person, session: str
) -> None:
    """It makes no difference which gate is asked."""
    for gate in hub.gates():
        assert hub.ask_gate(gate, session, {"Cookie": alice.login_cookie}) == {200}
        assert hub.ask_gate(gate, session, {"Cookie": bob.login_cookie}) == {403}
        assert hub.ask_gate(gate, session, {}) == {401}


def test_without_any_controller_sessions_are_served(
    hub: Deployment, alice: Person, bob: Person, session: str
) -> None:
    """While no controller is there, people get into their sessions, and nobody else does."""
    path = f"/s/{session}/"
    with (
        alice.socket(session) as socket,
        knocking(hub.url, f"{path}-/ready", {"Cookie": alice.login_cookie}) as inside,
        knocking(hub.url, path, {}) as anybody,
        knocking(hub.url, path, PAGE | {"Cookie": bob.login_cookie}) as foreign,
    ):
        with hub.without_controllers():
            before = inside.total()
            until(lambda: inside.total() > before + KNOCKS, "many knocks without a controller")
            for gate in hub.gates():
                assert hub.ask_gate(gate, session, {"Cookie": alice.login_cookie}) == {200}
                assert hub.ask_gate(gate, session, {"Cookie": bob.login_cookie}) == {403}
        # Traefik hears of the new controllers after a while.
        until(lambda: alice.sees(session), "the session in the list")
        assert is_open(socket)
    assert inside.keys() == {200}, inside
    assert anybody.keys() == {401}, anybody
    assert foreign.keys() == {403}, foreign
    assert alice.own() == [session]
    alice.wait(session, "ready")


def test_an_update_of_the_gates_refuses_nobody(
    hub: Deployment, alice: Person, session: str
) -> None:
    """While new gates take the place of the old ones, every request is answered as before."""
    before = set(hub.gates())
    login = {"Cookie": alice.login_cookie}
    with (
        alice.socket(session) as socket,
        knocking(hub.url, f"/s/{session}/-/ready", login) as inside,
        knocking(hub.url, f"/s/{session}/-/ready", login) as beside,
    ):
        hub.update("slicerhub-gate")
        for answers in (inside, beside):
            until(lambda answers=answers: answers.total() > KNOCKS, "many knocks")
        assert is_open(socket)
    assert not before & set(hub.gates())
    for answers in (inside, beside):
        assert answers.keys() == {200}, answers


def test_a_gate_may_be_killed(hub: Deployment, alice: Person, bob: Person, session: str) -> None:
    """When a gate ends without a word, the other one answers in a moment, and it comes back."""
    gate = hub.gates()[0]
    restarts = _restarts(hub, gate)
    path = f"/s/{session}/"
    with (
        alice.socket(session) as socket,
        knocking(hub.url, f"{path}-/ready", {"Cookie": alice.login_cookie}) as inside,
        knocking(hub.url, path, {}) as anybody,
        knocking(hub.url, path, PAGE | {"Cookie": bob.login_cookie}) as foreign,
    ):
        until(lambda: inside[200] > KNOCKS, "answers")
        hub.kill(gate, "gate")
        until(lambda: _restarts(hub, gate) > restarts, "the next gate")
        hub.wait_available()

        def quiet() -> bool:
            """Nothing has been refused for as many requests as some seconds bring."""
            good, all_ = inside[200], inside.total()
            until(lambda: inside.total() > all_ + KNOCKS, "more answers")
            return inside[200] - good == inside.total() - all_

        until(quiet, "requests that are all answered")
        assert is_open(socket)
    print(f"while a gate was killed: {dict(inside)}")  # noqa: T201 - numbers for people
    faults = {500, 502, 503, 504}
    assert inside.keys() <= {200} | faults, inside
    assert anybody.keys() <= {401} | faults, anybody
    assert foreign.keys() <= {403} | faults, foreign
    # It knows again what it must know.
    until(
        lambda: hub.ask_gate(gate, session, {"Cookie": alice.login_cookie}) == {200},
        "the gate itself",
    )
    assert hub.ask_gate(gate, session, {"Cookie": bob.login_cookie}) == {403}


def test_an_invitation_that_was_taken_back_is_good_nowhere(
    hub: Deployment, alice: Person, bob: Person, session: str
) -> None:
    """Once the hub has said that it is done, neither gate lets the guest pass, not once."""
    path = f"/s/{session}/"
    guest = {"Cookie": bob.login_cookie}
    alice.invite(session, "bob")
    for gate in hub.gates():
        # The controller that it follows may hear of it a moment later.
        until(lambda gate=gate: hub.ask_gate(gate, session, guest) == {200}, "bob as a guest")
    assert ask_anew(hub.url, path, guest, TIMES) == {200}
    answer = alice.api.delete(f"/api/v1/sessions/{session}/shares/bob")
    assert answer.status_code == 200, answer.text
    assert ask_anew(hub.url, path, guest, TIMES) == {403}
    for gate in hub.gates():
        assert hub.ask_gate(gate, session, guest, TIMES) == {403}
        assert hub.ask_gate(gate, session, {"Cookie": alice.login_cookie}) == {200}


def test_gates_have_no_right(hub: Deployment) -> None:
    """A gate may do at the cluster what anybody may, and has nothing to prove who it is."""
    for namespace in (HUB, SESSIONS, APPS, "kube-system", "default", "traefik"):
        theirs = hub.rules_of(f"{HUB}:slicerhub-gate", namespace)
        assert theirs == hub.rules_of(f"{HUB}:nobody", namespace)
    for gate in hub.gates():
        spec = hub.pod(gate)["spec"]
        assert spec["serviceAccountName"] == "slicerhub-gate"
        assert {one["name"] for one in spec["volumes"]} == {"gates", "kept", "tmp"}
        assert hub.in_gate(gate, "sh", "-c", f"[ -e {TOKEN} ] || echo none").strip() == "none"
        assert hub.in_gate(gate, "ls", "/run/gates").split() == ["gate.pem"]


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("kubernetes.default.svc", 443),
        ("slicerhub.slicerhub.svc", 8000),
        ("traefik.traefik.svc", 80),
    ],
)
def test_gates_reach_nothing_but_controllers(hub: Deployment, host: str, port: int) -> None:
    """From a gate there is no way to the cluster, to the hub's pages, or to Traefik."""
    gate = hub.gates()[0]
    assert hub.gate_reaches(gate, "slicerhub-feed.slicerhub.svc", 8002)
    assert not hub.gate_reaches(gate, host, port)


def test_nobody_but_traefik_asks_a_gate(hub: Deployment) -> None:
    """Another Pod, even a controller's, gets no answer of a gate."""
    for gate in hub.gates():
        assert not hub.controller_reaches(hub.pod(gate)["status"]["podIP"], 8001)
    assert not hub.controller_reaches("slicerhub-verify.slicerhub.svc", 8001)


def _restarts(hub: Deployment, gate: str) -> int:
    """Return how often the program of a gate's Pod was started anew."""
    (status,) = hub.pod(gate)["status"]["containerStatuses"]
    restarts: int = status["restartCount"]
    return restarts
