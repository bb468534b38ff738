"""Points at which a controller can be killed, or be lied to by its engine and its store.

All effects of launch, stop, share and housekeeping go through three seams: the engine's client,
the store and the gateway. So the points stand there, one before and one after each effect, and
the product holds none of them: between two neighbours of one controller's effects lies whatever
awaits there are, and an await without an effect changes nothing that outlives the process.

A point is named ``before:create_network``, ``after:store.add_share`` and so on.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, NoReturn

import anyio
import msgspec
import requests

from controller.core.errors import StoreUnavailable
from tests.support.fakes.engine import refusal

API_EFFECTS = frozenset(
    {
        "create_volume",
        "create_network",
        "create_container_from_config",
        "connect_container_to_network",
        "start",
        "rename",
        "unpause",
        "stop",
        "remove_container",
        "disconnect_container_from_network",
        "remove_network",
        "remove_volume",
    }
)
"""Calls of the engine's client that change something."""

API_QUESTIONS = frozenset(
    {
        "networks",
        "containers",
        "volumes",
        "inspect_container",
        "inspect_network",
        "inspect_volume",
        "inspect_image",
        "info",
        "ping",
        "events",
        "logs",
        "stats",
    }
)

STORE_EFFECTS = frozenset(
    {
        "add_share",
        "remove_share",
        "lower_share",
        "set_asks",
        "remove_person",
        "add_link",
        "remove_link",
        "use_link",
        "remove_grants",
        "put_memos",
        "add_ticket",
        "remove_ticket",
        "add_notice",
        "add_start",
        "set_message",
    }
)

GATEWAY_EFFECTS = frozenset({"kick", "notice", "save"})


class Fault(Enum):
    """What happens at a point."""

    KILL_BEFORE = auto()  # the controller is gone, and the effect never was
    KILL_AFTER = auto()  # the effect was, and nobody heard the answer
    ERROR = auto()  # an answer that refuses
    TIMEOUT = auto()  # no answer, and no effect
    LOST = auto()  # the effect was, and its answer got lost
    OUTAGE = auto()  # no answer from here on, until it is mended


class Trap(msgspec.Struct):
    """A fault that waits for its moment."""

    fault: Fault
    skip: int  # effects that pass before


class Points:
    """All points of one controller, and the one trap that may be set."""

    def __init__(self) -> None:
        """Let everything pass."""
        self.trap: Trap | None = None
        self.dead = False  # killed: nothing reaches the world any more
        self.away = False  # the engine does not answer
        self.passed: list[str] = []  # the effects that were, by name

    def mend(self) -> None:
        """Take the trap away, and let the engine answer again."""
        self.trap = None
        self.away = False

    def spring(self) -> Fault | None:
        """Return what happens at the effect that is about to be."""
        if self.trap is None:
            return None
        if self.trap.skip > 0:
            self.trap.skip -= 1
            return None
        fault, self.trap = self.trap.fault, None
        return fault


class GuardedApi:
    """The engine's client with a point before and after each effect. Calls block, as there."""

    def __init__(self, api: Any, points: Points) -> None:  # noqa: ANN401 - real client or stand-in
        """Guard ``api``."""
        self._api = api
        self._points = points

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the client has
        """Return what the client has, guarded if it is a call to the engine."""
        found = getattr(self._api, name)
        if name not in API_EFFECTS | API_QUESTIONS:
            return found
        return functools.partial(self._call, name, found)

    def _call(self, name: str, work: Callable[..., Any], *values: Any, **named: Any) -> Any:  # noqa: ANN401
        points = self._points
        if points.dead or points.away:
            raise requests.ConnectionError(f"{name}: nobody there")
        fault = points.spring() if name in API_EFFECTS else None
        match fault:
            case Fault.KILL_BEFORE:
                points.dead = True
                raise requests.ConnectionError(f"before:{name}")
            case Fault.TIMEOUT:
                raise requests.ReadTimeout(f"before:{name}")
            case Fault.OUTAGE:
                points.away = True
                raise requests.ConnectionError(f"before:{name}")
            case Fault.ERROR:
                raise refusal(500, f"{name}: the engine has a fault")
            case _:
                pass
        answer = work(*values, **named)
        if name in API_EFFECTS:
            points.passed.append(name)
        match fault:
            case Fault.KILL_AFTER:
                points.dead = True
                raise requests.ConnectionError(f"after:{name}")
            case Fault.LOST:
                raise requests.ReadTimeout(f"after:{name}")
            case _:
                return answer


class GuardedPart:
    """The store or the gateway with the same points."""

    def __init__(self, part: object, name: str, effects: frozenset[str], points: Points) -> None:
        """``name``: store or gateway."""
        self._part = part
        self._name = name
        self._effects = effects
        self._points = points

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the part has
        """Return what the part has, guarded if it is awaited."""
        found = getattr(self._part, name)
        if not inspect.iscoroutinefunction(found):
            return found

        @functools.wraps(found)
        async def guarded(*values: Any, **named: Any) -> Any:  # noqa: ANN401
            return await self._call(name, found, *values, **named)

        return guarded

    async def _call(self, name: str, work: Any, *values: Any, **named: Any) -> Any:  # noqa: ANN401
        points = self._points
        label = f"{self._name}.{name}"
        if points.dead:
            await self._nobody(label)
        fault = points.spring() if name in self._effects else None
        if self._name == "gateway" and fault not in {Fault.KILL_BEFORE, Fault.KILL_AFTER}:
            fault = None  # sessions that do not answer are another test's
        match fault:
            case Fault.KILL_BEFORE:
                points.dead = True
                await self._nobody(f"before:{label}")
            case Fault.ERROR | Fault.TIMEOUT | Fault.OUTAGE:
                raise StoreUnavailable("before:{label}", label=label)
            case _:
                pass
        answer = await work(*values, **named)
        if name in self._effects:
            points.passed.append(label)
        match fault:
            case Fault.KILL_AFTER:
                points.dead = True
                await self._nobody(f"after:{label}")
            case Fault.LOST:
                raise StoreUnavailable("after:{label}", label=label)
            case _:
                pass
        return answer

    async def _nobody(self, label: str) -> NoReturn:
        """Be what a dead controller gets: no answer. The store's calls are not to be cancelled."""
        if self._name == "gateway":
            await anyio.sleep_forever()
        raise StoreUnavailable("{label}: nobody there", label=label)
