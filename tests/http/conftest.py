"""Running hubs: one for all tests of a file, since making one takes a while, and fresh ones."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from tests.support.hub import World, running, world


@pytest.fixture(scope="module")
async def hub(anyio_backend: str) -> AsyncGenerator[World, None]:
    """Run a hub with room for the sessions of many tests."""
    assert anyio_backend == "asyncio"
    made = world(limits_sessions_per_user="1000", limits_sessions_total="2000")
    async with running(made):
        yield made


@pytest.fixture(scope="module")
async def own_hosts(anyio_backend: str) -> AsyncGenerator[World, None]:
    """Run such a hub whose sessions have hosts of their own."""
    assert anyio_backend == "asyncio"
    made = world(session_domain="", limits_sessions_per_user="1000", limits_sessions_total="2000")
    async with running(made):
        yield made


@pytest.fixture
async def fresh(anyio_backend: str) -> AsyncGenerator[World, None]:
    """Run a hub with usual settings, for tests that count sessions or turn its clock."""
    assert anyio_backend == "asyncio"
    async with running(world()) as made:
        yield made
