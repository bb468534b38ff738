"""The commands that keep and bring back what the hub cannot lose."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Sequence
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import click

from controller.cli.archive import make_backup, missing, read_backup, restore
from controller.cli.common import run
from controller.core.errors import ConfigError, EngineUnavailable
from controller.core.model import Volume
from controller.parts import make_orchestrator
from controller.settings.schema import Settings
from controller.store import data_folder


@click.command("backup")
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

    run(work)


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


@click.command("restore")
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

    run(work)


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
