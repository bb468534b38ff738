"""Guessing is slowed down where it happens, and nobody is shut out anywhere else."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from ipaddress import IPv6Address

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.errors import LoginRefused, NotThrottled, TooManyAttempts
from controller.people.throttle import Throttle, counted_address, name_of
from controller.settings.schema import Login
from controller.store.sqlite.store import SqliteStore
from tests.support.hub import Clock

pytestmark = pytest.mark.anyio

LIMITS = Login(attempts_per_user=3, attempts_per_address=6, attempts_seconds=300)
HERE, THERE = "10.0.0.1", "10.0.0.2"


class Gate:
    """A throttle over a real store, and the clock that it goes by."""

    def __init__(self) -> None:
        """Begin without failures."""
        self.clock = Clock()
        self.store = SqliteStore(":memory:")
        self.throttle = Throttle(LIMITS, self.store, wall=self.clock.wall)
        self.looked_at = 0
        self.at_once = 0
        self.most_at_once = 0

    async def guess(self, user: str, address: str = HERE, *, right: bool = False) -> str:
        """Try a password; return what became of it."""
        try:
            async with self.throttle.attempt(user, address):
                self.looked_at += 1
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                await anyio.sleep(0.01)
                self.at_once -= 1
                if not right:
                    raise LoginRefused  # noqa: TRY301 - as the directory does
        except LoginRefused:
            return "wrong"
        except TooManyAttempts:
            return "refused"
        return "in"


@pytest.fixture
async def gate() -> AsyncGenerator[Gate, None]:
    """Give a throttle."""
    made = Gate()
    yield made
    made.store.close()


async def test_a_name_at_an_address(gate: Gate) -> None:
    """After the limit even the right password is refused, there; elsewhere and later it is not."""
    assert [await gate.guess("alice") for _ in range(5)] == ["wrong"] * 3 + ["refused"] * 2
    assert gate.looked_at == 3
    assert await gate.guess("alice", right=True) == "refused"
    assert await gate.guess("alice", THERE, right=True) == "in"
    assert await gate.guess("bob", right=True) == "in"
    gate.clock.advance(299)
    assert await gate.guess("alice", right=True) == "refused"
    gate.clock.advance(2)
    assert await gate.guess("alice", right=True) == "in"


async def test_spraying(gate: Gate) -> None:
    """One password over many names from one address ends at the address's limit."""
    assert [await gate.guess(f"user{n}") for n in range(8)] == ["wrong"] * 6 + ["refused"] * 2
    assert await gate.guess("alice", right=True) == "refused"
    assert await gate.guess("alice", THERE, right=True) == "in"


async def test_own_success_frees_no_address(gate: Gate) -> None:
    """Logging in to one's own account between guesses does not clear the address."""
    for number in range(6):
        assert await gate.guess(f"user{number}") == "wrong"
        if number < 5:
            assert await gate.guess("mallory", right=True) == "in"
    assert await gate.guess("mallory", right=True) == "refused"


async def test_many_addresses_of_one_host(gate: Gate) -> None:
    """A whole IPv6 network counts as one address; the next network is another."""
    tried = [await gate.guess("alice", f"2001:db8:1:2:{n}::{n}") for n in range(5)]
    assert tried == ["wrong"] * 3 + ["refused"] * 2
    assert await gate.guess("alice", "2001:db8:1:3::1", right=True) == "in"


async def test_twins_of_a_name(gate: Gate) -> None:
    """Case, width and what can be no name at all give nobody more guesses."""
    tried = [await gate.guess(one) for one in ("alice", "ALICE", "ａｌｉｃｅ", "Alice")]
    assert tried == ["wrong"] * 3 + ["refused"]
    assert [await gate.guess(one, THERE) for one in ("a*", "b\x00", "c" * 999, "d)(")] == tried


@pytest.mark.parametrize("right", [False, True])
async def test_at_once(gate: Gate, right: bool) -> None:
    """Many guesses at once count like as many in turn; a correct password waits for them."""
    done: list[str] = []

    async def one() -> None:
        done.append(await gate.guess("alice", right=right))

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(one)
    if right:
        assert done == ["in"] * 20
    else:
        assert sorted(done) == ["refused"] * 17 + ["wrong"] * 3
        assert gate.looked_at == 3
    assert gate.most_at_once == 3


async def test_who_is_refused(gate: Gate) -> None:
    """Administrators see who is refused where and until when, and can let them try again."""
    assert await gate.throttle.throttled() == []
    for _ in range(3):
        await gate.guess("a@b", "2001:db8::1")
        gate.clock.advance(10)
    for number in range(6):
        await gate.guess(f"user{number}", THERE)
    await gate.guess("bob")
    sprayer, guesser = await gate.throttle.throttled()
    assert (sprayer.user, sprayer.address, sprayer.failures) == ("", THERE, 6)
    assert (guesser.user, guesser.address, guesser.failures) == ("a@b", "2001:db8::/64", 3)
    assert guesser.until == gate.clock.epoch - 30 + 300
    assert sprayer.until == gate.clock.epoch + 300
    assert await gate.throttle.release(guesser.id) == guesser
    assert await gate.throttle.throttled() == [sprayer]
    assert await gate.guess("a@b", "2001:db8::2", right=True) == "in"
    assert await gate.guess("alice", THERE, right=True) == "refused"
    for gone in (guesser.id, "", "x" * 999):
        with pytest.raises(NotThrottled):
            await gate.throttle.release(gone)
    gate.clock.advance(301)
    assert await gate.throttle.throttled() == []


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::1", "::/64"),
        ("unknown", "unknown"),
        ("", ""),
    ],
)
def test_addresses(address: str, counted: str) -> None:
    """An IPv4 address counts for itself, an IPv6 address for its network."""
    assert counted_address(address) == counted


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_one_network(network: int, one: int, other: int) -> None:
    """No two addresses of a /64 count apart."""
    addresses = [str(IPv6Address(network << 64 | host)) for host in (one, other)]
    mapped = [IPv6Address(address).ipv4_mapped for address in addresses]
    if mapped == [None, None]:
        assert counted_address(addresses[0]) == counted_address(addresses[1])


@given(st.text(max_size=300))
def test_any_name(typed: str) -> None:
    """Whatever is typed is counted under one short line."""
    kept = name_of(typed)
    assert kept
    assert "\n" not in kept
    assert len(kept) <= 512
