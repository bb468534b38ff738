"""The commands ``sessions list`` and ``sessions stop``. They ask the engine itself."""

from __future__ import annotations

from contextlib import aclosing

import click
import msgspec

from controller.cli.common import run
from controller.core.errors import ConfigError
from controller.core.model import parse_session_id
from controller.parts import make_orchestrator
from controller.sessions.stopping import STOP_GRACE
from controller.settings.schema import Settings


@click.group()
def sessions() -> None:
    """List and stop sessions. The commands ask the engine itself."""


@sessions.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
def list_command(*, as_json: bool) -> None:
    """List all sessions of this instance."""

    async def work(settings: Settings) -> None:
        async with aclosing(make_orchestrator(settings)) as engine:
            found = await engine.list()
        if as_json:
            click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
            return
        click.echo(f"{'SESSION':28}{'OWNER':20}{'PROFILE':12}{'STATE':10}NAME")
        for seen in found:
            one = seen.session
            ended = "ended" if seen.exit_code is not None else "created"
            state = "stopping" if seen.deleting else "running" if seen.running else ended
            state = "newer" if seen.newer else state
            click.echo(f"{one.id:28}{one.owner:20}{one.profile:12}{state:10}{one.name}")
        if any(seen.newer for seen in found):
            click.echo("newer: made by a newer version of the hub; this version leaves it alone.")

    run(work)


@sessions.command("stop")
@click.argument("session_ids", nargs=-1, required=True, metavar="SESSION...")
def stop_command(session_ids: tuple[str, ...]) -> None:
    """Stop sessions by their ids. Their files stay."""

    async def work(settings: Settings) -> None:
        async with aclosing(make_orchestrator(settings)) as engine:
            for text in session_ids:
                session_id = parse_session_id(text)
                seen = None if session_id is None else await engine.get(session_id)
                if session_id is None or seen is None:
                    raise ConfigError([f"{text}: there is no such session."])
                if seen.newer:
                    raise ConfigError(
                        [f"{text}: made by a newer version of the hub. Stop it with that version."]
                    )
                await engine.remove(session_id, grace=STOP_GRACE)
                click.echo(f"stopped {session_id}")

    run(work)
