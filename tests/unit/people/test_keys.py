"""The key ring on disk: made once, changed whole, and never in a way that logs somebody out."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import anyio
import msgspec
import pytest
from msgspec.structs import replace

from controller.core.errors import ConfigError
from controller.people.keys import SIGNS_AFTER, KeyFile, complete, replace_all, rotate
from controller.people.tokens import LEEWAY, Audience, Claims, KeyRing, TokenRefused, Use

pytestmark = pytest.mark.anyio

NOW = 1_800_000_000.0


def wall() -> float:
    """Return the time at which all of this happens, in seconds since the epoch."""
    return NOW


async def test_first_start(tmp_path: Path) -> None:
    """The first start makes strong keys that only the hub reads; the second finds the same."""
    path = tmp_path / "keys.json"
    place = KeyFile(path, wall)
    with pytest.raises(ConfigError, match=r"keys\.json"):
        await place.key_ring(make=False)
    ring = await place.key_ring()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [len(bytes.fromhex(one.secret)) for one in ring.keys] == [32, 32]
    assert ring.complete
    assert [ring.signing(use, NOW) for use in Use] == list(ring.keys)
    assert ring == await KeyFile(path, wall).key_ring(make=False)
    assert await KeyFile(tmp_path / "other.json", wall).key_ring() != ring


async def test_interrupted_first_start(tmp_path: Path) -> None:
    """A crash while the first key was written does not stand in the way of the next start."""
    (tmp_path / "keys.new").write_text('{"keys":[{"kid":"a"')
    place = KeyFile(tmp_path / "keys.json", wall)
    assert await place.key_ring() == await place.key_ring()
    assert os.listdir(tmp_path) == ["keys.json"]  # noqa: PTH208 - a folder of one file


async def test_first_starts_at_once(tmp_path: Path) -> None:
    """Programs that start at the same moment find one key."""
    rings: list[KeyRing] = []

    async def start() -> None:
        rings.append(await KeyFile(tmp_path / "keys.json", wall).key_ring())

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(start)
    assert len({one.keys[0].kid for one in rings}) == 1


def ring_text(*secrets: str, **more: str) -> str:
    """Return a key file with these secrets; ``more`` of each key."""
    keys = [{"kid": str(number), "secret": one} | more for number, one in enumerate(secrets)]
    return json.dumps({"keys": keys})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret",
        '{"keys":[{"kid"',
        "{}",
        "[]",
        ring_text(),
        ring_text("secret"),
        ring_text(""),
        ring_text("0f" * 31),
        ring_text("0f" * 32, "0f" * 8),
        ring_text("zz" * 32),
        ring_text("0f" * 32, "1e" * 32).replace('"1"', '"0"'),
        ring_text("0f" * 31, algorithm="EdDSA"),
        ring_text("0f" * 33, algorithm="EdDSA"),
        ring_text("0f" * 32, algorithm="RS256"),
        ring_text("0f" * 32, use="entry"),
        ring_text("0f" * 32, algorithm="EdDSA", use="entry"),
        ring_text("0f" * 32, use="other"),
    ],
)
async def test_unusable_keys(tmp_path: Path, text: str) -> None:
    """With a damaged or weak key the hub does not start; it says why and touches nothing."""
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"keys\.json") as caught:
        await KeyFile(path, wall).key_ring()
    assert text == path.read_text()
    with pytest.raises(ConfigError, match=r"keys\.json"):
        await rotate(KeyFile(path, wall), now=NOW, seconds=3600, expiries=())
    assert text == path.read_text()
    assert "0f0f" not in str(caught.value)


@pytest.mark.parametrize("place", ["none/keys.json", "."])
async def test_unusable_place(tmp_path: Path, place: str) -> None:
    """A folder that is not there is named in one sentence."""
    with pytest.raises(ConfigError, match="Check its folder"):
        await KeyFile(tmp_path / place, wall).key_ring()


async def test_rotated(tmp_path: Path) -> None:
    """New keys wait before they sign; the old ones verify until the last log-in is over."""
    path = tmp_path / "keys.json"
    place = KeyFile(path, wall)
    first = (await place.key_ring()).keys
    ring = await rotate(place, now=NOW, seconds=3600, expiries=(NOW + 60,))
    assert ring == await place.key_ring(make=False)
    assert [one.use for one in ring.keys] == [*Use, *Use]
    new, kept = ring.keys[:2], ring.keys[2:]
    assert [one.signs for one in new] == [NOW + SIGNS_AFTER] * 2
    for use, old in zip(Use, first, strict=True):
        assert ring.signing(use, NOW).kid == old.kid
    assert kept == tuple(replace(one, ends=NOW + SIGNS_AFTER + 3600 + LEEWAY) for one in first)
    # Those who logged in when log-ins lasted longer stay in, too.
    longer = await rotate(place, now=NOW + 1, seconds=3600, expiries=(NOW + 90_000,))
    ends = [None, NOW + 90_000 + LEEWAY, NOW + SIGNS_AFTER + 3600 + LEEWAY]
    assert [one.ends for one in longer.keys] == [one for one in ends for _ in Use]
    # What is over is dropped at the next one.
    last = await rotate(place, now=NOW + 50_000, seconds=3600, expiries=())
    assert [one.kid for one in last.keys[2:]] == [one.kid for one in longer.keys[:4]]


async def test_completed(tmp_path: Path) -> None:
    """The key of an earlier hub stays until its log-ins are over; later rings stay as they are."""
    path = tmp_path / "keys.json"
    path.write_text(ring_text("0f" * 32))
    place = KeyFile(path, wall)
    old = (await place.key_ring()).keys[0]
    ring = await complete(place, now=NOW, seconds=3600, expiries=(NOW + 9000,))
    assert ring.complete
    assert ring.keys[2:] == (replace(old, ends=NOW + 9000 + LEEWAY),)
    for use in Use:
        assert ring.signing(use, NOW) == ring.keys[2]
        assert ring.signing(use, NOW + SIGNS_AFTER).use is use
    assert await complete(place, now=NOW + 60, seconds=3600, expiries=()) == ring
    assert await place.key_ring(make=False) == ring


class EarlierKey(msgspec.Struct):
    """A key as the hub before Ed25519 read and wrote it."""

    kid: str
    secret: str
    made: float = 0.0
    signs: float = 0.0
    ends: float | None = None


class EarlierRing(msgspec.Struct):
    """Its ring."""

    keys: tuple[EarlierKey, ...]


async def test_written_by_an_earlier_hub(tmp_path: Path) -> None:
    """An earlier hub can read the keys, and what it makes of them is made whole again."""
    path = tmp_path / "keys.json"
    place = KeyFile(path, wall)
    before = await place.key_ring()
    earlier = msgspec.json.decode(path.read_bytes(), type=EarlierRing)
    assert [one.secret for one in earlier.keys] == [one.secret for one in before.keys]
    path.write_bytes(msgspec.json.encode(earlier))
    assert not (await place.key_ring()).complete
    after = await complete(place, now=NOW, seconds=3600, expiries=())
    assert after.complete
    assert {one.algorithm for one in after.keys[2:]} == {"HS256"}
    # What was signed with the keys as they were proves nothing: they sign otherwise now.
    claims = Claims("alice", "sid-1", Audience.LOGIN, iat=NOW, exp=NOW + 3600)
    with pytest.raises(TokenRefused):
        after.verify(before.issue(claims), Audience.LOGIN, NOW)


async def test_replaced(tmp_path: Path) -> None:
    """For a leaked key: new keys, which sign at once, and nothing else."""
    place = KeyFile(tmp_path / "keys.json", wall)
    old = await place.key_ring()
    ring = await replace_all(place, now=NOW)
    assert not {one.kid for one in ring.keys} & {one.kid for one in old.keys}
    assert [ring.signing(use, NOW) for use in Use] == list(ring.keys)
    assert await place.key_ring(make=False) == ring


async def test_rotations_at_once(tmp_path: Path) -> None:
    """Of several rotations at the same moment none is lost."""
    place = KeyFile(tmp_path / "keys.json", wall)
    await place.key_ring()

    async def turn() -> None:
        await rotate(KeyFile(tmp_path / "keys.json", wall), now=NOW, seconds=60, expiries=())

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(turn)
    assert len({one.kid for one in (await place.key_ring()).keys}) == 18


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_rotated_by_root(tmp_path: Path) -> None:
    """A rotation as root does not take the keys away from the hub's own user."""
    path = tmp_path / "keys.json"
    place = KeyFile(path, wall)
    await place.key_ring()
    os.chown(path, 1234, 1235)
    await rotate(place, now=NOW, seconds=3600, expiries=())
    found = path.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 1235, 0o600)
