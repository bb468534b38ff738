"""What deploy/kubernetes gives a cluster: every way of it is valid, closed in, and the same hub."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import helm_python
import jsonschema
import kubernetes_validate  # pyright: ignore[reportMissingTypeStubs] - it has none
import msgspec
import pytest
import yaml
from kubernetes_validate.utils import (  # pyright: ignore[reportMissingTypeStubs]
    all_versions,
)

from controller.engines.kubernetes.children import EDGE, STS_SECONDS
from controller.engines.kubernetes.offers import IngressRoute, read_offer
from controller.rules import routes
from controller.rules.companions import judge
from controller.settings.loading import load
from controller.settings.schema import Kubernetes, Settings
from tests.support.manifests import CHART, FOLDER, Body, helm, kustomize, only, overlay, read

ROOT = FOLDER.parents[1]
VERSIONS = (all_versions()[0], all_versions()[-1])
SITE: Body = {
    "publicUrl": "https://slicer.hospital.example",
    "sessionsNamespace": "imaging",
    "traefik": {
        "namespace": "ingress",
        "url": "http://traefik.ingress.svc:80",
        "entryPoint": "websecure",
    },
    "tlsSecret": "slicerhub-tls",
    "image": "registry.hospital.example/controller:1",
    "imagePullSecrets": ["registry"],
    "nodeSelector": {"disk": "ssd"},
    "data": {"size": "2Gi", "storageClass": "nfs"},
    "env": {"SLICERHUB_KUBERNETES_STORAGE_CLASS": "nfs", "SLICERHUB_IDLE_SECONDS": 60},
}
SEVERAL: Body = {
    "store": "kubernetes",
    "replicas": 2,
    "prePull": ["slicerhub/slicer:0.1.0"],
}


def several() -> list[Body]:
    """Return the base with several controllers and with images fetched ahead."""
    with TemporaryDirectory() as folder:
        return read(kustomize(overlay(Path(folder), components=("several", "images"))))


BUILDS: dict[str, Callable[[], list[Body]]] = {
    **{
        name: lambda name=name: read(kustomize(FOLDER / name))
        for name in ("base", "overlays/minikube", "overlays/k3s", "overlays/private")
    },
    "several": several,
    "chart": helm,
    "chart, trial": lambda: helm({"openldap": {"enabled": True}}),
    "chart, several": lambda: helm(SEVERAL),
    "chart, path": lambda: helm({"sessionDomain": "path"}),
    "chart, address": lambda: helm({"publicUrl": "http://192.0.2.7"}),
    "chart, site": lambda: helm(SITE, namespace="hub"),
}


@pytest.fixture(scope="module", params=BUILDS)
def build(request: pytest.FixtureRequest) -> list[Body]:
    """All objects of one way to install the hub."""
    return BUILDS[request.param]()


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


def settings_of(build: list[Body]) -> Settings:
    """Return the settings that the controller would read, with files of a site made up."""
    deployment = only(build, "Deployment", "slicerhub")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    environment = {one["name"]: one["value"] for one in container["env"]}
    maps = [one for one in build if one["kind"] == "ConfigMap" and "slicerhub.toml" in one["data"]]
    assert len(maps) == 1
    text = maps[0]["data"]["slicerhub.toml"]

    def read_file(path: str) -> str:
        return text if path == "/etc/slicerhub/slicerhub.toml" else "secret"

    found, notices = load(environment, read_file)
    assert notices == []
    return found


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
    apps = only(build, "NetworkPolicy", "traefik-only")
    assert apps["metadata"]["namespace"] == settings.kubernetes.apps_namespace
    for peer in (
        policy["ingress"][0]["from"][0],
        policy["egress"][0]["to"][0],
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


def test_every_address_of_verify_leads_to_the_controller(build: list[Body]) -> None:
    """Each port at which a session's Traefik may ask is there, and none leads to the pages."""
    ports = only(build, "Service", "slicerhub-verify")["spec"]["ports"]
    wanted = range(routes.VERIFY_PORT, routes.VERIFY_PORT + routes.VERIFY_ALIASES)
    assert [one["port"] for one in ports] == list(wanted)
    assert {one["targetPort"] for one in ports} == {"private"}


def test_the_private_port_has_no_route(build: list[Body]) -> None:
    """Traefik serves pages and API of the hub, and nothing else of it."""
    routes = [one for one in build if one["kind"] == "IngressRoute"]
    services = [
        (service["name"], service["port"])
        for one in routes
        for rule in one["spec"]["routes"]
        for service in rule["services"]
    ]
    assert set(services) == {("slicerhub", 8000)}


def test_codes_of_links_are_not_written_down(build: list[Body]) -> None:
    """The address that ends in a link's code leaves no line in Traefik's access log."""
    pages, links, *_ = only(build, "IngressRoute", "slicerhub")["spec"]["routes"]
    assert links["observability"] == {"accessLogs": False}
    assert links["priority"] > pages["priority"]
    assert links["services"] == pages["services"]


def test_hosts_of_sessions_come_before_companions(build: list[Body]) -> None:
    """Nothing of a site's own is served at a session's host, and sessions are: as on one server."""
    for route in only(build, "IngressRoute", "slicerhub")["spec"]["routes"][2:]:
        assert route["priority"] == routes.PLACES_PRIORITY < routes.ROUTER_PRIORITY
    text = (ROOT / "traefik/dynamic/hub.yml").read_text()
    places = re.search(r"^    places:\n(?:      .*\n)+", text, re.MULTILINE)
    assert places is not None
    assert f"priority: {routes.PLACES_PRIORITY}\n" in places[0]


def limits_of_one_server() -> Body:
    """Return what Traefik reads of limits.yml in the Docker stack, for the host ``HUB``."""
    text = (ROOT / "traefik/dynamic/limits.yml").read_text()
    text = re.sub(r"\{\{ mul (\d+) \$factor \}\}", r"\1", text)
    text = text.replace('{{ template "hub" $hosts }}', "HUB")
    return yaml.safe_load(re.sub(r"^\{\{.*\}\}$", "", text, flags=re.MULTILINE))["http"]


def test_limits_are_those_of_one_server(build: list[Body]) -> None:
    """One address may ask as much of what costs as it may of the Docker stack, and no more."""
    server = limits_of_one_server()
    for name, middleware in server["middlewares"].items():
        assert only(build, "Middleware", f"slicerhub-{name}")["spec"] == middleware
    ours = only(build, "IngressRoute", "slicerhub-limits")["spec"]
    pages = only(build, "IngressRoute", "slicerhub")["spec"]
    assert ours["entryPoints"] == pages["entryPoints"]
    assert ours.get("tls") == pages.get("tls")
    hub = pages["routes"][0]["match"]
    for route, theirs in zip(ours["routes"], server["routers"].values(), strict=True):
        assert route["match"] == theirs["rule"].replace("HUB", hub)
        assert route["priority"] == theirs["priority"]
        named = [one["name"] for one in route["middlewares"]]
        assert named == ["slicerhub-edge", *(f"slicerhub-{one}" for one in theirs["middlewares"])]
        assert route["services"] == pages["routes"][0]["services"]
    served = hub_of_one_server()["routers"]
    for route, theirs in zip(
        pages["routes"], (served["hub"], served["join"], served["places"]), strict=False
    ):
        named = [one["name"] for one in route["middlewares"]]
        assert named == ["slicerhub-edge", *(f"slicerhub-{one}" for one in theirs["middlewares"])]


def hub_of_one_server() -> Body:
    """Return what Traefik reads of hub.yml in the Docker stack, with nothing in its rules."""
    return yaml.safe_load((ROOT / "traefik/dynamic/hub.yml").read_text().replace("{{", "#"))["http"]


def test_each_limit_is_of_one_address() -> None:
    """Who reaches a limit is in nobody's way but their own, and every way to the hub has one."""
    limits = limits_of_one_server()
    kinds = {
        name: (kind, how)
        for name, middleware in limits["middlewares"].items()
        for kind, how in middleware.items()
    }
    for kind, how in kinds.values():
        if kind in {"rateLimit", "inFlightReq"}:
            assert how["sourceCriterion"] == {"ipStrategy": {"ipv6Subnet": 64}}
    for router in (*limits["routers"].values(), *hub_of_one_server()["routers"].values()):
        assert "rateLimit" in [kinds[one][0] for one in router["middlewares"]]


def test_a_log_in_is_under_way_once_it_has_come_in_whole() -> None:
    """Half-sent bodies take no place among the log-ins, and there are few of one address."""
    for router in limits_of_one_server()["routers"].values():
        chain = router["middlewares"]
        if "small-body" in chain:
            assert chain.index("bodies-at-once") < chain.index("small-body")
        if "login-at-once" in chain:
            assert chain.index("small-body") < chain.index("login-at-once")


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
OF_SEVERAL = {
    ("", "configmaps"): {"create", "delete", "get", "list", "update", "watch"},
    ("", "secrets/slicerhub-keys"): {"get", "update"},
    ("coordination.k8s.io", "leases"): {"create"},
    ("coordination.k8s.io", "leases/slicerhub-controller"): {"get", "update"},
}

Rights = dict[tuple[str, str], set[str]]


def rights_of(build: list[Body], account: str) -> dict[str, Rights]:
    """Return what an account may, by namespace; of named objects with their names."""
    roles = {
        (one["metadata"]["namespace"], one["metadata"]["name"]): one["rules"]
        for one in build
        if one["kind"] == "Role"
    }
    found: dict[str, Rights] = {}
    for one in build:
        if one["kind"] != "RoleBinding":
            continue
        assert len(one["subjects"]) == 1
        if one["subjects"][0]["name"] != account:
            continue
        where = one["metadata"]["namespace"]
        for rule in roles.pop((where, one["roleRef"]["name"])):
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    for name in rule.get("resourceNames", [""]):
                        what = f"{resource}/{name}" if name else resource
                        found.setdefault(where, {})[group, what] = set(rule["verbs"])
    return found


def test_the_hub_has_these_rights_and_no_other(build: list[Body]) -> None:
    """The controller may make and end sessions in one namespace: no exec, no secret but keys."""
    assert not {one["kind"] for one in build} & {"ClusterRole", "ClusterRoleBinding"}
    settings = settings_of(build)
    where = only(build, "Deployment", "slicerhub")["metadata"]["namespace"]
    wanted = {
        settings.kubernetes.namespace: OF_SESSIONS,
        settings.kubernetes.apps_namespace: OF_COMPANIONS,
    }
    if settings.store == "kubernetes":
        wanted[where] = OF_SEVERAL
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
    for service in ("slicerhub", "slicerhub-verify"):
        assert only(build, "Service", service)["spec"]["publishNotReadyAddresses"] is False


def test_several_controllers_without_a_common_store_are_refused() -> None:
    """Who asks for two controllers with a file each is told what to say."""
    with pytest.raises(helm_python.HelmError, match="need store: kubernetes"):
        helm({"replicas": 2})


def test_nothing_is_open_that_is_not_named(build: list[Body]) -> None:
    """Both namespaces refuse all traffic but Traefik's to the hub, and the hub's few ways out."""
    policies = [one for one in build if one["kind"] == "NetworkPolicy"]
    hub = only(build, "Deployment", "slicerhub")["metadata"]["namespace"]
    sessions = settings_of(build).kubernetes.namespace
    denying = {
        one["metadata"]["namespace"]
        for one in policies
        if one["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    }
    assert denying == {hub, sessions}
    assert len(policies) == 4
    spec = only(build, "NetworkPolicy", "slicerhub")["spec"]
    assert [one["port"] for one in spec["ingress"][0]["ports"]] == ["public", "private"]
    assert len(spec["ingress"]) == 1
    ports = [[one["port"] for one in rule["ports"]] for rule in spec["egress"]]
    entry = settings_of(build).kubernetes.entry_point
    assert ports[0] in (["web"], [entry])
    assert ports[1:] == [[53, 53], [443, 6443, 389, 636]]


# What Helm adds, and what is its business: the labels of a release, the hub's own namespace, what
# is kept when a release goes, and a sum instead of a name for a change of the settings.
OF_HELM = {"app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "helm.sh/chart"}
KEPT = {
    "Namespace slicerhub-apps",
    "Namespace slicerhub-sessions",
    "PersistentVolumeClaim slicerhub-data",
    "Secret slicerhub-keys",
}


def of_kustomize(text: str) -> dict[str, Body]:
    """Return objects by kind and name, without the hash in the name of the settings."""
    plain = re.sub(r"\bslicerhub-[bcdfghkmt2456789]{10}$", "slicerhub", text, flags=re.MULTILINE)
    found = {key(one): one for one in read(plain)}
    del found["Namespace slicerhub"]
    return found


def of_helm(bodies: list[Body]) -> dict[str, Body]:
    """Return objects by kind and name, without what is Helm's."""
    found = {key(one): copy.deepcopy(one) for one in bodies}
    for name, one in found.items():
        assert one["metadata"]["labels"].keys() >= OF_HELM
        for label in OF_HELM:
            del one["metadata"]["labels"][label]
        if name in KEPT:
            assert one["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    template = found["Deployment slicerhub"]["spec"]["template"]["metadata"]
    assert template.pop("annotations").keys() == {"checksum/config"}
    return found


TWICE = {"NetworkPolicy", "Role", "RoleBinding"}  # a name of these stands in two namespaces


def key(body: Body) -> str:
    """Return kind and name; with the namespace where a name stands twice."""
    name = body["metadata"]["name"]
    where = body["metadata"].get("namespace", "slicerhub")
    return f"{body['kind']} {name}" + (f" in {where}" if body["kind"] in TWICE else "")


def sorted_lists(value: Any) -> Any:  # noqa: ANN401 - any part of an object
    """Sort what Kubernetes merges by name, where the order means nothing."""
    if isinstance(value, dict):
        return {name: sorted_lists(one) for name, one in cast("Body", value).items()}
    if isinstance(value, list):
        items = [sorted_lists(one) for one in cast("list[Any]", value)]
        if all(isinstance(one, dict) and ("name" in one or "mountPath" in one) for one in items):
            items.sort(key=lambda one: (one.get("mountPath", ""), one["name"]))
        return items
    return value


def test_helm_and_kustomize_give_the_same_hub() -> None:
    """The chart with its own values is the kustomize base, object by object."""
    assert of_helm(helm()) == of_kustomize(kustomize(FOLDER / "base"))


def test_helm_and_kustomize_give_the_same_trial(tmp_path: Path) -> None:
    """The chart's demo directory is the kustomize component, object by object."""
    theirs = of_kustomize(kustomize(overlay(tmp_path)))
    ours = of_helm(helm({"openldap": {"enabled": True}}))
    assert sorted_lists(ours) == sorted_lists(theirs)


def test_helm_and_kustomize_give_the_same_several(tmp_path: Path) -> None:
    """The chart's several controllers and images are the kustomize components, object by object."""
    theirs = of_kustomize(kustomize(overlay(tmp_path, components=("several", "images"))))
    assert sorted_lists(of_helm(helm(SEVERAL))) == sorted_lists(theirs)


def test_the_chart_says_what_it_does_not_know() -> None:
    """A misspelt value is refused instead of doing nothing."""
    report = helm_python.lint(CHART, strict=True)
    assert report["errors"] == []
    wrong: dict[str, Body] = {
        "imagePullPolcy": {"imagePullPolcy": "Never"},
        "publicUrl": {"publicUrl": "https://slicer.example.org/path"},
        "KUBECONFIG": {"env": {"KUBECONFIG": "/root"}},
    }
    for named, values in wrong.items():
        with pytest.raises(helm_python.HelmError, match=named):
            helm(values)


def test_values_of_a_site_arrive() -> None:
    """What a site says to Helm stands where the cluster looks for it."""
    found = helm(SITE, namespace="hub")
    spec = only(found, "Deployment", "slicerhub")["spec"]["template"]["spec"]
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["nodeSelector"] == {"disk": "ssd"}
    assert spec["containers"][0]["image"] == "registry.hospital.example/controller:1"
    claim = only(found, "PersistentVolumeClaim", "slicerhub-data")["spec"]
    assert claim["storageClassName"] == "nfs"
    assert claim["resources"] == {"requests": {"storage": "2Gi"}}
    assert only(found, "IngressRoute", "slicerhub")["spec"]["tls"] == {
        "secretName": "slicerhub-tls"
    }
    settings = settings_of(found)
    assert settings.kubernetes.storage_class == "nfs"
    assert settings.idle_seconds == 60
    configured = helm(
        {
            "config": 'organisation = "Lab"\n[ldap]\nurl = "ldaps://l.example"\n'
            'search_base = "dc=example"\n'
        }
    )
    assert settings_of(configured).organisation == "Lab"


def test_the_settings_that_stand_there_are_the_programs_own() -> None:
    """The base differs from the program's own defaults only where it says so."""
    ours = settings_of(BUILDS["base"]()).kubernetes
    assert ours == msgspec.structs.replace(Kubernetes(), apps_namespace="slicerhub-apps")


def test_traefik_brought_along_may_read_what_it_needs() -> None:
    """Its rights in each namespace are those with which it serves on the cluster of the tests."""
    text = (ROOT / "tests/kubernetes/traefik.yaml").read_text()
    shown = only(read(text), "ClusterRole", "traefik")["rules"]
    roles = [one for one in BUILDS["overlays/minikube"]() if one["kind"] == "Role"]
    found = {
        one["metadata"]["namespace"]: one["rules"]
        for one in roles
        if one["metadata"]["name"] == "traefik"
    }
    assert found == dict.fromkeys(("slicerhub", "slicerhub-sessions", "slicerhub-apps"), shown)


def test_traefik_brought_along_is_set_as_on_one_server() -> None:
    """The entry point of the cluster's Traefik refuses what the Docker stack's refuses."""
    server = yaml.safe_load((ROOT / "traefik/traefik.yml").read_text())
    cluster = yaml.safe_load((FOLDER / "components/traefik/traefik.yml").read_text())
    for one in (server, cluster):
        del one["entryPoints"]["web"]["address"]
        del one["entryPoints"]["web"]["http"]["middlewares"]
        del one["entryPoints"]["ping"]["address"]
    assert cluster["entryPoints"] == server["entryPoints"]
    for table in ("global", "log", "accessLog", "ping"):
        assert cluster[table] == server[table]
    http = server["providers"]["http"]
    base = BUILDS["base"]()
    verify = settings_of(base).kubernetes.verify_url.format(port=routes.VERIFY_PORT)
    assert cluster["providers"].pop("http") == http | {"endpoint": f"{verify}/traefik"}
    crd = cluster["providers"].pop("kubernetesCRD")
    assert crd["allowCrossNamespace"] is crd["allowExternalNameServices"] is False
    hub = hub_of_one_server()
    edge = only(base, "Middleware", "slicerhub-edge")["spec"]
    assert edge == hub["middlewares"]["edge"]
    assert edge["headers"] == {"customRequestHeaders": EDGE, "stsSeconds": STS_SECONDS}
    assert only(base, "ServersTransport", "slicerhub")["spec"] == hub["serversTransports"]["hub"]


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
