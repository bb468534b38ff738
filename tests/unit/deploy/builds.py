"""Every way to install the hub on a cluster, and what each gives the cluster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from controller.settings.loading import load
from controller.settings.schema import Settings
from tests.support.manifests import FOLDER, Body, helm, kustomize, only, overlay, read

ROOT = FOLDER.parents[1]
Rights = dict[tuple[str, str], set[str]]
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


def pods_of(component: str) -> Body:
    """Return the peer of a policy that is one component of the hub, in its own namespace."""
    labels = {"app.kubernetes.io/name": "slicerhub", "app.kubernetes.io/component": component}
    return {"podSelector": {"matchLabels": labels}}


def hub_of_one_server() -> Body:
    """Return what Traefik reads of hub.yml in the Docker stack, with nothing in its rules."""
    return yaml.safe_load((ROOT / "traefik/dynamic/hub.yml").read_text().replace("{{", "#"))["http"]
