"""What somebody inside a container can connect to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.support.inside import inside

_CONNECT = """
import socket, sys
from concurrent.futures import ThreadPoolExecutor
def look(target):
    host, port = target.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
        return "open " + target
    except OSError:
        return "shut " + target
with ThreadPoolExecutor(32) as pool:
    print("\\n".join(pool.map(look, sys.argv[1:])))
"""


def reached(container: Any, targets: Iterable[str]) -> list[str]:  # noqa: ANN401
    """Return which of these (host:port) somebody in a container can connect to, time and again.

    Docker (20.10 and 26.1) puts its jump to the rules that keep networks apart anew whenever a
    network is made anywhere on the engine: for an instant, which other tests bring about, there is
    none (deploy/guide/security.md). So what was reached counts if it is reached five times in a
    row.
    """
    wanted = list(targets)
    for _ in range(5):
        if not wanted:
            break
        lines = inside(container, "python", "-c", _CONNECT, *wanted).splitlines()
        assert len(lines) == len(wanted)
        wanted = [line.removeprefix("open ") for line in lines if line.startswith("open ")]
    return wanted
