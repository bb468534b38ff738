"""Folders of the session's program: what may import what, and what the desktop takes of them."""

from __future__ import annotations

import ast
import graphlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[3]
APP = ROOT / "deploy/slicer/app"
DESKTOP = ROOT / "deploy/slicer-desktop/desktop"
DOCKERFILE = ROOT / "deploy/slicer-desktop/Dockerfile"
# The upper ones may import the lower ones; those of one line do not know each other.
LAYERS = (
    ("__main__",),
    ("program",),
    ("front", "page"),
    ("modules",),
    ("stream",),
    ("people",),
    ("files",),
    ("core",),
)
LAYER = {folder: number for number, folders in enumerate(LAYERS) for folder in folders}


class Import(NamedTuple):
    """One name that a module takes from another; ``runs``: not for the type checker alone."""

    module: str
    name: str
    runs: bool


def modules_below(package: Path) -> dict[str, Path]:
    """The files of a package by their modules' names."""
    found: dict[str, Path] = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


MODULES = modules_below(APP) | modules_below(DESKTOP)


def imports_below(tree: ast.AST, *, runs: bool = True) -> Iterator[Import]:
    """Every import in it, also those inside functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.module
            assert not node.level, "imports are written out"
            for alias in node.names:
                yield Import(node.module, alias.name, runs)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, "", runs)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from imports_below(node, runs=False)
        else:
            yield from imports_below(node, runs=runs)


def own_imports(module: str) -> list[Import]:
    """What a module imports of the two packages."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    return [
        each for each in imports_below(tree) if each.module.partition(".")[0] in {"app", "desktop"}
    ]


def module_in(taken: Import) -> str:
    """The module that an import is about: the name may be one itself."""
    whole = f"{taken.module}.{taken.name}"
    return whole if whole in MODULES else taken.module


def names_in(module: str) -> set[str]:
    """What a module defines or has imported, by name."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name)
    return names


def folder_of(module: str) -> str:
    """The folder that a module of the program is in; the few above all folders are their own."""
    return module.split(".")[1]


def test_every_folder_has_a_layer_and_says_what_it_is_for() -> None:
    """A developer finds where something belongs by one sentence for each folder."""
    folders = {path.parent.name: path for path in APP.glob("*/__init__.py")}
    above = {path.stem for path in APP.glob("*.py")} - {"__init__"}
    assert LAYER.keys() == folders.keys() | above
    for folder, path in folders.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), folder
        assert len(tree.body) == 1, f"{folder} imports nothing by itself: the start waits for it"


def test_imports_go_downwards() -> None:
    """A folder stands on those below it, and knows none beside or above it."""
    for module in MODULES:
        if not module.startswith("app."):
            continue
        for taken in own_imports(module):
            target = module_in(taken)
            assert target.startswith("app."), f"{module} imports {target}"
            own, other = folder_of(module), folder_of(target)
            assert own == other or LAYER[own] < LAYER[other], f"{module} imports {target}"


def test_no_module_needs_itself() -> None:
    """Inside a folder, too, imports go one way."""
    graph = {module: {module_in(each) for each in own_imports(module)} for module in MODULES}
    graphlib.TopologicalSorter(graph).prepare()


def test_what_is_imported_is_there() -> None:
    """Also inside functions, where only a running session would notice."""
    for module in MODULES:
        for taken in own_imports(module):
            target = module_in(taken)
            assert target in MODULES, f"{module} imports {target}"
            if taken.name and target == taken.module:
                assert taken.name in names_in(target), f"{module} imports {taken.name} of {target}"


def test_the_desktop_takes_what_it_needs() -> None:
    """Its image copies every module that it runs, and nothing that is not there."""
    lines = DOCKERFILE.read_text(encoding="utf-8").replace("\\\n", " ")
    copied = {
        ROOT / "deploy" / path
        for line in re.findall(r"^COPY (slicer/.*)$", lines, re.MULTILINE)
        for path in line.split()[:-1]
    }
    assert all(path.is_file() for path in copied), copied
    waiting = [module for module in MODULES if module.startswith("desktop")]
    needed: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module in needed:
            continue
        needed.add(module)
        waiting += [module_in(each) for each in own_imports(module) if each.runs]
        waiting += [module.rpartition(".")[0]] if "." in module else []
    for module in needed:
        path = MODULES[module]
        assert path in copied or path.is_relative_to(DESKTOP), f"{module} is not copied"
