"""What a page may say on the stream, and how a picture is put into a message."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from app.core.errors import StreamError
from app.people.felt import BOUNDS_MS, Parts, Sample
from app.stream.wire import (
    LIMIT_BYTES,
    Event,
    FeltInput,
    FromPage,
    Head,
    Input,
    Point,
    Seen,
    Size,
    Unwatch,
    Visible,
    Watch,
    may_send,
    parse_message,
    picture_message,
)
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UnsetType

BUCKETS = len(BOUNDS_MS) + 1
SAMPLE = Sample([1] * BUCKETS, Parts(1, 2, 3, 4, 5))
ALL: list[FromPage] = [
    Input(1, "Red", Event("MouseMove", x=5, y=5.5)),
    Size("Red", 300, 200, 2),
    Watch("Red"),
    Unwatch("Red"),
    Seen(3, 1.5),
    Visible(shown=False),
    FeltInput(SAMPLE),
]


def event(**parts: Any) -> str:  # noqa: ANN401 - whatever a page may think of
    """An input whose event has these parts."""
    whole = {"type": "MouseMove", **parts}
    return json.dumps({"type": "input", "number": 1, "view": "Red", "event": whole})


@pytest.mark.parametrize("message", ALL)
def test_what_a_page_says_is_understood(message: FromPage) -> None:
    """Each kind of message arrives as it was meant."""
    assert parse_message(msgspec.json.encode(message).decode()) == message


def test_an_event_is_read_in_the_words_of_the_browser() -> None:
    """Buttons and touches of a real page come through, and what it adds does no harm."""
    told = event(
        type="Pinch", w=640, h=400, shiftKey=1, buttonLeft=1, spinY=-0.25, keyCode=65, key="a",
        factor=1.2, rotation=-3, translation=[4, 5.5], positions={"0": {"x": 1, "y": 2}}, more=[1],
    )  # fmt: skip
    message = parse_message(told)
    assert isinstance(message, Input)
    assert message.event == Event(
        "Pinch", w=640, h=400, shift_key=1, button_left=1, spin_y=-0.25,
        factor=1.2, rotation=-3, translation=(4, 5.5), positions={"0": Point(1, 2)},
    )  # fmt: skip


REFUSED = {
    "no JSON": "{",
    "nothing": "",
    "no message": '"input"',
    "unknown kind": '{"type": "push", "view": "Red"}',
    "no kind": '{"view": "Red"}',
    "kind of no type": '{"type": 5}',
    "no number": '{"type": "input", "view": "Red", "event": {"type": "MouseMove"}}',
    "number below": '{"type": "seen", "number": -1}',
    "number in words": '{"type": "seen", "number": "1"}',
    "number too large": '{"type": "seen", "number": 90071992547409920}',
    "no view": '{"type": "watch", "view": ""}',
    "a long view": json.dumps({"type": "watch", "view": "R" * 65}),
    "shown in numbers": '{"type": "visible", "shown": 1}',
    "size too large": '{"type": "size", "view": "Red", "width": 16385, "height": 1}',
    "size below": '{"type": "size", "view": "Red", "width": 1, "height": -1}',
    "no ratio": '{"type": "size", "view": "Red", "width": 1, "height": 1, "ratio": 0}',
    "NaN in a size": '{"type": "size", "view": "Red", "width": NaN, "height": 1}',
    "infinity in a size": '{"type": "size", "view": "Red", "width": 1e999, "height": 1}',
    "felt nothing": '{"type": "felt", "sample": {}}',
    "felt without end": json.dumps({"type": "felt", "sample": {"counts": [0], "parts": {}}}),
    "event of no type": event(type=5),
    "event of null": event(type=None),
    "event with a long name": event(type="x" * 33),
    "place in words": event(x="5"),
    "place of NaN": event(x=float("nan")),
    "place at infinity": event(y=float("-inf")),
    "place beyond numbers": event(y=0).replace('"y": 0', '"y": 1e400'),
    "place far away": event(x=1e7),
    "width of null": event(w=None),
    "button pressed twice": event(buttonLeft=2),
    "shift in words": event(shiftKey="yes"),
    "wheel of a list": event(type="MouseWheel", spinY=[1]),
    "factor of a map": event(type="Pinch", factor={}),
    "half a translation": event(type="Pan", translation=[1]),
    "translation in words": event(type="Pan", translation=["1", "2"]),
    "touches in a list": event(positions=[{"x": 1, "y": 1}]),
    "touch without a place": event(positions={"0": {"x": 1}}),
    "touch nowhere": event(positions={"0": None}),
    "eleven touches": event(positions={str(at): {"x": 1, "y": 1} for at in range(11)}),
    "a well without bottom": '{"type": "watch", "view": "Red", "x": ' + "[" * (LIMIT_BYTES - 99),
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_what_no_page_says_is_refused(text: str) -> None:
    """It never reaches VTK, which ends the whole session over a value of another type."""
    with pytest.raises(StreamError):
        parse_message(text)


def test_ten_fingers_fit() -> None:
    """The largest event of a real page is understood, and within the limit of a message."""
    told = event(positions={f"{at:032}": {"x": 1234.5678, "y": 1234.5678} for at in range(10)})
    assert isinstance(parse_message(told), Input)
    assert len(told.encode()) < LIMIT_BYTES


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(name=st.sampled_from(Event.__struct_encode_fields__), value=JSON)
def test_of_an_event_only_sound_values_arrive(name: str, value: object) -> None:
    """Whatever a page puts into an event, numbers are finite and words are words."""
    try:
        message = parse_message(event(**{name: value}))
    except StreamError:
        return
    assert isinstance(message, Input)
    for got in msgspec.structs.astuple(message.event):
        assert isinstance(got, str | tuple | dict | UnsetType) or abs(got) <= 1e6


@given(text=st.text())
def test_any_other_text_is_refused(text: str) -> None:
    """No text raises anything but the one error that closes its page alone."""
    with pytest.raises(StreamError):
        parse_message(text)


def test_who_only_views_has_no_say() -> None:
    """A guest's page neither moves nor resizes what others see, nor tells how it felt."""
    allowed = {type(message) for message in ALL if may_send(message, may_change=False)}
    assert allowed == {Watch, Unwatch, Seen, Visible}
    assert all(may_send(message, may_change=True) for message in ALL)


@given(
    view=st.text(max_size=64),
    number=st.integers(0, 2**53),
    final=st.booleans(),
    content=st.binary(max_size=99),
)
def test_a_picture_comes_out_as_it_went_in(
    view: str, number: int, content: bytes, *, final: bool
) -> None:
    """The page finds the head and after it every byte of the picture."""
    head = Head(number, view, "image/jpeg", final, 618, 366, 7, 1.5, 20.0, 0.5, 90.0)
    message = picture_message(head, content)
    end = 2 + int.from_bytes(message[:2], "big")
    assert msgspec.json.decode(message[2:end], type=Head) == head
    assert message[end:] == content
