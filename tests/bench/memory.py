"""How much memory the controller, its gates and Traefik hold at rest (``python -m bench.memory``).

The engine's number is what ``docker stats`` shows: the control group's use without its inactive
file pages. RSS and PSS are those of the container's processes (proc(5), smaps_rollup); PSS
counts what several processes share in parts, and is what may be added up.
"""

from __future__ import annotations

import re
from typing import Any

import click
import docker
from bench.measure import machine, table
from e2e.stack import part

from tests.support.inside import inside

TARGET = 90.0  # MiB, controller
_MIB = 1024 * 1024


def engine_number(container: Any) -> float:  # noqa: ANN401 - the client's own
    """Return MiB as ``docker stats`` counts them."""
    used: dict[str, Any] = container.stats(stream=False)["memory_stats"]
    # Control groups of version 2 call it inactive_file, of version 1 total_inactive_file.
    idle = used["stats"].get("inactive_file", used["stats"].get("total_inactive_file", 0))
    return (used["usage"] - idle) / _MIB


def process_number(container: Any, kind: str) -> float:  # noqa: ANN401
    """Return MiB of all processes but the one that asks: ``Rss``, ``Pss`` or ``Pss_Anon``."""
    shell = 'for one in /proc/[0-9]*; do [ "$one" = "/proc/$$" ] || cat "$one/smaps_rollup"; done'
    said = inside(container, "sh", "-c", shell)
    found = re.findall(rf"^{kind}:\s+(\d+) kB", said, re.MULTILINE)
    if not found:
        raise click.ClickException(f"{container.name} does not tell: {said}")
    return sum(map(int, found)) / 1024


@click.command()
def main() -> None:
    """Look at the running stack."""
    engine = docker.from_env()
    rows: list[list[str]] = []
    whole = [0.0, 0.0]
    for service in ("controller", "gate-1", "gate-2", "traefik"):
        container = part(engine, service)
        number = engine_number(container)
        held = [process_number(container, kind) for kind in ("Rss", "Pss", "Pss_Anon")]
        target = f"{number / TARGET:.2f}" if service == "controller" else ""
        rows.append([service, f"{number:.1f}", *(f"{one:.1f}" for one in held), target])
        whole = [whole[0] + number, whole[1] + held[1]]
    rows.append(["together", f"{whole[0]:.1f}", "", f"{whole[1]:.1f}", "", ""])
    engine.close()
    table(
        f"Memory at rest in MiB ({machine()})",
        ["", "docker stats", "RSS", "PSS", "PSS anon", f"of {TARGET:.0f}"],
        rows,
    )


if __name__ == "__main__":
    main()
