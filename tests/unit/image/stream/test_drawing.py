"""Which pictures the one loop draws, and in which order: always the newest state."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import pytest
from app.core.errors import StreamError
from app.stream.drawing import Drawing
from app.stream.inputs import MOST_WAITING
from app.stream.pace import FIRST
from app.stream.picture import Picture
from app.stream.wire import Size

from tests.support.waits import become
from tests.unit.image.stream.surfaces import Canvas, pressed

pytestmark = pytest.mark.anyio


class Seats:
    """An audience that takes everything of the views that it wants."""

    def __init__(self, *wanted: str) -> None:
        """Nothing was offered yet."""
        self.wanted = set(wanted)
        self.pictures: list[Picture] = []
        self.spoken = False

    def wants(self, view: str) -> bool:
        """Whether it wants pictures of this view."""
        return view in self.wanted

    def offer(self, picture: Picture) -> None:
        """Takes one."""
        self.pictures.append(picture)

    def has_spoken(self) -> bool:
        """Whether a test says so."""
        return self.spoken

    def last(self, view: str = "Red") -> Picture | None:
        """The last picture of a view."""
        return next((each for each in reversed(self.pictures) if each.view == view), None)

    def numbers(self, view: str = "Red") -> list[int]:
        """What each picture of a view shows."""
        return [shown(each) for each in self.pictures if each.view == view]


def shown(picture: Picture | None) -> int:
    """The number on a picture of a `Canvas`."""
    return -1 if picture is None else int.from_bytes(picture.pixels.rgb, "big")


@contextlib.asynccontextmanager
async def drawn(drawing: Drawing, seats: Seats) -> AsyncGenerator[None]:
    """The loop runs for an audience."""
    running = asyncio.create_task(drawing.run(seats))
    try:
        yield
        assert not running.done(), running.exception()
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def final(seats: Seats, number: int, view: str = "Red") -> Picture:
    """The final picture that shows this."""

    def look() -> Picture | None:
        last = seats.last(view)
        return last if last is not None and last.final and shown(last) == number else None

    return await become(look, what=f"the final picture {number} of {view}")


async def test_a_picture_shows_all_that_came_while_the_last_one_was_drawn() -> None:
    """Whoever is quicker than the drawing sees where they are, not each step on the way."""
    drawing, seats = Drawing(), Seats("Red")
    canvas = Canvas(drawing, "Red")

    def hurry() -> None:
        canvas.during = lambda: None
        for number in range(1, 101):
            drawing.put(7, pressed(number))

    canvas.during = hurry
    async with drawn(drawing, seats):
        last = await final(seats, 100)
    assert seats.numbers() == [0, 100, 100]
    assert last.inputs[7][0] == 100


async def test_the_picture_at_rest_is_the_last_one() -> None:
    """Who holds still gets one picture as good as it gets, of their last input, and then none."""
    drawing, seats = Drawing(), Seats("Red")
    canvas = Canvas(drawing, "Red")
    async with drawn(drawing, seats):
        for number in range(1, 4):
            drawing.put(1, pressed(number))
            await become(lambda number=number: shown(seats.last()) == number)
        last = await final(seats, 3)
        drawing.put(2, pressed(9, action="nothing", by=0))  # another page does what changes nothing
        await become(lambda: canvas.handled == 4)
        assert drawing.newest("Red") is last
    assert last.inputs == {1: (3, last.inputs[1][1])}
    assert last.inputs[1][1] <= last.began <= last.drawn
    assert [final for _, final in canvas.pictures].count(True) >= 1
    assert canvas.pictures[-1] == (1.0, True)
    assert seats.pictures[-1] is last


async def test_what_has_not_changed_is_not_drawn() -> None:
    """A still view costs nothing while the hand is in another one."""
    drawing, seats = Drawing(), Seats("Red", "Green")
    red, green = Canvas(drawing, "Red"), Canvas(drawing, "Green")
    async with drawn(drawing, seats):
        await final(seats, 0)
        await final(seats, 0, "Green")
        before = len(green.pictures)
        drawing.put(1, pressed(1))
        await final(seats, 1)
    assert len(green.pictures) == before
    assert len(red.pictures) > before


async def test_what_nobody_wants_is_not_drawn() -> None:
    """A view that no page shows costs nothing, and is there at once when one does."""
    drawing, seats = Drawing(), Seats("Red")
    Canvas(drawing, "Red")
    green = Canvas(drawing, "Green")
    async with drawn(drawing, seats):
        for number in range(1, 4):
            drawing.put(1, pressed(number, "Green"))
        await final(seats, 0)
        assert green.pictures == []
        assert drawing.newest("Green") is None
        seats.wanted = {"Green"}
        drawing.wake()
        await final(seats, 3, "Green")
    assert set(seats.numbers("Green")) == {3}


async def test_what_looks_the_same_is_sent_once() -> None:
    """A change that shows nothing is no picture; only that it is final is told."""
    drawing, seats = Drawing(), Seats("Red")
    canvas = Canvas(drawing, "Red")
    async with drawn(drawing, seats):
        await final(seats, 0)
        before, pictures = len(seats.pictures), len(canvas.pictures)
        canvas.touch()
        await become(lambda: len(seats.pictures) > before)
        assert len(canvas.pictures) >= pictures + 2, "it was drawn while it moved, and at rest"
    assert [each.final for each in seats.pictures[before:]] == [True]


async def test_a_heavy_view_is_coarse_first_and_then_fine() -> None:
    """A volume follows the hand at once, and has every ray once the hand is still."""
    drawing, seats = Drawing(), Seats("Red")
    canvas = Canvas(drawing, "Red", heavy=True)
    async with drawn(drawing, seats):
        await final(seats, 0)
    distances = [distance for distance, _ in canvas.pictures]
    assert canvas.pictures[0] == (FIRST, False)
    assert canvas.pictures[-1] == (1.0, True)
    assert distances == sorted(distances, reverse=True)


async def test_a_light_view_is_never_coarse() -> None:
    """A slice has every pixel from the start."""
    drawing, seats = Drawing(), Seats("Red")
    canvas = Canvas(drawing, "Red")
    async with drawn(drawing, seats):
        await final(seats, 0)
    assert {distance for distance, _ in canvas.pictures} == {1.0}


async def test_input_interrupts_the_picture_at_rest() -> None:
    """Who moves on does not wait for a fine picture of what was."""
    drawing, seats = Drawing(), Seats("Red")
    canvas = Canvas(drawing, "Red", heavy=True)

    def move_on() -> None:
        seats.spoken = canvas.pictures[-1][1] and canvas.shown == 0
        if seats.spoken:
            drawing.put(1, pressed(1))

    canvas.during = move_on
    async with drawn(drawing, seats):
        await final(seats, 1)
    assert [shown(each) for each in seats.pictures if each.final] == [1]
    ended = canvas.pictures.index((1.0, True))
    assert not canvas.pictures[ended + 1][1], "what follows is a picture of the movement"


async def test_chatter_cannot_keep_the_fine_picture_away() -> None:
    """However much the pages have to say, there is a picture at rest in the end."""
    drawing, seats = Drawing(), Seats("Red")
    canvas = Canvas(drawing, "Red", heavy=True)
    seats.spoken = True
    async with drawn(drawing, seats):
        await final(seats, 0)
    assert len(canvas.pictures) > 2


async def test_a_fault_in_one_view_stops_no_other() -> None:
    """Where a tool fails, the other views go on, and so does that one once it can be drawn."""
    drawing, seats = Drawing(), Seats("Red", "Green")
    red, green = Canvas(drawing, "Red"), Canvas(drawing, "Green")
    red.broken = True
    async with drawn(drawing, seats):
        drawing.put(1, pressed(1, "Green", action="fault"))
        drawing.put(1, pressed(2, "Green"))
        drawing.put(1, pressed(3, "Nowhere"))
        assert (await final(seats, 1, "Green")).inputs[1][0] == 3
        assert seats.last("Red") is None
        tried = len(red.pictures)
        drawing.put(1, pressed(4, "Green"))
        await final(seats, 2, "Green")
        assert len(red.pictures) == tried, "what cannot be drawn is not tried again and again"
        red.broken = False
        drawing.put(1, pressed(5))
        await final(seats, 1)
    assert green.shown == 2


async def test_both_views_are_drawn_while_the_hand_is_in_one() -> None:
    """Linked slices follow a hand that never rests, though it has the first turn."""
    drawing, seats = Drawing(), Seats("Red", "Green")
    red, green = Canvas(drawing, "Red"), Canvas(drawing, "Green")

    def go_on() -> None:
        if green.shown < 20:
            drawing.put(1, pressed(red.shown + 1))
            green.shown += 1
            green.touch()

    red.during = go_on
    async with drawn(drawing, seats):
        await final(seats, 20, "Green")
        await final(seats, red.shown)
    moving = [number for number in seats.numbers("Green") if 0 < number < 20]
    assert moving, "it was drawn meanwhile"


async def test_a_size_is_taken_and_drawn() -> None:
    """A view has the size of its place on the page; one that is gone is no fault."""
    drawing, seats = Drawing(), Seats("Red")
    canvas = Canvas(drawing, "Red")
    async with drawn(drawing, seats):
        await final(seats, 0)
        before = len(canvas.pictures)
        drawing.resize(Size("Red", 300, 200, 2))
        drawing.resize(Size("Nowhere", 1, 1))
        assert canvas.size == (300, 200, 2)
        await become(lambda: len(canvas.pictures) > before)


async def test_what_a_page_sent_before_it_left_is_applied() -> None:
    """The last press of somebody who closes the window counts."""
    drawing, seats = Drawing(), Seats("Red")
    Canvas(drawing, "Red")
    drawing.put(1, pressed(1))
    drawing.forget(1)
    async with drawn(drawing, seats):
        await final(seats, 1)


async def test_a_flood_is_refused_to_its_page() -> None:
    """More than a person can press is an error of that page alone."""
    drawing = Drawing()
    for number in range(MOST_WAITING):
        drawing.put(1, pressed(number))
    with pytest.raises(StreamError):
        drawing.put(1, pressed(MOST_WAITING))
    drawing.put(2, pressed(1))
