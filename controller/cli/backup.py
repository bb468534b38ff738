"""The commands ``backup`` and ``restore``."""

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
    """Write keys, records and a list of people's volumes to FILE, "-" for standard output.

    The hub may be running. Keep the file safe: anybody who has it can log in as anybody. People's
    files are not in it.
    """

    async def work(settings: Settings) -> None:
        _need_folder(settings)
        volumes = await _volumes(settings)
        data = Path(settings.data_dir)
        made_at = datetime.now(UTC).isoformat(timespec="seconds")
        with _target(file) as out:
            made = make_backup(data, settings.instance, volumes or (), made_at, out)
        click.echo(f"saved the keys, the records and a list of {len(made.files)} volumes", err=True)
        if volumes is None:
            raise ConfigError(["The engine does not answer, so the list of volumes is empty."])

    run(work)


@contextmanager
def _target(file: Path) -> Generator[BinaryIO, None, None]:
    """Open a file that only its owner can read; it appears complete, or not at all."""
    if str(file) == "-":
        if sys.stdout.isatty():
            raise ConfigError(["Standard output is a terminal. Name a file, or redirect it."])
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
@click.option("--force", is_flag=True, help="Replace the keys and records that are there.")
def restore_command(file: BinaryIO, *, force: bool) -> None:
    """Restore keys and records from FILE, "-" for standard input. Stop the hub first.

    For each person whose volume is missing, an empty one is made with its labels: put their files
    into it.
    """

    async def work(settings: Settings) -> None:
        _need_folder(settings)
        backup = read_backup(file, settings.instance)
        restore(backup, Path(settings.data_dir), force=force)
        click.echo(f"restored keys and records of {backup.manifest.made_at}")
        volumes = await _volumes(settings)
        if volumes is None:
            raise ConfigError(["The engine does not answer, so volumes were not checked."])
        async with aclosing(make_orchestrator(settings)) as engine:
            for lost in missing(backup.manifest, volumes):
                await engine.make_volume(lost.owner)
                click.echo(f"missing: the files of {lost.owner}; {lost.volume} was made empty")

    run(work)


def _need_folder(settings: Settings) -> None:
    if settings.store != "sqlite":
        fault = (
            "Keys and records are objects of the cluster, in the hub's own namespace. Back them up "
            "as you do the cluster."
        )
        raise ConfigError([fault])


async def _volumes(settings: Settings) -> Sequence[Volume] | None:
    """Return people's volumes; None: the engine does not answer."""
    async with aclosing(make_orchestrator(settings)) as engine:
        try:
            return await engine.volumes()
        except EngineUnavailable:
            return None
