"""Reads the settings: one TOML file and/or ``SLICERHUB_*`` variables, decoded strictly.

A variable is named after the path of its setting: ``[ldap] url`` is ``SLICERHUB_LDAP_URL``; it wins
over the file. Lists are comma separated in variables. For secrets, every text can also be given by
a file: the setting's name with ``_FILE`` (or ``_file``) names it. An empty variable counts as
unset. Profiles and group volumes are only in the file, as ``[profiles.<id>]`` and
``[volumes.<name>]``. Every fault is reported, not only the first.
"""

from __future__ import annotations

import difflib
import tomllib
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from controller import __version__
from controller.core.errors import ConfigError
from controller.core.kinds import FAULT, metas_of
from controller.core.model import (
    GroupVolume,
    Profile,
    ProfileId,
    VolumeName,
    canonical_uid,
)
from controller.settings.checks import faults_of
from controller.settings.schema import (
    Admin,
    AuditLog,
    Docker,
    Gates,
    Kubernetes,
    Ldap,
    Limits,
    Login,
    Settings,
)

PREFIX = "SLICERHUB_"

FILE_VARIABLE = "SLICERHUB_CONFIG"
"""Names the TOML file."""

ReadFile = Callable[[str], str]

_TABLES = {"profiles", "volumes"}  # in the file only, as [profiles.<id>] and [volumes.<name>]

SLICER = Profile(
    id="slicer",
    title="Slicer",
    description="3D Slicer's viewer: volumes, volume rendering, segmentation",
    image=f"slicerhub/slicer:{__version__}",
    default=True,
    ready_path="/-/ready",
    endpoints=True,
    cpus=4.0,
    memory_mib=8192,
)
"""The profile of a hub whose configuration names none."""

# Names of the upstream program -> paths of the hub's settings; None: no such setting.
_UPSTREAM: dict[str, str | None] = {
    "CONTAINER_ORCHESTRATOR": "orchestrator",
    "INACTIVITY_TIME_SEC": "idle_seconds",
    "MAX_SESSIONS": "limits.sessions_total",
    "DOMAIN": "public_url",
    "PORT": "public_url",
    "NETWORK_NAME": None,
}


def load(environ: Mapping[str, str], read_file: ReadFile) -> tuple[Settings, list[str]]:
    """Decode the settings. Returns them with notices for the log.

    ``read_file`` gives the text of a file or raises OSError. Raises ConfigError with every
    fault found.
    """
    faults: list[str] = []
    notices: list[str] = []
    tree = _read_toml(environ.get(FILE_VARIABLE, ""), read_file, faults)
    tables = {name: tree.pop(name, {}) for name in _TABLES}
    paths = _paths()
    values: dict[str, Any] = {}
    _flatten(tree, paths, values, faults)
    values.update(_upstream(environ, notices))
    values.update(_variables(environ, paths, faults))
    _resolve_files(values, paths, read_file, faults)
    settings = _build(values, paths, faults)
    settings = msgspec.structs.replace(
        settings,
        profiles=_build_profiles(tables["profiles"], settings.idle_seconds, faults),
        volumes=_build_volumes(tables["volumes"], faults),
    )
    if settings.demo and not settings.ldap.bind_dn:
        account = (settings.demo_bind_dn, settings.demo_bind_password)
        ldap = msgspec.structs.replace(settings.ldap, bind_dn=account[0], bind_password=account[1])
        settings = msgspec.structs.replace(settings, ldap=ldap)
    people = _people(settings.limits.people, faults)
    limits = msgspec.structs.replace(settings.limits, people=people)
    settings = msgspec.structs.replace(settings, limits=limits)
    faults.extend(faults_of(settings, "ldap.url" in values))
    if faults:
        raise ConfigError(faults)
    return settings, notices


def origins(environ: Mapping[str, str], read_file: ReadFile) -> dict[str, str]:
    """Return where settings come from, by their paths: a variable, or the name of the file.

    Settings that are missing have their defaults. ``load`` must have read them without a fault.
    """
    faults: list[str] = []  # reported where the settings are read
    file = environ.get(FILE_VARIABLE, "")
    tree = _read_toml(file, read_file, faults)
    tables = {name: tree.pop(name, {}) for name in _TABLES}
    paths = _paths()
    values: dict[str, Any] = {}
    _flatten(tree, paths, values, faults)
    found = dict.fromkeys(values, file)
    for name, path in _UPSTREAM.items():
        if path and environ.get(name) and name != "PORT":
            found[path] = name
    found |= {path: variable_of(path) for path in _variables(environ, paths, faults)}
    for twin in [one for one in found if one not in paths]:
        if base := _file_twin(twin, paths):
            found[base] = found.pop(twin)
    for name, inner in tables.items():
        for table, keys in inner.items():
            found |= {f"{name}.{table}.{key}": file for key in keys}
    return found


def _people(said: Mapping[str, int], faults: list[str]) -> dict[str, int]:
    """Return the numbers of people by the canonical spelling of their names."""
    spellings: dict[str, str] = {}
    for name in said:
        first = spellings.setdefault(canonical_uid(name), name)
        if first != name:
            faults.append(
                f"limits.people: {first!r} and {name!r} are the same person. Keep one spelling."
            )
    return {uid: said[name] for uid, name in spellings.items()}


def _paths(*, ranges: bool = False) -> dict[str, Any]:
    """Return every setting's path -> its type: ``{"instance": str, "ldap.url": str, …}``.

    ``ranges``: with the ranges in the types.
    """
    paths: dict[str, Any] = {}
    for name, kind in typing.get_type_hints(Settings, include_extras=ranges).items():
        if name in _TABLES:
            continue
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            inner = typing.get_type_hints(kind, include_extras=ranges)
            paths |= {f"{name}.{key}": inner[key] for key in kind.__struct_fields__}
        else:
            paths[name] = kind
    return paths


def variable_of(path: str) -> str:
    """``ldap.url`` -> ``SLICERHUB_LDAP_URL``."""
    return PREFIX + path.replace(".", "_").upper()


def _read_toml(path: str, read_file: ReadFile, faults: list[str]) -> dict[str, Any]:
    if not path:
        return {}
    try:
        return tomllib.loads(read_file(path))
    except OSError as error:
        faults.append(
            f"{FILE_VARIABLE}: {path} cannot be read ({error.strerror}). Correct the path."
        )
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        faults.append(f"{path}: not valid TOML: {error}.")
    return {}


def _flatten(
    tree: dict[str, Any], paths: dict[str, Any], values: dict[str, Any], faults: list[str]
) -> None:
    for key, value in tree.items():
        if isinstance(value, dict) and any(path.startswith(f"{key}.") for path in paths):
            inner = cast("dict[str, Any]", value)
            found: dict[str, Any] = {f"{key}.{name}": item for name, item in inner.items()}
        else:
            found = {key: value}
        for path, item in found.items():
            if path in paths or _file_twin(path, paths):
                values[path] = item
            else:
                faults.append(_unknown(path, list(paths)))


def _file_twin(path: str, paths: dict[str, Any]) -> str | None:
    base = path.removesuffix("_file")
    return base if base != path and paths.get(base) is str else None


def _unknown(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {close[0]}?" if close else "Remove it."
    return f"{name}: no such setting. {hint}"


def _upstream(environ: Mapping[str, str], notices: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, path in _UPSTREAM.items():
        if not environ.get(name) or name in {"DOMAIN", "PORT"}:
            continue
        if path is None:
            notices.append(f"{name} has no effect: every session has a network of its own.")
        else:
            values[path] = environ[name]
            notices.append(f"{name} is accepted; its name here is {variable_of(path)}.")
    if environ.get("DOMAIN"):
        port = environ.get("PORT", "")
        values["public_url"] = f"http://{environ['DOMAIN']}" + (f":{port}" if port else "")
        notices.append(
            f"DOMAIN and PORT are accepted; their name here is {variable_of('public_url')}."
        )
    return values


def _variables(
    environ: Mapping[str, str], paths: dict[str, Any], faults: list[str]
) -> dict[str, Any]:
    by_variable = {variable_of(path): path for path in paths}
    by_variable |= {
        f"{variable}_FILE": f"{path}_file"
        for variable, path in tuple(by_variable.items())
        if paths[path] is str and f"{variable}_FILE" not in by_variable
    }
    values: dict[str, Any] = {}
    for name, text in environ.items():
        if not name.startswith(PREFIX) or name == FILE_VARIABLE or not text:
            continue  # Compose passes on unset variables as empty ones
        if path := by_variable.get(name):
            values[path] = _split(text, paths.get(path, str))
        else:
            faults.append(_unknown(name, list(by_variable)))
    return values


def _split(text: str, kind: object) -> object:
    """Turn a comma separated variable into a list where the setting is one."""
    if typing.get_origin(kind) in {tuple, frozenset}:
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _resolve_files(
    values: dict[str, Any], paths: dict[str, Any], read_file: ReadFile, faults: list[str]
) -> None:
    for path in [one for one in values if one not in paths]:
        base = _file_twin(path, paths)
        file = values.pop(path)
        if base is None or not isinstance(file, str):
            faults.append(f"{path}: must be the path of a file.")
            continue
        try:
            values[base] = read_file(file).rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            faults.append(f"{path}: {file} cannot be read ({error}). Correct the path.")


def _build(values: dict[str, Any], paths: dict[str, Any], faults: list[str]) -> Settings:
    good: dict[str, Any] = {}
    kinds = _paths(ranges=True)
    for path, value in values.items():
        try:
            good[path] = msgspec.convert(value, paths[path], strict=False)
        except msgspec.ValidationError as error:
            faults.append(f"{path} ({variable_of(path)}): {error}.")
        else:  # kept, so that the rules between settings are checked for it, too
            faults += _out_of_range(path, good[path], kinds[path])
    top = {path: value for path, value in good.items() if "." not in path}
    for section, kind in (
        ("ldap", Ldap),
        ("docker", Docker),
        ("kubernetes", Kubernetes),
        ("gates", Gates),
        ("limits", Limits),
        ("login", Login),
        ("audit", AuditLog),
        ("admin", Admin),
    ):
        inner = {
            path.partition(".")[2]: value
            for path, value in good.items()
            if path.startswith(f"{section}.")
        }
        top[section] = kind(**inner)
    return Settings(**top)


def _out_of_range(path: str, value: Any, kind: Any) -> list[str]:  # noqa: ANN401 - of any type
    """Return a sentence for each part of a value that is of the right type, but out of range."""
    bare, metas = metas_of(kind)
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        for meta in metas:
            said: str = (meta.extra or {}).get(FAULT, f"{error}.")
            return [f"{path}: {said.replace('{value}', repr(value))}"]
    parts = typing.get_args(bare)
    inner: list[tuple[str, Any, Any]] = []
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        inner = [(f"{path}.{key}", item, parts[1]) for key, item in items]
    elif isinstance(value, tuple | frozenset):
        inner = [(path, item, parts[0]) for item in cast("Iterable[Any]", value)]
    return [fault for one in inner for fault in _out_of_range(*one)]


def _build_profiles(raw: object, idle_seconds: int, faults: list[str]) -> tuple[Profile, ...]:
    if not isinstance(raw, dict):
        faults.append("profiles: must be tables like [profiles.slicer].")
        return ()
    tables = cast("dict[str, Any]", raw)
    profiles: list[Profile] = []
    for profile_id, table in tables.items():
        if wrong := _out_of_range(f"profiles.{profile_id}", profile_id, ProfileId):
            faults += wrong
            continue
        profile = _build_profile(profile_id, table, idle_seconds, faults)
        if profile is not None:
            profiles.append(profile)
    return tuple(profiles) or (msgspec.structs.replace(SLICER, idle_seconds=idle_seconds),)


def _build_profile(
    profile_id: str, table: object, idle_seconds: int, faults: list[str]
) -> Profile | None:
    path = f"profiles.{profile_id}"
    if not isinstance(table, dict):
        faults.append(f"{path}: must be a table.")
        return None
    own = cast("dict[str, Any]", table)
    given = {"title": profile_id, "idle_seconds": idle_seconds} | own
    hints = typing.get_type_hints(Profile)
    kinds = typing.get_type_hints(Profile, include_extras=True)
    del hints["id"]  # the table's own name
    good: dict[str, Any] = {}
    beyond: list[str] = []
    before = len(faults)
    for name, value in given.items():
        if name not in hints:
            faults.append(_unknown(f"{path}.{name}", [f"{path}.{one}" for one in hints]))
            continue
        try:
            good[name] = msgspec.convert(value, hints[name])
        except msgspec.ValidationError as error:
            faults.append(f"{path}.{name}: {error}.")
        else:
            if name in own:  # an inherited value is reported where it is set
                beyond += _out_of_range(f"{path}.{name}", good[name], kinds[name])
    if not given.get("image"):
        faults.append(f'{path}.image is missing. Name the image, like "slicerhub/slicer".')
    whole = len(faults) == before
    faults += beyond
    return Profile(id=profile_id, **good) if whole else None


def _build_volumes(raw: object, faults: list[str]) -> tuple[GroupVolume, ...]:
    if not isinstance(raw, dict):
        faults.append("volumes: must be tables like [volumes.atlas].")
        return ()
    volumes: list[GroupVolume] = []
    for name, table in cast("dict[str, Any]", raw).items():
        path = f"volumes.{name}"
        if wrong := _out_of_range(path, name, VolumeName):
            faults += wrong
        elif not isinstance(table, dict):
            faults.append(f"{path}: must be a table.")
        else:
            volumes += _build_volume(name, cast("dict[str, Any]", table), faults)
    return tuple(volumes)


def _build_volume(name: str, table: dict[str, Any], faults: list[str]) -> list[GroupVolume]:
    path = f"volumes.{name}"
    before = len(faults)
    known = ("read", "write")
    for key, value in table.items():
        if key not in known:
            faults.append(_unknown(f"{path}.{key}", [f"{path}.{one}" for one in known]))
            continue
        try:
            msgspec.convert(value, frozenset[str])
        except msgspec.ValidationError as error:
            faults.append(f"{path}.{key}: {error}.")
    if len(faults) > before:
        return []
    volume = msgspec.convert({"name": name} | table, GroupVolume)
    if not volume.read and not volume.write:
        faults.append(f"{path}: nobody can use it. Name groups in read or write.")
    return [volume]


def read_text(path: str) -> str:
    """Read a file of the configuration: the I/O for ``load`` in the real program."""
    return Path(path).read_text(encoding="utf-8")
