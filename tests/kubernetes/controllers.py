"""What the controllers of one hub share in a cluster: their keys, and which of them leads."""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio

from controller.housekeeping.election import Election
from controller.housekeeping.lease import LeaseElection
from controller.people.keys_secret import KeySecret
from controller.settings.schema import Settings
from controller.store.kubernetes.store import KubernetesStore
from tests.kubernetes.conftest import DEADLINE


def keys_of(
    store: KubernetesStore, *, instance: str = "kt", wall: Callable[[], float] = time.time
) -> KeySecret:
    """Return where the keys are that stand beside these records."""
    return KeySecret(store.api, instance, wall)


def election_of(configured: Settings, name: str, clock: Callable[[], float]) -> LeaseElection:
    """Return a controller's part in the election."""
    return LeaseElection(configured, identity=name, clock=clock, wall=time.time)


async def leads(*elections: Election) -> Election:
    """Wait until one of them leads, and return it; never do two."""
    with anyio.fail_after(DEADLINE):
        while True:
            leading = [one for one in elections if one.leading]
            assert len(leading) <= 1
            if leading:
                return leading[0]
            await anyio.sleep(0.02)
