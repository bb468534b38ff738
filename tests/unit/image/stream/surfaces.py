"""A view that is no VTK's: it shows what has been done to it as a number."""

from __future__ import annotations

from collections.abc import Callable

from app.core.pixels import Pixels
from app.stream.drawing import Drawing
from app.stream.wire import Event, Input

_ROW = 900  # bytes


class Canvas:
    """Counts what arrives; each picture is that number, as two pixels, or above its noise."""

    def __init__(self, drawing: Drawing, name: str, *, heavy: bool = False) -> None:
        """A view of the drawing from now on."""
        self.is_heavy = heavy
        self.shown = 0
        self.handled = 0
        self.pictures: list[tuple[float, bool]] = []  # distance of each, and whether it is final
        self.broken = False
        self.during: Callable[[], None] = lambda: None  # what happens while one is drawn
        self.size = (0.0, 0.0, 0.0)
        self.noise = b""  # of 900 bytes a row, below the number
        self.touch = drawing.add(name, self)

    def draw(
        self, distance: float, *, final: bool, interrupted: Callable[[], bool] | None
    ) -> Pixels | None:
        """Draws the number."""
        self.pictures.append((distance, final))
        if self.broken:
            raise ValueError("A tool has a fault.")
        number = self.shown.to_bytes(6 if not self.noise else _ROW, "big")
        rgb = number + self.noise
        pixels = Pixels(len(number) // 3, len(rgb) // len(number), rgb)
        self.during()
        return None if interrupted is not None and interrupted() else pixels

    def handle(self, event: Event, times: int) -> None:
        """Counts by the event's factor."""
        self.handled += 1
        if event.action == "fault":
            raise ValueError("A tool has a fault.")
        self.shown += times * int(event.factor or 0)
        if event.action != "nothing":
            self.touch()

    def resize(self, width: float, height: float, ratio: float) -> None:
        """Keeps the size."""
        self.size = (width, height, ratio)


def pressed(number: int, view: str = "Red", action: str = "down", by: int = 1) -> Input:
    """A press: it counts on by one, or by another number."""
    return Input(number, view, Event("LeftButtonPress", action=action, factor=float(by)))
