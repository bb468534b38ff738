"""Sessions whose program answers as no program should: only their own question fails."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

from controller.core.model import Profile, UserId
from controller.monitoring.metrics import Metrics
from controller.people.tokens import Keys
from controller.sessions.gateway import Inside, Patience, TraefikGateway
from tests.support.hostile.program import MISBEHAVIOURS, Steps, serving
from tests.support.hub import RING, Clock
from tests.support.samples import session_id, settings

pytestmark = pytest.mark.anyio

PATIENCE = Patience(poll=0.3, save=0.3)
BOUND = 5.0  # seconds, for a machine with other things to do
PROFILE = Profile(id="any", title="Any", image="any")


@asynccontextmanager
async def asking(
    misbehaviour: str, note: Callable[[str], object] = str
) -> AsyncGenerator[tuple[TraefikGateway, Metrics]]:
    """Give a gateway in whose sessions a program misbehaves so; ``note``: what it is asked."""

    def misbehave(path: str) -> Steps | None:
        return None if path.endswith("/good") else MISBEHAVIOURS[misbehaviour]()

    async with serving(misbehave, note=note) as port:
        metrics = Metrics()
        configured = settings(gateway_url=f"http://127.0.0.1:{port}")
        gateway = TraefikGateway(configured, Keys(RING), Clock().wall, metrics, patience=PATIENCE)
        try:
            yield gateway, metrics
        finally:
            await gateway.close()


@pytest.mark.parametrize("misbehaviour", MISBEHAVIOURS)
async def test_an_answer_fails_its_own_question_only(misbehaviour: str) -> None:
    """Whatever a session answers, each question ends in time and says what it may say."""
    async with asking(misbehaviour) as (gateway, metrics):
        with anyio.fail_after(BOUND):
            served = await gateway.is_served(session_id(1), PROFILE)
            inside = await gateway.inside(session_id(1))
            kicked = await gateway.kick(session_id(1), UserId("bob"))
            noticed = await gateway.notice(session_id(1), "Hello.", None)
            saved = await gateway.save(session_id(1))
        assert isinstance(inside, Inside | None)
        assert {type(one) for one in (served, kicked, noticed, saved)} == {bool}
    assert metrics.text().count(b"slicerhub_session_questions_total{") >= 5


@pytest.mark.row(52)
@pytest.mark.parametrize(
    "misbehaviour", ["twenty large cookies", "a cookie for everybody", "a log-in demanded"]
)
async def test_nothing_of_one_session_reaches_another(misbehaviour: str) -> None:
    """Whatever a session wants to be kept, the hub asks the next one as if it had not been."""
    heads: list[str] = []
    async with asking(misbehaviour, heads.append) as (gateway, _):
        for number in (1, 1, 2):
            await gateway.inside(session_id(number))
            await gateway.save(session_id(number))
    assert len(heads) == 6
    for head in heads:
        assert "cookie" not in head.casefold()
        assert len(head) < 2000
