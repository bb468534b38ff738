"""The network between two parts that talk is cut, and comes back."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from docker import DockerClient
from e2e.stack import INSTANCE, part
from outages.conftest import Outage
from outages.watch import DOWN, LIST, LOGIN, PAGES, SESSION, STRANGER, Notices, Scene

from tests.support.waits import until

CUT_SECONDS = 8


class Cut(NamedTuple):
    """Between whom, and what may be answered otherwise than always."""

    between: str
    service: str  # is taken off
    network: str  # this one
    may: dict[str, frozenset[int]]


DENIES = {SESSION: frozenset({503}), STRANGER: frozenset({503})}
CUTS = [
    Cut("Traefik and the controller", "controller", "edge", PAGES),
    # It denies, by an answer or by none, since rights may be taken back that it does not hear of.
    Cut("one of the two gates and the controller", "gate-1", "gates", DENIES),
    Cut("the controller and LDAP", "ldap", "internal", {LOGIN: frozenset({503})}),
    Cut("the controller and its engine proxy", "engine-proxy", "internal", {}),
    Cut("Traefik and its engine proxy", "engine-proxy-traefik", "discovery", {}),
]


@contextmanager
def cut(engine: DockerClient, service: str, network: str) -> Generator[None]:
    """Take a part off a network, and put it there again under the names that it had."""
    container = part(engine, service)
    wire: Any = engine.networks.get(f"{INSTANCE}_{network}")
    names = container.attrs["NetworkSettings"]["Networks"][f"{INSTANCE}_{network}"]["Aliases"]
    wire.disconnect(container)
    try:
        yield
    finally:
        wire.connect(container, aliases=[one for one in names if one != container.short_id])


@pytest.mark.parametrize("where", CUTS, ids=lambda one: one.service)
def test_a_pair_is_cut(broken: Outage, engine: DockerClient, where: Cut) -> None:
    """Who needs the other is told; open desktops go on; once it is back nothing has to be done."""
    fault = f"network cut between {where.between} for some seconds"
    with (
        broken(fault, may=where.may) as vigil,
        cut(engine, where.service, where.network),
    ):
        if where.service != "controller":
            answer = vigil.start()
            assert answer is not None
            assert answer.status_code == (503 if where.service == "engine-proxy" else 202)
        vigil.last(CUT_SECONDS)


def test_traefik_is_cut_from_a_session(broken: Outage, scene: Scene, engine: DockerClient) -> None:
    """The hub notices by itself and joins Traefik to the session's network again."""
    network = f"{INSTANCE}-{scene.desktop['id']}"
    wire: Any = engine.networks.get(network)
    may = {SESSION: DOWN | {302, 404}, LIST: frozenset({200})}
    fault = "network cut between Traefik and a session, for good"
    with broken(fault, may=may, notices=Notices.ANYTHING, by_itself=True):
        wire.disconnect(part(engine, "traefik"))
        until(
            lambda: network in part(engine, "traefik").attrs["NetworkSettings"]["Networks"],
            seconds=120,
            what="Traefik on the session's network",
        )
