"""Which parts the settings name: engine, store, election, proofs of gates.

Clients are imported only if used.
"""

from __future__ import annotations

import time
from pathlib import Path

from controller.engines import Orchestrator
from controller.engines.memory import MemoryOrchestrator
from controller.feed.gates import Presence
from controller.feed.proofs import ProofFolder, ProofStorage
from controller.housekeeping.election import Alone, Election
from controller.people.keys import KeyFile, KeyStorage
from controller.settings.schema import Settings
from controller.store import Store
from controller.store.sqlite.store import SqliteStore


def open_store(settings: Settings, identity: str) -> tuple[Store, KeyStorage]:
    """Return the store that the settings name, and the key storage. Nothing is read yet.

    ``identity``: the name of this controller among those of the instance.
    """
    if settings.store == "kubernetes":
        from controller.people.keys_secret import KeySecret
        from controller.store.kubernetes.store import KubernetesStore

        store = KubernetesStore(settings, identity=identity, wall=time.time)
        return store, KeySecret(store.api, settings.instance, time.time)
    data = Path(settings.data_dir)
    return SqliteStore(data / "store.sqlite"), KeyFile(data / "keys.json", time.time)


def make_election(settings: Settings, identity: str) -> Election:
    """Return the election of the controller that leads; a single controller always leads."""
    if settings.store == "sqlite":
        return Alone()
    from controller.housekeeping.lease import LeaseElection

    return LeaseElection(settings, identity=identity, clock=time.monotonic, wall=time.time)


def make_proof_storage(settings: Settings) -> ProofStorage | None:
    """Return where controllers and gates find their proofs; None: there are no gates."""
    if settings.gates.secret:
        from controller.cluster.client import Api
        from controller.feed.proofs_secret import ProofSecret

        api = Api(settings.kubernetes)
        return ProofSecret(api, settings.instance, settings.gates.secret, time.time)
    if settings.gates.folder:
        return ProofFolder(Path(settings.gates.folder), time.time)
    return None


def make_presence(settings: Settings) -> Presence | None:
    """Return what knows of gates that are no more; None: nothing does but they themselves."""
    if not settings.gates.secret:
        return None
    from controller.cluster.client import Api
    from controller.feed.pods import GatePods

    return GatePods(Api(settings.kubernetes))


def make_orchestrator(settings: Settings) -> Orchestrator:
    """Return the engine that the settings name; its client is imported only if it is used."""
    if settings.orchestrator == "memory":
        return MemoryOrchestrator(settings)
    if settings.orchestrator == "kubernetes":
        from controller.engines.kubernetes.engine import KubernetesOrchestrator

        return KubernetesOrchestrator(settings)
    from controller.engines.docker.engine import DockerOrchestrator

    return DockerOrchestrator(settings)
