"""What tests need to know of the cluster that they use."""

from __future__ import annotations

from pathlib import Path

import msgspec


class Cluster(msgspec.Struct, frozen=True):
    """A cluster that answers."""

    kubeconfig: Path
    traefik_url: str  # of the entry point `web`, as this machine reaches it
    storage_class: str
