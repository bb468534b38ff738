"""Files of groups and graphics cards: what may be configured."""

from __future__ import annotations

import re

import pytest

from controller.core.errors import ConfigError
from controller.core.model import GroupVolume
from tests.support.samples import settings_of

GOOD = """
[volumes.atlas]
read = ["Staff"]
write = ["curators"]

[volumes.cases]
write = ["radiology"]

[limits]
gpus = ["0", "GPU-3f2e"]

[profiles.slicer]
image = "x"
volumes = ["cases", "atlas"]
gpus = 2
"""
PROFILE = "\n[profiles.a]\nimage = 'x'\n"


def test_configuration() -> None:
    """Volumes, who may use them, and the cards to lease arrive as they stand in the file."""
    settings = settings_of(GOOD)
    assert settings.volumes == (
        GroupVolume("atlas", frozenset({"Staff"}), frozenset({"curators"})),
        GroupVolume("cases", write=frozenset({"radiology"})),
    )
    assert settings.profiles[0].volumes == ("cases", "atlas")
    assert settings.limits.gpus == ("0", "GPU-3f2e")
    assert settings_of("").volumes == ()
    assert settings_of("", SLICERHUB_LIMITS_GPUS="0, 1").limits.gpus == ("0", "1")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("volumes = 5", r"volumes: must be tables like \[volumes\.atlas\]"),
        ("[volumes]\natlas = 5", r"volumes\.atlas: must be a table"),
        ("[volumes.Atlas]\nread = ['a']", r"volumes\.Atlas: a name can have only a-z"),
        ("[volumes.'../etc']\nread = ['a']", r"volumes\.\.\./etc: a name can have only a-z"),
        ("[volumes.atlas]", r"volumes\.atlas: nobody can use it\. Name groups"),
        ("[volumes.atlas]\nread = []\nwrite = []", r"volumes\.atlas: nobody can use it"),
        ("[volumes.atlas]\nread = 'a'", r"volumes\.atlas\.read: "),
        ("[volumes.atlas]\nwrite = [5]", r"volumes\.atlas\.write: "),
        (
            "[volumes.atlas]\nread = ['a']\nwirte = ['a']",
            r"volumes\.atlas\.wirte: no such setting\. Did you mean volumes\.atlas\.write\?",
        ),
        (
            "[volumes.atlas]\nread = ['a']\nname = 'b'",
            r"volumes\.atlas\.name: no such setting\.",
        ),
        (
            f"{PROFILE}volumes = ['atlas']",
            r"profiles\.a\.volumes: there is no \[volumes\.atlas\]\. Add it",
        ),
        (f"{PROFILE}volumes = 'atlas'", r"profiles\.a\.volumes: "),
        (
            f"[volumes.b]\nread = ['c']{PROFILE}volumes = ['b']\nhome = '/groups'",
            r"profiles\.a\.home: /groups is where its volumes are mounted",
        ),
        ("[limits]\ngpus = ['0', '0']", r"limits\.gpus: a device is listed twice"),
        ("[limits]\ngpus = ['0,1']", r"limits\.gpus: '0,1' is not a device"),
        ("[limits]\ngpus = ['']", r"limits\.gpus: '' is not a device"),
        ("[limits]\ngpus = [0]", r"limits\.gpus .*: "),
        (
            f"[limits]\ngpus = ['0']{PROFILE}gpus = 2",
            r"profiles\.a\.gpus: 2 is more than the 1 of limits\.gpus",
        ),
        (
            "[docker]\nregistry_silence_seconds = 0",
            r"docker\.registry_silence_seconds: must be more than 0",
        ),
    ],
)
def test_faults(text: str, sentence: str) -> None:
    """A wrong setting is named, and nothing else is complained of."""
    with pytest.raises(ConfigError) as caught:
        settings_of(text)
    (fault,) = caught.value.faults
    assert re.match(sentence, fault), fault


@pytest.mark.parametrize("name", ["SLICERHUB_VOLUMES", "SLICERHUB_VOLUMES_ATLAS_READ"])
def test_not_by_variables(name: str) -> None:
    """Who may use which files stands in the file and nowhere else."""
    with pytest.raises(ConfigError, match=f"{name}: no such setting"):
        settings_of(GOOD, **{name: "everyone"})
