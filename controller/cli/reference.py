"""The reference of all settings, written from their schema. The only I/O is reading the source."""

from __future__ import annotations

import ast
import enum
import inspect
import json
import textwrap
import types
import typing
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import msgspec

from controller.core.kinds import HIDDEN, metas_of
from controller.core.model import GroupVolume, Profile
from controller.settings.loading import variable_of
from controller.settings.schema import Settings

TABLES = {"profiles", "volumes"}
"""Settings of the hub that are tables of their own, in the file only."""

_WORDS: dict[Any, tuple[str, str]] = {  # one of it, and several
    str: ("text", "texts"),
    int: ("whole number", "whole numbers"),
    float: ("number", "numbers"),
    bool: ("`true` or `false`", ""),
}

_GIVEN = {  # what the program fills in where a profile says nothing
    "title": "the id",
    "idle_seconds": "`idle_seconds` of the hub",
}


class Row(NamedTuple):
    """One setting in a table of the reference."""

    name: str
    variable: str  # empty: it stands in the file only
    kind: str
    within: str  # its range; empty: any
    default: str
    meaning: str


def reference() -> str:
    """Return the reference of all settings as Markdown, a table for each TOML table."""
    parts = [_part("The hub itself", "Settings at the top of the file.", _rows(Settings, ""))]
    for field in msgspec.structs.fields(Settings):
        if is_table(field.type):
            rows = _rows(field.type, f"{field.name}.")
            parts.append(_part(f"`[{field.name}]`", inspect.getdoc(field.type) or "", rows))
    for title, kind, given in (
        ("`[profiles.<id>]`", Profile, _GIVEN),
        ("`[volumes.<name>]`", GroupVolume, dict[str, str]()),
    ):
        rows = [
            row._replace(variable="", default=given.get(row.name, row.default))
            for row in _rows(kind, "")[1:]  # the first is the table's own name
        ]
        parts.append(_part(title, inspect.getdoc(kind) or "", rows))
    return "\n".join(parts)


def is_table(kind: object) -> bool:
    """Tell whether a setting is a table of settings."""
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def is_secret(kind: Any) -> bool:  # noqa: ANN401 - types are of any type
    """Tell whether a setting, or a part of it, is shown to nobody."""
    bare, metas = metas_of(kind)
    return any((meta.extra or {}).get(HIDDEN) for meta in metas) or any(
        is_secret(part) for part in typing.get_args(bare)
    )


def meanings(kind: type) -> dict[str, str]:
    """Return what stands below each field of a struct, by the fields' names, each on one line."""
    (struct,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    found: dict[str, str] = {}
    for field, below in pairwise(typing.cast("ast.ClassDef", struct).body):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = " ".join(text.split())
            case _:
                pass
    return found


def _rows(kind: type[msgspec.Struct], before: str) -> list[Row]:
    below = meanings(kind)
    return [
        Row(
            name=field.name,
            variable=_variable(f"{before}{field.name}", field.type),
            kind=_kind(field.type),
            within="; ".join(dict.fromkeys(_ranges(field.type))),
            default=_default(field),
            meaning=below.get(field.name, ""),
        )
        for field in msgspec.structs.fields(kind)
        if not is_table(field.type) and (kind is not Settings or field.name not in TABLES)
    ]


def _part(title: str, about: str, rows: list[Row]) -> str:
    heads = ["Name", "Variable", "Type", "Range", "Default", "Meaning"]
    lines = [
        [f"`{row.name}`", f"`{row.variable}`" if row.variable else "", *row[2:]] for row in rows
    ]
    if not any(row.variable for row in rows):
        heads.remove("Variable")
        lines = [[line[0], *line[2:]] for line in lines]
    table = [heads, *lines]
    written = [
        "| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in table
    ]
    written.insert(1, "|" + "---|" * len(heads))
    return "\n".join([f"### {title}", "", about, "", *written, ""])


def _variable(path: str, kind: object) -> str:
    bare, _ = metas_of(kind)
    return "" if typing.get_origin(bare) is dict else variable_of(path)


def _kind(kind: object) -> str:
    bare, _ = metas_of(kind)
    parts = [metas_of(part)[0] for part in typing.get_args(bare)]
    origin = typing.get_origin(bare)
    if origin is dict:
        words = f"table of {_WORDS[parts[1]][1]}"
    elif origin in {tuple, frozenset}:
        words = f"list of {_WORDS[parts[0]][1]}"
    elif origin is Literal or isinstance(bare, enum.EnumType):
        words = "one of these"
    else:
        words = _WORDS[bare][0]
    return f"{words}, secret" if is_secret(kind) else words


def _ranges(kind: Any) -> Iterator[str]:  # noqa: ANN401 - types are of any type
    bare, metas = metas_of(kind)
    for meta in metas:
        if meta.description:
            yield meta.description
        elif meta.ge is not None and meta.le is not None:
            yield f"{meta.ge} to {meta.le}"
        elif meta.ge is not None:
            yield f"{meta.ge} or more"
        elif meta.gt is not None:
            yield f"more than {meta.gt}"
    if typing.get_origin(bare) is Literal:
        yield ", ".join(f"`{value}`" for value in typing.get_args(bare))
    elif isinstance(bare, enum.EnumType):
        yield ", ".join(f"`{value}`" for value in typing.cast("type[enum.StrEnum]", bare))
    else:
        for part in typing.get_args(bare):
            if not isinstance(part, types.EllipsisType):
                yield from _ranges(part)


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    elif field.default is not msgspec.NODEFAULT:
        value = field.default
    else:
        return "must be given"
    return f"`{written(value)}`"


def written(value: object) -> str:
    """Return a value of a setting as the TOML file has it, on one line."""
    plain = msgspec.to_builtins(value, order="sorted")
    if not isinstance(plain, dict):
        return json.dumps(plain, ensure_ascii=False)
    pairs = typing.cast("dict[str, Any]", plain).items()
    inner = ", ".join(f"{json.dumps(key)} = {written(item)}" for key, item in pairs)
    return f"{{ {inner} }}" if inner else "{}"
