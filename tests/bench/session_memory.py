"""How much memory a session holds, at rest and after use (``python -m bench.session_memory``).

One session of the image, as the hub starts it, with the sample open. A page turns the brain and
scrolls through the slices every few seconds, and takes all pictures in, as a browser does. Of the
whole container: what ``docker stats`` shows, which counts files in the cache that were read lately,
and what the processes hold for themselves ("own"). At rest means: ready, no page open.
"""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import click
import docker
from bench.measure import machine, table
from bench.memory import engine_number
from bench.start import internal_network
from websockets.exceptions import ConnectionClosed

from tests.support.slicer_session import Page, Session, Stream, who
from tests.support.slicer_session import docker as run

REST_SECONDS = 30.0
_SIZE = (640, 400)
_KEYS = {"shiftKey": 0, "altKey": 0, "ctrlKey": 0, "metaKey": 0}  # an event without them is ignored
_FOR_EVER = 1e9  # seconds
_STEPS = 8  # moves of the mouse in one turn of the brain, and of the wheel in one scroll
_SLICES = ("Red", "Green", "Yellow")
_PREFIX = "trame__template_"


class Use:
    """One page that is used, and takes in what is sent to it."""

    def __init__(self, page: Page, stream: Stream) -> None:
        """Looks for the views and begins to take pictures in."""
        areas = [key.removeprefix(_PREFIX) for key in page.state() if key.startswith(_PREFIX)]
        self._stream = stream
        self._brain = self._named(areas, "ThreeD")
        self._slices = [self._named(areas, name) for name in _SLICES]
        self.pictures = 0
        self._turns = 0
        self._taking = threading.Thread(target=self._take, daemon=True)
        self._taking.start()
        for area in (self._brain, *self._slices):
            stream.size(area, *_SIZE)
            stream.watch(area)

    @staticmethod
    def _named(areas: list[str], name: str) -> str:
        found = next((area for area in areas if area.endswith(name)), None)
        if found is None:
            raise click.ClickException(f"The page has no view {name}; it has: {', '.join(areas)}")
        return found

    def once(self) -> None:
        """Turns the brain a little to and fro, and scrolls one of the slices."""
        if not self._taking.is_alive():
            raise click.ClickException("The session has closed the page.")
        self._turns += 1
        self._event(self._brain, "LeftButtonPress", x=320, y=200)
        for step in range(_STEPS):
            angle = 2 * math.pi * step / _STEPS
            x, y = 320 + round(80 * math.sin(angle)), 200 + round(40 * math.sin(2 * angle))
            self._event(self._brain, "MouseMove", x=x, y=y)
        self._event(self._brain, "LeftButtonRelease", x=320, y=200)
        area = self._slices[self._turns % len(self._slices)]
        spin = 1 if self._turns // len(self._slices) % 2 else -1
        self._event(area, "StartMouseWheel", x=320, y=200, spinY=spin)
        for _ in range(_STEPS):
            self._event(area, "MouseWheel", x=320, y=200, spinY=spin)
        self._event(area, "EndMouseWheel", x=320, y=200, spinY=spin)

    def _event(self, area: str, kind: str, **more: int) -> None:
        width, height = _SIZE
        self._stream.input(area, {"type": kind, "w": width, "h": height, **_KEYS, **more})

    def _take(self) -> None:
        try:
            while True:
                self._stream.seen(self._stream.next(_FOR_EVER))
                self.pictures += 1
        except ConnectionClosed:
            return


def own_number(container: Any) -> float:  # noqa: ANN401 - the client's own
    """Return MiB of anonymous memory of all processes of the container."""
    told: dict[str, int] = container.stats(stream=False)["memory_stats"]["stats"]
    # Control groups of version 2 call it anon, of version 1 total_rss.
    return told.get("anon", told.get("total_rss", 0)) / 2**20


@contextmanager
def one_session() -> Generator[Session]:
    """Starts a session on an empty volume and waits until it is ready; nothing is left."""
    volume = f"slicerhub-bench-{secrets.token_hex(4)}"
    with internal_network() as network:
        run("volume", "create", volume)
        session = Session(network, volume, {})
        try:
            yield session.wait_ready()
        finally:
            session.remove()
            run("volume", "rm", "--force", volume, check=False)


@click.command()
@click.option(
    "--minutes", default=5, show_default=True, type=click.IntRange(1), help="How long it is used."
)
@click.option("--every", default=3.0, show_default=True, help="Seconds from one use to the next.")
def main(minutes: int, every: float) -> None:
    """Use one session for so long and tell its memory each minute."""
    engine = docker.from_env()
    with one_session() as session:
        container = engine.containers.get(session.name)
        time.sleep(REST_SECONDS)
        seen = [(engine_number(container), own_number(container))]
        click.echo(f"at rest {seen[0][0]:.0f} MiB, own {seen[0][1]:.0f}")
        alice = who("alice", "owner")
        with Page(session, alice) as page, Stream(session, alice) as stream:
            use = Use(page, stream)
            for minute in range(1, minutes + 1):
                before, end = use.pictures, time.monotonic() + 60
                while (left := end - time.monotonic()) > 0:
                    use.once()
                    time.sleep(min(every, left))
                if use.pictures == before:
                    raise click.ClickException("No picture came: nothing was used.")
                seen.append((engine_number(container), own_number(container)))
                whole, own = seen[-1]
                pictures = use.pictures - before
                click.echo(f"minute {minute}: {whole:.0f} MiB, own {own:.0f}, {pictures} pictures")
    engine.close()
    table(
        f"Memory of one session in MiB, used every {every:g} s ({machine()})",
        ["", "docker stats", "of at rest", "own", "of at rest", "of first minute"],
        [
            [
                f"minute {at}" if at else "at rest",
                *(f"{whole:.0f}", f"{whole / seen[0][0]:.2f}"),
                *(f"{own:.0f}", f"{own / seen[0][1]:.2f}", f"{own / seen[1][1]:.3f}"),
            ]
            for at, (whole, own) in enumerate(seen)
        ],
    )


if __name__ == "__main__":
    main()
