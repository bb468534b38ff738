"""The command that shows the settings: their current values, or the reference of all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import click
import msgspec

from controller.cli.common import run
from controller.cli.reference import TABLES, is_secret, is_table, reference, written
from controller.settings.loading import origins, read_text
from controller.settings.schema import Settings

HIDDEN_VALUE = "(hidden)"
"""Shown instead of a secret."""


class Shown(NamedTuple):
    """A setting with its current value."""

    path: str
    origin: str  # a variable, a file, another setting, or "default"
    value: str


@click.command("settings")
@click.option("--markdown", is_flag=True, help="Write the reference of all settings instead.")
def settings_command(*, markdown: bool) -> None:
    """Show the current settings, and where each comes from. Secrets are never shown."""
    if markdown:
        click.echo(reference(), nl=False)
        return

    async def work(settings: Settings) -> None:
        found = list(shown(settings, origins(os.environ, read_text)))
        width = max(len(one.path) for one in found) + 2
        origin_width = max(len(one.origin) for one in found) + 2
        click.echo(f"{'SETTING':{width}}{'FROM':{origin_width}}VALUE")
        for one in found:
            click.echo(f"{one.path:{width}}{one.origin:{origin_width}}{one.value}")

    run(work)


def shown(settings: Settings, origins: dict[str, str]) -> Iterator[Shown]:
    """Yield each setting, the hub's own first, then those of tables and profiles; secrets hidden.

    ``origins``: where settings come from, by their paths; those that are missing are defaults.
    """
    origins = _inherited(settings, origins) | origins
    yield from _values(settings, "", origins)
    for field in msgspec.structs.fields(settings):
        if is_table(field.type):
            yield from _values(getattr(settings, field.name), f"{field.name}.", origins)
    for profile in settings.profiles:
        yield from _values(profile, f"profiles.{profile.id}.", origins)
    for volume in settings.volumes:
        yield from _values(volume, f"volumes.{volume.name}.", origins)


def _inherited(settings: Settings, origins: Mapping[str, str]) -> dict[str, str]:
    """Return the settings without a value of their own, and the setting that each inherits."""
    found: dict[str, str] = {}
    if settings.demo and "ldap.bind_dn" not in origins:
        found |= {f"ldap.{name}": f"demo_{name}" for name in ("bind_dn", "bind_password")}
    if "idle_seconds" in origins:
        found |= {f"profiles.{one.id}.idle_seconds": "idle_seconds" for one in settings.profiles}
    return found


def _values(table: msgspec.Struct, before: str, origins: Mapping[str, str]) -> Iterator[Shown]:
    first = 1 if before.count(".") > 1 else 0  # of a profile or a volume: its table's name
    for field in msgspec.structs.fields(table)[first:]:
        value = getattr(table, field.name)
        if is_table(field.type) or (not before and field.name in TABLES):
            continue
        path = f"{before}{field.name}"
        text = HIDDEN_VALUE if value and is_secret(field.type) else written(value)
        yield Shown(path, origins.get(path, "default"), text)
