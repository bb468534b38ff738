"""Ids and names that the engine sees: made by the hub, safe anywhere, never colliding."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from controller.core.model import (
    UserId,
    canonical_uid,
    group_volume_name,
    new_session_id,
    object_name,
    parse_session_id,
    slug,
    volume_name,
)

TWINS = ["a.b", "a-b", "a_b", "A_B", "a b", "a--b", "../etc", "/etc", "etc", "ä", "a", "", "-", "."]
INSTANCE_MAX = "a" * 16


@given(st.binary(min_size=16, max_size=16))
def test_session_id_form(random: bytes) -> None:
    """Every session id is 26 lower-case characters that fit a DNS label, and is read as one."""
    made = new_session_id(lambda _: random)
    assert re.fullmatch(r"[a-z2-7]{26}", made)
    assert made == parse_session_id(made)


@given(st.integers(0, 2**128 - 1), st.integers(0, 2**128 - 1))
def test_session_ids_keep_every_bit(one: int, other: int) -> None:
    """Different random bits make different ids: all 128 of them count."""
    ids = [new_session_id(lambda _, n=number: n.to_bytes(16, "big")) for number in (one, other)]
    assert (one == other) is (ids[0] == ids[1])


def test_session_ids_differ() -> None:
    """Nobody gets the id of another session."""
    assert len({new_session_id() for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a" * 25,
        "a" * 27,
        "A" * 26,
        "a" * 25 + "0",
        "a" * 25 + "1",
        "a" * 26 + "\n",
        " " + "a" * 25,
        "ａ" * 26,
        "../" + "a" * 23,
        "a" * 25 + "%",
    ],
)
def test_no_session_id(text: str) -> None:
    """What only resembles an id is none: nothing is trimmed, lowered or corrected."""
    assert parse_session_id(text) is None


@given(st.text())
def test_slug_is_safe(text: str) -> None:
    """Whatever a person is called, only a-z, 0-9 and single dashes reach an object's name."""
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug(text))
    assert len(slug(text)) <= 21


def test_slugs_never_collide() -> None:
    """Names that look alike after cleaning stay apart."""
    assert len({slug(text) for text in TWINS}) == len(TWINS)


@given(st.sets(st.text(), max_size=20))
def test_no_texts_collide(texts: set[str]) -> None:
    """Different texts have different slugs."""
    assert len({slug(text) for text in texts}) == len(texts)


@given(st.text(), st.text())
def test_object_name_fits(owner: str, name: str) -> None:
    """The longest name of an object fits a DNS label, so it fits every engine."""
    made = object_name(INSTANCE_MAX, UserId(owner), name)
    assert len(made) <= 63
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", made)


def test_one_object_per_person_and_name() -> None:
    """The same person and name is the same object; case makes no second one, a person does."""
    names = [
        object_name("hub", UserId(owner), name)
        for owner, name in itertools.product(("alice", "bob"), ("thesis", "Thesis", "other"))
    ]
    assert names[0] == names[1]
    assert len(set(names)) == 4


def test_volumes_never_collide() -> None:
    """Every person has a volume of their own, whatever the name; it is a name and no path."""
    volumes = [volume_name("hub", UserId(text)) for text in TWINS]
    assert len(set(volumes)) == len(TWINS)
    assert all(re.fullmatch(r"hub-home-[a-z0-9-]+", volume) for volume in volumes)


@pytest.mark.parametrize(
    "twin",
    ["alice", "ALICE", "Alice", "ａｌｉｃｅ", "ＡＬＩＣＥ", "ⓐlice", "al\u2170ce", "𝒶lice"],
)
def test_twins_are_one_person(twin: str) -> None:
    """Case, width and letter-like signs do not make another person, nor a second volume."""
    assert canonical_uid(twin) == "alice"


@given(st.text())
@example("ß\u0301")
@example("J\u030c")
def test_canonical_uid_is_stable(text: str) -> None:
    """A canonical name is its own canonical name, composed or not."""
    once = canonical_uid(text)
    assert once == canonical_uid(once)


@given(st.text(max_size=40))
def test_an_id_is_an_id_or_nothing(text: str) -> None:
    """What is no id of a session's is never taken for one."""
    found = parse_session_id(text)
    assert found is None or re.fullmatch(r"[a-z2-7]{26}", found)


def test_names() -> None:
    """No two volumes share a name in the engine, and none of a group is a person's."""
    texts = ["atlas", "a-b", "a--b", "home"]
    found = {group_volume_name("hub", text) for text in texts}
    found |= {volume_name("hub", UserId(text)) for text in texts}
    assert len(found) == 2 * len(texts)
    assert all(re.fullmatch(r"[a-z0-9-]{1,63}", name) for name in found)
