"""A real controller on a real engine that can be killed, or held up, at a named point.

The tests' own entry program: ``serve`` of the product, with the engine's client guarded. Nothing of
it is in the product, and no setting of the product leads here.

    python -m tests.faults.controller PLAN.json

Settings are taken from the environment, as always. The plan names a point, such as
``after:create_network``, what happens there, and a file that says so once it has.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from controller import app
from controller.engines.docker import client
from controller.monitoring import log
from controller.sessions.gateway import OpenGateway
from controller.settings.loading import load, read_text
from tests.faults.points import API_EFFECTS


class Plan(msgspec.Struct, frozen=True):
    """What happens where."""

    point: str = ""  # before:<call> or after:<call>; empty: nothing happens
    count: int = 1  # at which of several such calls
    act: str = "kill"  # or "hold": it goes on once ``said`` is removed
    said: str = ""  # this file is made when the point is reached


class Trip:
    """Does what the plan says when its point is reached."""

    def __init__(self, plan: Plan) -> None:
        """Wait for the point."""
        self._plan = plan
        self._left = plan.count

    def at(self, point: str) -> None:
        """Pass a point, or not."""
        if point != self._plan.point:
            return
        self._left -= 1
        if self._left:
            return
        said = Path(self._plan.said)
        said.write_text(point, encoding="utf-8")
        if self._plan.act == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        while said.exists():
            time.sleep(0.02)


class Guarded:
    """The engine's client, or the memory engine, with a point around each effect."""

    def __init__(self, made: Any, trip: Trip) -> None:  # noqa: ANN401 - whatever it is
        """Guard ``made``."""
        self._made = made
        self._trip = trip

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        """Return what it has, guarded if it is an effect."""
        found = getattr(self._made, name)
        if name not in API_EFFECTS:
            return found

        def call(*values: Any, **named: Any) -> Any:  # noqa: ANN401
            self._trip.at(f"before:{name}")
            answer = found(*values, **named)
            self._trip.at(f"after:{name}")
            return answer

        return call


def _open_gateway(*_: object) -> OpenGateway:
    return OpenGateway()


def main() -> None:
    """Serve until the plan says otherwise."""
    plan = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Plan)
    trip = Trip(plan)
    real: Callable[..., Any] = client.connect_engine
    client.connect_engine = lambda settings: Guarded(real(settings), trip)
    # There is no Traefik in these tests: whatever runs counts as served.
    app.TraefikGateway = _open_gateway  # pyright: ignore[reportAttributeAccessIssue]
    settings, _ = load(os.environ, read_text)
    log.configure()
    uvloop.run(app.serve(settings))


if __name__ == "__main__":
    main()
