"""The gates that a cluster is given: who asks them, whom they follow, and what they may do."""

from __future__ import annotations

import pytest

from controller.cli.gate import gate_command
from controller.gate.link import LINK_FILE
from tests.support.manifests import Body, helm, only
from tests.unit.deploy.builds import BUILDS, SITE, pods_of, rights_of, settings_of

DNS = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
    "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
}


def gate_of(build: list[Body]) -> Body:
    """Return the specification of a gate's Pod."""
    spec: Body = only(build, "Deployment", "slicerhub-gate")["spec"]["template"]["spec"]
    return spec


def environment_of(build: list[Body]) -> dict[str, str]:
    """Return the variables of a gate."""
    (container,) = gate_of(build)["containers"]
    return {one["name"]: one["value"] for one in container["env"]}


def ports_of(build: list[Body], name: str) -> dict[str, int]:
    """Return the ports of a Deployment's Pods, by name."""
    spec = only(build, "Deployment", name)["spec"]["template"]["spec"]
    return {
        port["name"]: port["containerPort"]
        for container in spec["containers"]
        for port in container.get("ports", [])
    }


def test_gates_have_no_right_and_no_token(build: list[Body]) -> None:
    """Who takes over a gate can ask the cluster for nothing."""
    spec = gate_of(build)
    assert spec["serviceAccountName"] == "slicerhub-gate"
    assert spec["automountServiceAccountToken"] is False
    account = only(build, "ServiceAccount", "slicerhub-gate")
    assert account["automountServiceAccountToken"] is False
    assert rights_of(build, "slicerhub-gate") == {}


def test_gates_hold_their_own_proof_and_no_other_secret(build: list[Body]) -> None:
    """A gate starts once a controller has filled the Secret, and gets its own part of it alone."""
    name = settings_of(build).gates.secret
    secret = only(build, "Secret", name)
    assert secret["type"] == "Opaque"
    assert not secret.keys() & {"data", "stringData"}
    spec = gate_of(build)
    volumes = {one["name"]: one for one in spec["volumes"]}
    assert volumes.keys() == {"gates", "kept", "tmp"}
    assert volumes["tmp"]["emptyDir"]["medium"] == "Memory"
    assert volumes["gates"]["secret"] == {
        "secretName": name,
        "items": [{"key": LINK_FILE, "path": LINK_FILE}],
        "defaultMode": 0o440,
    }
    (container,) = spec["containers"]
    (folder,) = [one for one in gate_command.params if one.name == "folder"]
    mounted = {one["name"]: one for one in container["volumeMounts"]}
    assert mounted["gates"]["mountPath"] == folder.default
    assert mounted["gates"]["readOnly"] is True
    assert not any("valueFrom" in one for one in container["env"])
    assert "envFrom" not in container


def test_what_gates_keep_goes_with_their_pods(build: list[Body]) -> None:
    """A gate keeps something for the next start of its container, and no other Pod finds it."""
    spec = gate_of(build)
    (volume,) = [one for one in spec["volumes"] if one["name"] == "kept"]
    assert volume == {"name": "kept", "emptyDir": {"sizeLimit": "64Mi"}}
    (container,) = spec["containers"]
    (mount,) = [one for one in container["volumeMounts"] if one["name"] == "kept"]
    assert mount["mountPath"] == environment_of(build)["SLICERHUB_GATE_KEPT"]


def test_nobody_but_traefik_reaches_gates_and_they_reach_controllers_alone(
    build: list[Body],
) -> None:
    """A gate is asked by Traefik, follows controllers, asks for their names, and nothing else."""
    policy = only(build, "NetworkPolicy", "slicerhub-gate")["spec"]
    assert {"podSelector": policy["podSelector"]} == pods_of("gate")
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    (asked,) = policy["ingress"]
    theirs = only(build, "NetworkPolicy", "slicerhub")["spec"]["ingress"][0]
    assert asked == {"from": theirs["from"], "ports": [{"port": "private", "protocol": "TCP"}]}
    followed, names = policy["egress"]
    assert followed == {
        "to": [pods_of("controller")],
        "ports": [{"port": "feed", "protocol": "TCP"}],
    }
    assert names["to"] == [DNS]
    assert {one["port"] for one in names["ports"]} == {53}


def test_gates_follow_controllers_where_those_listen(build: list[Body]) -> None:
    """The address that gates follow leads to each controller, at the port where it tells them."""
    where = only(build, "Deployment", "slicerhub-gate")["metadata"]["namespace"]
    port = settings_of(build).gates.port
    assert environment_of(build)["SLICERHUB_GATE_CONTROLLER"] == (
        f"slicerhub-feed.{where}.svc:{port}"
    )
    service = only(build, "Service", "slicerhub-feed")
    assert service["metadata"]["namespace"] == where
    # Without an address of its own its name has those of all controllers.
    assert service["spec"]["clusterIP"] == "None"
    assert {"podSelector": {"matchLabels": service["spec"]["selector"]}} == pods_of("controller")
    assert [(one["port"], one["targetPort"]) for one in service["spec"]["ports"]] == [
        (port, "feed")
    ]
    assert ports_of(build, "slicerhub")["feed"] == port


@pytest.mark.parametrize(("name", "unready"), [("base", True), ("several", False)])
def test_one_controller_is_followed_though_a_part_of_it_is_away(name: str, unready: bool) -> None:
    """A single one is not ready without its directory; of several, those that can answer are."""
    service = only(BUILDS[name](), "Service", "slicerhub-feed")
    assert service["spec"]["publishNotReadyAddresses"] is unready


def test_only_gates_that_listen_are_asked(build: list[Body]) -> None:
    """A gate is asked from when it has heard a controller until all know that it leaves."""
    service = only(build, "Service", "slicerhub-verify")["spec"]
    assert {"podSelector": {"matchLabels": service["selector"]}} == pods_of("gate")
    assert service["publishNotReadyAddresses"] is False
    spec = gate_of(build)
    (container,) = spec["containers"]
    assert container["command"] == ["slicerhub", "gate"]
    (listens,) = [one for one in gate_command.params if one.name == "port"]
    assert ports_of(build, "slicerhub-gate") == {"private": listens.default}
    # Whether it listens; what it knows may be old, and then it is to say so itself.
    assert container["readinessProbe"]["tcpSocket"] == {"port": "private"}
    # Nothing ends a gate that waits for its first controller.
    assert not container.keys() & {"livenessProbe", "startupProbe"}
    word, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
    assert word == "sleep"
    assert spec["terminationGracePeriodSeconds"] >= int(seconds) + 10


def test_one_gate_answers_whatever_is_planned(build: list[Body]) -> None:
    """An update and the draining of machines leave one; they run on two machines if there are."""
    deployment = only(build, "Deployment", "slicerhub-gate")["spec"]
    assert deployment["replicas"] == 2
    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    budget = only(build, "PodDisruptionBudget", "slicerhub-gate")["spec"]
    assert budget["minAvailable"] == 1
    labels = deployment["template"]["metadata"]["labels"]
    assert {"podSelector": {"matchLabels": labels}} == pods_of("gate")
    assert budget["selector"] == deployment["selector"] == {"matchLabels": labels}
    soft = gate_of(build)["affinity"]["podAntiAffinity"]
    (apart,) = soft["preferredDuringSchedulingIgnoredDuringExecution"]
    assert apart["podAffinityTerm"] == {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchLabels": labels},
    }


def test_gates_are_of_the_controllers_image(build: list[Body]) -> None:
    """Both come from one place, with one password for it, and are one version."""
    hub = only(build, "Deployment", "slicerhub")["spec"]["template"]["spec"]
    gate = gate_of(build)
    assert gate["securityContext"] == hub["securityContext"]
    assert gate.get("imagePullSecrets") == hub.get("imagePullSecrets")
    for part in ("image", "imagePullPolicy", "securityContext"):
        assert gate["containers"][0][part] == hub["containers"][0][part]
    # One core for each process, and no more is taken away from them.
    assert "cpu" not in gate["containers"][0]["resources"]["limits"]


def test_how_many_gates_is_a_sites_own() -> None:
    """The chart takes numbers; where there is one gate only, its machine can still be drained."""
    found = helm({"gates": {"replicas": 3, "processes": 2}})
    assert only(found, "Deployment", "slicerhub-gate")["spec"]["replicas"] == 3
    assert environment_of(found)["SLICERHUB_GATE_PROCESSES"] == "2"
    alone = helm(SITE | {"gates": {"replicas": 1}}, namespace="hub")
    assert only(alone, "Deployment", "slicerhub-gate")["spec"]["replicas"] == 1
    assert environment_of(alone)["SLICERHUB_GATE_PROCESSES"] == "1"
    assert not [one for one in alone if one["kind"] == "PodDisruptionBudget"]
