"""``slicerhub``: each command, by its name. A command's module is imported when it is used.

So a gate does not load what only a controller needs.
"""

from __future__ import annotations

from importlib import import_module

import click
from typing_extensions import override

from controller import __version__

_COMMANDS = {
    "backup": "backup:backup_command",
    "check": "check:check",
    "gate": "gate:gate_command",
    "keys": "keys:keys",
    "render": "render:render",
    "restore": "backup:restore_command",
    "serve": "serve:serve_command",
    "sessions": "sessions:sessions",
    "settings": "settings:settings_command",
    "volumes": "volumes:volumes",
}


class _Commands(click.Group):
    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        where = _COMMANDS.get(cmd_name)
        if where is None:
            return None
        module, _, name = where.partition(":")
        found: click.Command = getattr(import_module(f"controller.cli.{module}"), name)
        return found


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Run and inspect the 3D Slicer Hub."""
