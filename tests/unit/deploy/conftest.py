"""The objects of each way to install the hub on a cluster."""

from __future__ import annotations

import pytest

from tests.support.manifests import Body
from tests.unit.deploy.builds import BUILDS


@pytest.fixture(scope="session", params=BUILDS)
def build(request: pytest.FixtureRequest) -> list[Body]:
    """All objects of one way to install the hub."""
    return BUILDS[request.param]()
