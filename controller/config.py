"""Settings of the hub: one TOML file and/or ``SLICERHUB_*`` variables, decoded strictly.

A variable is named after its place: ``[ldap] url`` is ``SLICERHUB_LDAP_URL``; it wins over the
file. Lists are comma separated in variables. For every text there is a twin with ``_FILE`` (or
``_file``) behind its name, which names a file that holds the value: for secrets. An empty
variable is an unset one. Profiles and group volumes stand in the file only, as
``[profiles.<id>]`` and ``[volumes.<name>]``. Every fault is reported, not only the first.
"""

from __future__ import annotations

import difflib
import ipaddress
import math
import re
import tomllib
import typing
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import urlsplit

import msgspec

from controller import __version__
from controller.core.errors import ConfigError
from controller.core.model import GroupVolume, Profile, canonical_uid, parse_session_id

PREFIX = "SLICERHUB_"

FILE_VARIABLE = "SLICERHUB_CONFIG"
"""Names the TOML file."""

PATH_MODE = "path"
"""The session domain of those who have one host name and no more."""

PATH_MODE_SHARING = "people who open a shared session trust its owner"
"""What an administrator accepts who lets sessions be shared in path mode: the page of a session
has the hub's own origin there, and whoever opens it lets it act in their name."""

ReadFile = Callable[[str], str]

SHARED_ROUND_MOST = 30
"""Seconds between two rounds of controllers that share their records, at most: in each they tell
each other what was used."""

_PORTS = range(1, 65536)

_DOMAIN_MAX = 226  # characters: with a session's 26 and a dot before it, 253

_TABLES = {"profiles", "volumes"}  # in the file only, as [profiles.<id>] and [volumes.<name>]

_ID = re.compile(r"[a-z][a-z0-9-]{0,31}")

# Names as Kubernetes wants them: DNS names, labels, quantities.
_OBJECT = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?")

_LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")

_LABEL_KEY = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
)

_TAINT = re.compile(
    rf"{_LABEL_KEY.pattern}(?:={_LABEL_VALUE.pattern})?:(?:NoSchedule|PreferNoSchedule|NoExecute)"
)

_QUANTITY = re.compile(r"[1-9][0-9]*(?:[KMGTPE]i?)?")

_VERIFY_URL = re.compile(r"https?://[A-Za-z0-9.-]+(?::(?:\{port\}|[0-9]{1,5}))?")

_NAME = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"  # one part of a host name

_DOMAIN = re.compile(rf"{_NAME}(?:\.{_NAME})*")

_GPU = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/=-]{0,127}")  # an index, a UUID, a MIG or CDI name


class Ldap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where people log in. Either ``user_dn_template``, or ``search_base`` with a filter."""

    url: str = ""  # ldaps://host:636, or ldap://host:389 with start_tls
    start_tls: bool = False
    allow_plaintext: bool = False  # ldap:// without StartTLS sends passwords in the clear
    ca_file: str = ""  # PEM; empty: the system's authorities
    user_dn_template: str = ""  # uid={username},ou=people,dc=example,dc=org
    search_base: str = ""
    search_filter: str = "(uid={username})"
    bind_dn: str = ""  # service account for the search; empty: anonymous
    bind_password: str = ""
    uid_attribute: str = "uid"
    name_attribute: str = "displayName"
    group_base: str = ""  # empty: only the person's own memberOf is read
    allowed_groups: frozenset[str] = frozenset()  # cn of each; empty: everyone with an account
    admin_group: str = ""
    connect_seconds: int = 3  # threats.md row 26
    receive_seconds: int = 5
    max_connections: int = 8  # threads that may wait for the directory at once

    def __repr__(self) -> str:
        """Say where, never the password."""
        return f"Ldap(url={self.url!r})"


class Docker(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The engine and what the hub may take of it."""

    host: str = "unix:///var/run/docker.sock"
    timeout_seconds: int = 30
    network_pool: str = "10.231.0.0/16"  # subnets of the sessions' networks come from here
    network_prefix: int = 28  # of each: 14 addresses; 4096 sessions in a /16
    registry_auth_file: str = ""  # like Docker's config.json; of it, ``auths`` is read
    registry_silence_seconds: int = 120  # a registry that sends nothing for so long is given up


class Kubernetes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The cluster, and how sessions stand in it."""

    namespace: str = "slicerhub-sessions"  # of the sessions, and of nothing else
    apps_namespace: str = ""  # of companions' IngressRoutes; empty: there are none
    hub_namespace: str = ""  # of the hub's own objects; empty: the controller's
    kubeconfig: str = ""  # path; empty: the controller runs in the cluster itself
    context: str = ""  # of the kubeconfig; empty: its current one
    timeout_seconds: int = 15
    force_seconds: int = 60  # a stop that outlasts its grace by so much is forced: a lost machine
    # The controller's Service as Traefik reaches it. {port} stands for 8001 to 8016, which lead to
    # one and the same port of the controller: see routing.VERIFY_ALIASES for why.
    verify_url: str = "http://slicerhub-verify.slicerhub.svc:{port}"
    entry_point: str = "web"  # Traefik's, for sessions
    tls: bool = False  # where the entry point does not bring TLS by itself
    ingress_class: str = ""  # of the Traefik that serves the hub, if it looks for one
    route_labels: dict[str, str] = {}  # on what Traefik reads, if it selects by labels
    traefik_namespace: str = "traefik"  # sessions are reached from there only
    traefik_labels: dict[str, str] = msgspec.field(  # and by these Pods
        default_factory=lambda: {"app.kubernetes.io/name": "traefik"}
    )
    egress_except: tuple[str, ...] = (  # what even sessions with egress may not reach
        "10.0.0.0/8",
        "100.64.0.0/10",
        "168.63.129.16/32",  # what Azure tells its machines, which is in no private network
        "169.254.0.0/16",  # the metadata of cloud machines
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
    )
    storage_class: str = ""  # of people's files; empty: the cluster's default
    storage_size: str = "10Gi"
    access_mode: Literal["ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"] = "ReadWriteOnce"
    claims: dict[str, str] = {}  # a group volume's name -> a claim that is there already
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many sessions there may be."""

    sessions_per_user: int = 3
    people: dict[str, int] = {}  # user name -> another number than that
    sessions_total: int = 50
    gpus: tuple[str, ...] = ()  # devices to lease; empty: the engine gives what it likes
    groups: dict[str, int] = {}  # sessions of all members of an LDAP group together
    cpus: float = 0.0  # cores of all sessions together; 0: without limit
    memory_mib: int = 0  # the same


class Login(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a log-in lasts and how many failures are borne."""

    hours: int = 12
    attempts_per_user: int = 5  # failures of one name from one address before it is throttled
    attempts_per_address: int = 30  # failures of one address, whatever the name
    attempts_seconds: int = 300  # for which failures count


class AuditLog(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file for the record of acts, besides standard output."""

    file: str = ""  # path; empty: none
    max_mib: int = 64  # a full one is put aside as <file>.1, the one before as <file>.2, ...
    keep: int = 10  # files put aside; the oldest is removed


class Admin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What administrators may do."""

    may_look: bool = False  # into people's sessions; the owner is always told
    look_minutes: int = 30  # that such a look lasts
    extend_hours: int = 168  # by which a session's lifetime may be extended, all in all


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be configured."""

    instance: str = "slicerhub"  # tells two hubs on one engine apart
    public_url: str = "http://localhost:8080"  # what people type
    extra_urls: tuple[str, ...] = ()  # further addresses of the same entry point
    # Sessions are at <id>.<this>. Empty: below public_url's own host name, if it has one. "path":
    # at public_url/s/<id>/, all on one origin with the hub.
    session_domain: str = ""
    path_mode_sharing: str = ""  # PATH_MODE_SHARING, word for word; empty: nobody shares there
    orchestrator: Literal["docker", "kubernetes", "memory"] = "docker"
    # Where log-ins and invitations are kept. On Kubernetes several controllers may share them.
    store: Literal["sqlite", "kubernetes"] = "sqlite"
    data_dir: str = "/data"  # keys and store, if that is a file
    gateway_url: str = "http://traefik:8080"  # Traefik as the controller reaches it
    gateway_ca_file: str = ""  # PEM, besides the system's authorities; for https only
    organisation: str = ""  # stands on the log-in page
    help_line: str = ""  # whom to ask
    demo_directory: str = ""  # its address: while ldap.url is this, its passwords are shown
    demo_bind_dn: str = ""  # the hub's account in it
    demo_bind_password: str = ""
    listen: str = "0.0.0.0"  # noqa: S104 - what reaches the container is the network's matter
    public_port: int = 8000
    private_port: int = 8001
    idle_seconds: int = 1800  # for profiles that do not say
    warning_seconds: int = 300  # between the warning in a session and its stop
    ahead_seconds: int = 600  # a session started at log-in waits so long for its owner
    directory_seconds: int = 300  # between two looks whether people may still use the hub
    departed_seconds: int = 3600  # sessions of those who may not any more run on for so long
    failed_seconds: int = 600  # a failed session can be read about for so long
    housekeeping_seconds: int = 10
    leave_seconds: int = 0  # of several controllers: one that ends says so first, for so long
    ldap: Ldap = Ldap()
    docker: Docker = Docker()
    kubernetes: Kubernetes = Kubernetes()
    limits: Limits = Limits()
    login: Login = Login()
    audit: AuditLog = AuditLog()
    admin: Admin = Admin()
    profiles: tuple[Profile, ...] = ()
    volumes: tuple[GroupVolume, ...] = ()

    @property
    def urls(self) -> tuple[str, ...]:
        """All addresses of the public entry point, the canonical one first."""
        return (self.public_url, *self.extra_urls)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Host names (without port) that the hub answers to."""
        return tuple(dict.fromkeys(urlsplit(url).hostname or "" for url in self.urls))

    @property
    def sessions_at(self) -> str:
        """Domain below which each session has a host of its own; empty: path mode."""
        return _domain_of(self.session_domain, self.public_url)

    @property
    def sharing(self) -> bool:
        """Whether sessions may be shown to others."""
        return bool(self.sessions_at) or self.path_mode_sharing == PATH_MODE_SHARING

    @property
    def secure(self) -> bool:
        """Whether people come by HTTPS: cookies are then Secure and named ``__Host-``."""
        return self.public_url.startswith("https://")

    @property
    def demo(self) -> bool:
        """Whether people log in by the demo directory, whose passwords everybody knows."""
        return bool(self.demo_directory) and self.ldap.url == self.demo_directory

    def profile(self, profile_id: str) -> Profile | None:
        """Return the profile of that id, or None."""
        return next((one for one in self.profiles if one.id == profile_id), None)


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

# Names of the program that this one succeeds -> ours; None: nothing to set any more.
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
    places = _places()
    values: dict[str, Any] = {}
    _flatten(tree, places, values, faults)
    values.update(_upstream(environ, notices))
    values.update(_variables(environ, places, faults))
    _resolve_files(values, places, read_file, faults)
    settings = _build(values, places, faults)
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
    faults.extend(_cross_check(settings, "ldap.url" in values))
    if faults:
        raise ConfigError(faults)
    return settings, notices


def _people(said: Mapping[str, int], faults: list[str]) -> dict[str, int]:
    """Return the numbers of people by the one spelling of their names that the hub goes by."""
    spellings: dict[str, str] = {}
    for name in said:
        first = spellings.setdefault(canonical_uid(name), name)
        if first != name:
            faults.append(
                f"limits.people: {first!r} and {name!r} are one person in two spellings. Keep one."
            )
    return {uid: said[name] for uid, name in spellings.items()}


def _places() -> dict[str, Any]:
    """Every setting's place -> its type: ``{"instance": str, "ldap.url": str, …}``."""
    places: dict[str, Any] = {}
    for name, kind in typing.get_type_hints(Settings).items():
        if name in _TABLES:
            continue
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            inner = typing.get_type_hints(kind)
            places |= {f"{name}.{key}": inner[key] for key in kind.__struct_fields__}
        else:
            places[name] = kind
    return places


def variable_of(place: str) -> str:
    """``ldap.url`` -> ``SLICERHUB_LDAP_URL``."""
    return PREFIX + place.replace(".", "_").upper()


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
    tree: dict[str, Any], places: dict[str, Any], values: dict[str, Any], faults: list[str]
) -> None:
    for key, value in tree.items():
        if isinstance(value, dict) and any(place.startswith(f"{key}.") for place in places):
            inner = cast("dict[str, Any]", value)
            found: dict[str, Any] = {f"{key}.{name}": item for name, item in inner.items()}
        else:
            found = {key: value}
        for place, item in found.items():
            if place in places or _file_twin(place, places):
                values[place] = item
            else:
                faults.append(_unknown(place, list(places)))


def _file_twin(place: str, places: dict[str, Any]) -> str | None:
    base = place.removesuffix("_file")
    return base if base != place and places.get(base) is str else None


def _unknown(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {close[0]}?" if close else "Remove it."
    return f"{name}: no such setting. {hint}"


def _upstream(environ: Mapping[str, str], notices: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, place in _UPSTREAM.items():
        if not environ.get(name) or name in {"DOMAIN", "PORT"}:
            continue
        if place is None:
            notices.append(f"{name} has no effect: every session has a network of its own.")
        else:
            values[place] = environ[name]
            notices.append(f"{name} is understood; its name here is {variable_of(place)}.")
    if environ.get("DOMAIN"):
        port = environ.get("PORT", "")
        values["public_url"] = f"http://{environ['DOMAIN']}" + (f":{port}" if port else "")
        notices.append(
            f"DOMAIN and PORT are understood; their name here is {variable_of('public_url')}."
        )
    return values


def _variables(
    environ: Mapping[str, str], places: dict[str, Any], faults: list[str]
) -> dict[str, Any]:
    by_variable = {variable_of(place): place for place in places}
    by_variable |= {
        f"{variable}_FILE": f"{place}_file"
        for variable, place in tuple(by_variable.items())
        if places[place] is str and f"{variable}_FILE" not in by_variable
    }
    values: dict[str, Any] = {}
    for name, text in environ.items():
        if not name.startswith(PREFIX) or name == FILE_VARIABLE or not text:
            continue  # Compose hands on unset variables as empty ones
        if place := by_variable.get(name):
            values[place] = _split(text, places.get(place, str))
        else:
            faults.append(_unknown(name, list(by_variable)))
    return values


def _split(text: str, kind: object) -> object:
    """Turn a comma separated variable into a list where the setting is one."""
    if typing.get_origin(kind) in {tuple, frozenset}:
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _resolve_files(
    values: dict[str, Any], places: dict[str, Any], read_file: ReadFile, faults: list[str]
) -> None:
    for place in [one for one in values if one not in places]:
        base = _file_twin(place, places)
        path = values.pop(place)
        if base is None or not isinstance(path, str):
            faults.append(f"{place}: must be the path of a file.")
            continue
        try:
            values[base] = read_file(path).rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            faults.append(f"{place}: {path} cannot be read ({error}). Correct the path.")


def _build(values: dict[str, Any], places: dict[str, Any], faults: list[str]) -> Settings:
    good: dict[str, Any] = {}
    for place, value in values.items():
        try:
            good[place] = msgspec.convert(value, places[place], strict=False)
        except msgspec.ValidationError as error:
            faults.append(f"{place} ({variable_of(place)}): {error}.")
    top = {place: value for place, value in good.items() if "." not in place}
    for section, kind in (
        ("ldap", Ldap),
        ("docker", Docker),
        ("kubernetes", Kubernetes),
        ("limits", Limits),
        ("login", Login),
        ("audit", AuditLog),
        ("admin", Admin),
    ):
        inner = {
            place.partition(".")[2]: value
            for place, value in good.items()
            if place.startswith(f"{section}.")
        }
        top[section] = kind(**inner)
    return Settings(**top)


def _build_profiles(raw: object, idle_seconds: int, faults: list[str]) -> tuple[Profile, ...]:
    if not isinstance(raw, dict):
        faults.append("profiles: must be tables like [profiles.slicer].")
        return ()
    tables = cast("dict[str, Any]", raw)
    profiles: list[Profile] = []
    for profile_id, table in tables.items():
        if not _ID.fullmatch(profile_id):
            faults.append(
                f"profiles.{profile_id}: an id has a-z, 0-9 and '-' only, 32 characters at most."
            )
            continue
        profile = _build_profile(profile_id, table, idle_seconds, faults)
        if profile is not None:
            profiles.append(profile)
    return tuple(profiles) or (msgspec.structs.replace(SLICER, idle_seconds=idle_seconds),)


def _build_profile(
    profile_id: str, table: object, idle_seconds: int, faults: list[str]
) -> Profile | None:
    place = f"profiles.{profile_id}"
    if not isinstance(table, dict):
        faults.append(f"{place}: must be a table.")
        return None
    given = {"title": profile_id, "idle_seconds": idle_seconds} | cast("dict[str, Any]", table)
    hints = typing.get_type_hints(Profile)
    del hints["id"]  # the table's own name
    before = len(faults)
    for name, value in given.items():
        if name not in hints:
            faults.append(_unknown(f"{place}.{name}", [f"{place}.{one}" for one in hints]))
            continue
        try:
            msgspec.convert(value, hints[name])
        except msgspec.ValidationError as error:
            faults.append(f"{place}.{name}: {error}.")
    if not given.get("image"):
        faults.append(f'{place}.image is missing. Name the image, like "slicerhub/slicer".')
    good = len(faults) == before
    return msgspec.convert({"id": profile_id} | given, Profile) if good else None


def _build_volumes(raw: object, faults: list[str]) -> tuple[GroupVolume, ...]:
    if not isinstance(raw, dict):
        faults.append("volumes: must be tables like [volumes.atlas].")
        return ()
    volumes: list[GroupVolume] = []
    for name, table in cast("dict[str, Any]", raw).items():
        place = f"volumes.{name}"
        if not _ID.fullmatch(name):
            faults.append(f"{place}: a name has a-z, 0-9 and '-' only, 32 characters at most.")
        elif not isinstance(table, dict):
            faults.append(f"{place}: must be a table.")
        else:
            volumes += _build_volume(name, cast("dict[str, Any]", table), faults)
    return tuple(volumes)


def _build_volume(name: str, table: dict[str, Any], faults: list[str]) -> list[GroupVolume]:
    place = f"volumes.{name}"
    before = len(faults)
    known = ("read", "write")
    for key, value in table.items():
        if key not in known:
            faults.append(_unknown(f"{place}.{key}", [f"{place}.{one}" for one in known]))
            continue
        try:
            msgspec.convert(value, frozenset[str])
        except msgspec.ValidationError as error:
            faults.append(f"{place}.{key}: {error}.")
    if len(faults) > before:
        return []
    volume = msgspec.convert({"name": name} | table, GroupVolume)
    if not volume.read and not volume.write:
        faults.append(f"{place}: nobody could use it. Name groups in read or write.")
    return [volume]


def _cross_check(settings: Settings, ldap_configured: bool) -> list[str]:
    faults = [*_check_addresses(settings), *_check_numbers(settings), *_check_names(settings)]
    if settings.store == "kubernetes" and settings.orchestrator != "kubernetes":
        faults.append(
            "store (SLICERHUB_STORE): kubernetes needs orchestrator = kubernetes. Say sqlite."
        )
    if settings.store == "kubernetes" and settings.housekeeping_seconds > SHARED_ROUND_MOST:
        faults.append(
            f"housekeeping_seconds: {SHARED_ROUND_MOST} at most with store = kubernetes. In each "
            "round controllers tell each other what was used; too late, it would be stopped."
        )
    cluster = settings.kubernetes
    if settings.store == "kubernetes" and cluster.kubeconfig and not cluster.hub_namespace:
        faults.append(
            "kubernetes.hub_namespace (SLICERHUB_KUBERNETES_HUB_NAMESPACE): outside the cluster "
            "it must be named."
        )
    faults += _check_kubernetes(settings)
    for one in settings.profiles:
        faults += _check_on_kubernetes(one)
    if ldap_configured or settings.orchestrator != "memory":
        faults += _check_ldap(settings.ldap)
    faults += [
        f"limits.groups: {group!r} cannot be counted: its name must have no comma."
        for group in settings.limits.groups
        if not group or "," in group
    ]
    for name, most in (("cpus", settings.limits.cpus), ("memory_mib", settings.limits.memory_mib)):
        faults += [
            f"profiles.{one.id}.{name}: more than limits.{name} allows for all together; lower it, "
            "or raise the limit."
            for one in settings.profiles
            if 0 < most < getattr(one, name)
        ]
    defaults = [one.id for one in settings.profiles if one.default]
    if len(defaults) > 1:
        faults.append(f"profiles: only one may be the default, not {', '.join(defaults)}.")
    return faults


def _check_addresses(settings: Settings) -> list[str]:
    faults: list[str] = []
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,15}", settings.instance):
        faults.append(
            f"instance: {settings.instance!r} must begin with a letter and have a-z, 0-9 and "
            "'-' only, 16 characters at most."
        )
    for place, url in (
        *(("public_url", url) for url in (settings.public_url,)),
        *(("extra_urls", url) for url in settings.extra_urls),
        ("gateway_url", settings.gateway_url),
    ):
        found = re.fullmatch(r"https?://[A-Za-z0-9.\-]+(?::([0-9]{1,5}))?", url)
        if found is None or int(found[1] or 1) not in _PORTS:
            faults.append(
                f"{place}: {url!r} must be like https://slicer.example.org, without a path."
            )
    faults += _check_session_domain(settings)
    try:
        pool = ipaddress.IPv4Network(settings.docker.network_pool)
    except ValueError as error:
        faults.append(f"docker.network_pool: {error}. Write it like 10.231.0.0/16.")
    else:
        if not pool.prefixlen <= settings.docker.network_prefix <= pool.max_prefixlen - 2:
            faults.append(
                f"docker.network_prefix: /{settings.docker.network_prefix} does not fit into "
                f"{pool}; 28 is usual."
            )
    return faults


@lru_cache  # verify asks for it at every request
def _domain_of(session_domain: str, public_url: str) -> str:
    if session_domain == PATH_MODE:
        return ""
    host = urlsplit(public_url).hostname or ""
    return session_domain.lower() or ("" if _is_address(host) else host)


def _is_address(host: str) -> bool:
    """Tell whether a host is a number: such has no names below it."""
    last = host.rpartition(".")[2]
    return not last or last.isdigit()  # what browsers go by (URL standard, "ends in a number")


def _check_session_domain(settings: Settings) -> list[str]:
    faults: list[str] = []
    place = "session_domain (SLICERHUB_SESSION_DOMAIN)"
    domain = settings.session_domain.lower()
    if domain and (not _DOMAIN.fullmatch(domain) or len(domain) > _DOMAIN_MAX):
        faults.append(
            f"{place}: {settings.session_domain!r} must be a host name like "
            f'sessions.example.org, without a port, or "{PATH_MODE}".'
        )
    elif domain != PATH_MODE and domain and _is_address(domain):
        faults.append(
            f"{place}: {domain} is an address, and addresses have no names below them. Name a "
            f'domain, or set it to "{PATH_MODE}".'
        )
    faults += [
        f"{place}: {host}, the hub's own, would be the name of a session. Name another domain."
        for host in settings.hosts
        if settings.sessions_at
        and parse_session_id(host.removesuffix(f".{settings.sessions_at}")) is not None
    ]
    if settings.path_mode_sharing not in {"", PATH_MODE_SHARING}:
        faults.append(
            "path_mode_sharing (SLICERHUB_PATH_MODE_SHARING): leave it empty, or accept the risk "
            f'in these words: "{PATH_MODE_SHARING}".'
        )
    return faults


def _check_numbers(settings: Settings) -> list[str]:
    positive: dict[str, float] = {
        "limits.sessions_per_user": settings.limits.sessions_per_user,
        "limits.sessions_total": settings.limits.sessions_total,
        "login.hours": settings.login.hours,
        "login.attempts_seconds": settings.login.attempts_seconds,
        "login.attempts_per_user": settings.login.attempts_per_user,
        "login.attempts_per_address": settings.login.attempts_per_address,
        "housekeeping_seconds": settings.housekeeping_seconds,
        "directory_seconds": settings.directory_seconds,
        "docker.timeout_seconds": settings.docker.timeout_seconds,
        "docker.registry_silence_seconds": settings.docker.registry_silence_seconds,
        "ldap.connect_seconds": settings.ldap.connect_seconds,
        "ldap.receive_seconds": settings.ldap.receive_seconds,
        "ldap.max_connections": settings.ldap.max_connections,
        "audit.max_mib": settings.audit.max_mib,
        "audit.keep": settings.audit.keep,
        "admin.look_minutes": settings.admin.look_minutes,
        "admin.extend_hours": settings.admin.extend_hours,
    }
    positive |= {f"limits.groups.{name}": most for name, most in settings.limits.groups.items()}
    positive |= {f"limits.people.{name}": most for name, most in settings.limits.people.items()}
    not_negative: dict[str, float] = {
        "failed_seconds": settings.failed_seconds,
        "warning_seconds": settings.warning_seconds,
        "ahead_seconds": settings.ahead_seconds,
        "departed_seconds": settings.departed_seconds,
        "leave_seconds": settings.leave_seconds,
        "limits.cpus": settings.limits.cpus,
        "limits.memory_mib": settings.limits.memory_mib,
    }
    ports = {"public_port": settings.public_port, "private_port": settings.private_port}
    for one in settings.profiles:
        place = f"profiles.{one.id}"
        positive |= {
            f"{place}.cpus": one.cpus,
            f"{place}.memory_mib": one.memory_mib,
            f"{place}.shm_mib": one.shm_mib,
            f"{place}.pids": one.pids,
            f"{place}.start_seconds": one.start_seconds,
        }
        not_negative |= {
            f"{place}.idle_seconds": one.idle_seconds,
            f"{place}.lifetime_seconds": one.lifetime_seconds,
            f"{place}.max_sessions": one.max_sessions,
            f"{place}.gpus": one.gpus,
            f"{place}.busy_cpu_percent": one.busy_cpu_percent,
        }
        ports[f"{place}.port"] = one.port
    faults = [
        f"{place}: must be more than 0."
        for place, value in positive.items()
        if not 0 < value < math.inf
    ]
    faults += [f"{place}: must be 0 or more." for place, value in not_negative.items() if value < 0]
    faults += [
        f"{place}: must be a port, 1 to 65535."
        for place, value in ports.items()
        if value not in _PORTS
    ]
    faults += [
        f"profiles.{one.id}.uid: 0 is root; name another."
        for one in settings.profiles
        if one.uid <= 0
    ]
    faults += [
        f"profiles.{one.id}.{name}: must begin with '/'."
        for one in settings.profiles
        for name, path in (("home", one.home), ("ready_path", one.ready_path))
        if not path.startswith("/")
    ]
    return faults


def _check_names(settings: Settings) -> list[str]:
    names = {one.name for one in settings.volumes}
    gpus = settings.limits.gpus
    faults = [
        f"profiles.{profile.id}.volumes: there is no [volumes.{name}]. Add it, or remove the name."
        for profile in settings.profiles
        for name in profile.volumes
        if name not in names
    ]
    faults += [
        f"profiles.{one.id}.home: /groups is where its volumes are mounted. Name another folder."
        for one in settings.profiles
        if one.volumes and f"{one.home}/".startswith("/groups/")
    ]
    faults += [
        f"limits.gpus: {gpu!r} is no device. Write its index or its UUID."
        for gpu in gpus
        if not _GPU.fullmatch(gpu)
    ]
    if len(set(gpus)) < len(gpus):
        faults.append("limits.gpus: a device stands there twice.")
    faults += [
        f"profiles.{one.id}.gpus: {one.gpus} are more than the {len(gpus)} of limits.gpus."
        for one in settings.profiles
        if gpus and one.gpus > len(gpus)
    ]
    return faults


def _check_kubernetes(settings: Settings) -> list[str]:
    ours = settings.kubernetes
    names = {
        "namespace": (ours.namespace,),
        "entry_point": (ours.entry_point,),
        "traefik_namespace": (ours.traefik_namespace,),
        "image_pull_secrets": ours.image_pull_secrets,
        "claims": tuple(ours.claims.values()),
        "apps_namespace": (ours.apps_namespace,) if ours.apps_namespace else (),
        "hub_namespace": (ours.hub_namespace,) if ours.hub_namespace else (),
        "ingress_class": (ours.ingress_class,) if ours.ingress_class else (),
        "storage_class": (ours.storage_class,) if ours.storage_class else (),
    }
    faults = [
        f"kubernetes.{place}: {name!r} is no name of an object: a-z, 0-9, '-' and '.' only."
        for place, found in names.items()
        for name in found
        if not _OBJECT.fullmatch(name)
    ]
    faults += _check_labels("kubernetes.route_labels", ours.route_labels)
    faults += _check_labels("kubernetes.traefik_labels", ours.traefik_labels)
    faults += [
        f"kubernetes.claims: there is no [volumes.{name}]. Add it, or remove the name."
        for name in ours.claims
        if name not in {one.name for one in settings.volumes}
    ]
    if not _VERIFY_URL.fullmatch(ours.verify_url):
        faults.append(
            f"kubernetes.verify_url: {ours.verify_url!r} must be like "
            "http://slicerhub-verify.slicerhub.svc:{port}, without a path."
        )
    if not _QUANTITY.fullmatch(ours.storage_size):
        faults.append(f"kubernetes.storage_size: {ours.storage_size!r} must be like 10Gi.")
    for place, seconds in (("timeout", ours.timeout_seconds), ("force", ours.force_seconds)):
        if seconds <= 0:
            faults.append(f"kubernetes.{place}_seconds: must be more than 0.")
    for subnet in ours.egress_except:
        try:
            ipaddress.IPv4Network(subnet)
        except ValueError as error:
            faults.append(f"kubernetes.egress_except: {error}. Write it like 10.0.0.0/8.")
    return faults


def _check_on_kubernetes(profile: Profile) -> list[str]:
    place = f"profiles.{profile.id}"
    faults = _check_labels(f"{place}.node_selector", profile.node_selector)
    if not 0 < profile.cpus_reserved < math.inf:
        faults.append(f"{place}.cpus_reserved: must be more than 0.")
    if not 0 <= profile.memory_reserved_mib <= max(profile.memory_mib, 0):
        faults.append(f"{place}.memory_reserved_mib: must be 0, or memory_mib at most.")
    faults += [
        f"{place}.tolerations: {taint!r} must be like gpu=true:NoSchedule or gpu:NoSchedule."
        for taint in profile.tolerations
        if not _TAINT.fullmatch(taint)
    ]
    faults += [
        f"{place}.{field}: {name!r} is no name of an object: a-z, 0-9, '-' and '.' only."
        for field, name in (
            ("priority_class", profile.priority_class),
            ("runtime_class", profile.runtime_class),
        )
        if name and not _OBJECT.fullmatch(name)
    ]
    return faults


def _check_labels(place: str, found: dict[str, str]) -> list[str]:
    return [
        f"{place}: {key!r} = {value!r} is no label of Kubernetes."
        for key, value in found.items()
        if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value)
    ]


def _check_ldap(ldap: Ldap) -> list[str]:
    if not ldap.url:
        return ["ldap.url (SLICERHUB_LDAP_URL) is missing. Write it like ldaps://ldap.example.org."]
    faults: list[str] = []
    if not re.fullmatch(r"ldaps?://[A-Za-z0-9.\-]+(:[0-9]{1,5})?/?", ldap.url):
        faults.append(f"ldap.url: {ldap.url!r} must be like ldaps://ldap.example.org:636.")
    elif ldap.url.startswith("ldap://") and not (ldap.start_tls or ldap.allow_plaintext):
        faults.append(
            "ldap.url: ldap:// would send passwords in the clear. Use ldaps://, or set "
            "ldap.start_tls; for a test only, ldap.allow_plaintext."
        )
    if ldap.url.startswith("ldaps://") and ldap.start_tls:
        faults.append("ldap.start_tls: ldaps:// is encrypted already; remove one of them.")
    if bool(ldap.user_dn_template) == bool(ldap.search_base):
        faults.append(
            "ldap: set either user_dn_template (like uid={username},ou=people,dc=example,dc=org) "
            "or search_base, not both and not neither."
        )
    faults += [
        f"ldap.{name}: {{username}} must stand in it exactly once."
        for name, text in (
            ("user_dn_template", ldap.user_dn_template),
            ("search_filter", ldap.search_filter),
        )
        if text and text.count("{username}") != 1
    ]
    if ldap.bind_password and not ldap.bind_dn:
        faults.append("ldap.bind_dn is missing: bind_password is given. Name the account.")
    return faults


def read_text(path: str) -> str:
    """Read a file of the configuration: the I/O that ``load`` is given in the real program."""
    return Path(path).read_text(encoding="utf-8")
