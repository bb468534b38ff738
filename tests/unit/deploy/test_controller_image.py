"""What the controller's image leaves out, and whether the hub works without it."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

IMPORT_ALL = """
import importlib
import pkgutil
import sys

for name in sys.argv[1:]:
    sys.modules[name] = None  # as if it were not installed

import controller

for module in pkgutil.walk_packages(controller.__path__, "controller."):
    importlib.import_module(module.name)
"""


def removed() -> set[str]:
    """Return the names of the distributions that are not in the image."""
    dockerfile = (ROOT / "deploy/controller/Dockerfile").read_text(encoding="utf-8")
    found = re.search(r"pip uninstall -q -y ([a-z -]+)", dockerfile)
    assert found
    return set(found[1].split())


def test_nothing_imports_what_is_removed() -> None:
    """They are requirements of Litestar's own command line, which nobody runs."""
    gone = removed()
    assert "rich" in gone
    modules = [
        name
        for name, of in importlib.metadata.packages_distributions().items()
        if gone.issuperset(of) and not name.startswith("_")
    ]
    assert "rich" in modules
    subprocess.run([sys.executable, "-c", IMPORT_ALL, *modules], check=True, cwd=ROOT)
