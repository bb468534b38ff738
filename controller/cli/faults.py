"""Faults of a command, as sentences."""

from __future__ import annotations

from typing import Any

import click


class Faults(click.ClickException):
    """Ends a command with sentences instead of a traceback."""

    def show(self, file: Any = None) -> None:  # noqa: ANN401 - click's own signature
        """Print each fault on a line of its own."""
        del file
        for fault in self.message.splitlines():
            click.echo(f"✗ {fault}", err=True)
