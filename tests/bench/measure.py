"""What the benchmarks share: load by wrk, the state of the machine, and tables.

Numbers of one machine say little about another; ratios between things that were measured in turn
on the same machine carry over. Each benchmark prints both.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from statistics import median
from typing import NamedTuple
from urllib.parse import urlsplit

import click

CONNECTIONS = 32
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}  # of wrk's latencies, in ms


class Load(NamedTuple):
    """What came of asking an address as fast as it answers."""

    requests: int
    rate: float  # requests per second
    p99: float  # ms

    @staticmethod
    def middle(rounds: Sequence[Load]) -> Load:
        """Return the medians of several rounds."""
        return Load(
            sum(one.requests for one in rounds),
            median(one.rate for one in rounds),
            median(one.p99 for one in rounds),
        )


def wrk(url: str, headers: Iterable[str], *, seconds: int, below: Sequence[str] = ()) -> Load:
    """Ask ``url`` by 32 connections for so long. Raises if any answer was not a 2xx or 3xx.

    With ``below`` the paths below ``url`` of these names are asked in turn.
    """
    program = shutil.which("wrk")
    if program is None:
        raise click.ClickException("wrk is missing. Install the package wrk.")
    named = [word for header in headers for word in ("--header", header)]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_in_turn(urlsplit(url).path, below) if below else "")
        script.flush()
        said = subprocess.run(
            [
                *(program, "--threads", "1", "--connections", str(CONNECTIONS), "--latency"),
                *("--duration", f"{seconds}s", "--script", script.name, *named, url),
            ],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise click.ClickException(f"{url} did not answer as it should:\n{said}")
    requests = re.search(r"(\d+) requests in", said)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s|m)\b", said)
    if not (requests and rate and p99):
        raise click.ClickException(f"wrk says what is not understood:\n{said}")
    return Load(int(requests[1]), float(rate[1]), float(p99[1]) * _UNITS[p99[2]])


def _in_turn(path: str, names: Sequence[str]) -> str:
    """Return wrk's script that asks one path after the other, each put together once."""
    made = ", ".join(f'wrk.format("GET", "{path}{name}/")' for name in names)
    return f"""
local requests, at
function init() requests = {{{made}}}; at = 0 end
function request() at = at % #requests + 1; return requests[at] end
"""


def cpu_seconds(pid: int) -> float:
    """Return how much processor time a process has used so far (proc(5), stat)."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123 - not a real file
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def machine() -> str:
    """Say what else the machine is doing; ratios of a busy machine are to be read with care."""
    one, five, _ = os.getloadavg()
    return f"{os.cpu_count()} cores, load {one:.1f} (last minute), {five:.1f} (last five)"


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: the first column to the left, numbers to the right."""
    widths = [max(len(row[index]) for row in (columns, *rows)) for index in range(len(columns))]
    click.echo(f"\n{title}")
    for row in (columns, ["-" * width for width in widths], *rows):
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        click.echo("  " + "  ".join(cells))
