"""The hub as Helm installs it on a cluster, beside another one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import helm_python
import httpx

from tests.kubernetes.running_cluster import Cluster
from tests.kubernetes.waiting import SECONDS
from tests.support.manifests import CHART, Body


class Release:
    """The hub as Helm installs it, in namespaces and at a host of its own."""

    def __init__(
        self, kubectl: Callable[..., str], cluster: Cluster, images: Mapping[str, str], config: str
    ) -> None:
        """``images``: of the hub's parts; ``kubectl``: asks the cluster, with all rights."""
        self.hub, self.sessions = "slicerhub-helm", "slicerhub-helm-sessions"
        self.apps = "slicerhub-helm-apps"
        self._kubectl = kubectl
        self._traefik = cluster.traefik_url
        self._host = f"helm.localhost:{urlsplit(cluster.traefik_url).port or 80}"
        self.url = f"http://{self._host}"
        self._values: Body = {
            "publicUrl": self.url,
            "config": config,
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
        self._kubectl(
            "wait",
            f"--namespace={self.hub}",
            "--for=condition=Available",
            f"--timeout={SECONDS:.0f}s",
            "deployment/slicerhub",
            "deployment/slicerhub-gate",
        )

    def upgrade(self, values: Body) -> None:
        """Give it other values besides, and wait until all of it is new."""
        self._config.upgrade(CHART, "slicerhub", self._values | values, namespace=self.hub)
        for name in ("slicerhub", "slicerhub-gate"):
            self._kubectl(
                "rollout",
                "status",
                f"--namespace={self.hub}",
                f"--timeout={SECONDS:.0f}s",
                f"deployment/{name}",
            )

    def uninstall(self) -> None:
        """Uninstall it, and note what is left."""
        self._config.uninstall("slicerhub")
        claims = json.loads(self._kubectl("get", "pvc", f"--namespace={self.hub}", "--output=json"))
        kept = [
            json.loads(self._kubectl("get", "namespace", name, "--output=json"))
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
        self._kubectl("delete", "namespace", *names, "--ignore-not-found")

    def in_controller(self, *words: str) -> str:
        """Run a command beside the controller."""
        return self._kubectl(
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
