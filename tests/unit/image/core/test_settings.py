"""What the session's program is told by its environment, or refuses."""

from __future__ import annotations

import pytest
from app.core.errors import SettingsError
from app.core.settings import parse_settings


@pytest.mark.parametrize("value", ["", "-1", "5.5", "1e3", "99999999", "soon"])
def test_wrong_settings_are_named(value: str) -> None:
    """Every wrong variable is in the message at once."""
    with pytest.raises(SettingsError, match=r"STANDALONE.*AUTOSAVE"):
        parse_settings({"SLICERHUB_STANDALONE": "maybe", "SLICERHUB_AUTOSAVE_SEC": value})


def test_settings_inside_the_hub() -> None:
    """With nothing set nobody gets in without the hub."""
    assert parse_settings({}).standalone is False
    assert parse_settings({"SLICERHUB_STANDALONE": "1"}).standalone is True
    assert parse_settings({"SLICERHUB_AUTOSAVE_SEC": "0"}).autosave_seconds == 0


@pytest.mark.parametrize(
    "environ",
    [
        {"SLICERHUB_HUB_URL": "javascript:alert(1)"},
        {"SLICERHUB_HUB_URL": "//hub.example.org"},
        {"SLICERHUB_HUB_URL": "https://"},
        {"SLICERHUB_HUB_URL": "https://hub.example.org/?a=b"},
        {"SLICERHUB_HUB_URL": "https://[hub"},
        {"SLICERHUB_SESSION": "../x"},
        {"SLICERHUB_SESSION": "A"},
        {"SLICERHUB_SESSION_SLUG": "../x"},
        {"SLICERHUB_SESSION_SLUG": "My name"},
    ],
)
def test_what_no_hub_would_say_is_named(environ: dict[str, str]) -> None:
    """A wrong setting ends the start with its name."""
    (name,) = environ
    with pytest.raises(SettingsError, match=name):
        parse_settings(environ)
