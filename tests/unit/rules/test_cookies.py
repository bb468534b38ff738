"""The names of the hub's cookies keep them from others."""

from __future__ import annotations

from controller.rules import cookies
from tests.support.samples import settings

HOSTS = settings(
    public_url="https://slicer.example.org:8443", extra_urls="https://hub.slicer.example.org"
)


def test_login_cookie() -> None:
    """Over HTTPS the browser itself keeps others from setting the log-in's cookie."""
    assert cookies.login_cookie("hub", secure=False) == "hub-login"
    assert cookies.login_cookie("hub", secure=True) == "__Host-hub-login"


def test_cookies() -> None:
    """All names of ours are kept from a session at a host of its own."""
    assert cookies.own_cookies(settings()) == (
        "slicerhub-login",
        "slicerhub-entry",
        "slicerhub-state",
    )
    assert all(name.startswith("__Host-") for name in cookies.own_cookies(HOSTS))
    assert cookies.own_cookies(settings(session_domain="path")) == ("slicerhub-login",)
