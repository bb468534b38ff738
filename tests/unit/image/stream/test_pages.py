"""What each page gets of the pictures, over real sockets on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import NamedTuple

import msgspec
import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, WSServerHandshakeError, web
from app.people.activity import Selection
from app.people.felt import BOUNDS_MS, Parts, Sample
from app.people.roles import ROLE_HEADER, STREAM_PATH, USER_HEADER, Role
from app.stream.drawing import Drawing
from app.stream.flow import FIRST_RATE
from app.stream.pages import KICKED, Pages
from app.stream.wire import (
    FeltInput,
    FromPage,
    Head,
    Seen,
    Size,
    Unwatch,
    Visible,
    Watch,
)
from PIL import Image

from tests.support.waits import become
from tests.unit.image.stream.surfaces import Canvas, pressed

pytestmark = pytest.mark.anyio

SAMPLE = Sample([1] * (len(BOUNDS_MS) + 1), Parts(1, 2, 3, 4, 5))
MALFORMED = 1008  # of RFC 6455


class Window:
    """One page: it sees every picture that it gets, unless it is told to keep silent."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        """Reads from now on."""
        self.socket = socket
        self.heads: list[Head] = []
        self.contents: list[bytes] = []
        self.silent = False
        self._reading = asyncio.create_task(self._read())

    async def say(self, *messages: FromPage) -> None:
        """Sends what a page sends."""
        for message in messages:
            await self.socket.send_str(msgspec.json.encode(message).decode())

    async def picture(self, matches: Callable[[Head], bool]) -> Head:
        """The first picture that matches."""
        return await become(lambda: next(filter(matches, self.heads), None), what="a picture")

    async def closed(self) -> int | None:
        """Waits until the server has closed; tells with which code."""
        await become(self._reading.done, what="the end of the stream")
        return self.socket.close_code

    @property
    def is_open(self) -> bool:
        """Whether pictures can still come."""
        return not self._reading.done()

    async def close(self) -> None:
        """Leaves."""
        await self.socket.close()
        await self._reading

    async def _read(self) -> None:
        async for message in self.socket:
            assert message.type is WSMsgType.BINARY
            data = message.data
            end = 2 + int.from_bytes(data[:2], "big")
            head = msgspec.json.decode(data[2:end], type=Head)
            self.contents.append(data[end:])
            self.heads.append(head)
            if not self.silent:
                with contextlib.suppress(ConnectionError):  # closed meanwhile
                    await self.say(Seen(head.number, 1.5))


Open = Callable[[str, str], Awaitable[Window]]


class Served(NamedTuple):
    """A session with two views, and what its pages caused."""

    drawing: Drawing
    pages: Pages
    red: Canvas
    green: Canvas
    open: Open
    touched: list[None]
    felt: list[Sample]


@pytest.fixture
async def served() -> AsyncGenerator[Served]:
    """Serves the pages of a session on a port of its own."""
    drawing = Drawing()
    red, green = Canvas(drawing, "Red"), Canvas(drawing, "Green")
    touched: list[None] = []
    felt: list[Sample] = []
    async with contextlib.AsyncExitStack() as kept:
        pool = kept.enter_context(ThreadPoolExecutor(2))
        pages = Pages(
            drawing,
            pool,
            standalone=False,
            touched=lambda: touched.append(None),
            felt=felt.append,
        )
        app = web.Application()
        app.router.add_get(STREAM_PATH, pages.serve)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        kept.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address = f"http://127.0.0.1:{runner.addresses[0][1]}{STREAM_PATH}"
        client = await kept.enter_async_context(ClientSession())

        async def enter(user: str, role: str) -> Window:
            headers = {USER_HEADER: user, ROLE_HEADER: role}
            window = Window(await client.ws_connect(address, headers=headers))
            kept.push_async_callback(window.close)
            return window

        running = asyncio.create_task(drawing.run(pages))
        yield Served(drawing, pages, red, green, enter, touched, felt)
        assert not running.done(), running.exception()
        running.cancel()


def rests(view: str, number: int = 0) -> Callable[[Head], bool]:
    """A final picture of a view with this input of the page, or a later one."""
    return lambda head: head.view == view and head.final and head.input >= number


async def test_a_page_gets_what_it_watches(served: Served) -> None:
    """Pictures of the views that a page shows come, are whole, and tell its own last input."""
    alice = await served.open("alice", Role.OWNER)
    await alice.say(Watch("Red"), pressed(5))
    head = await alice.picture(rests("Red", 5))
    await alice.say(Unwatch("Red"), Watch("Green"), pressed(6, "Green"))
    await alice.picture(rests("Green", 6))
    before = len(alice.heads)
    await alice.say(pressed(7), pressed(8, "Green"))
    await alice.picture(rests("Green", 8))
    assert {each.view for each in alice.heads[before:]} == {"Green"}
    assert [each.number for each in alice.heads] == list(range(1, len(alice.heads) + 1))
    image = Image.open(BytesIO(alice.contents[alice.heads.index(head)]))
    assert (image.format, image.size) == ("JPEG", (2, 1)) == ("JPEG", (head.width, head.height))
    assert min(head.waited, head.render, head.encode) >= 0
    assert len(served.touched) == 4


async def test_a_guest_watches_and_changes_nothing(served: Served) -> None:
    """Who only views sees all that the others do, and neither moves nor resizes anything."""
    alice = await served.open("alice", Role.OWNER)
    bob = await served.open("bob", Role.VIEW)
    await bob.say(Watch("Red"), pressed(9), Size("Red", 5, 5), FeltInput(SAMPLE))
    await bob.picture(rests("Red"))
    assert (served.red.shown, served.red.size) == (0, (0, 0, 0))
    assert (served.touched, served.felt) == ([], [])
    before = len(bob.heads)
    await alice.say(Size("Red", 300, 200, 2), pressed(4, by=3), FeltInput(SAMPLE))
    await become(lambda: len(bob.heads) > before)
    await become(lambda: served.felt == [SAMPLE])
    assert (served.red.shown, served.red.size) == (3, (300, 200, 2))
    assert served.touched == [None]
    assert {each.input for each in bob.heads} == {0}, "the input of somebody else is not bob's"


@pytest.mark.parametrize(
    "content",
    [
        "{",
        '{"type": "seen", "number": 77}',
        '{"type": "input", "number": 1, "view": "Red", "event": {"type": 5}}',
        b"\x00",
        "x" * 20_000,
    ],
)
@pytest.mark.parametrize("role", [Role.VIEW, Role.OWNER])
async def test_what_no_page_says_closes_that_page_alone(
    served: Served, content: str | bytes, role: Role
) -> None:
    """Whatever somebody makes up costs them their stream, and nobody else a picture."""
    alice = await served.open("alice", Role.OWNER)
    bob = await served.open("bob", role)
    await alice.say(Watch("Red"))
    await bob.say(Watch("Red"))
    await bob.picture(rests("Red"))
    bob.silent = True
    if isinstance(content, bytes):
        await bob.socket.send_bytes(content)
    else:
        await bob.socket.send_str(content)
    assert await bob.closed() in {MALFORMED, 1009}
    await alice.say(pressed(1))
    await alice.picture(rests("Red", 1))


async def test_more_views_than_there_are_close_the_page(served: Served) -> None:
    """A page that watches without end is none of the hub's."""
    bob = await served.open("bob", Role.VIEW)
    await bob.say(*(Watch(f"view {number}") for number in range(33)))
    assert await bob.closed() == MALFORMED


async def test_a_page_that_stalls_holds_up_nobody(served: Served) -> None:
    """A guest who sees nothing any more gets few pictures, and the owner gets the newest ones."""
    served.red.noise = random.Random(1).randbytes(900 * 400)  # noqa: S311 - for no secret
    alice = await served.open("alice", Role.OWNER)
    bob = await served.open("bob", Role.VIEW)
    bob.silent = True
    await bob.say(Watch("Red"))
    await alice.say(Watch("Red"))
    await bob.picture(lambda _: True)
    for number in range(1, 12):
        await alice.say(pressed(number))
        await alice.picture(lambda head, number=number: head.input >= number)
    await alice.picture(rests("Red", 11))
    sizes = [len(content) for content in bob.contents]
    assert sum(sizes[:-1]) <= FIRST_RATE * 0.15, "a first guess of 0.1 s for the way, and 50 ms"
    assert len(bob.heads) < len(alice.heads) / 2
    bob.silent = False
    await bob.say(Seen(bob.heads[-1].number))
    got = len(bob.heads)
    await become(lambda: len(bob.heads) == got + 1)
    assert bob.heads[-1].final, "and then the newest one, not those that it missed"


async def test_a_hidden_page_gets_none_until_it_is_shown(served: Served) -> None:
    """A window in the background costs nothing, and has the newest picture when it comes back."""
    alice = await served.open("alice", Role.OWNER)
    other = await served.open("alice", Role.OWNER)
    await alice.say(Watch("Red"))
    await alice.picture(rests("Red"))
    await alice.say(Visible(shown=False))
    hidden = len(alice.heads)
    await other.say(Watch("Green"), pressed(1), pressed(2, "Green"))
    await other.picture(rests("Green", 2))
    await become(lambda: served.red.shown == 1)
    drawn = len(served.red.pictures)
    await other.say(pressed(3), pressed(4, "Green"))
    await other.picture(rests("Green", 4))
    assert len(alice.heads) == hidden
    assert len(served.red.pictures) == drawn, "nobody sees it, so it is not even drawn"
    await alice.say(Visible(shown=True))
    await become(lambda: any(each.final for each in alice.heads[hidden:]))
    assert served.red.shown == 2


async def test_who_comes_late_gets_the_present_picture(served: Served) -> None:
    """Nobody has to move anything so that a new page shows what there is."""
    alice = await served.open("alice", Role.OWNER)
    await alice.say(Watch("Red"), pressed(1))
    await alice.picture(rests("Red", 1))
    drawn = len(served.red.pictures)
    bob = await served.open("bob", Role.VIEW)
    await bob.say(Watch("Red"))
    head = await bob.picture(lambda _: True)
    assert head.final
    assert bob.contents[0] == alice.contents[-1]
    assert len(served.red.pictures) == drawn


async def test_kicked_are_the_chosen_ones(served: Served) -> None:
    """Who may not watch any more gets no further picture, and all others go on."""
    windows = {
        user: await served.open(user, role)
        for user, role in [("alice", Role.OWNER), ("bob", Role.VIEW), ("carol", Role.VIEW)]
    }
    for window in windows.values():
        await window.say(Watch("Red"))
        await window.picture(rests("Red"))
    await served.pages.kick(Selection(user="bob"))
    assert await windows["bob"].closed() == KICKED
    alice, carol = windows["alice"], windows["carol"]
    before = len(carol.heads)
    await alice.say(pressed(1))
    await alice.picture(rests("Red", 1))
    await become(lambda: len(carol.heads) > before)
    await served.pages.kick(Selection())
    assert alice.is_open
    await served.pages.kick(Selection(all=True))
    assert [await window.closed() for window in (alice, carol)] == [KICKED] * 2


@pytest.mark.parametrize(("user", "role"), [("", "owner"), ("bob", "root"), ("bob", "")])
async def test_nobody_watches_without_an_invitation(served: Served, user: str, role: str) -> None:
    """The stream is as closed as the page."""
    with pytest.raises(WSServerHandshakeError) as refused:
        await served.open(user, role)
    assert refused.value.status == 403
