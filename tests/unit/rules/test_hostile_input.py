"""What strangers write, read by those who must not be fooled: addresses, hosts, queries, offers."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from hypothesis import example, given
from hypothesis import strategies as st

from controller.core.model import parse_session_id
from controller.rules import origins, routes
from controller.settings.schema import Settings
from controller.web import apidoc

HUB = "https://slicer.example.org"
SETTINGS = Settings(public_url=HUB, extra_urls=("http://127.0.0.1:8080",))

# What addresses of other sites are made of, so that chance finds more than noise.
_PIECES = (
    *("/", "//", "\\", "/\\", ":", "@", "#", "?", ";", ".", "..", "%", "%2f", "%5c", "%09", "%0d"),
    *("\t", "\n", "\r", "\x00", "\x7f", " ", "\u2028", "\uff0f", "。", "evil.example", "http"),
    *("https:", "javascript:", "data:", "slicer.example.org", "s/x/", "a", "login?next="),
)
addresses = st.lists(st.sampled_from(_PIECES), max_size=9).map("".join) | st.text(max_size=40)


def as_a_browser(location: str) -> str:
    """Return the host at which a browser ends (URL standard: tabs and line breaks go)."""
    plain = re.sub(r"[\t\n\r]", "", location).strip("\x00 ").replace("\\", "/")
    return urlsplit(urljoin(f"{HUB}/login", plain)).netloc


@given(addresses)
@example("/\t/evil.example")
@example("/\\evil.example")
@example("https:evil.example")
def test_wherever_a_login_leads_it_is_here(target: str) -> None:
    """No text makes the log-in lead to another host, or break out of its header."""
    found = origins.safe_next(target)
    assert as_a_browser(found) == "slicer.example.org"
    assert found.startswith("/")
    assert found.isascii()
    assert not re.search(r"[\x00-\x20\x7f]", found)
    assert origins.safe_next(found) == found
    assert found in {"/", target}


@given(st.text(max_size=60) | addresses)
def test_links_are_made_of_configured_addresses(host: str) -> None:
    """Whatever Host a request names, what is linked to is one of the hub's own addresses."""
    assert origins.public_url_for(host, SETTINGS) in {HUB, "http://127.0.0.1:8080"}


@given(st.text(max_size=60) | addresses, st.sampled_from(["POST", "PUT", "DELETE", "PATCH", "X"]))
def test_only_our_own_page_may_act(origin: str, method: str) -> None:
    """Of all origins the hub's own alone is believed, and only where the browser agrees."""
    for site in ("", "same-origin", "same-site", "cross-site", "none", origin):
        forged = origins.is_forged(
            method,
            host="slicer.example.org",
            origin=origin,
            fetch_site=site,
            settings=SETTINGS,
        )
        assert forged == (origin != HUB or site not in {"", "same-origin"})


@given(st.text(max_size=60))
def test_a_name_is_quoted_for_its_header(text: str) -> None:
    """Who somebody is fits into a header, whatever they are called, and comes out of it."""
    quoted = routes.user_header(text)  # pyright: ignore[reportArgumentType] - any text at all
    assert quoted.isascii()
    assert not re.search(r"[\x00-\x1f\x7f,;]", quoted)
    assert unquote(quoted) == text


@given(st.text(max_size=40))
def test_an_id_is_an_id_or_nothing(text: str) -> None:
    """What is no id of a session's is never taken for one."""
    found = parse_session_id(text)
    assert found is None or re.fullmatch(r"[a-z2-7]{26}", found)


def document(paths: dict[str, Any]) -> dict[str, Any]:
    """Return an OpenAPI document of these endpoints."""
    return {"openapi": "3.1.0", "paths": paths, "components": {"schemas": {"Thing": {}}}}


def test_refusals_are_documented() -> None:
    """Each endpoint says which refusals it may answer, as the problems that they are."""
    made: dict[str, Any] = {"responses": {"200": {}, "400": {"content": {"application/json": {}}}}}
    found = apidoc.with_refusals(
        document(
            {
                "/login": {"post": made | {"security": [], "requestBody": {}}},
                "/sessions": {"get": made, "post": made | {"requestBody": {}}},
                "/sessions/{id}": {"get": made},
                "/join": {"post": made},
            }
        )
    )
    statuses = {
        (method, path): set(operation["responses"])
        for path, operations in found["paths"].items()
        for method, operation in operations.items()
    }
    usual = {"200", "400", "503"}
    assert statuses == {
        ("post", "/login"): usual | {"401", "413", "415", "429"},
        ("get", "/sessions"): usual | {"401", "403"},
        ("post", "/sessions"): usual | {"401", "403", "409", "413", "415", "429"},
        ("get", "/sessions/{id}"): usual | {"401", "403", "404"},
        ("post", "/join"): usual | {"401", "403", "410", "429"},
    }
    assert found["components"]["schemas"].keys() == {"Thing", "Problem"}
    for operations in found["paths"].values():
        for operation in operations.values():
            assert list(operation["responses"]["400"]["content"]) == ["application/problem+json"]
