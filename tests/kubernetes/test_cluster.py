"""The cluster of the tests is a real one: everything that the hub builds upon works in it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException

from tests.kubernetes.conftest import Api, Cluster, Core, Custom, until

pytestmark = pytest.mark.anyio

IMAGE = "python:3.11-slim-bookworm"

# Tells what it was asked, which address a name has, and whether its account may ask the API server.
PROGRAM = """
import http.server, json, os, socket, ssl, urllib.parse, urllib.request

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"

def knock(address):
    try:
        socket.create_connection((address, 80), timeout=2).close()
    except OSError:
        return False
    return True

def lookup(name):
    try:
        return socket.gethostbyname(name)
    except socket.gaierror:
        return None

def ask(url):
    trust = ssl.create_default_context(cafile=f"{ACCOUNT}/ca.crt")
    token = open(f"{ACCOUNT}/token").read()
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    return json.load(urllib.request.urlopen(request, context=trust, timeout=10))

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path, _, query = self.path.partition("?")
        asked = dict(urllib.parse.parse_qsl(query))
        if path.startswith("/verify/"):
            self.send_response(200 if self.headers.get("X-Pass") == "yes" else 403)
            self.send_header("X-Who", "alice")
            self.end_headers()
            return
        told = {"path": path, "who": self.headers.get("X-Who")}
        if "name" in asked:
            told["address"] = lookup(asked["name"])
        if "knock" in asked:
            told["answers"] = knock(asked["knock"])
        if "url" in asked:
            told["answer"] = ask(asked["url"])
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(told).encode())

http.server.ThreadingHTTPServer(("", 8080), Answer).serve_forever()
"""


def pod(name: str, *command: str, **more: object) -> dict[str, Any]:
    """Return a pod of the hardened kind that sessions are."""
    container: dict[str, Any] = {
        "name": "main",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": list(command),
        "ports": [{"containerPort": 8080}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
    if "volumes" in more:
        container["volumeMounts"] = [{"name": "home", "mountPath": "/home/slicer"}]
    return {
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "containers": [container],
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "runAsGroup": 1000},
            **more,
        },
    }


class Program:
    """PROGRAM in a pod, behind a Service, an IngressRoute and a Middleware."""

    def __init__(self, api: Api, cluster: Cluster, namespace: str) -> None:
        """Nothing is there yet."""
        self.core: Core = client.CoreV1Api(api)
        self.custom: Custom = client.CustomObjectsApi(api)
        self.namespace = namespace
        self.url = f"{cluster.traefik_url}/{namespace}"

    async def create(self, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        """Create one of Traefik's objects and return what the cluster has kept of it."""
        body = {
            "apiVersion": "traefik.io/v1alpha1",
            "kind": kind,
            "metadata": {"name": name},
            "spec": spec,
        }
        return await self.custom.create_namespaced_custom_object(
            "traefik.io", "v1alpha1", self.namespace, f"{kind.lower()}s", body
        )

    async def start(self, *middlewares: str) -> None:
        """Start it, under a path of its own."""
        await self.core.create_namespaced_pod(
            self.namespace, pod("server", "python3", "-c", PROGRAM)
        )
        await self.core.create_namespaced_service(
            self.namespace,
            {
                "metadata": {"name": "program"},
                "spec": {
                    "selector": {"app": "server"},
                    "ports": [{"port": 80, "targetPort": 8080}],
                },
            },
        )
        prefixes = [f"/{self.namespace}"]
        await self.create("Middleware", "strip", {"stripPrefix": {"prefixes": prefixes}})
        route = {
            "kind": "Rule",
            "match": f"PathPrefix(`/{self.namespace}/`)",
            "middlewares": [{"name": name} for name in (*middlewares, "strip")],
            "services": [{"name": "program", "port": 80}],
        }
        await self.create("IngressRoute", "program", {"entryPoints": ["web"], "routes": [route]})

    async def ask(self, path: str, **headers: str) -> httpx.Response:
        """Ask it through Traefik."""
        async with httpx.AsyncClient(timeout=30) as browser:
            return await browser.get(f"{self.url}{path}", headers=headers)

    async def tell(self, path: str) -> dict[str, Any]:
        """Return what it tells, as soon as it is served."""
        answer = await until(lambda: self.ask(path), lambda seen: seen.status_code == 200)
        return answer.json()


@pytest.fixture
async def program(api: Api, cluster: Cluster, namespace: str) -> Program:
    """Give a program that is not started yet."""
    return Program(api, cluster, namespace)


async def test_a_pod_is_served_through_traefik(program: Program) -> None:
    """A request to Traefik reaches the pod, its prefix taken off by the middleware."""
    await program.start()
    assert (await program.tell("/page"))["path"] == "/page"


async def test_traefik_asks_a_service_by_its_name(program: Program) -> None:
    """The forwardAuth address names a Service, whose answer decides and adds its headers."""
    address = f"http://program.{program.namespace}.svc.cluster.local/verify/1"
    auth = {"address": address, "authResponseHeaders": ["X-Who"]}
    await program.create("Middleware", "auth", {"forwardAuth": auth})
    await program.start("auth")
    passed = await until(
        lambda: program.ask("/page", **{"X-Pass": "yes", "X-Who": "mallory"}),
        lambda seen: seen.status_code == 200,
    )
    assert passed.json() == {"path": "/page", "who": "alice"}
    assert (await program.ask("/page")).status_code == 403


async def test_names_resolve_in_a_pod(program: Program) -> None:
    """A pod finds Services by their full names and its neighbours by short ones."""
    await program.start()
    own = await program.core.read_namespaced_service("program", program.namespace)
    for name in ("program", f"program.{program.namespace}", "traefik.traefik.svc.cluster.local"):
        told = await program.tell(f"/?name={name}")
        if name.startswith("program"):
            assert told["address"] == own.spec.cluster_ip, name
        assert told["address"], name
    assert (await program.tell("/?name=nobody.nowhere.svc.cluster.local"))["address"] is None


async def test_a_service_that_is_gone_has_neither_name_nor_address(program: Program) -> None:
    """A Service's name ends with it, and nothing out in the world answers at its address."""
    await program.start()
    made = {"metadata": {"name": "passing"}, "spec": {"ports": [{"port": 80}]}}
    await program.core.create_namespaced_service(program.namespace, made)
    told = await until(lambda: program.tell("/?name=passing"), lambda told: bool(told["address"]))
    await program.core.delete_namespaced_service("passing", program.namespace)
    await until(lambda: program.tell("/?name=passing"), lambda told: told["address"] is None)
    gone = f"/?knock={told['address']}"
    await until(lambda: program.tell(gone), lambda told: not told["answers"])


async def test_policies_are_enforced(api: Api, program: Program) -> None:
    """A policy that lets nobody in closes a pod on any node, to Traefik too, until it is gone."""
    await program.start()
    await program.tell("/page")
    policies: Core = client.NetworkingV1Api(api)
    nobody = {"podSelector": {"matchLabels": {"app": "server"}}, "policyTypes": ["Ingress"]}
    await policies.create_namespaced_network_policy(
        program.namespace, {"metadata": {"name": "nobody"}, "spec": nobody}
    )
    await until(lambda: program.ask("/page"), lambda seen: seen.status_code == 502)
    await policies.delete_namespaced_network_policy("nobody", program.namespace)
    await program.tell("/page")


async def test_a_pod_reaches_the_api_server(program: Program) -> None:
    """A pod asks the API server by its name, with its account and the cluster's authority."""
    await program.start()
    url = "https://kubernetes.default.svc/api"
    assert (await program.tell(f"/?url={url}"))["answer"]["kind"] == "APIVersions"


async def test_files_outlive_the_pod_and_end_with_the_claim(
    api: Api, cluster: Cluster, namespace: str
) -> None:
    """What uid 1000 writes into a claim is there for its next pod, until the claim goes."""
    core: Core = client.CoreV1Api(api)
    claim = {
        "metadata": {"name": "home"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": cluster.storage_class,
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    await core.create_namespaced_persistent_volume_claim(namespace, claim)
    volumes = [{"name": "home", "persistentVolumeClaim": {"claimName": "home"}}]
    for name, command in (
        ("writer", "echo brain > /home/slicer/scan"),
        ("reader", "test $(cat /home/slicer/scan) = brain"),
    ):
        await core.create_namespaced_pod(namespace, pod(name, "sh", "-c", command, volumes=volumes))
        ended = await until(
            lambda name=name: core.read_namespaced_pod(name, namespace),
            lambda seen: seen.status.phase in {"Succeeded", "Failed"},
        )
        assert ended.status.phase == "Succeeded", name
        await core.delete_namespaced_pod(name, namespace)

    bound = await core.read_namespaced_persistent_volume_claim("home", namespace)
    await core.delete_namespaced_persistent_volume_claim("home", namespace)

    async def volumes_left() -> list[str]:
        found = await core.list_persistent_volume()
        return [one.metadata.name for one in found.items]

    await until(volumes_left, lambda names: bound.spec.volume_name not in names)


async def test_a_misspelt_field_is_not_kept(program: Program) -> None:
    """What Traefik does not know is dropped, so a comparison with what was sent shows it."""
    kept = await program.create(
        "Middleware",
        "auth",
        {"forwardAuth": {"address": "http://hub", "authResponseHeader": ["A"]}},
    )
    assert kept["spec"] == {"forwardAuth": {"address": "http://hub"}}


@pytest.mark.parametrize(
    "route",
    [
        {"kind": "Rule"},
        {"kind": "Rule", "match": ["PathPrefix(`/`)"]},
        {"kind": "Rule", "match": "PathPrefix(`/`)", "priority": "high"},
        {"kind": "Rule", "match": "PathPrefix(`/`)", "middlewares": ["strip"]},
    ],
)
async def test_a_value_of_the_wrong_type_is_refused(
    program: Program, route: dict[str, Any]
) -> None:
    """A route that Traefik could not read is refused when it is made."""
    with pytest.raises(ApiException) as refused:
        await program.create("IngressRoute", "wrong", {"routes": [route]})
    fault: Any = refused.value
    assert fault.status == 422
