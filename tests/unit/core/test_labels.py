"""A session is its labels: what is written can be read, and damage is noticed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.core import labels
from controller.core.model import NAME_MAX, Mount, Session, UserId
from tests.support.samples import session, session_id

zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(
    min_value=datetime(1970, 1, 2),  # noqa: DTZ001 - the zone is chosen beside it
    max_value=datetime(9998, 12, 30),  # noqa: DTZ001 - the same
    timezones=zones,
)
names = st.from_regex(r"[a-z][a-z0-9-]{0,31}", fullmatch=True)
devices = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.:/=-]{0,40}", fullmatch=True)
sessions = st.builds(
    Session,
    id=st.integers(0, 2**128 - 1).map(session_id),
    owner=st.text(min_size=1).map(UserId),
    profile=st.text(),
    name=st.text(max_size=NAME_MAX),
    created_at=moments,
    groups=st.lists(st.text(min_size=1).filter(lambda text: "," not in text)).map(tuple),
    volumes=st.dictionaries(names, st.booleans(), max_size=4).map(
        lambda found: tuple(Mount(name, writable) for name, writable in sorted(found.items()))
    ),
    gpus=st.lists(devices, max_size=4, unique=True).map(tuple),
)
SHARED = replace(
    session(),
    volumes=(Mount("atlas", writable=False), Mount("cases", writable=True)),
    gpus=("0", "GPU-3f2e"),
)


@given(sessions)
def test_roundtrip(original: Session) -> None:
    """Whatever people typed, a session read from its labels is the one that was written."""
    assert original == labels.decode(labels.encode(original, "hub"))


@given(sessions)
def test_only_our_own_names(original: Session) -> None:
    """No typed text becomes a label's name, and no label is one of Traefik's."""
    always = {
        "slicerhub.instance",
        "slicerhub.schema",
        "slicerhub.session",
        "slicerhub.owner",
        "slicerhub.profile",
        "slicerhub.name",
        "slicerhub.created",
    }
    at_times = {"slicerhub.groups", "slicerhub.volumes", "slicerhub.gpus"}
    assert always <= labels.encode(original, "hub").keys() <= always | at_times


def test_shared_things() -> None:
    """What a session shares with others stands in two labels; without them it shares nothing."""
    written = labels.encode(SHARED, "hub")
    assert written[labels.VOLUMES] == "atlas:ro,cases:rw"
    assert written[labels.GPUS] == "0,GPU-3f2e"
    del written[labels.VOLUMES], written[labels.GPUS]
    assert labels.decode(written) == session()
    assert labels.encode(session(), "hub") == written


@pytest.mark.parametrize(
    ("label", "damaged"),
    [
        *((label, None) for label in labels.encode(session(), "hub") if label != labels.INSTANCE),
        (labels.SCHEMA, ""),
        (labels.SCHEMA, "2"),
        (labels.SESSION, ""),
        (labels.SESSION, "a" * 25),
        (labels.SESSION, "a" * 27),
        (labels.SESSION, "A" * 26),
        (labels.SESSION, "a" * 25 + "1"),
        (labels.SESSION, "a" * 26 + "\n"),
        (labels.OWNER, ""),
        (labels.CREATED, ""),
        (labels.CREATED, "yesterday"),
        (labels.CREATED, "2026-03-05T14:05:00"),  # of no zone: could be hours off
        (labels.CREATED, "0001-01-01T00:00:00+14:00"),  # before the calendar begins
        (labels.VOLUMES, ""),
        (labels.VOLUMES, "atlas"),
        (labels.VOLUMES, "atlas:rx"),
        (labels.VOLUMES, "atlas:ro,"),
        (labels.VOLUMES, "atlas:ro, cases:rw"),
        (labels.VOLUMES, "atlas:ro,atlas:rw"),
        (labels.VOLUMES, "../etc:rw"),
        (labels.VOLUMES, "atlas:rw\n"),
        (labels.GPUS, ""),
        (labels.GPUS, "0,"),
        (labels.GPUS, "0,0"),
        (labels.GPUS, "all cards"),
    ],
)
def test_damage_is_noticed(label: str, damaged: str | None) -> None:
    """A label that is missing or unreadable is named, and no session is made up from the rest."""
    written = labels.encode(session(), "hub")
    if damaged is None:
        del written[label]
    else:
        written[label] = damaged
    with pytest.raises(labels.LabelFault, match=label.replace(".", r"\.")):
        labels.decode(written)


@given(st.dictionaries(st.sampled_from(sorted(labels.encode(SHARED, "hub"))), st.text()))
def test_any_damage(damage: dict[str, str]) -> None:
    """Labels that somebody else wrote never end in anything but a session or a LabelFault."""
    try:
        found = labels.decode(labels.encode(SHARED, "hub") | damage)
    except labels.LabelFault:
        return
    assert found.owner
    assert found.created_at.tzinfo is not None


def test_an_older_hubs_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session of the schema before is read as what it would be today; a newer one never is."""
    before = labels.encode(session(), "slicerhub")
    old = {("slicerhub.person" if name == labels.OWNER else name): before[name] for name in before}

    def rename(found: Mapping[str, str]) -> Mapping[str, str]:
        return {labels.OWNER if name == "slicerhub.person" else name: found[name] for name in found}

    with pytest.raises(labels.LabelFault):
        labels.decode(old)
    monkeypatch.setattr(labels, "UPGRADES", (rename,))
    assert labels.decode(old) == session()
    assert labels.decode(before | {labels.SCHEMA: "2"}) == session()
    with pytest.raises(labels.NewerSchema):
        labels.decode(before | {labels.SCHEMA: "3"})


def test_a_glimpse_of_a_newer_hubs_session() -> None:
    """Of a newer hub's session that is told which can be read, and nothing is made up."""
    found = labels.encode(session(), "slicerhub") | {labels.SCHEMA: "9"}
    assert labels.glimpse(found) == session()
    strange = {labels.SESSION: session().id, labels.CREATED: "?", labels.SCHEMA: "9"}
    glimpsed = labels.glimpse(strange)
    assert glimpsed is not None
    assert (glimpsed.id, glimpsed.owner) == (session().id, "")
    assert labels.glimpse({labels.SCHEMA: "9"}) is None
