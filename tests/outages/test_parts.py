"""Each part of the stack is restarted, killed, and hangs."""

from __future__ import annotations

import httpx
import pytest
from docker import DockerClient
from e2e.gates import GATES
from e2e.stack import PAGE, Names, part, place_of
from outages.conftest import PARTS, Outage
from outages.watch import (
    EVERYWHERE,
    LOGIN,
    NONE,
    PAGES,
    SESSION,
    STRANGER,
    Notices,
    Scene,
    everywhere,
)

from tests.support.breakage import frozen, healthy, kill, wait_for_hub
from tests.support.waits import until

PAUSE_SECONDS = 6
TIMES = 10  # so that both gates are asked
NAMES = {
    "controller": "the controller",
    "gate-1": "one of the two gates",
    "traefik": "Traefik",
    "ldap": "LDAP",
    "engine-proxy": "the controller's engine proxy",
    "engine-proxy-traefik": "Traefik's engine proxy",
}
MAY: dict[str, dict[str, frozenset[int]]] = {
    # Gates let people into their sessions meanwhile.
    "controller": PAGES,
    # Until it has read everything it knows no host, or no session yet.
    "traefik": everywhere({NONE, 404, 503}),
    "ldap": {LOGIN: frozenset({503})},
}

# A gate lets nobody pass by what may be old: while the controller that it follows is silent, and
# until it has heard anew after it has stood still itself.
DENIES = {SESSION: frozenset({NONE, 503}), STRANGER: frozenset({NONE, 503})}
MAY_HANG = {"controller": PAGES | DENIES, "gate-1": DENIES}


# The other gate does the same as the first one.
ONE_OF_EACH = [one for one in PARTS if one != "gate-2"]


@pytest.mark.parametrize("service", ONE_OF_EACH)
def test_a_part_is_restarted(broken: Outage, engine: DockerClient, service: str) -> None:
    """A restart of any part costs nobody a session; only Traefik's is seen in open desktops."""
    notices = Notices.CLOSING if service == "traefik" else Notices.NOTHING
    fault = f"restart of {NAMES[service]} (SIGTERM)"
    with broken(fault, may=MAY.get(service), notices=notices, by_itself=True):
        part(engine, service).restart(timeout=30)


@pytest.mark.parametrize("service", ONE_OF_EACH)
def test_a_part_is_killed(broken: Outage, engine: DockerClient, service: str) -> None:
    """A kill of any part costs nobody a session, and nobody has to start it again."""
    notices = Notices.CLOSING if service == "traefik" else Notices.NOTHING
    fault = f"kill -9 of {NAMES[service]}"
    with broken(fault, may=MAY.get(service), notices=notices, by_itself=True):
        kill(engine, service)


@pytest.mark.parametrize("service", ONE_OF_EACH)
def test_a_part_hangs(broken: Outage, engine: DockerClient, service: str) -> None:
    """People who need it wait or are told; others go on; afterwards all is as before."""
    notices = Notices.SILENCE if service == "traefik" else Notices.NOTHING
    fault = f"{NAMES[service]} hangs for some seconds (paused)"
    with (
        broken(fault, may=MAY_HANG.get(service, MAY.get(service)), notices=notices) as vigil,
        frozen(engine, service),
    ):
        if service == "engine-proxy":
            answer = vigil.start()
            assert answer is not None
            assert answer.status_code == 503, answer.text
        vigil.last(PAUSE_SECONDS)


def test_gates_are_restarted_while_no_controller_is_there(
    broken: Outage, scene: Scene, engine: DockerClient
) -> None:
    """Owners get into their sessions by what gates have kept; guests wait for the controller."""
    alice, bob, desktop = scene.alice, scene.bob, scene.desktop
    place = place_of(desktop)
    alice.invite(desktop, "bob", "view")
    owner, guest = alice.cookie_in(desktop) | PAGE, bob.cookie_in(desktop) | PAGE

    def asked(headers: dict[str, str]) -> int:
        # On a new connection each time, so that either gate is asked.
        with httpx.Client(transport=Names(), timeout=30) as client:
            return client.get(place, headers=headers).status_code

    assert (asked(owner), asked(guest)) == (200, 200)
    controller = part(engine, "controller")
    fault = "both gates restarted while no controller is there"
    with broken(fault, may=EVERYWHERE) as vigil:
        controller.stop(timeout=30)
        try:
            assert (asked(owner), asked(guest)) == (200, 200)
            for gate in GATES:
                part(engine, gate).restart(timeout=30)
            for gate in GATES:
                until(lambda gate=gate: healthy(engine, gate), seconds=60, what=f"{gate} alone")
            for _ in range(TIMES):
                assert (asked(owner), asked(guest)) == (200, 403)
            vigil.last(1)
        finally:
            controller.start()
            wait_for_hub()
    until(lambda: asked(guest) == 200, what="what the controller tells")
    for _ in range(TIMES):
        assert (asked(owner), asked(guest)) == (200, 200)
    taken = alice.api.delete(f"/api/v1/sessions/{desktop['id']}/shares/bob")
    assert taken.status_code == 200, taken.text
    for _ in range(TIMES):
        assert (asked(owner), asked(guest)) == (200, 403)
