"""Where sessions are: which mode the settings mean, and which hosts are sessions'."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.errors import ConfigError
from controller.core.model import new_session_id
from controller.rules import cookies, origins, routes
from controller.settings.schema import PATH_MODE_SHARING
from tests.support.samples import session_id, settings

ID = session_id(7)
OWN = "https://own.example"
HOSTS = settings(
    public_url="https://slicer.example.org:8443", extra_urls="https://hub.slicer.example.org"
)


@pytest.mark.parametrize(
    ("public_url", "domain", "at"),
    [
        ("http://localhost:8080", "", "localhost"),
        ("https://slicer.example.org", "", "slicer.example.org"),
        ("https://Slicer.Example.org", "", "slicer.example.org"),
        ("http://hub:8080", "", "hub"),
        ("http://10.1.2.3:8080", "", ""),
        ("http://127.0.0.1", "", ""),
        ("http://1.2", "", ""),  # an address, too: browsers read it as 1.0.0.2
        ("https://slicer.example.org", "path", ""),
        ("https://slicer.example.org", "Sessions.Example.net", "sessions.example.net"),
        ("https://hub.example.org", "example.org", "example.org"),
        ("http://10.1.2.3", "sessions.example.net", "sessions.example.net"),
    ],
)
def test_mode(public_url: str, domain: str, at: str) -> None:
    """Sessions have hosts of their own wherever they can, unless the site says otherwise."""
    assert settings(public_url=public_url, session_domain=domain).sessions_at == at


@pytest.mark.parametrize(
    ("public_url", "domain", "said"),
    [
        ("https://hub.example.org", "10.1.2.3", "which has no names below it"),
        ("https://hub.example.org", "https://x.example.org", "without a port"),
        ("https://hub.example.org", "x.example.org:8443", "without a port"),
        ("https://hub.example.org", "*.example.org", "like sessions.example.org"),
        ("https://hub.example.org", "-x.example.org", "like sessions.example.org"),
        ("https://hub.example.org", "x..example.org", "like sessions.example.org"),
        ("https://hub.example.org", "`) || Host(`evil", "like sessions.example.org"),
        ("https://hub.example.org", f"{'a.' * 113}a", "like sessions.example.org"),
        (f"https://{ID}.example.org", "example.org", "the name of a session"),
    ],
)
def test_faults(public_url: str, domain: str, said: str) -> None:
    """A domain that cannot work is refused at the start, in words that say what to do."""
    with pytest.raises(ConfigError, match="session_domain") as raised:
        settings(public_url=public_url, session_domain=domain)
    assert said in str(raised.value)


def test_sharing_in_path_mode() -> None:
    """In path mode people share only where somebody has accepted what that means, in its words."""
    assert settings(session_domain="path").sharing is False
    assert settings(session_domain="path", path_mode_sharing=PATH_MODE_SHARING).sharing is True
    assert settings().sharing is True
    for nearly in ("yes", "true", PATH_MODE_SHARING.upper(), f"{PATH_MODE_SHARING}."):
        with pytest.raises(ConfigError, match="path_mode_sharing"):
            settings(session_domain="path", path_mode_sharing=nearly)


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


def test_cookies() -> None:
    """All names of ours are kept from a session at a host of its own."""
    assert cookies.own_cookies(settings()) == (
        "slicerhub-login",
        "slicerhub-entry",
        "slicerhub-state",
    )
    assert all(name.startswith("__Host-") for name in cookies.own_cookies(HOSTS))
    assert cookies.own_cookies(settings(session_domain="path")) == ("slicerhub-login",)


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
