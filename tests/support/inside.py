"""Commands inside a container, and what they say.

The engine's own command runs them, not ``exec_run`` of its client for Python (docker 7.2): that one
reads from the socket below the answer's buffer, and so loses without an error what came together
with the answer's headers. On a quiet machine that was the whole output of 3 of 100 ``cat``, on a
busy one of 54 of 150.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from typing import Any, NamedTuple


class Done(NamedTuple):
    """How a command ended, and what it wrote to both of its outputs, in the order of writing."""

    exit_code: int
    said: str


def run_inside(
    container: Any,  # noqa: ANN401 - the client has no types
    *command: str,
    environment: Mapping[str, str] | None = None,
) -> Done:
    """Run a command in a container, as the container's user, to its end."""
    variables = [f"--env={name}={value}" for name, value in (environment or {}).items()]
    done = subprocess.run(
        ["docker", "exec", *variables, container.id, *command],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    return Done(done.returncode, done.stdout)


def inside(container: Any, *command: str) -> str:  # noqa: ANN401
    """Return what a command in a container says; fail if it fails."""
    done = run_inside(container, *command)
    assert done.exit_code == 0, done.said
    return done.said


def is_written(container: Any, text: str, folder: str) -> bool:  # noqa: ANN401
    """Say whether a file below a folder of a container holds a text, literally."""
    # "--regexp": a random text may begin with a hyphen, and would be read as an option.
    searching = ("grep", "--recursive", "--fixed-strings", "--quiet", "--regexp", text, folder)
    done = run_inside(container, *searching)
    assert done.exit_code in {0, 1}, done.said
    return done.exit_code == 0
