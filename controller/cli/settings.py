"""The command that shows the settings: as they are now, or all that there are."""

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

STRUCK_OUT = "(hidden)"
"""Stands in place of a secret."""


class Shown(NamedTuple):
    """One setting as it is now."""

    place: str
    origin: str  # a variable, a file, another setting, or "default"
    value: str


@click.command("settings")
@click.option("--markdown", is_flag=True, help="Write the reference of all settings instead.")
def settings_command(*, markdown: bool) -> None:
    """Show the settings as they are, and where each comes from. No secret is ever shown."""
    if markdown:
        click.echo(reference(), nl=False)
        return

    async def work(settings: Settings) -> None:
        found = list(shown(settings, origins(os.environ, read_text)))
        width = max(len(one.place) for one in found) + 2
        beside = max(len(one.origin) for one in found) + 2
        click.echo(f"{'SETTING':{width}}{'FROM':{beside}}VALUE")
        for one in found:
            click.echo(f"{one.place:{width}}{one.origin:{beside}}{one.value}")

    run(work)


def shown(settings: Settings, origins: dict[str, str]) -> Iterator[Shown]:
    """Yield each setting, those of tables and profiles behind the hub's own, secrets struck out.

    ``origins``: where settings come from, by their places; what is not in it is a default.
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
    """Return which settings take over another's value, where they have none of their own."""
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
        place = f"{before}{field.name}"
        text = STRUCK_OUT if value and is_secret(field.type) else written(value)
        yield Shown(place, origins.get(place, "default"), text)
