"""The command ``gate``: one of the processes that answer Traefik's questions."""

from __future__ import annotations

import platform
from pathlib import Path

import click

from controller.cli.faults import Faults
from controller.core.errors import HubError
from controller.gate.addresses import Address
from controller.gate_app import GateOptions, run_gate
from controller.monitoring import log

_PROCESSES_MOST = 64


@click.command("gate")
@click.option(
    "--controller",
    envvar="SLICERHUB_GATE_CONTROLLER",
    default="controller:8002",
    show_default=True,
    metavar="HOST:PORT",
    help="The controller that it follows.",
)
@click.option(
    "--folder",
    envvar="SLICERHUB_GATE_FOLDER",
    default="/run/gates",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where the controller has put what proves a gate.",
)
@click.option(
    "--kept",
    envvar="SLICERHUB_GATE_KEPT",
    default=None,
    metavar="DIRECTORY",
    type=click.Path(path_type=Path),
    help="Where it keeps what its next start may go on by while no controller is there.",
)
@click.option("--listen", envvar="SLICERHUB_GATE_LISTEN", default="0.0.0.0", show_default=True)  # noqa: S104 - the container's networks decide what reaches it
@click.option(
    "--port",
    envvar="SLICERHUB_GATE_PORT",
    default=8001,
    show_default=True,
    type=click.IntRange(1, 65535),
)
@click.option(
    "--processes",
    envvar="SLICERHUB_GATE_PROCESSES",
    default=1,
    show_default=True,
    type=click.IntRange(1, _PROCESSES_MOST),
    help="How many processes answer; one keeps one core busy at most.",
)
def gate_command(
    *, controller: str, folder: Path, kept: Path | None, listen: str, port: int, processes: int
) -> None:
    """Answer Traefik's questions from memory, following a controller."""
    log.configure()
    host, _, feed = controller.rpartition(":")
    if not host or not feed.isdigit():
        raise click.BadParameter("Write HOST:PORT, such as controller:8002.")
    options = GateOptions(
        name=platform.node(),
        controller=Address(host, int(feed)),
        folder=folder,
        kept=kept,
        listen=listen,
        port=port,
        processes=processes,
    )
    try:
        run_gate(options)
    except HubError as error:
        raise Faults(error.in_full) from None
