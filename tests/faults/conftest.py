"""Controllers that can be killed at a point, over a real engine and over none."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from tests.faults.process import Hub
from tests.support.engine import Lab, lab

FILE = """
housekeeping_seconds = 2

[volumes.atlas]
read = ["slicer-users"]

[profiles.good]
title = "Good"
image = "{instance}:good"
default = true
cpus = 0.5
memory_mib = 64
shm_mib = 16

[profiles.grouped]
title = "Grouped"
image = "{instance}:good"
cpus = 0.5
memory_mib = 64
shm_mib = 16
volumes = ["atlas"]
"""


@pytest.fixture(scope="module")
def engine_lab() -> Generator[Lab, None, None]:
    """Give an instance on the real engine."""
    with lab() as made:
        yield made


@pytest.fixture
def docker_hub(
    engine_lab: Lab, tmp_path: Path, free_tcp_port_factory: Callable[[], int]
) -> Generator[Hub, None, None]:
    """Give a hub on the real engine, without a Traefik and with nothing running."""
    file = tmp_path / "slicerhub.toml"
    file.write_text(FILE.format(instance=engine_lab.instance))
    environment = {
        "SLICERHUB_CONFIG": str(file),
        "SLICERHUB_INSTANCE": engine_lab.instance,
        "SLICERHUB_ORCHESTRATOR": "docker",
        "SLICERHUB_DOCKER_HOST": os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"),
        "SLICERHUB_DOCKER_NETWORK_POOL": engine_lab.settings.docker.network_pool,
        "SLICERHUB_LIMITS_SESSIONS_PER_USER": "20",
        # Nobody logs in: Alice is, and is never looked up.
        "SLICERHUB_LDAP_URL": "ldaps://127.0.0.1:1",
        "SLICERHUB_LDAP_USER_DN_TEMPLATE": "uid={username},dc=example,dc=org",
        "SLICERHUB_DIRECTORY_SECONDS": "86400",
    }
    yield Hub(_folder(tmp_path), environment, _ports(free_tcp_port_factory))
    engine_lab.clean()


@pytest.fixture
def memory_hub(tmp_path: Path, free_tcp_port_factory: Callable[[], int]) -> Hub:
    """Give a hub that runs nothing."""
    environment = {"SLICERHUB_ORCHESTRATOR": "memory", "SLICERHUB_INSTANCE": "clinic"}
    return Hub(_folder(tmp_path), environment, _ports(free_tcp_port_factory))


def _folder(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    data.mkdir()
    return data


def _ports(factory: Callable[[], int]) -> tuple[int, int]:
    return factory(), factory()
