"""The command that tests the whole configuration against the real directory, engine and Traefik."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import anyio
import anyio.to_thread
import click

from controller.cli.common import run
from controller.core.errors import ConfigError, HubError, ImageRefused
from controller.core.model import new_session_id
from controller.monitoring import audit
from controller.monitoring.metrics import Metrics
from controller.parts import make_orchestrator, open_store
from controller.people.ldap.adapter import LdapDirectory
from controller.people.tokens import Keys
from controller.sessions.gateway import TraefikGateway
from controller.settings.schema import PATH_MODE, Settings
from controller.store import data_folder


@click.command()
def check() -> None:
    """Test the whole configuration against the real directory, engine and Traefik."""
    run(_check)


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
        store, key_storage = open_store(settings, "check")
        async with aclosing(store):
            keys = Keys(await key_storage.key_ring())
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
    """Return what asks the DNS for the host of a made-up session; any address will do."""
    domain = settings.sessions_at
    host = f"{new_session_id()}.{domain}"

    async def ping() -> None:
        if domain == "localhost" or domain.endswith(".localhost"):
            return  # browsers know them by themselves (RFC 6761), few name servers do
        try:
            await anyio.getaddrinfo(host, None)
        except OSError as error:
            fault = (
                f"{host} has no address ({error.strerror or error}). Add a record for *.{domain} "
                f"to the DNS that points where {settings.hosts[0]} does. Or set "
                f'session_domain (SLICERHUB_SESSION_DOMAIN) to "{PATH_MODE}": sessions then share '
                "one host name, and sharing is off."
            )
            raise ConfigError([fault]) from error

    return ping
