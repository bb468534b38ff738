"""Each part of the stack is restarted, killed, and hangs."""

from __future__ import annotations

import pytest
from docker import DockerClient
from e2e.stack import part
from outages.conftest import PARTS, Outage
from outages.watch import LOGIN, NONE, PAGES, SESSION, STRANGER, Notices, everywhere

from tests.support.breakage import frozen, kill

PAUSE_SECONDS = 6
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
