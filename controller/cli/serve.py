"""The command ``serve``: the controller."""

from __future__ import annotations

import click

from controller.app import serve
from controller.cli.common import run
from controller.monitoring import log


@click.command("serve")
def serve_command() -> None:
    """Run the controller until it is stopped; sessions go on without it."""
    log.configure()
    run(serve)
