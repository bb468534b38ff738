"""As much of the cluster's API as the hub's records need, whose news the test may hold back.

Of other kinds there is what the test has put there.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import anyio
from aiohttp import web

_CONFLICT = 409
_MISSING = 404
_UNAVAILABLE = 503
_NAME = re.compile(r".*/(?:configmaps|secrets)/?")  # what stands before it


class ApiServer:
    """ConfigMaps and Secrets of one namespace, with one row of versions for all changes.

    No name may be both a ConfigMap's and a Secret's.
    """

    def __init__(self) -> None:
        """Nothing is there yet. While ``held``, watches tell nothing; while ``down``, all fails.

        ``others``: what is listed of other kinds, by the last part of their path; ``pods``: the
        names of those that are there.
        """
        self.held = False
        self.down = False
        self.others: dict[str, list[object]] = {}
        self.pods: set[str] = set()
        self._version = 0
        self._objects: dict[str, dict[str, Any]] = {}
        self._events: list[tuple[int, str, dict[str, Any]]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        if self.down:
            return web.json_response({"message": "down"}, status=_UNAVAILABLE)
        kind = request.path.rpartition("/")[2]
        if kind in self.others and request.query.get("watch") != "true":
            meta = {"resourceVersion": str(self._version)}
            return web.json_response({"metadata": meta, "items": self.others[kind]})
        if "/pods/" in request.path:
            return web.json_response({}, status=200 if kind in self.pods else _MISSING)
        name = _NAME.sub("", request.path)
        match request.method:
            case "POST":
                return self._put(await request.json(), None)
            case "PUT":
                return self._put(await request.json(), self._objects.get(name))
            case "DELETE":
                found = self._objects.pop(name)
                return self._told("DELETED", found)
            case _ if name:
                found = self._objects.get(name)
                return web.json_response(found or {}, status=200 if found else _MISSING)
            case _ if request.query.get("watch") == "true":
                return await self._watch(request)
            case _:
                return self._list(request.query["labelSelector"])

    def put(self, body: dict[str, Any]) -> None:
        """Put an object there, in place of what there is of its name, as somebody else would."""
        self._objects.pop(body["metadata"]["name"], None)
        self._put(deepcopy(body), None)

    def named(self, name: str) -> dict[str, Any]:
        """Return an object as it is now."""
        return self._objects[name]

    def _put(self, body: dict[str, Any], before: dict[str, Any] | None) -> web.Response:
        meta = body["metadata"]
        there = self._objects.get(meta["name"])
        if there is not before or (
            before and before["metadata"]["resourceVersion"] != meta["resourceVersion"]
        ):
            return web.json_response({"message": "changed"}, status=_CONFLICT)
        meta["uid"] = before["metadata"]["uid"] if before else f"uid-{self._version}"
        self._objects[meta["name"]] = body
        return self._told("MODIFIED" if before else "ADDED", body)

    def _told(self, kind: str, one: dict[str, Any]) -> web.Response:
        self._version += 1
        told = one | {"metadata": one["metadata"] | {"resourceVersion": str(self._version)}}
        if kind != "DELETED":
            self._objects[one["metadata"]["name"]] = told
        self._events.append((self._version, kind, told))
        return web.json_response(told)

    def _list(self, selector: str) -> web.Response:
        parts = (one.partition("=") for one in selector.split(","))
        wanted = {key: value for key, _, value in parts}
        items = [
            one
            for one in self._objects.values()
            if all(
                not value or one["metadata"]["labels"].get(key) == value
                for key, value in wanted.items()
            )
        ]
        meta = {"resourceVersion": str(self._version)}
        return web.json_response({"metadata": meta, "items": items})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        told = int(request.query["resourceVersion"])
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            for version, kind, one in tuple(self._events):
                if version > told and not self.held:
                    told = version
                    line = json.dumps({"type": kind, "object": one}) + "\n"
                    await response.write(line.encode())
            await anyio.sleep(0.005)


@asynccontextmanager
async def api_server(folder: Path) -> AsyncGenerator[tuple[ApiServer, Path], None]:
    """Give a server that runs, and the kubeconfig that leads to it."""
    made = ApiServer()
    application = web.Application()
    application.router.add_route("*", "/{rest:.*}", made.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": f"http://{host}:{port}"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    try:
        yield made, path
    finally:
        await runner.cleanup()
