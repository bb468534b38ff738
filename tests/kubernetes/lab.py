"""One instance of the hub on a real cluster: its settings, and a look at what it makes there."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from controller.cluster.client import Api, MissingError
from controller.core.model import Session
from controller.engines.kubernetes import manifests
from controller.engines.kubernetes.engine import KubernetesOrchestrator
from controller.rules import companions
from controller.settings.loading import SLICER
from controller.settings.schema import PATH_MODE, PATH_MODE_SHARING, Kubernetes, Settings
from tests.support import samples
from tests.support.engine import BASE, HOME, IMAGES, WORK
from tests.support.samples import settings

CLUSTER = Path(__file__).with_name("cluster")
PYTHON = "python:3.11-slim-bookworm"
TELL = (
    "id -u; grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status | tr -d '\t' | sort; "
    "touch /x 2>&1; touch /tmp/x /home/slicer/x && echo writable; "
    "df -k /dev/shm | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2; "
    "ls /var/run/secrets 2>&1; env | grep -c SERVICE_HOST; "
)
NOTE = "cat $HOME/note 2>&1; echo mine >> $HOME/note; ls /groups 2>&1; "
# Lets through who says "yes", as the controller's verify would.
VERIFY = """
import http.server

class Verify(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.headers.get("Authorization") == "Bearer yes" else 401)
        self.end_headers()

http.server.ThreadingHTTPServer(("", 8001), Verify).serve_forever()
"""


def dockerfile(base: str, *command: str, before: str = "") -> str:
    """Return how an image is made that runs this."""
    return f"FROM {base}\n{before}CMD {json.dumps(command)}\n"


ALL = IMAGES | {
    "telling": dockerfile(BASE, "sh", "-c", TELL + WORK, before=HOME),
    "noting": dockerfile(BASE, "sh", "-c", NOTE + WORK, before=HOME),
    "hungry": dockerfile(PYTHON, "python", "-c", "print(len(b'x' * 10**9))"),
    "web": dockerfile(PYTHON, "python", "-m", "http.server", "8080", before="WORKDIR /usr\n"),
    "verify": dockerfile(PYTHON, "python", "-c", VERIFY),
}

NO_GRACE = timedelta(0)


def session(
    number: int = 1, *, owner: str = "alice", name: str = "thesis", profile: str = "good"
) -> Session:
    """Return a session of one of the lab's profiles."""
    return samples.session(number, owner=owner, name=name, profile=profile)


def with_kubernetes(found: Settings, **changes: Any) -> Settings:  # noqa: ANN401
    """Return settings with others for the cluster."""
    return replace(found, kubernetes=replace(found.kubernetes, **changes))


class Lab:
    """One instance of the hub in a namespace of its own."""

    def __init__(
        self, kubeconfig: Path, storage_class: str, namespace: str, images: str, instance: str
    ) -> None:
        """``images``: what stands before the colon of the images' names."""
        small = replace(SLICER, cpus=0.5, memory_mib=64, shm_mib=16, cpus_reserved=0.01)
        profiles = [
            replace(small, id=name, image=f"{images}:{name}", default=name == "good")
            for name in ALL
        ]
        good = profiles[0]
        profiles += [
            replace(good, id="missing", default=False, image=f"{images}:none"),
            replace(good, id="card", default=False, gpus=1),
            replace(good, id="elsewhere", default=False, node_selector={"no": "such-node"}),
            replace(good, id="unknown-class", default=False, priority_class="no-such-class"),
        ]
        self.settings: Settings = replace(
            settings(
                instance=instance, session_domain=PATH_MODE, path_mode_sharing=PATH_MODE_SHARING
            ),
            profiles=tuple(profiles),
            kubernetes=Kubernetes(
                namespace=namespace,
                kubeconfig=str(kubeconfig),
                storage_class=storage_class,
                storage_size="10Mi",
                timeout_seconds=60,
            ),
        )
        self.namespace = namespace
        self._api = Api(self.settings.kubernetes)
        self._made: list[KubernetesOrchestrator] = []

    def orchestrator(self, configured: Settings | None = None) -> KubernetesOrchestrator:
        """Return an orchestrator, as another controller of the same hub would have it."""
        made = KubernetesOrchestrator(configured or self.settings)
        self._made.append(made)
        return made

    async def ask(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401
        """Return what the cluster says, with all rights; None if there is no such thing."""
        try:
            return json.loads(await self._api.request(method, path, body=body))
        except MissingError:
            return None

    async def address(self) -> tuple[str, str]:
        """Return where the API server is, and the file of the authority that vouches for it."""
        client: Any = await self._api._connected()  # pyright: ignore[reportPrivateUsage]
        configuration = client.configuration
        return str(configuration.host), str(configuration.ssl_ca_cert)

    def path(self, plural: str, name: str = "") -> str:
        """Return where a kind of object is in the lab's namespace."""
        groups: Mapping[str, str] = {
            "networkpolicies": "/apis/networking.k8s.io/v1",
            "middlewares": "/apis/traefik.io/v1alpha1",
            "ingressroutes": "/apis/traefik.io/v1alpha1",
        }
        path = f"{groups.get(plural, '/api/v1')}/namespaces/{self.namespace}/{plural}"
        return f"{path}/{name}" if name else path

    async def offer(
        self, name: str, said: Mapping[str, str], *, rule: str, instance: str = ""
    ) -> None:
        """Make an IngressRoute of the site's own, with these annotations and the guard ``wiki``."""
        route = {
            "kind": "Rule",
            "match": rule,
            "middlewares": [{"name": f"{companions.guard_name('wiki')}@http"}],
            "services": [{"name": name, "port": 80}],
        }
        body = {
            "apiVersion": "traefik.io/v1alpha1",
            "kind": "IngressRoute",
            "metadata": {
                "name": name,
                "labels": {manifests.INSTANCE: instance or self.settings.instance},
                "annotations": said,
            },
            "spec": {"routes": [route]},
        }
        await self.ask("POST", self.path("ingressroutes"), body)

    def pod_path(self, session: Session) -> str:
        """Return where a session's Pod is."""
        return self.path("pods", manifests.pod_name(session, self.settings.instance))

    async def objects(self, plural: str) -> list[Any]:
        """Return all objects of a kind in the lab's namespace."""
        return (await self.ask("GET", self.path(plural)))["items"]

    async def left(self) -> list[str]:
        """Return the names of all that sessions are made of, claims excepted."""
        kinds = ("pods", "services", "networkpolicies", "middlewares", "ingressroutes")
        return [
            f"{plural}/{one['metadata']['name']}"
            for plural in kinds
            for one in await self.objects(plural)
        ]

    async def close(self) -> None:
        """Close all connections."""
        for one in self._made:
            await one.aclose()
        await self._api.aclose()


def build(images: str) -> None:
    """Build the images and give them to the nodes. Nothing is fetched."""

    def make(name: str) -> None:
        subprocess.run(
            ["docker", "build", "--quiet", "--tag", f"{images}:{name}", "-"],
            input=ALL[name].encode(),
            check=True,
            capture_output=True,
        )

    with ThreadPoolExecutor() as pool:
        list(pool.map(make, ALL))
    subprocess.run([CLUSTER, "load", *(f"{images}:{name}" for name in ALL)], check=True)


def forget(images: str) -> None:
    """Remove the images, as far as nothing uses them any more."""
    for name in ALL:
        subprocess.run(
            ["docker", "rmi", "--force", f"{images}:{name}"], check=False, capture_output=True
        )
