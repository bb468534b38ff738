"""How coarse a picture is drawn: as fine as its time allows while the hand moves, wholly at rest.

Casting rays takes a time that grows with their number, so with the square of what lies between two
of them. Measured with the sample brain, 618x366, on two cores: 50, 16, 8 and 5 ms for a ray in each
pixel, in each second, fourth and eighth of a row and column.
"""

from __future__ import annotations

# Pixels from one ray to the next.
DISTANCES = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
FIRST = 4.0
# Seconds for one picture while the hand moves. With encoding and the way it is some 20 a second.
MOVING_SECONDS = 0.035
_TOO_LONG = 1.2  # of what a picture may take; less is the machine's own jitter
_SHORT = 0.75
# What may be drawn in one go at rest without that anybody waits for it.
STILL_SECONDS = 0.25


def predicted(distance: float, seconds: float, other: float) -> float:
    """The seconds that a picture with ``other`` takes, at most, if that one took ``seconds``."""
    return seconds * (distance / other) ** 2


def next_distance(distance: float, seconds: float) -> float:
    """The distance for the next moving picture, after one with ``distance`` took ``seconds``.

    Coarser at once as far as is needed, finer by one step.
    """
    at = DISTANCES.index(distance)
    if seconds > MOVING_SECONDS * _TOO_LONG:
        for coarser in DISTANCES[at + 1 :]:
            if predicted(distance, seconds, coarser) <= MOVING_SECONDS:
                return coarser
        return DISTANCES[-1]
    if at and predicted(distance, seconds, DISTANCES[at - 1]) <= MOVING_SECONDS * _SHORT:
        return DISTANCES[at - 1]
    return distance


def finer_distance(distance: float, seconds: float) -> float:
    """The distance for the next picture at rest: 1 if that is soon done, else half at a time."""
    if predicted(distance, seconds, 1.0) <= STILL_SECONDS:
        return 1.0
    return max(each for each in DISTANCES if each <= max(1.0, distance / 2))
