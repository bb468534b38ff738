"""``python -m desktop``: the session's only command."""

from __future__ import annotations

import asyncio
import os
import sys

from app.core import log
from app.core.errors import SlicerError
from app.core.settings import parse_settings

from desktop.session import run


def main() -> int:
    """Runs a session until it is stopped; returns the exit code (see `app.core.errors`)."""
    log.configure()
    try:
        asyncio.run(run(parse_settings(os.environ)))
    except SlicerError as error:
        log.event("session.failed", level=40, message=str(error))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
