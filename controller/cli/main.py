"""``slicerhub``: serve, check, settings, sessions, volumes, keys, backup, restore, render."""

from __future__ import annotations

import json
import sys
import uuid
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from controller import __version__
from controller.app import serve
from controller.cli.backup import backup_command, restore_command
from controller.cli.check import check
from controller.cli.common import run
from controller.cli.keys import keys
from controller.cli.settings import settings_command
from controller.core.errors import ConfigError
from controller.core.model import (
    Profile,
    Session,
    UserId,
    canonical_uid,
    new_session_id,
    parse_session_id,
    volume_name,
)
from controller.engines.docker import manifests as docker
from controller.engines.kubernetes import manifests as kubernetes
from controller.engines.kubernetes.children import children
from controller.monitoring import log
from controller.parts import make_orchestrator
from controller.rules.sentences import bytes_text
from controller.sessions.stopping import STOP_GRACE
from controller.settings.schema import Settings


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Run and inspect the 3D Slicer Hub."""


@main.command("serve")
def serve_command() -> None:
    """Run the controller until it is stopped; sessions go on without it."""
    log.configure()
    run(serve)


@main.group()
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


@main.group()
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


@main.command()
@click.argument("profile", default="")
def render(profile: str) -> None:
    """Print what the hub would send to the engine for a session of PROFILE."""

    async def work(settings: Settings) -> None:
        chosen = settings.profile(profile) if profile else _default(settings)
        if chosen is None:
            known = ", ".join(one.id for one in settings.profiles)
            raise ConfigError([f"{profile}: there is no such profile. There are: {known}."])
        session = Session(
            new_session_id(), UserId("somebody"), chosen.id, "example", datetime.now(UTC)
        )
        on_kubernetes = settings.orchestrator == "kubernetes"
        parts = (_on_kubernetes if on_kubernetes else _on_docker)(session, chosen, settings)
        json.dump(parts, sys.stdout, indent=2, ensure_ascii=False)
        click.echo()

    run(work)


def _on_docker(session: Session, profile: Profile, settings: Settings) -> dict[str, Any]:
    volume = volume_name(settings.instance, session.owner)
    pool, prefix = settings.docker.network_pool, settings.docker.network_prefix
    subnet = next(docker.free_subnets(pool, prefix, ()))
    return {
        "volume": docker.volume(volume, session.owner, settings),
        "network": docker.network(session, profile, settings, subnet=subnet),
        "container": docker.container(session, profile, settings, volume=volume),
    }


def _on_kubernetes(session: Session, profile: Profile, settings: Settings) -> dict[str, Any]:
    """Return a session's objects for kubectl; the Pod's uid is a placeholder until it exists."""
    items = [
        kubernetes.claim(session.owner, settings),
        kubernetes.pod(session, profile, settings),
        *children(session, profile, settings, uid=str(uuid.UUID(int=0))),
    ]
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _default(settings: Settings) -> Profile:
    return next((one for one in settings.profiles if one.default), settings.profiles[0])


for _command in (check, settings_command, keys, backup_command, restore_command):
    main.add_command(_command)
