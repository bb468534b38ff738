"""Asks whether anything that is installed is known to be vulnerable:  advisories.py LOCK...

Ends with 1 if something is, with 0 if nothing is, and with 0 and a line that says so where nobody
could be asked: an index that knows nothing of vulnerabilities is no reason to fail, and no reason
to claim that there are none.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec


class Vulnerability(msgspec.Struct, frozen=True):
    """Something that is known of a package."""

    id: str
    fix_versions: tuple[str, ...] = ()


class Package(msgspec.Struct, frozen=True):
    """What pip-audit says of one package; either ``vulns`` or ``skip_reason`` counts."""

    name: str
    version: str = ""
    vulns: tuple[Vulnerability, ...] = ()
    skip_reason: str = ""


class Report(msgspec.Struct, frozen=True):
    """What pip-audit says."""

    dependencies: tuple[Package, ...]


def pinned(locks: Sequence[Path]) -> list[str]:
    """Return ``name==version`` of all that the lock files name, sorted."""
    lines = (line for lock in locks for line in lock.read_text(encoding="utf-8").splitlines())
    found = (line.partition(";")[0].strip(" \\") for line in lines if "==" in line)
    return sorted({one for one in found if one[:1].isalnum()})


def ask(packages: Sequence[str]) -> tuple[Package, ...] | str:
    """Let pip-audit look; a text is why it could not."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(packages) + "\n")
        file.flush()
        command = ["pip-audit", "--format", "json", "--no-deps", "--disable-pip", "-r", file.name]
        command += ["--progress-spinner", "off", "--timeout", "15"]
        ran = subprocess.run(command, check=False, capture_output=True, text=True)
    try:
        return msgspec.json.decode(ran.stdout, type=Report).dependencies
    except msgspec.DecodeError:
        return (ran.stderr.strip().splitlines() or ["it said nothing"])[-1]


def say(line: str) -> None:
    """Tell the person at the terminal."""
    sys.stdout.write(f"{line}\n")


def main(locks: Sequence[Path]) -> int:
    """Ask about one package first: who knows nothing of that one knows nothing at all."""
    packages = pinned(locks)
    found = ask(packages[:1])
    if not isinstance(found, str) and not any(one.skip_reason for one in found):
        found = ask(packages)
    if isinstance(found, str):
        reason = found
        known: list[Package] = []
    else:
        known = [one for one in found if not one.skip_reason]
        reason = next((one.skip_reason for one in found if one.skip_reason), "")
    wrong = [one for one in known if one.vulns]
    for package in wrong:
        for one in package.vulns:
            fixed = ", ".join(one.fix_versions) or "no version yet"
            say(f"{package.name} {package.version}: {one.id}, mended in {fixed}")
    missing = len(packages) - len(known)
    if missing:
        say(f"NOT LOOKED AT: {missing} of {len(packages)} packages. {reason}")
    if known:
        say(f"{len(known)} packages looked at, {len(wrong)} with known vulnerabilities")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main([Path(one) for one in sys.argv[1:]]))
