"""The command ``slicerhub``: serve, check, sessions, volumes, keys, backup, restore, render."""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import anyio
import anyio.to_thread
import click
import msgspec
import uvloop

from controller import __version__
from controller.app import make_orchestrator, open_store, serve
from controller.backup import make_backup, missing, read_backup, restore
from controller.core.errors import ConfigError, EngineUnavailable, HubError, ImageRefused
from controller.core.model import (
    Profile,
    Session,
    UserId,
    Volume,
    canonical_uid,
    new_session_id,
    parse_session_id,
    volume_name,
)
from controller.engines.docker import manifests as docker
from controller.engines.kubernetes import manifests as kubernetes
from controller.monitoring import audit, log
from controller.monitoring.metrics import Metrics
from controller.people.keys import replace_all, rotate
from controller.people.ldap.adapter import LdapDirectory
from controller.people.tokens import Key, KeyRing, Keys
from controller.rules.sentences import ago_text, bytes_text, clock_text
from controller.sessions.gateway import TraefikGateway
from controller.sessions.sessions import STOP_GRACE
from controller.settings.loading import load, read_text
from controller.settings.schema import PATH_MODE, Settings
from controller.store import data_folder

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
        sentences = [error.in_full for error in _leaves(errors)]
        raise _Faults("\n".join(sentences)) from None


def _leaves(group: BaseExceptionGroup[HubError]) -> list[HubError]:
    found: list[HubError] = []
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            found += _leaves(error)
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
            faults.append(f"{title}: {error.in_full}")
        else:
            click.echo(f"✓ {title}")

    on_cluster = settings.store == "kubernetes"
    kept = "log-ins and keys in the cluster" if on_cluster else f"data folder {settings.data_dir}"

    async def keys_and_store() -> None:
        _check_owner(settings)
        store, key_place = open_store(settings, "check")
        async with aclosing(store):
            keys = Keys(await key_place.key_ring())
            await store.ping()
        gateway = TraefikGateway(settings, keys, time.time, Metrics())
        await step(f"Traefik at {settings.gateway_url}", gateway.ping)
        await gateway.close()

    click.echo(f"✓ configuration of {settings.instance}, public address {settings.public_url}")
    names, audited, directory = settings.sessions_at, settings.audit.file, settings.ldap.url
    for wanted, title, ping in (
        (names, f"host names of sessions, <id>.{names}", _check_names(settings)),
        (kept, kept, keys_and_store),
        (audited, f"audit file {audited}", _check_audit(settings)),
        (directory, f"directory {directory}", LdapDirectory(settings.ldap).ping),
    ):
        if wanted:
            await step(title, ping)
    async with aclosing(make_orchestrator(settings)) as engine:
        await step(f"engine ({settings.orchestrator})", engine.ping)
        for profile in settings.profiles:
            await step(
                f"profile {profile.id}, image {profile.image}",
                lambda one=profile.id: engine.check(one),
            )
    if faults:
        raise ConfigError(faults)


def _check_audit(settings: Settings) -> Callable[[], Awaitable[None]]:
    async def ping() -> None:
        await anyio.to_thread.run_sync(audit.check_file, settings.audit)

    return ping


def _check_owner(settings: Settings) -> None:
    if settings.store == "sqlite":
        data_folder.check_owner(Path(settings.data_dir), settings.instance)


def _check_names(settings: Settings) -> Callable[[], Awaitable[None]]:
    """Return what asks the name service for a session that is not there; any address will do."""
    domain = settings.sessions_at
    host = f"{new_session_id()}.{domain}"

    async def ping() -> None:
        if domain == "localhost" or domain.endswith(".localhost"):
            return  # known to browsers themselves (RFC 6761), and to few name services
        try:
            await anyio.getaddrinfo(host, None)
        except OSError as error:
            fault = (
                f"{host} has no address ({error.strerror or error}). Add a record for *.{domain} "
                f"to the name service, which leads where {settings.hosts[0]} does. Or set "
                f'session_domain (SLICERHUB_SESSION_DOMAIN) to "{PATH_MODE}": sessions then share '
                "one host name, and sharing is off."
            )
            raise ConfigError([fault]) from error

    return ping


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
            state = "newer" if seen.newer else state
            click.echo(f"{one.id:28}{one.owner:20}{one.profile:12}{state:10}{one.name}")
        if any(seen.newer for seen in found):
            click.echo("newer: made by a newer version of the hub, and left alone by this one.")

    _run(work)


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
                        [f"{text}: made by a newer version of the hub. Stop it with that one."]
                    )
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


@main.group()
def keys() -> None:
    """Look after the keys that sign log-ins. No secret is ever shown."""


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
def keys_command(*, as_json: bool) -> None:
    """List the keys: how old each is, and whether it signs or only verifies."""

    async def work(settings: Settings) -> None:
        store, place = open_store(settings, "keys")
        async with aclosing(store):
            ring = await place.key_ring(make=False)
        _show_keys(ring, time.time(), as_json=as_json)

    _run(work)


@keys.command("rotate")
@click.option("--now", "at_once", is_flag=True, help="For a leaked key: everybody is logged out.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def rotate_command(*, at_once: bool, yes: bool) -> None:
    """Let a new key sign. Nobody is logged out, and nothing is restarted.

    The keys of before verify until the last log-in that they signed is over; then they are dropped.
    With --now they are dropped at once.
    """
    if at_once and not yes:
        click.confirm("Everybody will be logged out. Go on?", abort=True)

    async def work(settings: Settings) -> None:
        store, place = open_store(settings, "keys")
        now = time.time()
        async with aclosing(store):
            if at_once:
                ring = await replace_all(place, now=now)
            else:
                expiries = [one.expires for one in await store.logins(now)]
                seconds = settings.login.hours * 3600
                ring = await rotate(place, now=now, seconds=seconds, expiries=expiries)
        _show_keys(ring, now, as_json=False)

    _run(work)


def _show_keys(ring: KeyRing, now: float, *, as_json: bool) -> None:
    if as_json:
        found = [
            {
                "kid": one.kid,
                "made_at": _moment(one.made).isoformat() if one.made else None,
                "state": _state(one, ring, now),
                "verifies_until": None if one.ends is None else _moment(one.ends).isoformat(),
            }
            for one in ring.keys
        ]
        click.echo(json.dumps(found, indent=2))
        return
    click.echo(f"{'KEY':20}{'MADE':24}STATE")
    for one in ring.keys:
        made = ago_text(_moment(one.made), _moment(now)) if one.made else "not known"
        state = _state(one, ring, now)
        if one.ends is not None and state != "over":
            verifies = "" if state == "verifies" else ", verifies"
            state += f"{verifies} until {clock_text(_moment(one.ends), _moment(now))}"
        click.echo(f"{one.kid:20}{made:24}{state}")


def _state(key: Key, ring: KeyRing, now: float) -> str:
    if key is ring.signing(now):
        return "signs"
    if key.signs > now:
        return f"signs in {max(1, round(key.signs - now))} s"
    return "verifies" if key.ends is None or key.ends > now else "over"


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@main.command("backup")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
def backup_command(file: Path) -> None:
    """Write keys, records and the list of whose files there are to FILE, "-" for standard output.

    The hub may run meanwhile. Whoever has the file can log in as anybody: keep it safe. People's
    files are not in it.
    """

    async def work(settings: Settings) -> None:
        _need_folder(settings)
        volumes = await _volumes(settings)
        data = Path(settings.data_dir)
        made_at = datetime.now(UTC).isoformat(timespec="seconds")
        with _target(file) as out:
            made = make_backup(data, settings.instance, volumes or (), made_at, out)
        click.echo(f"kept the keys, the records and a list of {len(made.files)} volumes", err=True)
        if volumes is None:
            raise ConfigError(["The engine does not answer: the list of volumes is empty."])

    _run(work)


@contextmanager
def _target(file: Path) -> Generator[BinaryIO, None, None]:
    """Open a file for its owner's eyes only; it is there whole, or not at all."""
    if str(file) == "-":
        if sys.stdout.isatty():
            raise ConfigError(["Standard output is a terminal. Name a file, or lead it into one."])
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    draft = file.with_name(f"{file.name}.part")
    try:
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as out:
                yield out
                out.flush()
                os.fsync(out.fileno())
            draft.replace(file)
            data_folder.sync(file.parent)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError([f"{file}: cannot be written ({error})."]) from error


@main.command("restore")
@click.argument("file", type=click.File("rb"))
@click.option("--force", is_flag=True, help="Put it in the place of what is there.")
def restore_command(file: BinaryIO, *, force: bool) -> None:
    """Put keys and records of a backup back, from FILE, "-" for standard input. The hub must rest.

    Where a person's files are missing, their place is made anew with its labels, empty: put their
    files into it.
    """

    async def work(settings: Settings) -> None:
        _need_folder(settings)
        backup = read_backup(file, settings.instance)
        restore(backup, Path(settings.data_dir), force=force)
        click.echo(f"restored keys and records of {backup.manifest.made_at}")
        volumes = await _volumes(settings)
        if volumes is None:
            raise ConfigError(["The engine does not answer: volumes were not looked at."])
        async with aclosing(make_orchestrator(settings)) as engine:
            for lost in missing(backup.manifest, volumes):
                await engine.make_volume(lost.owner)
                click.echo(f"missing: the files of {lost.owner}; {lost.volume} was made, empty")

    _run(work)


def _need_folder(settings: Settings) -> None:
    if settings.store != "sqlite":
        fault = (
            "Keys and records are objects of the cluster, in the hub's own namespace. Back them up "
            "as you do the cluster."
        )
        raise ConfigError([fault])


async def _volumes(settings: Settings) -> Sequence[Volume] | None:
    """Return whose files there are; None: the engine does not answer."""
    async with aclosing(make_orchestrator(settings)) as engine:
        try:
            return await engine.volumes()
        except EngineUnavailable:
            return None


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
