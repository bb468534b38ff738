"""The log is one JSON line an event, without secrets, whatever people typed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import structlog

from controller.monitoring.log import strike_out

LOGGER = structlog.get_logger()


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "bind_password",
        "Cookie",
        "set_cookie",
        "Authorization",
        "csrf",
        "TOKEN",
        "secret",
    ],
)
def test_secrets_are_struck_out(key: str) -> None:
    """What could be a secret does not get into the log, whatever kind of value it is."""
    for value in ("hunter2", b"hunter2", ["hunter2"], {"a": "hunter2"}):
        assert strike_out(LOGGER, "info", {key: value, "user": "a"}) == {key: "***", "user": "a"}


def test_long_values_are_cut() -> None:
    """A megabyte in a request is not a megabyte in the log."""
    (value,) = strike_out(LOGGER, "info", {"user": "a" * 1_000_000}).values()
    assert len(value) < 2100


PROGRAM = """
import logging
import structlog
from controller.monitoring import log

log.configure()
ours, theirs = structlog.get_logger("x"), logging.getLogger("library")
ours.info("login", user="eve\\n{\\"event\\": \\"forged\\"}\\r\\u2028\\x1b[31m", password="hunter2")
theirs.warning("of %s", "eve\\n{\\"event\\": \\"forged\\"}")
theirs.info("not worth a line")
try:
    raise ValueError("first\\nsecond")
except ValueError:
    ours.exception("fault", token="hunter2")
    theirs.exception("fault of a library")
"""


def test_one_line_an_event() -> None:
    """A line break in a name forges no event, and a fault's many lines are one."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True
    )
    assert done.stderr == ""
    lines = done.stdout.split("\n")
    assert lines.pop() == ""
    events = [json.loads(line) for line in lines]
    assert [one["event"].partition("\n")[0] for one in events] == [
        "login",
        "of eve",
        "fault",
        "fault of a library",
    ]
    assert events[0]["user"].startswith("eve\n")
    assert all({"timestamp", "level"} <= one.keys() for one in events)
    assert all("ValueError: first\nsecond" in one["exception"] for one in events[2:])
    assert "hunter2" not in done.stdout
    assert "\x1b" not in done.stdout
