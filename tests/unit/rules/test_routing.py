"""What Traefik is told: one router for each session, made of ids and configured names only."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

from msgspec.structs import replace

from controller.core.model import new_session_id
from controller.rules import cookies, routes
from controller.settings.loading import SLICER
from controller.settings.schema import PATH_MODE
from tests.support.samples import session_id, settings

OWN_HOSTS = settings(
    instance="hub", public_url="https://slicer.example.org", extra_urls="https://localhost"
)
HUB = replace(OWN_HOSTS, session_domain=PATH_MODE)


def test_labels(golden: Callable[[str, object], None]) -> None:
    """Traefik gets exactly the labels that stand in the golden file."""
    golden(
        "traefik_labels",
        routes.traefik_labels(session_id(1), SLICER, HUB, network="hub-network"),
    )


def test_labels_of_an_own_host(golden: Callable[[str, object], None]) -> None:
    """In subdomain mode the session's host alone is matched, and none of our cookies gets in."""
    golden(
        "traefik_labels_own_host",
        routes.traefik_labels(session_id(1), SLICER, OWN_HOSTS, network="hub-network"),
    )


def test_labels_of_a_whole_path(golden: Callable[[str, object], None]) -> None:
    """An application that wants its whole path is asked for it, after the same question."""
    golden(
        "traefik_labels_whole_path",
        routes.traefik_labels(
            session_id(1),
            replace(SLICER, strip_path=False),
            HUB,
            network="hub-network",
        ),
    )


def test_login_cookie() -> None:
    """Over HTTPS the browser itself keeps others from setting the log-in's cookie."""
    assert cookies.login_cookie("hub", secure=False) == "hub-login"
    assert cookies.login_cookie("hub", secure=True) == "__Host-hub-login"


def test_verify_address_is_of_this_session() -> None:
    """The question whether somebody may enter always names the session of the matched router."""
    for number in range(50):
        address = routes.verify_address(session_id(number))
        assert re.fullmatch(
            rf"http://verify-([0-9]|1[0-5]):8001/verify/{session_id(number)}", address
        )


def test_verify_addresses_are_spread() -> None:
    """Many sessions share all sixteen addresses about evenly: each keeps its idle connections."""
    tally = Counter(routes.verify_address(new_session_id())[:20] for _ in range(3200))
    assert len(Counter(address.partition(":8")[0] for address in tally)) == 16
    assert max(tally.values()) < 2 * 3200 / 16
