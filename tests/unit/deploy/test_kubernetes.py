"""What deploy/kubernetes gives a cluster: every way of it is valid, closed in, and the same hub."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, cast

import jsonschema
import kubernetes_validate  # pyright: ignore[reportMissingTypeStubs] - it has none
import msgspec
import pytest
from kubernetes_validate.utils import (  # pyright: ignore[reportMissingTypeStubs]
    all_versions,
)

from controller.engines.kubernetes.offers import IngressRoute, read_offer
from controller.rules import routes
from controller.rules.companions import judge
from controller.settings.schema import Kubernetes
from tests.support.manifests import Body, helm, kustomize, only, read
from tests.unit.deploy.builds import BUILDS, ROOT, pods_of, rights_of, settings_of

VERSIONS = (all_versions()[0], all_versions()[-1])


@cache
def definitions() -> dict[str, Body]:
    """Return the schemas of Traefik's kinds, by kind."""
    text = (ROOT / "tests/kubernetes/crds.yaml").read_text()
    return {
        one["spec"]["names"]["kind"]: one["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        for one in read(text)
    }


def closed(schema: Any) -> Any:  # noqa: ANN401 - a schema, or a part of one
    """Return a schema that refuses a field that it does not name."""
    if isinstance(schema, list):
        return [closed(one) for one in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    made = {name: closed(one) for name, one in cast("Body", schema).items()}
    preserved = made.get("x-kubernetes-preserve-unknown-fields", False)
    if isinstance(made.get("properties"), dict) and not preserved:
        made.setdefault("additionalProperties", False)
    return made


@pytest.mark.parametrize("version", VERSIONS)
def test_every_cluster_takes_them(build: list[Body], version: str) -> None:
    """Kubernetes 1.25 and the newest know every field of every object that is applied."""
    validate(build, version)


def validate(bodies: list[Body], version: str) -> None:
    """Hold objects against the schemas of this version, and of Traefik's kinds."""
    traefik = definitions()
    for body in bodies:
        if body["apiVersion"].startswith("traefik.io/"):
            jsonschema.validate(body, closed(traefik[body["kind"]]))
        else:
            cast("Any", kubernetes_validate).validate(body, version, strict=True)


def test_versions_reach_from_1_25_on() -> None:
    """The oldest version that is checked is the oldest that is promised."""
    assert VERSIONS[0].startswith("1.25.")
    assert tuple(int(part) for part in VERSIONS[1].split(".")[:2]) >= (1, 37)


def test_a_field_that_traefik_does_not_know_is_noticed() -> None:
    """A misspelt field of a route fails these tests."""
    body = only(helm(), "IngressRoute", "slicerhub")
    body["spec"]["routes"][0]["middelwares"] = []
    with pytest.raises(jsonschema.ValidationError, match="middelwares"):
        jsonschema.validate(body, closed(definitions()["IngressRoute"]))


def test_the_settings_are_good_and_agree_with_the_objects(build: list[Body]) -> None:
    """The controller accepts its settings, and what they name is what is installed."""
    settings = settings_of(build)
    assert settings.orchestrator == "kubernetes"
    where = only(build, "Deployment", "slicerhub")["metadata"]["namespace"]
    service = only(build, "Service", "slicerhub-verify")
    assert settings.kubernetes.verify_url == f"http://slicerhub-verify.{where}.svc:{{port}}"
    assert service["metadata"]["namespace"] == where
    there = {settings.kubernetes.namespace, settings.kubernetes.apps_namespace}
    assert rights_of(build, "slicerhub").keys() - {where} == there
    assert there <= {one["metadata"]["name"] for one in build if one["kind"] == "Namespace"}
    route = only(build, "IngressRoute", "slicerhub")["spec"]
    hosts = routes.host_rule(settings.hosts)
    below = re.escape(settings.sessions_at)
    assert [one["match"] for one in route["routes"]] == [
        hosts,
        f"{hosts} && PathPrefix(`/join/`)",
        *([rf"HostRegexp(`^[a-z2-7]{{26}}\.{below}\.?$`)"] if below else []),
    ]
    assert route["entryPoints"] == [settings.kubernetes.entry_point]
    policy = only(build, "NetworkPolicy", "slicerhub")["spec"]
    gate = only(build, "NetworkPolicy", "slicerhub-gate")["spec"]
    apps = only(build, "NetworkPolicy", "traefik-only")
    assert apps["metadata"]["namespace"] == settings.kubernetes.apps_namespace
    for peer in (
        policy["ingress"][0]["from"][0],
        policy["egress"][0]["to"][0],
        gate["ingress"][0]["from"][0],
        apps["spec"]["ingress"][0]["from"][0],
    ):
        assert peer == {
            "namespaceSelector": {
                "matchLabels": {
                    "kubernetes.io/metadata.name": settings.kubernetes.traefik_namespace
                }
            },
            "podSelector": {"matchLabels": settings.kubernetes.traefik_labels},
        }


def test_programs_have_no_rights_on_their_machine(build: list[Body]) -> None:
    """Every Pod passes the strictest of the standard rules (Pod Security ``restricted``)."""
    deployments = [one for one in build if one["kind"] in {"Deployment", "DaemonSet"}]
    assert deployments
    for one in deployments:
        spec = one["spec"]["template"]["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}
        volumes = spec.get("volumes", [])
        kinds = {kind for volume in volumes for kind in volume if kind != "name"}
        assert kinds <= {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}
        for container in spec["containers"]:
            context = dict(container["securityContext"])
            assert context.pop("runAsUser", 1) > 0
            context.pop("runAsGroup", None)
            assert context == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "memory" in container["resources"]["limits"]
            assert not any("hostPort" in port for port in container.get("ports", []))
    apps = settings_of(build).kubernetes.apps_namespace
    for one in build:
        if one["kind"] == "Namespace":
            level = one["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
            # Companions are the site's own programs, and not all run without a root of their own.
            ours = one["metadata"]["name"] != apps
            assert level == ("restricted" if ours else "baseline")


OF_SESSIONS = {
    ("", "pods"): {"create", "delete", "get", "list", "watch"},
    ("", "pods/log"): {"get"},
    ("", "services"): {"create", "get", "list", "watch"},
    ("", "persistentvolumeclaims"): {"create", "delete", "get", "list"},
    ("", "events"): {"list", "watch"},
    ("networking.k8s.io", "networkpolicies"): {"create", "get", "list", "watch"},
    ("traefik.io", "ingressroutes"): {"create", "get", "list", "watch"},
    ("traefik.io", "middlewares"): {"create", "get", "list", "watch"},
    ("metrics.k8s.io", "pods"): {"list"},
}
OF_COMPANIONS = {("traefik.io", "ingressroutes"): {"list"}}
OF_GATES = {("", "secrets/slicerhub-gates"): {"get", "update"}, ("", "pods"): {"get"}}
OF_SEVERAL = {
    ("", "configmaps"): {"create", "delete", "get", "list", "update", "watch"},
    ("", "secrets/slicerhub-keys"): {"get", "update"},
    ("coordination.k8s.io", "leases"): {"create"},
    ("coordination.k8s.io", "leases/slicerhub-controller"): {"get", "update"},
}


def test_the_hub_has_these_rights_and_no_other(build: list[Body]) -> None:
    """The controller may make and end sessions in one namespace: no exec, no secret but its own."""
    assert not {one["kind"] for one in build} & {"ClusterRole", "ClusterRoleBinding"}
    settings = settings_of(build)
    where = only(build, "Deployment", "slicerhub")["metadata"]["namespace"]
    wanted = {
        settings.kubernetes.namespace: OF_SESSIONS,
        settings.kubernetes.apps_namespace: OF_COMPANIONS,
        where: OF_GATES | (OF_SEVERAL if settings.store == "kubernetes" else {}),
    }
    assert rights_of(build, "slicerhub") == wanted
    accounts = {one["subjects"][0]["name"] for one in build if one["kind"] == "RoleBinding"}
    assert accounts <= {"slicerhub", "traefik"}


@pytest.mark.parametrize("name", ["several", "chart, several"])
def test_several_controllers_need_no_file(name: str) -> None:
    """Two controllers share no volume, come and go one at a time, and have a place for keys."""
    build = BUILDS[name]()
    assert not [one for one in build if one["kind"] == "PersistentVolumeClaim"]
    deployment = only(build, "Deployment", "slicerhub")["spec"]
    assert deployment["replicas"] == 2
    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    spec = deployment["template"]["spec"]
    container = spec["containers"][0]
    assert not [one for one in container["volumeMounts"] if one["mountPath"] == "/data"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/startz"
    leaving = {one["name"]: one["value"] for one in container["env"] if "value" in one}
    leaves = 2 * int(leaving["SLICERHUB_LEAVE_SECONDS"])
    assert spec["terminationGracePeriodSeconds"] >= leaves + 30
    assert "data" not in only(build, "Secret", "slicerhub-keys")
    assert only(build, "PodDisruptionBudget", "slicerhub")["spec"]["minAvailable"] == 1
    for service in ("slicerhub", "slicerhub-feed"):
        assert only(build, "Service", service)["spec"]["publishNotReadyAddresses"] is False


def test_nothing_is_open_that_is_not_named(build: list[Body]) -> None:
    """Both namespaces refuse all but Traefik's and the gates' traffic, and the few ways out."""
    policies = [one for one in build if one["kind"] == "NetworkPolicy"]
    hub = only(build, "Deployment", "slicerhub")["metadata"]["namespace"]
    sessions = settings_of(build).kubernetes.namespace
    denying = {
        one["metadata"]["namespace"]
        for one in policies
        if one["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    }
    assert denying == {hub, sessions}
    assert len(policies) == 5
    spec = only(build, "NetworkPolicy", "slicerhub")["spec"]
    asked = [[one["port"] for one in rule["ports"]] for rule in spec["ingress"]]
    assert asked == [["public"], ["feed"]]
    assert spec["ingress"][1]["from"] == [pods_of("gate")]
    ports = [[one["port"] for one in rule["ports"]] for rule in spec["egress"]]
    entry = settings_of(build).kubernetes.entry_point
    assert ports[0] in (["web"], [entry])
    assert ports[1:] == [[53, 53], [443, 6443, 389, 636]]


def test_the_settings_that_stand_there_are_the_programs_own() -> None:
    """The base differs from the program's own defaults only where it says so."""
    ours = settings_of(BUILDS["base"]()).kubernetes
    assert ours == msgspec.structs.replace(Kubernetes(), apps_namespace="slicerhub-apps")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_example_is_a_companion(version: str) -> None:
    """The companion of the guide is valid, where the hub looks for it, and taken by it."""
    found = read(kustomize(ROOT / "deploy/examples/companion"))
    validate(found, version)
    settings = settings_of(BUILDS["base"]())
    route = only(found, "IngressRoute", "board")
    assert route["metadata"]["namespace"] == settings.kubernetes.apps_namespace
    offer = read_offer(msgspec.convert(route, IngressRoute), settings.kubernetes.apps_namespace)
    assert offer is not None
    accepted, refused = judge([offer], settings)
    assert refused == ()
    assert [(one.app, one.groups) for one in accepted] == [("board", frozenset({"slicer-users"}))]
