"""The stack on one server, as Compose reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]


def services() -> dict[str, dict[str, Any]]:
    """Return the services that run."""
    whole = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    return {name: one for name, one in whole["services"].items() if one.get("scale") != 0}


def test_no_part_takes_the_servers_memory() -> None:
    """Whatever happens to a part of the hub, the memory of the server stays for the sessions."""
    limits = {name: one.get("mem_limit") for name, one in services().items()}
    assert limits == {
        "traefik": "1g",
        "controller": "1g",
        "gate-1": "512m",
        "gate-2": "512m",
        "ldap": "512m",
        "engine-proxy": "256m",
        "engine-proxy-traefik": "256m",
    }


def test_no_gate_reads_what_another_one_keeps() -> None:
    """Each gate has a volume of its own for what its next start may go on by."""
    kept: dict[str, list[str]] = {}
    for name, one in services().items():
        for mount in one.get("volumes", ()):
            kept.setdefault(mount.partition(":")[0], []).append(name)
    for gate in ("gate-1", "gate-2"):
        service = services()[gate]
        assert kept[f"{gate}-kept"] == [gate]
        assert f"{gate}-kept:{service['environment']['SLICERHUB_GATE_KEPT']}" in service["volumes"]


def test_the_controller_has_as_much_as_on_a_cluster() -> None:
    """The controller may take the same on one server as on a cluster."""
    text = (ROOT / "deploy/kubernetes/base/controller.yaml").read_text(encoding="utf-8")
    (deployment,) = (one for one in yaml.safe_load_all(text) if one["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["memory"] == "1Gi"
    assert services()["controller"]["mem_limit"] == "1g"  # Compose counts in powers of two
