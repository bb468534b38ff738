"""The commands ``volumes list`` and ``volumes remove``: people's files."""

from __future__ import annotations

from contextlib import aclosing

import click
import msgspec

from controller.cli.common import run
from controller.core.errors import ConfigError
from controller.core.model import canonical_uid
from controller.parts import make_orchestrator
from controller.rules.sentences import bytes_text
from controller.settings.schema import Settings


@click.group()
def volumes() -> None:
    """List and remove people's files."""


@volumes.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
def volumes_command(*, as_json: bool) -> None:
    """List people's files and their sizes. The engine may take a while to measure them."""

    async def work(settings: Settings) -> None:
        async with aclosing(make_orchestrator(settings)) as engine:
            found = sorted(await engine.volumes(), key=lambda one: one.owner)
        if as_json:
            click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
            return
        click.echo(f"{'OWNER':24}{'SIZE':>12}  VOLUME")
        for one in found:
            size = "?" if one.size is None else bytes_text(one.size)
            click.echo(f"{one.owner:24}{size:>12}  {one.name}")

    run(work)


@volumes.command("remove")
@click.argument("user")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove_command(user: str, *, yes: bool) -> None:
    """Remove all files of USER for good; refused while they have a session."""
    uid = canonical_uid(user)

    async def work(settings: Settings) -> None:
        async with aclosing(make_orchestrator(settings)) as engine:
            if all(one.owner != uid for one in await engine.volumes()):
                raise ConfigError([f"{user}: this user has no files."])
            if not yes and click.prompt(f"Type {uid} to remove all their files") != uid:
                raise ConfigError(["The name does not match. Nothing was removed."])
            await engine.remove_volume(uid)
            click.echo(f"removed the files of {uid}")

    run(work)
