"""The hub on a real cluster, installed from deploy/kubernetes as a site would do it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from controller.settings.schema import PATH_MODE, PATH_MODE_SHARING
from tests.kubernetes.lab import CLUSTER
from tests.kubernetes.release import Release
from tests.kubernetes.running_cluster import Cluster
from tests.kubernetes.visitors import client
from tests.kubernetes.waiting import SECONDS, until
from tests.support.manifests import KUBECTL, Body, overlay

ROOT = Path(__file__).parents[2]
HUB, SESSIONS, APPS = "slicerhub", "slicerhub-sessions", "slicerhub-apps"
CONTROLLERS = 2
GATES = 2
SLICER = "slicerhub/slicer:0.1.0"
CHILDREN = ("services", "networkpolicies", "middlewares", "ingressroutes")
_OURS = "slicerhub-test"  # label of namespaces that these tests may remove
_REMOVAL_SECONDS = 300.0  # for a namespace and all in it
_IMAGES = {  # of the hub -> context, Dockerfile
    "controller": (".", "deploy/controller/Dockerfile"),
    "ldap": ("deploy/ldap", "deploy/ldap/Dockerfile"),
}
_DEPLOYMENTS = ("slicerhub", "slicerhub-gate")
# A gate is asked as Traefik asks it, beside it, so that it is known which one answers.
_ASK = """
import http.client, json, sys
path, headers, times = json.loads(sys.argv[1])
found = []
for _ in range(times):
    door = http.client.HTTPConnection("127.0.0.1", 8001, timeout=10)
    door.request("GET", path, headers=headers)
    found.append(door.getresponse().status)
    door.close()
print(json.dumps(found))
"""
_CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3).close()
except OSError:
    print("refused")
else:
    print("connected")
"""
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
            components=("several", "openldap", "images", "near"),
        )
        self.kubectl("apply", "--kustomize", folder)

    def update(self, *names: str) -> None:
        """Let new Pods take the place of the old ones, as an upgrade does, and wait.

        ``names``: of Deployments; none: of the controllers and of the gates, at once.
        """
        these = names or _DEPLOYMENTS
        self.kubectl(
            "rollout", "restart", f"--namespace={HUB}", *(f"deployment/{one}" for one in these)
        )
        for name in these:
            self._wait_rolled_out(name)

    def _wait_rolled_out(self, name: str) -> None:
        self.kubectl(
            "rollout",
            "status",
            f"--namespace={HUB}",
            f"--timeout={SECONDS:.0f}s",
            f"deployment/{name}",
        )

    @contextmanager
    def without_controllers(self) -> Generator[None]:
        """Let there be no controller meanwhile, and wait until there are two again."""
        scale = ("scale", f"--namespace={HUB}", "deployment/slicerhub")
        self.kubectl(*scale, "--replicas=0")
        try:
            until(lambda: not self._pods("controller"), "the end of the controllers")
            yield
        finally:
            self.kubectl(*scale, f"--replicas={CONTROLLERS}")
            self._wait_rolled_out("slicerhub")

    @contextmanager
    def only_on(self, node: str) -> Generator[None]:
        """Let new Pods start on this node alone meanwhile."""
        others = [one for one in self._nodes() if one != node]
        for one in others:
            self.kubectl("cordon", one)
        try:
            yield
        finally:
            for one in others:
                self.kubectl("uncordon", one)

    def spread(self, component: str) -> None:
        """Let there be a Pod of this component on each node: soft rules do not always give that."""
        for node in self._nodes():
            pods = [one for one in self._pods(component) if _stays(one)]
            if node not in {one["spec"]["nodeName"] for one in pods}:
                with self.only_on(node):
                    name = pods[0]["metadata"]["name"]
                    self.kubectl("delete", "pod", f"--namespace={HUB}", name)
                    self.wait_available()
                    for one in _DEPLOYMENTS:
                        self._wait_rolled_out(one)
        assert {one["spec"]["nodeName"] for one in self._pods(component) if _stays(one)} == set(
            self._nodes()
        )

    @contextmanager
    def without_machine(self) -> Generator[None]:
        """Let the second node vanish meanwhile."""
        run(CLUSTER, "cut")
        try:
            yield
        finally:
            run(CLUSTER, "join")

    def is_ready(self, node: str) -> bool:
        """Tell whether the cluster takes a node for well."""
        found: Body = json.loads(self.kubectl("get", "node", node, "--output=json"))
        return any(
            one["type"] == "Ready" and one["status"] == "True"
            for one in found["status"]["conditions"]
        )

    def restart_traefik(self) -> None:
        """Let another Traefik take the place of the one that runs."""
        self.kubectl("rollout", "restart", "--namespace=traefik", "deployment/traefik")
        self.kubectl(
            *("rollout", "status", "--namespace=traefik", "deployment/traefik"),
            f"--timeout={SECONDS:.0f}s",
        )

    def _nodes(self) -> list[str]:
        found = json.loads(self.kubectl("get", "nodes", "--output=json"))["items"]
        return [one["metadata"]["name"] for one in found]

    def wait_available(self) -> None:
        """Wait until the controllers and the gates can answer."""
        self.kubectl(
            "wait",
            f"--namespace={HUB}",
            "--for=condition=Available",
            f"--timeout={SECONDS:.0f}s",
            *(f"deployment/{name}" for name in _DEPLOYMENTS),
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
        return self._staying("controller", CONTROLLERS)

    def gates(self) -> list[str]:
        """Return the names of the gates' Pods."""
        return self._staying("gate", GATES)

    def _staying(self, component: str, number: int) -> list[str]:
        names = [one["metadata"]["name"] for one in self._pods(component) if _stays(one)]
        assert len(names) == number, names
        return names

    def _pods(self, component: str) -> list[Body]:
        """Return the Pods of a component of the hub, those that are ending, too."""
        return [
            one
            for one in self.objects("pods", HUB)
            if one["metadata"]["labels"]["app.kubernetes.io/component"] == component
        ]

    def kill(self, pod: str, container: str = "controller") -> None:
        """Kill the program of a Pod as a fault of its machine would: without a word."""
        run(CLUSTER, "kill", HUB, pod, container)

    def pod(self, name: str) -> Body:
        """Return one of the hub's own Pods."""
        found: Body = json.loads(
            self.kubectl("get", "pod", name, f"--namespace={HUB}", "--output=json")
        )
        return found

    def in_gate(self, pod: str, *words: str) -> str:
        """Run a command beside a gate."""
        return self.kubectl("exec", f"--namespace={HUB}", pod, "--container=gate", "--", *words)

    def ask_gate(
        self, pod: str, session_id: str, headers: Mapping[str, str], times: int = 1
    ) -> set[int]:
        """Return what a gate answers so many times about a request to a session."""
        address = urlsplit(self.url)
        forwarded = {
            "X-Forwarded-Method": "GET",
            "X-Forwarded-Uri": f"/s/{session_id}/",
            "X-Forwarded-Host": address.netloc,
            "X-Forwarded-Proto": address.scheme,
            "X-Forwarded-For": "10.0.0.1",
        }
        question = json.dumps([f"/verify/{session_id}", {**forwarded, **headers}, times])
        return set(json.loads(self.in_gate(pod, "python", "-c", _ASK, question)))

    def gate_reaches(self, pod: str, host: str, port: int) -> bool:
        """Tell whether a gate can connect to something."""
        return "connected" in self.in_gate(pod, "python", "-c", _CONNECT, host, str(port))

    def controller_reaches(self, host: str, port: int) -> bool:
        """Tell whether a controller can connect to something."""
        return "connected" in self.in_controller("python", "-c", _CONNECT, host, str(port))

    @contextmanager
    def by_helm(self) -> Generator[Release]:
        """Install the chart beside it, and uninstall it again; see ``Release.left``."""
        release = Release(
            self.kubectl, self._cluster, {name: self._image(name) for name in _IMAGES}, _SETTINGS
        )
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


def _stays(pod: Body) -> bool:
    """Tell whether a Pod is not about to end."""
    return "deletionTimestamp" not in pod["metadata"]


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
