"""What people read while a program is fetched."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.engines.docker.answers import PullMessage, read
from controller.engines.docker.progress import Progress

Message = dict[str, Any]


def layer(name: str, status: str, current: int | None = None, total: int = 0) -> Message:
    """Return a message of the engine's about one layer; sizes in bytes."""
    detail = {} if current is None else {"current": current, "total": total}
    return {"status": status, "id": name, "progressDetail": detail}


MB = 1_000_000
START = [
    {"status": "Pulling from lab/viewer", "id": "3"},
    layer("a", "Already exists"),
    layer("b", "Pulling fs layer"),
    layer("c", "Pulling fs layer"),
]
BOTH = [
    *START,
    layer("b", "Downloading", 300 * MB, 1000 * MB),
    layer("c", "Downloading", 40 * MB, 249_100_000),
]
HERE = [*BOTH, layer("b", "Download complete"), layer("c", "Verifying Checksum")]


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([], "Fetching the program"),
        (START, "Fetching the program"),
        ([*START, layer("b", "Waiting")], "Fetching the program"),
        (
            [*START, layer("b", "Downloading", 300 * MB, 1000 * MB)],
            "Fetching the program: 300 MB so far",
        ),
        (BOTH, "Fetching the program: 340 of 1,250 MB"),
        ([*BOTH, layer("b", "Download complete")], "Fetching the program: 1,040 of 1,250 MB"),
        (HERE, "Unpacking the program: 0 of 1,250 MB"),
        (
            [*HERE, layer("b", "Extracting", 500 * MB, 1000 * MB)],
            "Unpacking the program: 500 of 1,250 MB",
        ),
        (
            [*HERE, layer("b", "Pull complete"), layer("c", "Pull complete")],
            "Unpacking the program: 1,249 of 1,250 MB",
        ),
        # A registry that does not say how much it will send.
        ([layer("b", "Downloading", 5 * MB, -1)], "Fetching the program: 5 MB so far"),
        # So small that nothing is told before it is there.
        ([*START[2:], layer("b", "Download complete")], "Fetching the program"),
        ([{"status": "Status: Downloaded newer image for x"}], "Fetching the program"),
        ([{"status": "Digest: sha256:00"}, {}], "Fetching the program"),
    ],
)
def test_words(messages: list[Message], text: str) -> None:
    """Megabytes are told as far as they are known, first of the transfer, then of unpacking."""
    progress = Progress()
    for message in messages:
        progress.hear(read(message, PullMessage))
    assert str(progress.state) == text


statuses = st.sampled_from(
    [
        "Pulling fs layer",
        "Waiting",
        "Downloading",
        "Verifying Checksum",
        "Download complete",
        "Extracting",
        "Pull complete",
        "Already exists",
        "Retrying in 5 seconds",
    ]
)
currents = st.none() | st.integers(0, 10**12)
totals = st.integers(-1, 10**12)  # -1: the registry does not say
messages = st.builds(layer, st.sampled_from("abc"), statuses, currents, totals)


@given(st.lists(messages))
def test_any_messages(found: list[Message]) -> None:
    """Whatever the engine tells, in whatever order, people read one plain line."""
    progress = Progress()
    for message in found:
        progress.hear(read(message, PullMessage))
        assert re.fullmatch(
            r"Fetching the program(: [0-9,]+ MB so far)?"
            r"|(Fetching|Unpacking) the program: [0-9,]+ of [0-9,]+ MB",
            str(progress.state),
        )
