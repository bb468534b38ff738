"""Follows lists of objects by their watches, until cancelled."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Protocol

import anyio
import msgspec
import structlog

from controller.cluster.client import JSON, Api, GoneError, Named, Status, decoded, error_of
from controller.core.errors import EngineUnavailable

_log = structlog.get_logger("cluster")

_RELIST_SECONDS = 30.0  # a watch may stall without a word

_RETRY_SECONDS = 0.5

_RETRY_MOST_SECONDS = 8.0


class _Change(msgspec.Struct, frozen=True):
    """A line of a watch."""

    type: str
    object: msgspec.Raw


class Follower(Protocol):
    """Receives the objects that a watch reports."""

    def replace(self, listed: bytes) -> None:
        """Replace everything by these objects."""
        ...

    def change(self, changed: bytes, *, gone: bool) -> None:
        """Take an object that was added, changed or deleted."""
        ...

    def lose(self, *, listed: bool) -> None:
        """Hear of an error. ``listed``: the list was read this time, the watch failed."""
        ...


class Source(msgspec.Struct, frozen=True):
    """What is followed: the path of the objects, the selection, and the form of each."""

    kind: str  # for people
    path: Callable[[], str]  # may raise EngineUnavailable; then it is asked again
    query: Mapping[str, str]
    accept: str = JSON
    accept_list: str = JSON


async def follow(api: Api, source: Source, follower: Follower) -> None:
    """Keep ``follower`` up to date, for ever: list, watch from there, list again."""
    delay = _RETRY_SECONDS
    while True:
        began = anyio.current_time()
        listed = False
        try:
            version = await _list(api, source, follower)
            listed = True
            with anyio.move_on_after(_RELIST_SECONDS):
                await _watch(api, source, version, follower)
        except GoneError as error:
            # The version is too old. The next list contains the changes since.
            _log.info("watch_expired", kind=source.kind, why=error.in_full)
        except EngineUnavailable as error:
            _log.warning("watch_interrupted", kind=source.kind, error=error.in_full)
            follower.lose(listed=listed)
        lasted = anyio.current_time() - began
        if lasted >= _RELIST_SECONDS:
            delay = _RETRY_SECONDS
            continue
        await anyio.sleep(delay)
        # Where no watch works, lists alone must do; they must not load the cluster.
        delay = _RETRY_SECONDS if lasted > _RETRY_MOST_SECONDS else delay * 2
        delay = min(delay, _RETRY_MOST_SECONDS)


async def _list(api: Api, source: Source, follower: Follower) -> str:
    found = await api.request("GET", source.path(), query=source.query, accept=source.accept_list)
    follower.replace(found)
    return decoded(found, Named).metadata.resource_version


async def _watch(api: Api, source: Source, version: str, follower: Follower) -> None:
    asked = {
        **source.query,
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": version,
    }
    lines = api.lines(source.path(), asked, accept=source.accept)
    async with contextlib.aclosing(lines):
        async for line in lines:
            change = decoded(line, _Change)
            if change.type == "ERROR":
                status = decoded(bytes(change.object), Status)
                raise error_of(status.code, status.message)
            if change.type != "BOOKMARK":  # news of a version only, which a list tells better
                follower.change(bytes(change.object), gone=change.type == "DELETED")
