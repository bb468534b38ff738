"""A proxy before the API server that spoils watches the way real networks and servers do."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

import aiohttp
import anyio
from aiohttp import web
from kubernetes.aio import client, config

_EXPIRED = {
    "kind": "Status",
    "apiVersion": "v1",
    "status": "Failure",
    "message": "too old resource version",
    "reason": "Expired",
    "code": 410,
}


class Fault(StrEnum):
    """What happens to every watch while it is set."""

    NONE = "none"
    EXPIRED = "410 as status"
    EXPIRED_IN_STREAM = "410 in the stream"
    STALL = "nothing comes through any more"
    RESET = "the connection is reset"
    BOOKMARKS = "bookmarks and nothing else"
    RUBBISH = "what cannot be read"
    ENDS = "the server ends it at once"


class Proxy:
    """Forwards everything to the API server, but watches as the fault says."""

    def __init__(self, upstream: aiohttp.ClientSession) -> None:
        """``upstream`` has the API server's address and the right to everything."""
        self._upstream = upstream
        self.fault = Fault.NONE
        self.metrics: dict[str, Any] | None = None  # what metrics.k8s.io says, if it is there
        self.lists = 0
        self._watches: list[web.Request] = []

    def spoil(self, fault: Fault) -> None:
        """Let this happen from now on, to what is open already as well."""
        self.fault = fault
        if fault is not Fault.STALL:  # a stall is what nobody notices
            for request in tuple(self._watches):
                if request.transport is not None:
                    request.transport.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        if "metrics.k8s.io" in request.path and self.metrics is not None:
            return web.json_response(self.metrics)
        if request.query.get("watch") != "true":
            return await self._forward(request)
        self._watches.append(request)
        try:
            return await self._watch(request)
        finally:
            self._watches = [one for one in self._watches if one is not request]

    async def _forward(self, request: web.Request) -> web.Response:
        self.lists += request.method == "GET"
        headers = {
            name: request.headers[name]
            for name in ("Accept", "Content-Type")
            if name in request.headers
        }
        async with self._upstream.request(
            request.method, request.path_qs, data=await request.read(), headers=headers
        ) as answer:
            body = await answer.read()
            return web.Response(status=answer.status, body=body, content_type="application/json")

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        if self.fault is Fault.EXPIRED:
            return web.json_response(_EXPIRED, status=410)
        if self.fault is Fault.RESET and request.transport is not None:
            request.transport.abort()
        response = web.StreamResponse()
        await response.prepare(request)
        match self.fault:
            case Fault.EXPIRED_IN_STREAM:
                await response.write(_line("ERROR", _EXPIRED))
            case Fault.RUBBISH:
                await response.write(b'{"type": "ADDED", "object": {"metadata"\n')
            case Fault.BOOKMARKS:
                version = {"metadata": {"resourceVersion": "1"}}
                await response.write(_line("BOOKMARK", version) * 3600)
                await anyio.sleep_forever()
            case Fault.NONE | Fault.STALL:
                await self._pump(request, response)
            case _:
                pass
        return response

    async def _pump(self, request: web.Request, response: web.StreamResponse) -> None:
        headers = {"Accept": request.headers["Accept"]}
        async with self._upstream.get(request.path_qs, headers=headers) as answer:
            async for line in answer.content:
                if self.fault is not Fault.STALL:
                    await response.write(line)


def _line(kind: str, thing: object) -> bytes:
    return json.dumps({"type": kind, "object": thing}).encode() + b"\n"


@asynccontextmanager
async def proxy(kubeconfig: Path, folder: Path) -> AsyncGenerator[tuple[Proxy, Path], None]:
    """Give a proxy before this cluster, and a kubeconfig that leads to it."""
    configuration: Any = client.Configuration()
    await cast("Any", config).load_kube_config(
        config_file=str(kubeconfig), client_configuration=configuration
    )
    api = client.ApiClient(configuration)
    headers: dict[str, str] = {}
    await cast("Any", api).update_params_for_auth(headers, [], ["BearerToken"], "", "", None)
    async with aiohttp.ClientSession(
        configuration.host,
        headers=headers,
        connector=aiohttp.TCPConnector(ssl=cast("Any", api).rest_client.ssl_context),
        timeout=aiohttp.ClientTimeout(total=None),
        read_bufsize=2**22,
    ) as upstream:
        made = Proxy(upstream)
        application = web.Application(client_max_size=2**24)
        application.router.add_route("*", "/{rest:.*}", made.handle)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        path = folder / "proxy.kubeconfig"
        path.write_text(kubeconfig_of(f"http://{host}:{port}"))
        try:
            yield made, path
        finally:
            await runner.cleanup()
            await api.close()


def kubeconfig_of(server: str, *, authority: str = "", token: str = "") -> str:
    """Return a kubeconfig for this address; JSON is YAML, too."""
    found = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
        "clusters": [
            {
                "name": "one",
                "cluster": {
                    "server": server,
                    **({"certificate-authority": authority} if authority else {}),
                },
            }
        ],
        "users": [{"name": "one", "user": {"token": token} if token else {}}],
    }
    return json.dumps(found)
