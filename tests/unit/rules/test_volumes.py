"""Files of groups and graphics cards: what may be configured, and who gets which."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.core.errors import ConfigError
from controller.core.model import GroupVolume, Mount, Person, UserId, group_volume_name, volume_name
from controller.rules.access import volumes_for
from controller.rules.quotas import free_gpus
from controller.settings.loading import SLICER, load
from controller.settings.schema import Settings
from tests.support.samples import session

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


def read(text: str, **environ: str) -> Settings:
    """Load settings from the text of a file."""
    variables = {"SLICERHUB_ORCHESTRATOR": "memory", "SLICERHUB_CONFIG": "hub"} | environ
    settings, _ = load(variables, lambda _: text)
    return settings


def test_configuration() -> None:
    """Volumes, who may use them, and the cards to lease arrive as they stand in the file."""
    settings = read(GOOD)
    assert settings.volumes == (
        GroupVolume("atlas", frozenset({"Staff"}), frozenset({"curators"})),
        GroupVolume("cases", write=frozenset({"radiology"})),
    )
    assert settings.profiles[0].volumes == ("cases", "atlas")
    assert settings.limits.gpus == ("0", "GPU-3f2e")
    assert read("").volumes == ()
    assert read("", SLICERHUB_LIMITS_GPUS="0, 1").limits.gpus == ("0", "1")


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
        read(text)
    (fault,) = caught.value.faults
    assert re.match(sentence, fault), fault


@pytest.mark.parametrize("name", ["SLICERHUB_VOLUMES", "SLICERHUB_VOLUMES_ATLAS_READ"])
def test_not_by_variables(name: str) -> None:
    """Who may use which files stands in the file and nowhere else."""
    with pytest.raises(ConfigError, match=f"{name}: no such setting"):
        read(GOOD, **{name: "everyone"})


def person(*groups: str) -> Person:
    """Return somebody of these groups."""
    return Person(UserId("alice"), "Alice", frozenset(groups))


ATLAS, CASES = Mount("atlas", writable=False), Mount("cases", writable=True)


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ((), ()),
        (("visitors",), ()),
        (("staff",), (ATLAS,)),
        (("STAFF",), (ATLAS,)),
        (("Curators",), (Mount("atlas", writable=True),)),
        (("curators", "staff"), (Mount("atlas", writable=True),)),
        (("Radiology",), (CASES,)),
        (("radiology", "staff"), (ATLAS, CASES)),
    ],
)
def test_who_gets_what(groups: tuple[str, ...], expected: tuple[Mount, ...]) -> None:
    """Writing wins over reading, the case of a group does not matter, others get nothing."""
    settings = read(GOOD)
    assert volumes_for(person(*groups), settings.profiles[0], settings) == expected
    admin = replace(person(*groups), admin=True)
    assert volumes_for(admin, settings.profiles[0], settings) == expected
    without = replace(SLICER, volumes=())
    assert volumes_for(person(*groups), without, settings) == ()


some_groups = st.frozensets(st.sampled_from(["a", "b", "C", "c"]))
some_volumes = st.lists(
    st.builds(GroupVolume, st.sampled_from("uvw"), some_groups, some_groups),
    unique_by=lambda volume: volume.name,
)


@given(some_groups, some_volumes, st.lists(st.sampled_from("uvwx")).map(tuple))
def test_nobody_gets_more(
    groups: frozenset[str], volumes: list[GroupVolume], wanted: tuple[str, ...]
) -> None:
    """Whatever is configured, nobody sees or changes files that none of their groups may."""
    settings = replace(read(""), volumes=tuple(volumes))
    found = volumes_for(person(*groups), replace(SLICER, volumes=wanted), settings)
    own = {group.lower() for group in groups}
    by_name = {volume.name: volume for volume in volumes}
    assert [mount.name for mount in found] == sorted({mount.name for mount in found})
    for mount in found:
        volume = by_name[mount.name]
        assert mount.name in wanted
        assert mount.writable == bool(own & {group.lower() for group in volume.write})
        assert own & {group.lower() for group in volume.read | volume.write}


def test_names() -> None:
    """No two volumes share a name in the engine, and none of a group is a person's."""
    texts = ["atlas", "a-b", "a--b", "home"]
    found = {group_volume_name("hub", text) for text in texts}
    found |= {volume_name("hub", UserId(text)) for text in texts}
    assert len(found) == 2 * len(texts)
    assert all(re.fullmatch(r"[a-z0-9-]{1,63}", name) for name in found)


@given(st.lists(st.sampled_from("0123"), unique=True), st.lists(st.sets(st.sampled_from("01234"))))
def test_free_gpus(configured: list[str], leases: list[set[str]]) -> None:
    """A card is offered if it is configured and no session holds it."""
    sessions = [
        replace(session(number), gpus=tuple(sorted(gpus))) for number, gpus in enumerate(leases)
    ]
    free = [one for one in configured if not any(one in gpus for gpus in leases)]
    assert list(free_gpus(configured, sessions)) == free
