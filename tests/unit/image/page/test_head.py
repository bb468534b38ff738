"""The page knows the way back to the hub."""

from __future__ import annotations

import pytest
from app.core.settings import Settings, parse_settings
from app.page.head import page_with


@pytest.mark.parametrize(
    ("environ", "home", "share"),
    [
        ({}, "/", ""),
        ({"SLICERHUB_SESSION": "abc123"}, "/", "/sessions/abc123/share"),
        (
            {"SLICERHUB_SESSION": "abc123", "SLICERHUB_HUB_URL": "https://hub.example.org/"},
            "https://hub.example.org/",
            "https://hub.example.org/sessions/abc123/share",
        ),
    ],
)
def test_the_way_back_to_the_hub(environ: dict[str, str], home: str, share: str) -> None:
    """Below the hub's own address a path is enough; elsewhere the hub says where it is."""
    settings = parse_settings(environ)
    assert (settings.home_url, settings.share_url) == (home, share)
    page = page_with("<head><title>x</title>", settings, "door.js")
    assert f'<meta name="slicerhub-home" content="{home}">' in page
    assert f'<meta name="slicerhub-share" content="{share}">' in page
    assert page.index("door.js") < page.index("<title>")


def test_no_address_breaks_out_of_the_page() -> None:
    """Whatever an address holds stays an attribute's value."""
    page = page_with("<title>", Settings(hub_url='https://x/"><script>'), "a.js")
    assert page.count("<script") == 1
