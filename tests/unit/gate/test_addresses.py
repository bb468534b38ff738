"""Which controller a gate follows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.gate.addresses import Address, hosts_of, next_host

HOSTS = st.lists(st.ip_addresses(v=4).map(str), min_size=1, unique=True).map(sorted)


@pytest.mark.parametrize(
    ("hosts", "last", "following"),
    [
        (("10.0.0.1",), "10.0.0.1", "10.0.0.1"),
        (("10.0.0.1", "10.0.0.2"), "10.0.0.1", "10.0.0.2"),
        (("10.0.0.1", "10.0.0.2"), "10.0.0.2", "10.0.0.1"),
        (("10.0.0.1", "10.0.0.3"), "10.0.0.2", "10.0.0.3"),  # that one has gone
        (("10.0.0.1", "10.0.0.2"), "10.0.0.9", "10.0.0.1"),
    ],
)
def test_next(hosts: tuple[str, ...], last: str, following: str) -> None:
    """After one that is lost a gate tries the one after it."""
    assert next_host(hosts, last, "gate-1-0") == following


@given(HOSTS, st.text())
def test_each_in_turn(hosts: list[str], name: str) -> None:
    """Who cannot follow one controller has tried each of them before it tries one again."""
    tried = [next_host(hosts, "", name)]
    while len(tried) < len(hosts):
        tried.append(next_host(hosts, tried[-1], name))
    assert sorted(tried) == hosts
    assert next_host(hosts, tried[-1], name) == tried[0]


def test_not_all_at_one() -> None:
    """The gates of a hub share its controllers."""
    hosts = ("10.0.0.1", "10.0.0.2")
    assert {next_host(hosts, "", f"gate-{number}-0") for number in range(10)} == set(hosts)


@pytest.mark.anyio
async def test_hosts() -> None:
    """All controllers of a name are found, each once; an unknown name is an error."""
    assert await hosts_of(Address("127.0.0.1", 8002)) == ("127.0.0.1",)
    with pytest.raises(OSError, match=r".+"):
        await hosts_of(Address("no-such-host.invalid", 8002))
