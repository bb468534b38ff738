"""What the commands share: the settings, and the hub's errors as sentences."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from typing import Any

import click
import uvloop

from controller.cli.faults import Faults
from controller.core.errors import HubError
from controller.settings.loading import load, read_text
from controller.settings.schema import Settings

Work = Callable[[Settings], Coroutine[Any, Any, None]]


def read_settings() -> Settings:
    """Return the settings of this process; notices go to standard error. Raises ConfigError."""
    settings, notices = load(os.environ, read_text)
    for notice in notices:
        click.echo(f"note: {notice}", err=True)
    return settings


def run(work: Work) -> None:
    """Run a command's work; an error of the hub becomes its sentence and exit code 1."""
    try:
        uvloop.run(work(read_settings()))
    except* HubError as errors:
        sentences = [error.in_full for error in leaves(errors)]
        raise Faults("\n".join(sentences)) from None


def leaves(group: BaseExceptionGroup[HubError]) -> list[HubError]:
    """Return all errors of a group, however deep they are."""
    found: list[HubError] = []
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            found += leaves(error)
        else:
            found.append(error)
    return found
