"""What every engine must do, shown with a real cluster: the suite of tests/contract."""

from __future__ import annotations

import pytest

from controller.model import Session
from tests.contract.conftest import until_ended
from tests.contract.test_orchestrator import *  # noqa: F403 - the tests themselves
from tests.kubernetes.lab import Lab

# The nodes fetch what is missing, at the start of a Pod and not before; see test_orchestrator.py.
del test_fetch, test_fetch_at_once, test_nothing_to_fetch  # noqa: F821 - they came with the star


class KubernetesEngine:
    """A real cluster, and how things happen in it."""

    knows_sizes = False  # a claim has none before its volume is made
    measures = False  # the cluster of the tests has no metrics.k8s.io; see test_orchestrator.py

    def __init__(self, made: Lab) -> None:
        """Use this instance."""
        self.settings = made.settings
        self.orchestrator = made.orchestrator()

    async def end(self, session: Session) -> Session:
        """Make a session whose program ends by itself with exit code 3 after saying "last"."""
        await self.orchestrator.ensure(session)
        await until_ended(self.orchestrator, session)
        return session


@pytest.fixture
async def engine(lab: Lab) -> KubernetesEngine:
    """Give the cluster."""
    return KubernetesEngine(lab)
