"""The chart: the same objects as the kustomize base, and what it makes of a site's values."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any, cast

import helm_python
import pytest

from tests.support.manifests import CHART, FOLDER, Body, helm, kustomize, only, overlay, read
from tests.unit.deploy.builds import SEVERAL, SITE, settings_of


def test_several_controllers_without_a_common_store_are_refused() -> None:
    """Values that ask for two controllers with a file each are refused with what to say."""
    with pytest.raises(helm_python.HelmError, match="need store: kubernetes"):
        helm({"replicas": 2})


# What Helm adds, and what is its business: the labels of a release, the hub's own namespace, what
# is kept when a release goes, and a sum instead of a name for a change of the settings.
OF_HELM = {"app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "helm.sh/chart"}
KEPT = {
    "Namespace slicerhub-apps",
    "Namespace slicerhub-sessions",
    "PersistentVolumeClaim slicerhub-data",
    "Secret slicerhub-gates",
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


def test_helm_and_kustomize_turn_to_the_same_machine(tmp_path: Path) -> None:
    """The chart's nearest gate and controller are the kustomize component, object by object."""
    theirs = of_kustomize(kustomize(overlay(tmp_path, components=("near",))))
    assert of_helm(helm({"near": True})) == theirs
    theirs = of_kustomize(kustomize(overlay(tmp_path, components=("several", "images", "near"))))
    assert sorted_lists(of_helm(helm(SEVERAL | {"near": True}))) == sorted_lists(theirs)


def test_the_chart_says_what_it_does_not_know() -> None:
    """A misspelt value is refused instead of doing nothing."""
    report = helm_python.lint(CHART, strict=True)
    assert report["errors"] == []
    wrong: dict[str, Body] = {
        "imagePullPolcy": {"imagePullPolcy": "Never"},
        "publicUrl": {"publicUrl": "https://slicer.example.org/path"},
        "KUBECONFIG": {"env": {"KUBECONFIG": "/root"}},
        "replicas": {"gates": {"replicas": 0}},
        "processes": {"gates": {"processes": 0}},
    }
    for named, values in wrong.items():
        with pytest.raises(helm_python.HelmError, match=named):
            helm(values)


def test_values_of_a_site_arrive() -> None:
    """What a site says to Helm stands where the cluster looks for it."""
    found = helm(SITE, namespace="hub")
    for name in ("slicerhub", "slicerhub-gate"):
        spec = only(found, "Deployment", name)["spec"]["template"]["spec"]
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
