"""Kinds of values that can be configured: types that name what a value may be.

The decoder enforces the ranges. The ``extra`` of each range has the sentence that people read when
a value is outside it, without the setting's name; ``{value}`` in it is replaced by the value. The
range of a text also has a description, because a pattern is hard to read.
"""

from __future__ import annotations

import sys
import typing
from typing import Annotated, Any

from msgspec import Meta

FAULT = "fault"
"""Key in ``extra`` of the sentence."""

HIDDEN = "hidden"
"""Key in ``extra`` of whether a value is secret."""

LABEL_KEY = (
    r"(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
)
"""Pattern of a label's name in Kubernetes."""

LABEL_VALUE = r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?"
"""Pattern of a label's value in Kubernetes."""

_OBJECT = r"[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?"

_EFFECT = r"(?:NoSchedule|PreferNoSchedule|NoExecute)"

_FINITE = sys.float_info.max  # the decoder's own bounds must be finite


def text_like(pattern: str, description: str, fault: str) -> Meta:
    """Return the range of a text that matches a pattern as a whole."""
    return Meta(pattern=rf"\A(?:{pattern})\Z", description=description, extra={FAULT: fault})


def metas_of(kind: Any) -> tuple[Any, tuple[Meta, ...]]:  # noqa: ANN401 - types are of any type
    """Return a type without its annotations, and the annotations."""
    if typing.get_origin(kind) is not Annotated:
        return kind, ()
    bare, *notes = typing.get_args(kind)
    return bare, tuple(note for note in notes if isinstance(note, Meta))


Positive = Annotated[int, Meta(ge=1, extra={FAULT: "must be more than 0."})]

NotNegative = Annotated[int, Meta(ge=0, extra={FAULT: "must be 0 or more."})]

PositiveReal = Annotated[float, Meta(gt=0, le=_FINITE, extra={FAULT: "must be more than 0."})]

NotNegativeReal = Annotated[float, Meta(ge=0, extra={FAULT: "must be 0 or more."})]

Port = Annotated[int, Meta(ge=1, le=65535, extra={FAULT: "must be a port, 1 to 65535."})]

Account = Annotated[int, Meta(ge=1, extra={FAULT: "0 is root. Choose another number."})]
"""Number of a user or a group inside a container."""

Absolute = Annotated[str, text_like("(?s:/.*)", "begins with `/`", "must begin with '/'.")]
"""A path that begins at the root."""

Secret = Annotated[str, Meta(extra={HIDDEN: True})]
"""A text that is never shown."""

_NO_OBJECT = "{value} is not a valid object name. Use only a-z, 0-9, '-' and '.'."

ObjectName = Annotated[str, text_like(_OBJECT, "name of an object", _NO_OBJECT)]
"""Name of an object in a cluster: a DNS name."""

MaybeObject = Annotated[
    str, text_like(f"(?:{_OBJECT})?", "name of an object, or empty", _NO_OBJECT)
]
"""Name of an object in a cluster, or nothing."""

Taint = Annotated[
    str,
    text_like(
        rf"{LABEL_KEY}(?:={LABEL_VALUE})?:{_EFFECT}",
        "like `gpu=true:NoSchedule` or `gpu:NoSchedule`",
        "{value} must be like gpu=true:NoSchedule or gpu:NoSchedule.",
    ),
]
"""A taint of a node."""
