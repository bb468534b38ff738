"""What an administrator reads when Traefik answers, but not as the hub needs it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from controller.core.errors import GatewayUnavailable
from controller.monitoring.metrics import Metrics
from controller.people.tokens import Keys
from controller.sessions.gateway import TraefikGateway
from tests.support.hostile.program import Steps, answer, serving
from tests.support.hub import RING, Clock
from tests.support.samples import settings

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        ("kubernetes", r"it lacks rights.*configmaps.*namespace that it watches"),
        ("docker", "answers 404 for the hub's own log-in page. Check that public_url"),
    ],
)
async def test_a_traefik_without_routes(engine: str, words: str) -> None:
    """Where Traefik knows no route at all, its rights in the cluster are named first."""

    def nothing(_: str) -> Steps:
        return iter([answer(b"404 page not found\n", status=b"404 Not Found")])

    async with serving(nothing) as port:
        configured = replace(settings(gateway_url=f"http://127.0.0.1:{port}"), orchestrator=engine)
        gateway = TraefikGateway(configured, Keys(RING), Clock().wall, Metrics())
        with pytest.raises(GatewayUnavailable, match=words):
            await gateway.ping()
        await gateway.close()
