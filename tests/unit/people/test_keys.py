"""The key ring on disk: made once, changed whole, and never in a way that logs somebody out."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import anyio
import pytest

from controller.core.errors import ConfigError
from controller.people.keys import SIGNS_AFTER, KeyFile, replace_all, rotate
from controller.people.tokens import LEEWAY, KeyRing

pytestmark = pytest.mark.anyio

NOW = 1_800_000_000.0


def wall() -> float:
    """Return the time at which all of this happens, in seconds since the epoch."""
    return NOW


async def test_first_start(tmp_path: Path) -> None:
    """The first start makes a strong key that only the hub reads; the second finds the same."""
    path = tmp_path / "keys.json"
    place = KeyFile(path, wall)
    with pytest.raises(ConfigError, match=r"keys\.json"):
        await place.key_ring(make=False)
    ring = await place.key_ring()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(bytes.fromhex(ring.keys[0].secret)) >= 32
    assert ring.signing(NOW) is ring.keys[0]
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


def ring_text(*secrets: str) -> str:
    """Return a key file with these secrets."""
    return json.dumps({"keys": [{"kid": str(n), "secret": one} for n, one in enumerate(secrets)]})


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
    """The new key waits before it signs; the old one verifies until the last log-in is over."""
    path = tmp_path / "keys.json"
    place = KeyFile(path, wall)
    old = (await place.key_ring()).keys[0]
    ring = await rotate(place, now=NOW, seconds=3600, expiries=(NOW + 60,))
    assert ring == await place.key_ring(make=False)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["keys.json"]  # noqa: PTH208 - a folder of one file
    new, kept = ring.keys
    assert (new.made, new.signs, new.ends) == (NOW, NOW + SIGNS_AFTER, None)
    assert (kept.kid, kept.secret) == (old.kid, old.secret)
    assert kept.ends == NOW + SIGNS_AFTER + 3600 + LEEWAY
    # Those who logged in when log-ins lasted longer stay in, too.
    longer = await rotate(place, now=NOW + 1, seconds=3600, expiries=(NOW + 90_000,))
    assert [one.ends for one in longer.keys] == [None, NOW + 90_000 + LEEWAY, kept.ends]
    # What is over is dropped at the next one.
    last = await rotate(place, now=NOW + 50_000, seconds=3600, expiries=())
    assert [one.kid for one in last.keys[1:]] == [one.kid for one in longer.keys[:2]]


async def test_replaced(tmp_path: Path) -> None:
    """For a leaked key: one new key, which signs at once, and nothing else."""
    place = KeyFile(tmp_path / "keys.json", wall)
    old = await place.key_ring()
    ring = await replace_all(place, now=NOW)
    assert len(ring.keys) == 1
    assert ring.keys[0].kid != old.keys[0].kid
    assert ring.signing(NOW) is ring.keys[0]
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
    assert len({one.kid for one in (await place.key_ring()).keys}) == 9


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
