"""The log holds one event a line."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from app.core.log import format_event
from hypothesis import given
from hypothesis import strategies as st

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_an_event_is_one_line(fields: dict[str, str]) -> None:
    """Line ends in a name or message cannot forge a second event."""
    line = format_event(NOON, "info", "x", dict(fields))
    assert len(line.splitlines()) == 1
    assert isinstance(json.loads(line), dict)
