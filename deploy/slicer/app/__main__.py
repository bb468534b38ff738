"""``python -m app``: the session's only command."""

from __future__ import annotations

import functools
import os
import sys

from app import program
from app.core import log
from app.core.errors import SlicerError
from app.core.settings import parse_settings
from app.front import process


def main() -> int:
    """Runs a session until it is stopped; returns the exit code (see `app.core.errors`)."""
    log.configure()
    try:
        settings = parse_settings(os.environ)
        return process.run(settings, functools.partial(program.run, settings))
    except SlicerError as error:
        log.event("session.failed", level=40, message=str(error))
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
