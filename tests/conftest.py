"""What all tests share: the event loop, and files that hold what is expected as a whole."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.support import choice, durations
from tests.support.threats import ThreatTable

# A busy machine is no fault of the code: how long an example takes is never a reason to fail.
PATIENT: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("short", max_examples=30, **PATIENT)
settings.register_profile("long", max_examples=200, **PATIENT)
settings.register_profile("by-hand", **PATIENT)
settings.load_profile(os.environ.get("SLICERHUB_HYPOTHESIS", "by-hand"))

GOLDEN = Path(__file__).parent / "support" / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a person write the golden files anew, and a run choose its tests."""
    parser.addoption("--update-golden", action="store_true", help="write tests/support/golden anew")
    choice.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Keep account of the rows of the threat table and of time, and choose tests."""
    config.addinivalue_line("markers", "row(number, ...): rows of the threat table that it shows")
    below_a_path = os.environ.get("SLICERHUB_SESSION_DOMAIN", "") == "path"
    mode = "path" if below_a_path else "subdomain"
    config.pluginmanager.register(ThreatTable(mode), "threats")
    config.pluginmanager.register(choice, "choice")
    config.pluginmanager.register(durations, "durations")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The hub runs on asyncio."""
    return "asyncio"


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """Take back what a command that ran in this process has set up for its own output."""
    before, level = logging.root.handlers[:], logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers[:] = before
    logging.root.setLevel(level)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, object], None]:
    """Compare a value with the whole of ``tests/support/golden/<name>.json``."""

    def compare(name: str, actual: object) -> None:
        path = GOLDEN / f"{name}.json"
        text = json.dumps(actual, indent=2, ensure_ascii=False) + "\n"
        if request.config.getoption("--update-golden"):
            path.write_text(text, encoding="utf-8")
        assert path.read_text(encoding="utf-8") == text

    return compare
