"""What is sent may be nested as deep as it likes: it is refused, and no fault of the hub's."""

from __future__ import annotations

import pytest

from tests.support.hub import World, problem

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("body", [b"[" * 50_000, b'{"username":' * 4_000])
async def test_nested_without_end(hub: World, body: bytes) -> None:
    """A stranger who sends thousands of brackets is told that this cannot be understood."""
    headers = {"Content-Type": "application/json"}
    async with hub.client() as client:
        answer = await client.post("/api/v1/login", content=body, headers=headers)
    assert answer.status_code == 400
    assert problem(answer)["title"] == "Invalid request"
