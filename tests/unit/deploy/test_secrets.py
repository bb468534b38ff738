"""No password, key or token stands in the repository."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import subprocess
from pathlib import Path

import pytest
from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import (
    transient_settings,  # pyright: ignore[reportUnknownVariableType] - a loose dictionary
)

ROOT = Path(__file__).parents[3]

# These go by a word that stands nearby, or by how random a text looks. In tests, whose people have
# passwords that everybody may know, they see nothing else.
GUESSING = {"KeywordDetector", "Base64HighEntropyString", "HexHighEntropyString"}
NOT_LOOKED_AT = (".lock", ".png")  # sums of packages, made by a program; pictures

# What they take for a secret outside the tests, and what it is.
KNOWN = {
    "abcdefghijklmnopqrstuvwxyz234567",  # the alphabet of ids
    "vtkMRMLCPURayCastVolumeRenderingDisplayNode",  # a class of Slicer's
    "slicerhub-ldap",  # the name of an object that holds one
    "slicerhub-gates",  # another one
    "certificates.",  # a comment
    # A command in the guide.
    "kubectl create secret docker-registry registry …` in `slicerhub` *and* `slicerhub-sessions",
    "alice",  # somebody of the demo directory
}


def names_of_plugins() -> set[str]:
    """Return all that the scanner knows to look for."""
    found = get_mapping_from_secret_type_to_class()
    return {plugin.__name__ for plugin in found.values()}


def found_in(files: list[str], root: Path, plugins: set[str]) -> list[str]:
    """Return what looks like a secret, as ``file:line kind``."""
    secrets = SecretsCollection(root=str(root))
    configured = {"plugins_used": [{"name": name} for name in sorted(plugins)]}
    with transient_settings(configured):
        for file in files:
            secrets.scan_file(file)
    return [
        f"{file}:{one.line_number} {one.type}"
        for file, one in secrets
        if (one.secret_value or "") not in KNOWN
    ]


def tracked() -> list[str]:
    """Return the files of the repository, those not yet added to it too."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [
        name
        for name in listed.stdout.splitlines()
        if (ROOT / name).is_file() and not name.endswith(NOT_LOOKED_AT)
    ]


def digest(name: str, plugins: set[str]) -> str:
    """Return a sum of all that decides what is found in a file."""
    rules = [importlib.metadata.version("detect-secrets"), *sorted(plugins), *sorted(KNOWN), name]
    return hashlib.sha256("\0".join(rules).encode() + (ROOT / name).read_bytes()).hexdigest()


def test_no_secret_stands_in_the_repository() -> None:
    """Keys and tokens are made at the first start; a clone of the repository has none.

    Files in which an earlier run has found nothing, and that are as they were, are not read again:
    the scanner needs half a minute for all of them.
    """
    files = tracked()
    assert len(files) > 300
    certain = names_of_plugins() - GUESSING
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    clean = cache / "slicerhub/files-without-secrets"
    known = set(clean.read_text(encoding="ascii").split()) if clean.exists() else set[str]()
    sums: set[str] = set()
    for plugins in (certain, GUESSING):
        looked_at = [one for one in files if plugins is certain or not one.startswith("tests/")]
        now = {name: digest(name, plugins) for name in looked_at}
        assert found_in([one for one, its in now.items() if its not in known], ROOT, plugins) == []
        sums |= set(now.values())
    clean.parent.mkdir(parents=True, exist_ok=True)
    clean.write_text("\n".join(sorted(sums)), encoding="ascii")


@pytest.mark.parametrize(
    ("text", "plugins"),
    [
        ("-----BEGIN RSA " + "PRIVATE KEY-----", "certain"),
        ("aws = 'AKIA" + "QYLPMN5HHHFPZAM2'", "certain"),
        ("bind_password = 'Tr0ub4dor" + "-and-3'", "guessing"),
    ],
)
def test_a_secret_would_be_found(tmp_path: Path, text: str, plugins: str) -> None:
    """The scanner sees what it is there to see."""
    (tmp_path / "settings.py").write_text(f"{text}\n")
    used = GUESSING if plugins == "guessing" else names_of_plugins() - GUESSING
    assert len(found_in(["settings.py"], tmp_path, used)) == 1
