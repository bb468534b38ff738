"""What ``slicerhub render`` prints, before there is any engine."""

from __future__ import annotations

import json
import os

import pytest
from click.testing import CliRunner

from controller.cli.main import main

# None takes away what the tests themselves are told by the environment.
HUB: dict[str, str | None] = {
    name: None for name in os.environ if name.startswith("SLICERHUB_")
} | {
    "SLICERHUB_LDAP_URL": "ldaps://ldap.example.org",
    "SLICERHUB_LDAP_USER_DN_TEMPLATE": "uid={username},dc=example,dc=org",
}


@pytest.mark.parametrize(
    ("engine", "found"),
    [
        ("docker", ["volume", "network", "container"]),
        ("kubernetes", ["apiVersion", "kind", "items"]),
    ],
)
def test_render(engine: str, found: list[str]) -> None:
    """Each engine's administrator sees what a session would be made of."""
    done = CliRunner().invoke(main, ["render"], env=HUB | {"SLICERHUB_ORCHESTRATOR": engine})
    assert done.exit_code == 0, done.output
    assert list(json.loads(done.output)) == found


def test_render_for_kubectl() -> None:
    """What is printed for Kubernetes is a list that kubectl takes, the route last."""
    environ = HUB | {"SLICERHUB_ORCHESTRATOR": "kubernetes"}
    done = CliRunner().invoke(main, ["render", "slicer"], env=environ)
    items = json.loads(done.output)["items"]
    kinds = [one["kind"] for one in items]
    assert kinds[:2] == ["PersistentVolumeClaim", "Pod"]
    assert kinds[-1] == "IngressRoute"
    assert {one["metadata"]["namespace"] for one in items} == {"slicerhub-sessions"}
