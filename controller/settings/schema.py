"""Settings of the hub: their names, types, ranges, defaults and meanings.

What a setting means, in which unit and why, stands below it: ``slicerhub settings --markdown``
writes the guide's reference from it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from controller.core.kinds import (
    MaybeObject,
    NotNegative,
    NotNegativeReal,
    ObjectName,
    Port,
    Positive,
    Secret,
    text_like,
)
from controller.core.model import GroupVolume, Profile

PATH_MODE = "path"
"""The session domain of those who have one host name and no more."""

PATH_MODE_SHARING = "people who open a shared session trust its owner"
"""What an administrator accepts who lets sessions be shared in path mode: the page of a session
has the hub's own origin there, and whoever opens it lets it act in their name."""

SHARED_ROUND_MOST = 30
"""Seconds between two rounds of controllers that share their records, at most: in each they tell
each other what was used."""


Instance = Annotated[
    str,
    text_like(
        r"[a-z][a-z0-9-]{0,15}",
        "a letter, then `a-z0-9-`, 16 characters at most",
        "{value} must begin with a letter and have a-z, 0-9 and '-' only, 16 characters at most.",
    ),
]

LdapUrl = Annotated[
    str,
    text_like(
        r"(?:ldaps?://[A-Za-z0-9.\-]+(?::[0-9]{1,5})?/?)?",
        "like `ldaps://ldap.example.org:636`",
        "{value} must be like ldaps://ldap.example.org:636.",
    ),
]

VerifyUrl = Annotated[
    str,
    text_like(
        r"https?://[A-Za-z0-9.-]+(?::(?:\{port\}|[0-9]{1,5}))?",
        "an address without a path",
        "{value} must be like http://slicerhub-verify.slicerhub.svc:{port}, without a path.",
    ),
]

StorageSize = Annotated[
    str,
    text_like(r"[1-9][0-9]*(?:[KMGTPE]i?)?", "like `10Gi`", "{value} must be like 10Gi."),
]

Device = Annotated[  # an index, a UUID, a MIG or CDI name
    str,
    text_like(
        r"[A-Za-z0-9][A-Za-z0-9_.:/=-]{0,127}",
        "an index or a UUID",
        "{value} is no device. Write its index or its UUID.",
    ),
]


class Ldap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where people log in. Either `user_dn_template`, or `search_base` with a filter."""

    url: LdapUrl = ""
    """`ldaps://host:636`, or `ldap://host:389` with `start_tls`."""
    start_tls: bool = False
    """Encrypt a connection to `ldap://` by StartTLS."""
    allow_plaintext: bool = False
    """For a test only: `ldap://` without StartTLS sends passwords in the clear."""
    ca_file: str = ""
    """PEM file of the authorities that sign its certificate; empty: the system's."""
    user_dn_template: str = ""
    """Binds directly as the person: `uid={username},ou=people,dc=example,dc=org`."""
    search_base: str = ""
    """Searches below it for the person first, then binds as whom it found."""
    search_filter: str = "(uid={username})"
    """What the search asks for; `{username}` stands in it once."""
    bind_dn: str = ""
    """Service account for the search; empty: anonymous."""
    bind_password: Secret = ""
    """Password of the service account."""
    uid_attribute: str = "uid"
    """Attribute that names a person."""
    name_attribute: str = "displayName"
    """Attribute that is shown as a person's name."""
    group_base: str = ""
    """Where groups are searched for; empty: only the person's own `memberOf` is read."""
    allowed_groups: frozenset[str] = frozenset()
    """`cn` of each group that may log in; empty: everyone with an account."""
    admin_group: str = ""
    """`cn` of the administrators' group; empty: there are none."""
    connect_seconds: Positive = 3
    """Seconds for a connection: a directory that is away holds people up no longer."""
    receive_seconds: Positive = 5
    """Seconds for each answer of the directory."""
    max_connections: Positive = 8
    """Threads that may wait for the directory at once."""

    def __repr__(self) -> str:
        """Say where, never the password."""
        return f"Ldap(url={self.url!r})"


class Docker(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The engine and what the hub may take of it."""

    host: str = "unix:///var/run/docker.sock"
    """Where the engine listens: `unix://` or `tcp://`."""
    timeout_seconds: Positive = 30
    """Seconds for each answer of the engine."""
    network_pool: str = "10.231.0.0/16"
    """Subnets of the sessions' networks come from here."""
    network_prefix: int = 28
    """Of each subnet: 28 leaves 14 addresses, and room for 4096 sessions in a /16."""
    registry_auth_file: str = ""
    """Path of a file like Docker's `config.json`; of it, `auths` is read."""
    registry_silence_seconds: Positive = 120
    """Seconds after which a registry that sends nothing is given up."""


class Kubernetes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The cluster, and how sessions stand in it."""

    namespace: ObjectName = "slicerhub-sessions"
    """Of the sessions, and of nothing else."""
    apps_namespace: MaybeObject = ""
    """Of companions' IngressRoutes; empty: there are none."""
    hub_namespace: MaybeObject = ""
    """Of the hub's own objects; empty: the controller's."""
    kubeconfig: str = ""
    """Path; empty: the controller runs in the cluster itself."""
    context: str = ""
    """Of the kubeconfig; empty: its current one."""
    timeout_seconds: Positive = 15
    """Seconds for each answer of the cluster."""
    force_seconds: Positive = 60
    """Seconds; a stop that outlasts its grace by so much is forced: the machine is lost."""
    verify_url: VerifyUrl = "http://slicerhub-verify.slicerhub.svc:{port}"
    """The controller's Service as Traefik reaches it. `{port}` stands for 8001 to 8016, which lead
    to one and the same port of the controller: Traefik keeps only two connections for each."""
    entry_point: ObjectName = "web"
    """Traefik's, for sessions."""
    tls: bool = False
    """Sessions ask for TLS, where the entry point does not bring it by itself."""
    ingress_class: MaybeObject = ""
    """Of the Traefik that serves the hub, if it looks for one."""
    route_labels: dict[str, str] = {}
    """Labels on what Traefik reads, if it selects by labels."""
    traefik_namespace: ObjectName = "traefik"
    """Sessions are reached from there only."""
    traefik_labels: dict[str, str] = msgspec.field(
        default_factory=lambda: {"app.kubernetes.io/name": "traefik"}
    )
    """Sessions are reached by Pods with these labels only."""
    egress_except: tuple[str, ...] = (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "168.63.129.16/32",  # what Azure tells its machines, which is in no private network
        "169.254.0.0/16",  # the metadata of cloud machines
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
    )
    """What even sessions with egress may not reach: private networks and metadata of clouds."""
    storage_class: MaybeObject = ""
    """Of people's files; empty: the cluster's default."""
    storage_size: StorageSize = "10Gi"
    """Of each person's files."""
    access_mode: Literal["ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"] = "ReadWriteOnce"
    """Of each person's files: from how many machines at once."""
    claims: dict[str, ObjectName] = {}
    """A group volume's name, and a claim that is there already."""
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    """When a machine fetches the image of a session."""
    image_pull_secrets: tuple[ObjectName, ...] = ()
    """Secrets with the accounts of registries."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many sessions there may be."""

    sessions_per_user: Positive = 3
    """Sessions of one person at the same time."""
    people: dict[str, Positive] = {}
    """User names, and another number than that for each."""
    sessions_total: Positive = 50
    """Sessions of all people together."""
    gpus: tuple[Device, ...] = ()
    """Devices to lease; empty: the engine gives what it likes."""
    groups: dict[str, Positive] = {}
    """Groups of the directory, and how many sessions all members of each may have together."""
    cpus: NotNegativeReal = 0.0
    """Cores of all sessions together; 0: without limit."""
    memory_mib: NotNegative = 0
    """MiB of all sessions together; 0: without limit."""


class Login(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a log-in lasts and how many failures are borne."""

    hours: Positive = 12
    """Hours that a log-in lasts."""
    attempts_per_user: Positive = 5
    """Failures of one name from one address before it is throttled."""
    attempts_per_address: Positive = 30
    """Failures of one address before it is throttled, whatever the name."""
    attempts_seconds: Positive = 300
    """Seconds for which failures count."""


class AuditLog(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file for the record of acts, besides standard output."""

    file: str = ""
    """Path; empty: none."""
    max_mib: Positive = 64
    """MiB; a full one is put aside as `<file>.1`, the one before as `<file>.2`, and so on."""
    keep: Positive = 10
    """Files put aside; the oldest is removed."""


class Admin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What administrators may do."""

    may_look: bool = False
    """Into people's sessions; the owner is always told."""
    look_minutes: Positive = 30
    """Minutes that such a look lasts."""
    extend_hours: Positive = 168
    """Hours by which a session's lifetime may be extended, all in all."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be configured."""

    instance: Instance = "slicerhub"
    """Tells two hubs on one engine apart."""
    public_url: str = "http://localhost:8080"
    """What people type, without a path."""
    extra_urls: tuple[str, ...] = ()
    """Further addresses of the same entry point."""
    session_domain: str = ""
    """Sessions are at `<id>.<this>`. Empty: below the host name of `public_url`, if it has one.
    `path`: at `<public_url>/s/<id>/`, all on one origin with the hub."""
    path_mode_sharing: str = ""
    """`people who open a shared session trust its owner`, word for word, allows sharing in path
    mode; empty: nobody shares there."""
    orchestrator: Literal["docker", "kubernetes", "memory"] = "docker"
    """What runs sessions; `memory` only pretends to."""
    store: Literal["sqlite", "kubernetes"] = "sqlite"
    """Where log-ins and invitations are kept. On Kubernetes several controllers may share them."""
    data_dir: str = "/data"
    """Folder of the keys, and of the store if that is a file."""
    gateway_url: str = "http://traefik:8080"
    """Traefik as the controller reaches it."""
    gateway_ca_file: str = ""
    """PEM file of an authority that signs its certificate, besides the system's; for https only."""
    organisation: str = ""
    """Stands on the log-in page."""
    help_line: str = ""
    """Whom to ask; stands on the log-in page."""
    demo_directory: str = ""
    """Address of the demo directory: while `ldap.url` is this, its passwords are shown."""
    demo_bind_dn: str = ""
    """The hub's account in the demo directory."""
    demo_bind_password: Secret = ""
    """Password of that account."""
    listen: str = "0.0.0.0"  # noqa: S104 - what reaches the container is the network's matter
    """Address that the controller listens on."""
    public_port: Port = 8000
    """Port for people and scripts, by way of Traefik."""
    private_port: Port = 8001
    """Port for Traefik's questions, health and metrics."""
    idle_seconds: NotNegative = 1800
    """Seconds without use after which a session is stopped, for profiles that do not say; 0:
    never."""
    warning_seconds: NotNegative = 300
    """Seconds between the warning in a session and its stop."""
    ahead_seconds: NotNegative = 600
    """Seconds that a session which was started at log-in waits for its owner."""
    directory_seconds: Positive = 300
    """Seconds between two looks whether people may still use the hub."""
    departed_seconds: NotNegative = 3600
    """Seconds that the sessions of those who may not any more run on."""
    failed_seconds: NotNegative = 600
    """Seconds for which a failed session can be read about."""
    housekeeping_seconds: Positive = 10
    """Seconds between two rounds of housekeeping; with `store = "kubernetes"` 30 at most, since
    controllers tell each other in each what was used."""
    leave_seconds: NotNegative = 0
    """Seconds that one of several controllers says that it ends, and answers as before."""
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


@lru_cache  # verify asks for it at every request
def _domain_of(session_domain: str, public_url: str) -> str:
    if session_domain == PATH_MODE:
        return ""
    host = urlsplit(public_url).hostname or ""
    return session_domain.lower() or ("" if is_address(host) else host)


def is_address(host: str) -> bool:
    """Tell whether a host is a number: such has no names below it."""
    last = host.rpartition(".")[2]
    return not last or last.isdigit()  # what browsers go by (URL standard, "ends in a number")
