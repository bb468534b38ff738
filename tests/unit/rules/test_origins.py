"""Which requests are believed, and where a log-in and a link may lead."""

from __future__ import annotations

import itertools
import re
import string
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from controller.rules import origins
from controller.settings.schema import Settings
from tests.support.samples import settings

HUB = settings(public_url="http://localhost:8080", extra_urls="https://Slicer.Example.org:443")
HOSTILE = [
    "",
    "evil.example",
    "http://evil.example",
    "https://evil.example/",
    "HTTP://evil.example",
    "http:evil.example",
    "http:/evil.example",
    "http:\\\\evil.example",
    "//evil.example",
    "//evil.example/%2f..",
    "///evil.example",
    "////evil.example",
    "/\\evil.example",
    "\\/evil.example",
    "\\\\evil.example",
    "/\\/evil.example",
    "/%5cevil.example",
    "/%5Cevil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r/evil.example",
    "/\r\nLocation: http://evil.example",
    "\t//evil.example",
    " //evil.example",
    "\x00//evil.example",
    "/\x00/evil.example",
    "/\x7f/evil.example",
    "/.//evil.example",
    "/..//evil.example",
    "/a/..//evil.example",
    "/a/../..//evil.example",
    "/./\\evil.example",
    "javascript:alert(1)",
    "data:text/html,evil",
    "@evil.example",
    "localhost:8080@evil.example",
    "http://localhost:8080@evil.example/",
    "http://localhost:8080.evil.example/",
    "／／evil.example",
    "/／evil.example",
    "/\u2028/evil.example",
    "/" + "a" * 2048,
]
ADDRESS = "https://slicer.example.org"
SETTINGS = Settings(public_url=ADDRESS, extra_urls=("http://127.0.0.1:8080",))
OWN = "https://own.example"
# What addresses of other sites are made of, so that chance finds more than noise.
_PIECES = (
    *("/", "//", "\\", "/\\", ":", "@", "#", "?", ";", ".", "..", "%", "%2f", "%5c", "%09", "%0d"),
    *("\t", "\n", "\r", "\x00", "\x7f", " ", "\u2028", "\uff0f", "。", "evil.example", "http"),
    *("https:", "javascript:", "data:", "slicer.example.org", "s/x/", "a", "login?next="),
)
addresses = st.lists(st.sampled_from(_PIECES), max_size=9).map("".join) | st.text(max_size=40)


def where(target: str) -> str:
    """Return the address that a browser goes to, which is lenient in ways urljoin is not."""
    read = re.sub(r"[\t\r\n]", "", target.strip("".join(map(chr, range(33)))))
    return urljoin("http://localhost:8080/login", read.replace("\\", "/"))


def as_a_browser(location: str) -> str:
    """Return the host at which a browser ends (URL standard: tabs and line breaks go)."""
    plain = re.sub(r"[\t\n\r]", "", location).strip("\x00 ").replace("\\", "/")
    return urlsplit(urljoin(f"{ADDRESS}/login", plain)).netloc


@pytest.mark.parametrize("target", HOSTILE)
def test_no_open_redirect(target: str) -> None:
    """Whatever a link to the log-in page says, it leads on to a page of this hub."""
    assert origins.safe_next(target) == "/"


@pytest.mark.parametrize(
    "target", ["/", "/s/abc/", "/s/abc/x?y=//z&u=http://e", "/starting/a", "/a%2fb", "/?a=b\x21"]
)
def test_next_is_kept(target: str) -> None:
    """Anyone who follows a link to a session gets there after the log-in."""
    assert target == origins.safe_next(target)


@given(
    st.text()
    | st.text(alphabet="/\\.:@%25ceEvil\t\n?#[]").map("/".__add__)
    | st.builds("".join, st.lists(st.sampled_from(HOSTILE), max_size=3))
)
def test_every_next_is_ours(target: str) -> None:
    """No text whatever leads a browser away from the hub."""
    parts = urlsplit(where(origins.safe_next(target)))
    assert parts.scheme == "http"
    assert parts.netloc == "localhost:8080"


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


ORIGINS = {
    "http://localhost:8080": "localhost:8080",
    "https://slicer.example.org": "slicer.example.org",
}
FOREIGN = [
    "",
    "null",
    "http://evil.example",
    "http://localhost",
    "https://localhost:8080",
    "http://localhost:8080.evil.example",
    "http://session.localhost:8080",
    "HTTP://LOCALHOST:8080",
]
SITES = ["", "same-origin", "same-site", "cross-site", "none", "SAME-ORIGIN"]
HOSTS = ["localhost:8080", "slicer.example.org", "evil.example", ""]
METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "post"]


@pytest.mark.parametrize("method", METHODS)
def test_forged_requests(method: str) -> None:
    """Only the hub's own page at the very address that was asked may change anything."""
    for host, origin, site in itertools.product(HOSTS, [*ORIGINS, *FOREIGN], SITES):
        asked = host if host in ORIGINS.values() else "localhost:8080"
        own_page = ORIGINS.get(origin) == asked and site in {"", "same-origin"}
        believed = method in {"GET", "HEAD", "OPTIONS"} or own_page
        forged = origins.is_forged(method, host=host, origin=origin, fetch_site=site, settings=HUB)
        assert believed is not forged, (host, origin, site)


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
        assert forged == (origin != ADDRESS or site not in {"", "same-origin"})


@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
    origin=st.one_of(
        st.sampled_from(["", "null", OWN, "https://other.example", f"{OWN}:444"]),
        st.text(string.printable),
    ),
    fetch_site=st.sampled_from(["", "none", "same-origin", "same-site", "cross-site", "new"]),
    websocket=st.booleans(),
    opens=st.booleans(),
)
def test_foreign_pages(
    method: str, origin: str, fetch_site: str, *, websocket: bool, opens: bool
) -> None:
    """Only a page of the same origin may change anything or open a WebSocket; a link may open."""
    foreign = origins.is_foreign(
        method, own=OWN, origin=origin, websocket=websocket, fetch_site=fetch_site, opens=opens
    )
    if websocket:
        assert foreign == (origin != OWN)
        return
    if foreign:
        assert origin not in {"", OWN} or fetch_site not in {"", "none", "same-origin"}
    elif method in {"POST", "PUT", "PATCH", "DELETE"}:
        assert origin in {"", OWN}
        assert fetch_site in {"", "none", "same-origin"}
    elif fetch_site in {"same-site", "cross-site", "new"}:
        assert opens


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("localhost:8080", "http://localhost:8080"),
        ("LOCALHOST:8080", "http://localhost:8080"),
        ("slicer.example.org", "https://slicer.example.org"),
        ("evil.example", "http://localhost:8080"),
        ("localhost:8080@evil.example", "http://localhost:8080"),
        ("localhost", "http://localhost:8080"),
        ("", "http://localhost:8080"),
    ],
)
def test_links_are_of_configured_addresses(host: str, url: str) -> None:
    """A link is never made of what a request claims the hub to be called."""
    assert url == origins.public_url_for(host, HUB)


@given(st.text(max_size=60) | addresses)
def test_links_are_made_of_configured_addresses(host: str) -> None:
    """Whatever Host a request names, what is linked to is one of the hub's own addresses."""
    assert origins.public_url_for(host, SETTINGS) in {ADDRESS, "http://127.0.0.1:8080"}
