"""What every engine must do, shown with a real cluster: the suite of tests/contract."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from controller.core import labels
from controller.core.model import Session
from tests.contract.conftest import until_ended
from tests.contract.test_orchestrator import *  # noqa: F403 - the tests themselves
from tests.kubernetes.lab import Lab

# The nodes fetch what is missing, at the start of a Pod and not before; see test_failing.py.
del test_fetch, test_fetch_at_once, test_nothing_to_fetch  # noqa: F821 - they came with the star


class KubernetesEngine:
    """A real cluster, and how things happen in it."""

    knows_sizes = False  # a claim has none before its volume is made
    measures = True

    def __init__(self, made: Lab) -> None:
        """Use this instance."""
        there = replace(made.settings.kubernetes, apps_namespace=made.namespace)
        self.settings = replace(made.settings, kubernetes=there)
        self.orchestrator = made.orchestrator(self.settings)
        self._lab = made

    async def end(self, session: Session) -> Session:
        """Make a session whose program ends by itself with exit code 3 after saying "last"."""
        await self.orchestrator.ensure(session)
        await until_ended(self.orchestrator, session)
        return session

    async def offer(self, app: str, rule: str) -> None:
        """Make an IngressRoute that names the hub's guard."""
        said = {labels.APP: app, labels.TITLE: f"The {app}", labels.GROUPS: "staff"}
        annotations = {labels.key(label): text for label, text in said.items()}
        await self._lab.offer(app, annotations, rule=rule)

    async def withdraw(self, app: str) -> None:
        """Remove that IngressRoute."""
        await self._lab.ask("DELETE", self._lab.path("ingressroutes", app))


@pytest.fixture
async def engine(lab: Lab) -> KubernetesEngine:
    """Give the cluster."""
    return KubernetesEngine(lab)
