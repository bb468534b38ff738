"""Who may do what: in a session, with a profile, with a group's files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.core.errors import InvalidRequest, NotAllowed
from controller.core.model import NAME_MAX, GroupVolume, Mount, Person, Role, UserId
from controller.rules import access
from controller.rules.access import volumes_for
from controller.settings.loading import SLICER
from tests.support.fakes.directory import PEOPLE
from tests.support.samples import session, settings, settings_of

ALICE, CAROL = PEOPLE["alice"], PEOPLE["carol"]
OUTSIDER = Person(UserId("olga"), "Olga")
HUB = settings()
VOLUMES = """
[volumes.atlas]
read = ["Staff"]
write = ["curators"]

[volumes.cases]
write = ["radiology"]

[profiles.slicer]
image = "x"
volumes = ["cases", "atlas"]
"""


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("", ""),
        ("thesis", "thesis"),
        ("  my  thesis ", "my  thesis"),
        ("u\u0308ber", "über"),
        ("a" * NAME_MAX, "a" * NAME_MAX),
        ("脳 🧠", "脳 🧠"),
        ("`) || Host(`evil`", "`) || Host(`evil`"),
        ("thesis\n", "thesis"),
    ],
)
def test_names(typed: str, kept: str) -> None:
    """People may call a session what they like, on one line."""
    assert kept == access.clean_name(typed)


@pytest.mark.parametrize(
    "typed",
    ["a" * (NAME_MAX + 1), "a\nb", "a\tb", "a\x00", "a\u200bb", "a\u202eb", "a\x7f", "\ud800"],
)
def test_refused_names(typed: str) -> None:
    """A name that hides something or fills the page is refused with a sentence."""
    with pytest.raises(InvalidRequest, match="A name"):
        access.clean_name(typed)


@given(st.text(max_size=NAME_MAX))
def test_names_are_stable(typed: str) -> None:
    """A name that was accepted is accepted again, unchanged."""
    try:
        kept = access.clean_name(typed)
    except InvalidRequest:
        return
    assert kept == access.clean_name(kept)
    assert len(kept) <= NAME_MAX
    assert len(kept.splitlines()) <= 1


def test_profiles_by_groups() -> None:
    """People see and get the profiles of their groups; others' are as if they were not there."""
    gpu = replace(SLICER, id="gpu", groups=frozenset({"slicer-admins", "gpu"}), default=True)
    plain = replace(SLICER, id="plain", default=False)
    hub = replace(HUB, profiles=(plain, gpu))
    assert access.choose_profile(hub, CAROL, "gpu") == gpu
    assert access.choose_profile(hub, CAROL, "") == gpu
    assert access.choose_profile(hub, ALICE, "") == plain
    refusals: list[str] = []
    for person, wanted in ((ALICE, "gpu"), (ALICE, "unknown"), (OUTSIDER, "gpu")):
        with pytest.raises(NotAllowed) as caught:
            access.choose_profile(hub, person, wanted)
        refusals.append(str(caught.value))
    assert len(set(refusals)) == 1


def test_no_profile_at_all() -> None:
    """Anyone who may start nothing gets a sentence, not a fault."""
    hub = replace(HUB, profiles=(replace(SLICER, groups=frozenset({"gpu"})),))
    with pytest.raises(NotAllowed):
        access.choose_profile(hub, OUTSIDER, "")


@pytest.mark.parametrize(
    ("uid", "granted", "role"),
    [
        ("alice", None, Role.OWNER),
        ("alice", Role.VIEW, Role.OWNER),
        ("bob", None, None),
        ("bob", Role.VIEW, Role.VIEW),
        ("bob", Role.CONTROL, Role.CONTROL),
        ("carol", None, None),
        ("", None, None),
    ],
)
def test_roles(uid: str, granted: Role | None, role: Role | None) -> None:
    """A session is its owner's and of those invited, nobody else's, administrators included."""
    assert role is access.role_in(session(), UserId(uid), granted)


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
    settings = settings_of(VOLUMES)
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
    settings = replace(HUB, volumes=tuple(volumes))
    found = volumes_for(person(*groups), replace(SLICER, volumes=wanted), settings)
    own = {group.lower() for group in groups}
    by_name = {volume.name: volume for volume in volumes}
    assert [mount.name for mount in found] == sorted({mount.name for mount in found})
    for mount in found:
        volume = by_name[mount.name]
        assert mount.name in wanted
        assert mount.writable == bool(own & {group.lower() for group in volume.write})
        assert own & {group.lower() for group in volume.read | volume.write}
