"""What the framework loads for the hub."""

from __future__ import annotations

import subprocess
import sys

LOADED = """
import sys
from litestar import get
from controller.web.framework import MsgspecApp

@get("/", sync_to_thread=False)
def home() -> str:
    return ""

MsgspecApp([home])
print(*sorted({"attrs", "pydantic"} & set(sys.modules)))
"""


def test_nothing_is_loaded_that_the_hub_does_not_use() -> None:
    """A small server keeps the memory of libraries that only other clients need."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED], check=True, capture_output=True, encoding="utf-8"
    )
    assert done.stdout.split() == []
