"""Where controllers are, and which of them to follow next."""

from __future__ import annotations

import socket
import zlib
from collections.abc import Sequence

import anyio
import msgspec


class Address(msgspec.Struct, frozen=True):
    """The name of all controllers, and their port."""

    host: str
    port: int


async def hosts_of(address: Address) -> tuple[str, ...]:
    """Return the addresses of all controllers, sorted. Raises OSError if the name is not known."""
    found = await anyio.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    return tuple(sorted({str(one[4][0]) for one in found}))


def next_host(hosts: Sequence[str], last: str, name: str) -> str:
    """Return which one to follow: the one after the ``last``, or at first one by the gate's name.

    So gates do not all follow the same one, and who is lost by one tries each other one in turn.
    ``hosts``: sorted, at least one; ``last``: "" at first, and may be gone.
    """
    if not last:
        return hosts[zlib.crc32(name.encode()) % len(hosts)]
    return next((one for one in hosts if one > last), hosts[0])
