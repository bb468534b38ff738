"""What Traefik is told, and where sessions are: addresses made of ids and configured names only."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.core.model import new_session_id
from controller.rules import routes
from controller.settings.loading import SLICER
from controller.settings.schema import PATH_MODE
from tests.support.samples import session_id, settings

OWN_HOSTS = settings(
    instance="hub", public_url="https://slicer.example.org", extra_urls="https://localhost"
)
HUB = replace(OWN_HOSTS, session_domain=PATH_MODE)
ID = session_id(7)
HOSTS = settings(
    public_url="https://slicer.example.org:8443", extra_urls="https://hub.slicer.example.org"
)


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


def test_urls() -> None:
    """A session's address has scheme and port of the hub's, wherever people came by."""
    assert routes.session_url(ID, HOSTS) == f"https://{ID}.slicer.example.org:8443/"
    assert routes.session_url(ID, HOSTS, "https://x") == f"https://{ID}.slicer.example.org:8443/"
    default = settings(public_url="https://slicer.example.org:443")
    assert routes.session_origin(ID, default) == f"https://{ID}.slicer.example.org"
    by_path = settings(public_url="https://slicer.example.org", session_domain="path")
    assert routes.session_url(ID, by_path) == f"/s/{ID}/"
    assert routes.session_url(ID, by_path, "https://x") == f"https://x/s/{ID}/"


@pytest.mark.parametrize(
    ("host", "label"),
    [
        (f"{ID}.slicer.example.org", ID),
        (f"{ID}.slicer.example.org:8443", ID),
        (f"{ID.upper()}.SLICER.example.org.", ID),
        ("x.slicer.example.org", "x"),
        (f"x.{ID}.slicer.example.org", f"x.{ID}"),
        ("slicer.example.org:8443", None),
        ("hub.slicer.example.org", None),
        ("evil.example", None),
        (f"{ID}.slicer.example.org.evil.example", None),
        (f"{ID}slicer.example.org", None),
        ("", None),
        ("[::1]:80", None),
    ],
)
def test_hosts(host: str, label: str | None) -> None:
    """What lies below the sessions' domain is a session's, in every spelling; the hub's is not."""
    assert routes.session_label(host, HOSTS) == label


@given(st.text(), st.binary(min_size=16, max_size=16))
def test_any_host(host: str, random: bytes) -> None:
    """No host whatever is taken for the hub's and a session's at once, or cannot be read."""
    label = routes.session_label(host, HOSTS)
    assert label is None or host.lower().startswith(label)
    found = new_session_id(lambda _: random)
    assert routes.session_label(f"{found}.slicer.example.org", HOSTS) == found
    assert routes.session_label(host, settings(session_domain="path")) is None


@given(st.text(max_size=60))
def test_a_name_is_quoted_for_its_header(text: str) -> None:
    """Who somebody is fits into a header, whatever they are called, and comes out of it."""
    quoted = routes.user_header(text)  # pyright: ignore[reportArgumentType] - any text at all
    assert quoted.isascii()
    assert not re.search(r"[\x00-\x1f\x7f,;]", quoted)
    assert unquote(quoted) == text
