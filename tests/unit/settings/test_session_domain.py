"""Which mode the settings mean, and which domains cannot work."""

from __future__ import annotations

import pytest

from controller.core.errors import ConfigError
from controller.settings.schema import PATH_MODE_SHARING
from tests.support.samples import session_id, settings

ID = session_id(7)


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
