"""What a hand does in each case of ``bench.feel``: which input it sends, and when.

A stroke goes one way, so that each of its steps looks like no other. Strokes there and back follow
each other; the second brings everything to where it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

RATE = 60.0
"""Inputs a second."""

_NOTCH = 120  # what a mouse's wheel says of one notch
_BUTTONS = {"none": 0, "left": 1, "right": 2, "middle": 4}
# A browser adds up notches that wait for the page, unless other buttons are held. These two, with
# which one goes back and forward, mean nothing to a view; a notch more or less would be a step.
_SIDE_BUTTONS = (8, 16)


class Box(NamedTuple):
    """Where a view is, in CSS pixels of the window."""

    x: float
    y: float
    width: float
    height: float


class Case(NamedTuple):
    """One thing that a hand does. ``view``: "brain" or "slice".

    ``pixels``: of one step of a drag, to the right and down. ``button``: the one that is held, or
    "none": the wheel is turned, a notch a step. ``every``: of so many steps one is calibrated; the
    steps of a stroke are a multiple of it.
    """

    view: str
    button: str
    pixels: tuple[int, int] = (0, 0)
    every: int = 1


class Input(NamedTuple):
    """One input, as Chromium's ``Input.dispatchMouseEvent`` takes it."""

    kind: str
    x: int
    y: int
    button: str
    delta: int = 0
    buttons: int = 0

    def words(self) -> dict[str, str | int]:
        """Return the parameters of the command."""
        return {
            "type": self.kind,
            "x": self.x,
            "y": self.y,
            "button": self.button,
            "buttons": self.buttons,
            "clickCount": 1 if self.kind in {"mousePressed", "mouseReleased"} else 0,
            "deltaX": 0,
            "deltaY": self.delta,
        }


class Stroke(NamedTuple):
    """One way of the hand: what comes before, one input for each step from 1 on, what ends it."""

    before: tuple[Input, ...]
    steps: tuple[Input, ...]
    after: tuple[Input, ...]
    forth: bool


CASES: Mapping[str, Case] = {
    "turn": Case("brain", "left", (3, 0), every=5),
    "scroll": Case("slice", "none", every=3),
    "pan": Case("slice", "middle", (1, 0), every=5),
    "zoom": Case("slice", "right", (0, 1), every=5),
}


def stroke(case: Case, view: Box, number: int, *, forth: bool) -> Stroke:
    """Return the inputs of a stroke of so many steps around the middle of a view."""
    x, y = round(view.x + view.width / 2), round(view.y + view.height / 2)
    if case.button == "none":
        here = Input("mouseMoved", x, y, "none")
        delta = -_NOTCH if forth else _NOTCH
        notches = (
            Input("mouseWheel", x, y, "none", delta, _SIDE_BUTTONS[step % 2])
            for step in range(number)
        )
        return Stroke((here,), tuple(notches), (), forth)
    right, down = case.pixels
    places = [
        (x + right * (step - number // 2), y + down * (step - number // 2))
        for step in range(number + 1)
    ]
    if not forth:
        places.reverse()
    held = _BUTTONS[case.button]
    return Stroke(
        (
            Input("mouseMoved", *places[0], "none"),
            Input("mousePressed", *places[0], case.button, buttons=held),
        ),
        tuple(Input("mouseMoved", *place, case.button, buttons=held) for place in places[1:]),
        (Input("mouseReleased", *places[-1], case.button),),
        forth,
    )


def lead(case: Case, view: Box, number: int, *, forth: bool) -> tuple[Input, ...]:
    """Return what brings a view to where the stroke there begins, and after all back (not forth).

    A wheel begins half a stroke before the middle; a drag begins where the view is.
    """
    if case.button != "none":
        return ()
    half = stroke(case, view, number // 2, forth=not forth)
    return half.before + half.steps


def due(number: int) -> float:
    """Return the second at which input ``number`` (from 0 on) of a stroke is sent."""
    return number / RATE
