"""The hub on a real cluster, installed from deploy/kubernetes as a site would do it."""

from __future__ import annotations

import http.client
import json
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import helm_python
import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from controller.settings.schema import PATH_MODE, PATH_MODE_SHARING
from tests.kubernetes.conftest import Cluster
from tests.kubernetes.lab import CLUSTER
from tests.support import waits
from tests.support.manifests import CHART, KUBECTL, Body, overlay

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
HUB, SESSIONS, APPS = "slicerhub", "slicerhub-sessions", "slicerhub-apps"
CONTROLLERS = 2
PAGE = {"Accept": "text/html,application/xhtml+xml"}
SLICER = "slicerhub/slicer:0.1.0"
CHILDREN = ("services", "networkpolicies", "middlewares", "ingressroutes")
_OURS = "slicerhub-test"  # label of namespaces that these tests may remove
_SECONDS = 120.0  # the machine may be busy with other things
_REMOVAL_SECONDS = 300.0  # for a namespace and all in it
_KNOCK_SECONDS = 0.025  # from one to the next: an address may have 100 a second (limits.yaml)
_IMAGES = {  # of the hub -> context, Dockerfile
    "controller": (".", "deploy/controller/Dockerfile"),
    "ldap": ("deploy/ldap", "deploy/ldap/Dockerfile"),
}
_MODE = {
    "SLICERHUB_SESSION_DOMAIN": PATH_MODE,
    "SLICERHUB_PATH_MODE_SHARING": PATH_MODE_SHARING,
}
_SETTINGS = f"""
housekeeping_seconds = 2
failed_seconds = 60

[profiles.slicer]
title = "Slicer"
image = "{SLICER}"
default = true
ready_path = "/-/ready"
endpoints = true
cpus = 2.0
cpus_reserved = 0.05
memory_mib = 3072
memory_reserved_mib = 256
"""


def until(look: Callable[[], T | None], what: str, seconds: float = _SECONDS) -> T:
    """Look again and again until something is seen; fail the test after so many seconds."""
    return waits.until(look, seconds=seconds, what=what)


def run(*words: str | Path) -> str:
    """Run a program and return what it prints; fail the test with what it complains of."""
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr[-4000:]}"
    return done.stdout


class Deployment:
    """The hub in its two namespaces."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        """``folder``: where the overlay is written."""
        self.url = cluster.traefik_url
        self._cluster = cluster
        self._folder = folder
        # So that what a test changed by hand is no part of the next run's images.
        self._tag = f"kubernetes-{time.time_ns():x}"

    def kubectl(self, *words: str | Path) -> str:
        """Ask the cluster, with all rights."""
        return run(KUBECTL, f"--kubeconfig={self._cluster.kubeconfig}", *words)

    def objects(self, plural: str, namespace: str = SESSIONS) -> list[Body]:
        """Return all objects of a kind."""
        found: list[Body] = json.loads(
            self.kubectl("get", plural, f"--namespace={namespace}", "--output=json")
        )["items"]
        return found

    def install(self) -> None:
        """Build the images, apply the overlay, and wait until the hub is fit to work."""
        self._clear()
        for name, (context, dockerfile) in _IMAGES.items():
            run("docker", "build", "--quiet", "--tag", self._image(name), "-f", dockerfile, context)
        if not run("docker", "images", "--quiet", SLICER):
            run("docker", "build", "--quiet", "--tag", SLICER, "deploy/slicer")
        run(CLUSTER, "load", *(self._image(name) for name in _IMAGES), SLICER)
        self.apply()
        self.wait_available()
        until(self._answers, "the hub behind Traefik")

    def apply(self) -> None:
        """Apply the overlay."""
        storage = self._cluster.storage_class
        container = {
            "name": "controller",
            "env": [
                {"name": "SLICERHUB_PUBLIC_URL", "value": self.url},
                {"name": "SLICERHUB_KUBERNETES_STORAGE_CLASS", "value": storage},
                *({"name": name, "value": value} for name, value in _MODE.items()),
            ],
        }
        folder = overlay(
            self._folder,
            images=[
                {
                    "name": f"slicerhub/{name}",
                    "newName": self._image(name).partition(":")[0],
                    "newTag": self._tag,
                }
                for name in _IMAGES
            ],
            patches=[
                _patch("apps/v1", "Deployment", spec={"containers": [container]}),
                *(_patch("v1", "Namespace", name=name) for name in (HUB, SESSIONS, APPS)),
            ],
            settings=_SETTINGS,
            components=("several", "openldap", "images"),
        )
        self.kubectl("apply", "--kustomize", folder)

    def update(self) -> None:
        """Let new controllers take the place of the old ones, as an upgrade does, and wait."""
        deployment = (f"--namespace={HUB}", "deployment/slicerhub")
        self.kubectl("rollout", "restart", *deployment)
        self.kubectl("rollout", "status", f"--timeout={_SECONDS:.0f}s", *deployment)

    def wait_available(self) -> None:
        """Wait until the controllers can answer."""
        self.kubectl(
            "wait",
            f"--namespace={HUB}",
            "--for=condition=Available",
            f"--timeout={_SECONDS:.0f}s",
            "deployment/slicerhub",
        )

    def remove(self) -> None:
        """Remove the hub, people's files and the images."""
        self._clear()
        for name in _IMAGES:
            subprocess.run(
                ["docker", "rmi", "--force", self._image(name)], check=False, capture_output=True
            )

    def _image(self, name: str) -> str:
        return f"slicerhub-test/{name}:{self._tag}"

    def _answers(self) -> bool:
        with client(self.url) as somebody:
            return somebody.get("/login").status_code == 200

    def _clear(self) -> None:
        """Remove what an earlier run left, and nothing else."""
        found = json.loads(self.kubectl("get", "namespaces", "--output=json"))["items"]
        there = {one["metadata"]["name"]: one["metadata"].get("labels", {}) for one in found}
        left = [name for name in (HUB, SESSIONS, APPS) if name in there]
        for name in left:
            assert _OURS in there[name], f"the cluster has a namespace {name} of somebody else's"
        if left:
            self.kubectl("delete", "namespaces", *left, f"--timeout={_REMOVAL_SECONDS:.0f}s")

    def controllers(self) -> list[str]:
        """Return the names of the controllers' Pods."""
        names = [
            one["metadata"]["name"]
            for one in self.objects("pods", HUB)
            if "deletionTimestamp" not in one["metadata"]
            and one["metadata"]["labels"]["app.kubernetes.io/component"] == "controller"
        ]
        assert len(names) == CONTROLLERS, names
        return names

    def kill(self, pod: str) -> None:
        """Kill the controller in a Pod as a fault of its machine would: without a word."""
        run(CLUSTER, "kill", HUB, pod, "controller")

    @contextmanager
    def by_helm(self) -> Generator[Release]:
        """Install the chart beside it, and uninstall it again; see ``Release.left``."""
        release = Release(self, self._cluster, {name: self._image(name) for name in _IMAGES})
        try:
            release.install()
            yield release
            release.uninstall()
        finally:
            release.remove()

    @contextmanager
    def companion(self) -> Generator[None]:
        """Run the example of the guide beside the hub."""
        example = ROOT / "deploy/examples/companion"
        self.kubectl("apply", "--kustomize", example)
        try:
            yield
        finally:
            self.kubectl("delete", "--kustomize", example, "--ignore-not-found")

    def annotate_companion(self, groups: str) -> None:
        """Say who may use the example."""
        words = ("annotate", f"--namespace={APPS}", "--overwrite", "ingressroute/board")
        self.kubectl(*words, f"slicerhub/groups={groups}")

    def in_controller(self, *words: str) -> str:
        """Run a command beside the controller."""
        return self.kubectl(
            "exec",
            f"--namespace={HUB}",
            self.controllers()[0],
            "--container=controller",
            "--",
            *words,
        )

    def of_session(self, session_id: str, plural: str = "pods") -> list[Body]:
        """Return a session's objects of a kind."""
        return [
            one
            for one in self.objects(plural)
            if one["metadata"].get("labels", {}).get("slicerhub/session") == session_id
        ]

    def delete(self, plural: str, session_id: str) -> None:
        """Delete a session's objects of a kind by hand."""
        names = [one["metadata"]["name"] for one in self.of_session(session_id, plural)]
        assert names, f"the session has no {plural}"
        self.kubectl("delete", plural, f"--namespace={SESSIONS}", *names)

    def left(self) -> list[str]:
        """Return what there is of sessions, claims excepted."""
        return [
            f"{plural}/{one['metadata']['name']}"
            for plural in ("pods", *CHILDREN)
            for one in self.objects(plural)
            if one["metadata"]["name"] != "default-deny"
        ]

    def refusal(self, spec: Mapping[str, Any]) -> str:
        """Return what the cluster says when the hub itself would make such a Pod among sessions."""
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "sly"}, "spec": spec}
        file = self._folder / "pod.json"
        file.write_text(json.dumps(pod), encoding="utf-8")
        account = f"--as=system:serviceaccount:{HUB}:slicerhub"
        # kubectl itself asks for more than the hub may before it sends anything.
        words = ("create", f"--namespace={SESSIONS}", "--validate=false", "--dry-run=server")
        done = subprocess.run(
            [KUBECTL, f"--kubeconfig={self._cluster.kubeconfig}", account, *words, "-f", file],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode != 0, done.stdout
        return done.stderr

    def rules_of(self, account: str, namespace: str) -> set[tuple[str, str, str]]:
        """Return what an account may, as ``kubectl auth can-i --list`` asks it.

        (API group, resource, verb), and ("", path, verb) for what is no resource.
        """
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": namespace},
        }
        file = self._folder / "review.json"
        file.write_text(json.dumps(review), encoding="utf-8")
        answer = json.loads(
            self.kubectl(
                f"--as=system:serviceaccount:{account}",
                "create",
                "--validate=false",
                "--output=json",
                "-f",
                file,
            )
        )
        found: dict[str, Any] = answer["status"]
        assert not found["incomplete"]
        rules = {
            (group, f"{resource}/{name}" if name else resource, verb)
            for rule in found["resourceRules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for name in rule.get("resourceNames") or [""]
            for verb in rule["verbs"]
        }
        return rules | {
            ("", path, verb)
            for rule in found["nonResourceRules"]
            for path in rule["nonResourceURLs"]
            for verb in rule["verbs"]
        }


class Release:
    """The hub as Helm installs it, in namespaces and at a host of its own."""

    def __init__(self, deployment: Deployment, cluster: Cluster, images: Mapping[str, str]) -> None:
        """``images``: of the hub's parts."""
        self.hub, self.sessions = "slicerhub-helm", "slicerhub-helm-sessions"
        self.apps = "slicerhub-helm-apps"
        self._deployment = deployment
        self._traefik = cluster.traefik_url
        self._host = f"helm.localhost:{urlsplit(cluster.traefik_url).port or 80}"
        self.url = f"http://{self._host}"
        self._values: Body = {
            "publicUrl": self.url,
            "config": _SETTINGS,
            "env": {"SLICERHUB_KUBERNETES_STORAGE_CLASS": cluster.storage_class},
            "sessionsNamespace": self.sessions,
            "appsNamespace": self.apps,
            "image": images["controller"],
            "data": {"storageClass": cluster.storage_class},
            "openldap": {"enabled": True, "image": images["ldap"]},
        }
        self._config = helm_python.Config(kubeconfig_path=cluster.kubeconfig, namespace=self.hub)
        self._left: list[str] = []

    def install(self) -> None:
        """Install it and wait until it is fit to work."""
        self.remove()
        self._config.install(
            CHART, "slicerhub", self._values, namespace=self.hub, create_namespace=True
        )
        self._deployment.kubectl(
            "wait",
            f"--namespace={self.hub}",
            "--for=condition=Available",
            f"--timeout={_SECONDS:.0f}s",
            "deployment/slicerhub",
        )

    def upgrade(self, values: Body) -> None:
        """Give it other values besides, and wait until all of it is new."""
        self._config.upgrade(CHART, "slicerhub", self._values | values, namespace=self.hub)
        self._deployment.kubectl(
            "rollout",
            "status",
            f"--namespace={self.hub}",
            f"--timeout={_SECONDS:.0f}s",
            "deployment/slicerhub",
        )

    def uninstall(self) -> None:
        """Uninstall it, and note what is left."""
        kubectl = self._deployment.kubectl
        self._config.uninstall("slicerhub")
        claims = json.loads(kubectl("get", "pvc", f"--namespace={self.hub}", "--output=json"))
        kept = [
            json.loads(kubectl("get", "namespace", name, "--output=json"))
            for name in (self.sessions, self.apps)
        ]
        self._left = [
            f"{one['kind']} {one['metadata']['name']}" for one in [*claims["items"], *kept]
        ]

    def left(self) -> list[str]:
        """Return what was there of people's files and the hub's after the release was gone."""
        return self._left

    def remove(self) -> None:
        """Remove its namespaces and all in them."""
        names = (self.hub, self.sessions, self.apps)
        self._deployment.kubectl("delete", "namespace", *names, "--ignore-not-found")

    def in_controller(self, *words: str) -> str:
        """Run a command beside the controller."""
        return self._deployment.kubectl(
            "exec",
            f"--namespace={self.hub}",
            "deploy/slicerhub",
            "--container=controller",
            "--",
            *words,
        )

    def log_in_status(self, name: str, password: str) -> int:
        """Try to log in through Traefik; return the status."""
        return httpx.post(
            f"{self._traefik}/api/v1/login",
            json={"username": name, "password": password},
            headers={"Host": self._host},
            trust_env=False,
            timeout=30,
        ).status_code


def _patch(
    version: str,
    kind: str,
    *,
    name: str = "",
    spec: Mapping[str, Any] | None = None,
) -> Body:
    body: Body = {"apiVersion": version, "kind": kind}
    if name:
        body["metadata"] = {"name": name, "labels": {_OURS: "true"}}
    else:
        body["metadata"] = {"name": "slicerhub", "namespace": HUB}
        body["spec"] = {"template": {"spec": spec}}
    return {"patch": json.dumps(body)}


def client(url: str, **more: Any) -> httpx.Client:  # noqa: ANN401 - httpx's own
    """Return a client that tries to connect again, as browsers do.

    The machine remembers for minutes to which Pod a port of its own led, and once in some thousand
    connections one gets the port of a connection to a Traefik that is gone: "No route to host".
    """
    tries = httpx.HTTPTransport(retries=3)
    return httpx.Client(base_url=url, timeout=30, trust_env=False, transport=tries, **more)


class Person:
    """Somebody who is logged in, as a script (``api``) and as a browser (``browser``)."""

    def __init__(self, url: str, name: str) -> None:
        """Log in both ways; the password of the demo's people is their name."""
        self.url = url
        self.api = client(url)
        answer = self.api.post("/api/v1/login", json={"username": name, "password": name})
        assert answer.status_code == 200, answer.text
        self.api.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        self.browser = client(url, headers=PAGE)
        answer = self.browser.post(
            "/login",
            data={"username": name, "password": name, "next": "/"},
            headers={"Origin": url},
        )
        assert answer.status_code == 303, answer.text

    @property
    def cookie(self) -> str:
        """The browser's Cookie header."""
        return "; ".join(f"{key}={value}" for key, value in self.browser.cookies.items())

    @property
    def login_cookie(self) -> str:
        """The same with nothing in it that leads to one of the controllers."""
        cookies = self.browser.cookies.items()
        return "; ".join(f"{key}={value}" for key, value in cookies if key.endswith("-login"))

    def begin(self, name: str) -> str:
        """Launch Slicer and do not wait; return the session's id."""
        answer = self.api.post("/api/v1/sessions", json={"profile": "slicer", "name": name})
        assert answer.status_code == 202, answer.text
        session_id: str = answer.json()["id"]
        return session_id

    def phase(self, session_id: str) -> str:
        """Return the session's phase, or "gone"."""
        answer = self.api.get(f"/api/v1/sessions/{session_id}")
        return "gone" if answer.status_code == 404 else str(answer.json().get("phase"))

    def wait(self, session_id: str, phase: str) -> None:
        """Wait until the session has got so far."""
        until(lambda: self.phase(session_id) == phase, f"phase {phase}")

    def own(self) -> list[str]:
        """Return the ids of this person's sessions."""
        return [one["id"] for one in self.api.get("/api/v1/sessions").json()["items"]]

    def sees(self, session_id: str) -> bool:
        """Tell whether the hub answers, and lists this session as theirs."""
        answer = self.api.get("/api/v1/sessions")
        return answer.status_code == 200 and session_id in answer.text

    def stop(self, session_id: str) -> None:
        """Stop the session and wait until it is gone."""
        answer = self.api.delete(f"/api/v1/sessions/{session_id}")
        assert answer.status_code in {202, 404}, answer.text
        self.wait(session_id, "gone")

    def invite(self, session_id: str, name: str) -> None:
        """Let somebody look on."""
        answer = self.api.put(f"/api/v1/sessions/{session_id}/shares/{name}", json={"role": "view"})
        assert answer.status_code == 200, answer.text

    def handshake(self, session_id: str) -> int:
        """Try to open the session's WebSocket; return the status."""
        try:
            with self.socket(session_id):
                return 101
        except InvalidStatus as refused:
            return refused.response.status_code

    def socket(self, session_id: str) -> ClientConnection:
        """Open the session's WebSocket as this person's browser does."""
        return connect(
            f"{self.url.replace('http', 'ws')}/s/{session_id}/ws",
            additional_headers={"Cookie": self.cookie},
            origin=self.url,  # pyright: ignore[reportArgumentType] - any text may be sent
            proxy=None,
            open_timeout=20,
        )

    def is_served(self, session_id: str) -> bool:
        """Tell whether the session itself answers this person, and not the hub in its place."""
        return self.api.get(f"/s/{session_id}/-/ready").status_code == 200

    def is_reached(self, session_id: str) -> bool:
        """Tell the same where Traefik itself may be away."""
        try:
            return self.is_served(session_id)
        except httpx.TransportError:
            return False

    def leave(self) -> None:
        """Stop everything and close the connections."""
        for session_id in self.own():
            self.stop(session_id)
        self.api.close()
        self.browser.close()


def is_open(socket: ClientConnection) -> bool:
    """Tell whether the session still answers on a WebSocket."""
    try:
        return socket.ping().wait(20)
    except ConnectionClosed:
        return False


def closed_within(socket: ClientConnection, seconds: float) -> bool:
    """Tell whether a WebSocket is closed from the other side in this time."""
    deadline = time.monotonic() + seconds
    while (rest := deadline - time.monotonic()) > 0:
        try:
            socket.recv(timeout=rest)
        except TimeoutError:
            return False
        except ConnectionClosed:
            return True
    return False


@contextmanager
def knocking(url: str, path: str, headers: Mapping[str, str]) -> Generator[Counter[int]]:
    """Ask for a page again and again, one request after the other; count the answers.

    At a pace that two of them may have: what one address may read is limited.
    """
    answers: Counter[int] = Counter()
    enough = threading.Event()

    def knock() -> None:
        address = urlsplit(url)
        door = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
        while not enough.wait(_KNOCK_SECONDS):
            try:
                door.request("GET", path, headers=dict(headers))
                answer = door.getresponse()
                answer.read()
                answers[answer.status] += 1
            except (OSError, http.client.HTTPException):
                answers[0] += 1
                door.close()
        door.close()

    thread = threading.Thread(target=knock)
    thread.start()
    try:
        yield answers
    finally:
        enough.set()
        thread.join()
