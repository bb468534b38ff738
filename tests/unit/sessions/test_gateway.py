"""What an administrator reads when Traefik answers, but not as the hub needs it."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from controller.core.errors import GatewayUnavailable
from controller.monitoring.metrics import Metrics
from controller.people.tokens import Audience, Key, KeyRing, Keys
from controller.rules.felt import BOUNDS_MS, Felt, Parts
from controller.sessions.gateway import Inside, TraefikGateway, trusted
from tests.support.hostile.program import Steps, answer, serving
from tests.support.hub import RING, Clock
from tests.support.samples import session_id, settings

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


async def test_a_token_is_signed_once() -> None:
    """Questions to a session carry the same token until shortly before its end, or the key's."""
    clock, keys, tokens = Clock(), Keys(RING), list[str]()

    def note(head: str) -> None:
        found = re.search(r"^authorization: bearer (\S+)", head, re.MULTILINE | re.IGNORECASE)
        assert found
        tokens.append(found[1])

    async with serving(lambda _: [answer()], note=note) as port:
        configured = settings(gateway_url=f"http://127.0.0.1:{port}")
        gateway = TraefikGateway(configured, keys, clock.wall, Metrics())

        async def asked(number: int = 1) -> str:
            await gateway.inside(session_id(number))
            return tokens[-1]

        first = await asked()
        other = await asked(2)
        assert other != first
        assert keys.ring.verify(first, Audience.SERVICE, clock.wall()).sid == session_id(1)
        clock.advance(44)
        assert (await asked(), await asked(2)) == (first, other)
        clock.advance(2)
        second = await asked()
        assert second != first
        assert keys.ring.verify(second, Audience.SERVICE, clock.wall() + 45).sid == session_id(1)
        clock.step(-3600)
        earlier = await asked()
        keys.ring.verify(earlier, Audience.SERVICE, clock.wall())
        keys.ring = KeyRing((Key("new", "3c" * 32),))
        keys.ring.verify(await asked(), Audience.SERVICE, clock.wall())
        await gateway.close()


SAID: dict[str, object] = {"last_input_at": "2026-01-01T00:00:00+00:00", "busy": True}
COUNTS = list(range(len(BOUNDS_MS) + 1))
PARTS = {"network": 12, "waiting": 0.5, "render": 20.0, "encode": 3.0, "paint": 2.0}
FELT = {"counts": COUNTS, "parts_ms": PARTS}


@pytest.mark.parametrize(
    ("more", "felt"),
    [
        ({}, None),
        ({"felt": None}, None),
        ({"felt": FELT}, Felt(tuple(COUNTS), Parts(12.0, 0.5, 20.0, 3.0, 2.0))),
        ({"felt": FELT | {"of_a_newer_image": 1}}, Felt(tuple(COUNTS), Parts(12, 0.5, 20, 3, 2))),
    ],
)
async def test_how_quick_it_feels_is_read(more: dict[str, object], felt: Felt | None) -> None:
    """What a session measures is believed, and an image that measures nothing is as good."""
    async with asked(SAID | more) as (inside, _):
        assert inside is not None
        assert (inside.busy, inside.felt) == (True, felt)


@pytest.mark.parametrize(
    "felt", [FELT | {"counts": COUNTS[1:]}, FELT | {"parts_ms": PARTS | {"render": -1}}, 95]
)
async def test_a_number_that_cannot_be_fails_the_answer(felt: object) -> None:
    """It fails as any other value of a wrong form does: the poll says nothing, and is counted."""
    async with asked(SAID | {"felt": felt}) as (inside, metrics):
        assert inside is None
        unreadable = (
            b'slicerhub_session_questions_total{outcome="unreadable",question="activity"} 1.0'
        )
        assert unreadable in metrics.text()


@asynccontextmanager
async def asked(said: object) -> AsyncGenerator[tuple[Inside | None, Metrics]]:
    """Give what the gateway makes of a session that says this."""
    async with serving(lambda _: [answer(json.dumps(said).encode())]) as port:
        metrics = Metrics()
        configured = settings(gateway_url=f"http://127.0.0.1:{port}")
        gateway = TraefikGateway(configured, Keys(RING), Clock().wall, metrics)
        yield await gateway.inside(session_id(1)), metrics
        await gateway.close()


def test_authorities_are_loaded_for_tls_alone() -> None:
    """They take a mebibyte. Whatever the address is, nobody is trusted without a certificate."""
    plain, by_tls = (
        trusted(settings(gateway_url=f"{scheme}://traefik:8080")) for scheme in ("http", "https")
    )
    assert plain.cert_store_stats()["x509"] == 0
    assert by_tls.cert_store_stats() == ssl.create_default_context().cert_store_stats()
    for context in (plain, by_tls):
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
