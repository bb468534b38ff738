"""What a page and the program say to each other on the stream: input one way, pictures the other.

The stream is a WebSocket of its own. It knows views by their names and nothing of what they show.
A page sends JSON text, one `FromPage` a message. The program sends pictures, binary: two bytes of
the length of the head (big-endian), the head (`Head`, JSON), and the picture itself.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from app.core.errors import StreamError
from app.people.felt import Sample

LIMIT_BYTES = 16 * 1024  # of one message of a page; the largest real one has ten touches
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_Number = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
# VTK's adapter ends the program over a value of another type, and takes what is finite.
_Length = Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)]
_Factor = Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)]
_Flag = Annotated[int, msgspec.Meta(ge=0, le=1)]
_Word = Annotated[str, msgspec.Meta(max_length=32)]

MOVE = "MouseMove"
WHEEL = "MouseWheel"


class Point(msgspec.Struct, frozen=True):
    """A place in a view, in CSS pixels from its lower left corner."""

    x: _Length
    y: _Length


_Touches = Annotated[dict[_Word, Point], msgspec.Meta(max_length=10)]


class Event(msgspec.Struct, frozen=True, rename="camel"):
    """One event of a pointer in the words of VTK's remote interaction; each has some of the fields.

    VTK refuses one that lacks what its type needs, and logs that.
    """

    type: _Word
    x: _Length | UnsetType = UNSET
    y: _Length | UnsetType = UNSET
    w: _Length | UnsetType = UNSET
    h: _Length | UnsetType = UNSET
    action: _Word | UnsetType = UNSET
    button_left: _Flag | UnsetType = UNSET
    button_middle: _Flag | UnsetType = UNSET
    button_right: _Flag | UnsetType = UNSET
    shift_key: _Flag | UnsetType = UNSET
    ctrl_key: _Flag | UnsetType = UNSET
    alt_key: _Flag | UnsetType = UNSET
    meta_key: _Flag | UnsetType = UNSET
    spin_y: _Factor | UnsetType = UNSET
    factor: _Factor | UnsetType = UNSET
    rotation: _Factor | UnsetType = UNSET
    translation: tuple[_Length, _Length] | UnsetType = UNSET
    positions: _Touches | UnsetType = UNSET


class Input(msgspec.Struct, frozen=True, tag="input"):
    """An event in a view. ``number`` grows with each one of a page; pictures tell it back."""

    number: _Number
    view: _Name
    event: Event


class Size(msgspec.Struct, frozen=True, tag="size"):
    """The size of a view in CSS pixels, and how many pixels of the screen each one is."""

    view: _Name
    width: Annotated[float, msgspec.Meta(ge=0, le=16384)]
    height: Annotated[float, msgspec.Meta(ge=0, le=16384)]
    ratio: Annotated[float, msgspec.Meta(ge=0.25, le=8)] = 1.0


class Watch(msgspec.Struct, frozen=True, tag="watch"):
    """The page shows this view from now on, or wants its picture again."""

    view: _Name


class Unwatch(msgspec.Struct, frozen=True, tag="unwatch"):
    """The page does not show this view any more."""

    view: _Name


class Seen(msgspec.Struct, frozen=True, tag="seen"):
    """The page has decoded a picture, ``took`` ms after it had arrived."""

    number: _Number
    took: Annotated[float, msgspec.Meta(ge=0, le=60_000)] = 0.0


class Visible(msgspec.Struct, frozen=True, tag="visible"):
    """Whether anybody can see the page: one in the background gets no pictures."""

    shown: bool


class FeltInput(msgspec.Struct, frozen=True, tag="felt"):
    """How long the page's pictures took to follow its input since it last said so."""

    sample: Sample


FromPage = Input | Size | Watch | Unwatch | Seen | Visible | FeltInput
_decoder = msgspec.json.Decoder(FromPage)


class Head(msgspec.Struct, frozen=True):
    """What a picture is.

    ``number``: of this picture, one more than that of the last one to this page; the page answers
    `Seen` with it. ``final``: at full quality, and nothing had changed when it was drawn.
    ``width``, ``height``: of the view in pixels; the picture itself may be smaller. ``input``: the
    last input of this page that is in it. ``waited``, ``render``, ``encode``: ms from that input's
    arrival until drawing began, of drawing, and from then until it was sent. ``trip``: ms of a
    round trip on the page's line.
    """

    number: int
    view: str
    format: Literal["image/jpeg", "image/png"]
    final: bool
    width: int
    height: int
    input: int
    waited: float
    render: float
    encode: float
    trip: float


def parse_message(text: str) -> FromPage:
    """The page's message. Raises StreamError if it is none that a page of the hub sends."""
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise StreamError(f"The page sent what it never sends: {error}") from error


def may_send(message: FromPage, *, may_change: bool) -> bool:
    """Whether a person's page may send it: who only views has neither input nor a size to set."""
    return may_change or not isinstance(message, Input | Size | FeltInput)


def picture_message(head: Head, content: bytes) -> bytes:
    """One binary message with a picture."""
    packed = msgspec.json.encode(head)
    return len(packed).to_bytes(2, "big") + packed + content
