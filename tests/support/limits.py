"""Launches that come up against limits, and settings with such limits."""

from __future__ import annotations

from typing import Any

import anyio
import httpx
from msgspec.structs import replace

from controller.settings.schema import Limits, Settings
from tests.support.hub import World, world


def configured(*, queue: bool = False, **limits: Any) -> Settings:  # noqa: ANN401 - one setting each
    """Return settings with these limits, whose one profile has a line or not."""
    plain = world().settings
    profile = replace(plain.profiles[0], queue=queue)
    return replace(plain, profiles=(profile,), limits=replace(Limits(), **limits))


async def launch(script: httpx.AsyncClient, name: str) -> httpx.Response:
    """Ask for a session."""
    return await script.post("/api/v1/sessions", json={"name": name})


async def launch_many(hub: World, number: int) -> list[httpx.Response]:
    """Let three people launch so many sessions at once."""
    scripts = [await hub.script(user) for user in ("alice", "bob", "carol")]
    answers: list[httpx.Response] = []

    async def one(index: int) -> None:
        answers.append(await launch(scripts[index % 3], f"session {index}"))

    async with anyio.create_task_group() as group:
        for index in range(number):
            group.start_soon(one, index)
    return answers
