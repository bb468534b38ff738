"""The command ``slicerhub``: serve, check, sessions, volumes, render."""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, cast

import click
import msgspec
import uvloop

from controller import __version__, log
from controller.app import make_orchestrator, open_store, serve
from controller.config import Settings, load, read_text
from controller.directory import LdapDirectory
from controller.errors import ConfigError, HubError, ImageRefused
from controller.gateway import TraefikGateway
from controller.manifests import docker, kubernetes
from controller.model import (
    Profile,
    Session,
    UserId,
    canonical_uid,
    new_session_id,
    parse_session_id,
    volume_name,
)
from controller.render import bytes_text
from controller.sessions import STOP_GRACE

_Work = Callable[[Settings], Coroutine[Any, Any, None]]


class _Faults(click.ClickException):
    """Ends the command with sentences and without a traceback."""

    def show(self, file: Any = None) -> None:  # noqa: ANN401 - click's own signature
        """Print each fault on its line."""
        del file
        for fault in self.message.splitlines():
            click.echo(f"✗ {fault}", err=True)


def _settings() -> Settings:
    settings, notices = load(os.environ, read_text)
    for notice in notices:
        click.echo(f"note: {notice}", err=True)
    return settings


def _run(work: _Work) -> None:
    """Run a command's work; an error of ours becomes its sentences and exit code 1."""
    try:
        uvloop.run(work(_settings()))
    except* HubError as errors:
        sentences = [
            " ".join([str(error), *getattr(error, "__notes__", ())])
            for error in _leaves(cast("BaseExceptionGroup[Any]", errors))
        ]
        raise _Faults("\n".join(sentences)) from None


def _leaves(group: BaseExceptionGroup[Any]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            found += _leaves(cast("BaseExceptionGroup[Any]", error))
        else:
            found.append(error)
    return found


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Run the 3D Slicer Hub, and look into it."""


@main.command("serve")
def serve_command() -> None:
    """Serve people and Traefik until stopped; sessions go on without it."""
    log.configure()
    _run(serve)


@main.command()
def check() -> None:
    """Test the whole configuration against the real directory, engine and Traefik."""
    _run(_check)


async def _check(settings: Settings) -> None:
    faults: list[str] = []

    async def step(title: str, ping: Callable[[], Awaitable[object]]) -> None:
        try:
            await ping()
        except ImageRefused as error:
            faults.append(f"{title}: {error.cause}")
        except HubError as error:
            faults.append(" ".join([f"{title}: {error}", *getattr(error, "__notes__", ())]))
        else:
            click.echo(f"✓ {title}")

    on_cluster = settings.store == "kubernetes"
    kept = "log-ins and keys in the cluster" if on_cluster else f"data folder {settings.data_dir}"

    async def keys_and_store() -> None:
        store, ring = await open_store(settings, "check")
        async with aclosing(store):
            await store.ping()
        gateway = TraefikGateway(settings, ring, time.time)
        await step(f"Traefik at {settings.gateway_url}", gateway.ping)
        await gateway.close()

    click.echo(f"✓ configuration of {settings.instance}, public address {settings.public_url}")
    await step(kept, keys_and_store)
    if settings.ldap.url:
        await step(f"directory {settings.ldap.url}", LdapDirectory(settings.ldap).ping)
    async with aclosing(make_orchestrator(settings)) as engine:
        await step(f"engine ({settings.orchestrator})", engine.ping)
        for profile in settings.profiles:
            await step(
                f"profile {profile.id}, image {profile.image}",
                lambda one=profile.id: engine.check(one),
            )
    if faults:
        raise ConfigError(faults)


@main.group()
def sessions() -> None:
    """Look at the sessions, straight from the engine."""


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
            click.echo(f"{one.id:28}{one.owner:20}{one.profile:12}{state:10}{one.name}")

    _run(work)


@sessions.command("stop")
@click.argument("session_ids", nargs=-1, required=True, metavar="SESSION...")
def stop_command(session_ids: tuple[str, ...]) -> None:
    """Stop sessions by their ids. Their files stay."""

    async def work(settings: Settings) -> None:
        async with aclosing(make_orchestrator(settings)) as engine:
            for text in session_ids:
                session_id = parse_session_id(text)
                if session_id is None or await engine.get(session_id) is None:
                    raise ConfigError([f"{text}: there is no such session."])
                await engine.remove(session_id, grace=STOP_GRACE)
                click.echo(f"stopped {session_id}")

    _run(work)


@main.group()
def volumes() -> None:
    """Look after people's files."""


@volumes.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
def volumes_command(*, as_json: bool) -> None:
    """List whose files there are, and how large; the engine may take a while to measure."""

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

    _run(work)


@volumes.command("remove")
@click.argument("user")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove_command(user: str, *, yes: bool) -> None:
    """Remove all files of USER for good; refused while they have a session."""
    uid = canonical_uid(user)

    async def work(settings: Settings) -> None:
        async with aclosing(make_orchestrator(settings)) as engine:
            if all(one.owner != uid for one in await engine.volumes()):
                raise ConfigError([f"{user}: there are no files of this name."])
            if not yes and click.prompt(f"Type {uid} to remove all their files") != uid:
                raise ConfigError(["That is another name. Nothing was removed."])
            await engine.remove_volume(uid)
            click.echo(f"removed the files of {uid}")

    _run(work)


@main.command()
@click.argument("profile", default="")
def render(profile: str) -> None:
    """Print what the engine would be sent for a session of PROFILE (default: the default one)."""

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

    _run(work)


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
    """Return all of a session as kubectl takes it; the Pod's uid is not known before it is made."""
    items = [
        kubernetes.claim(session.owner, settings),
        kubernetes.pod(session, profile, settings),
        *kubernetes.children(session, profile, settings, uid=str(uuid.UUID(int=0))),
    ]
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _default(settings: Settings) -> Profile:
    return next((one for one in settings.profiles if one.default), settings.profiles[0])
