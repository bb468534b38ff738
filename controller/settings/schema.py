"""Settings of the hub: their names, types, ranges, defaults and meanings.

The text below a setting says what it means, in which unit and why. ``slicerhub settings
--markdown`` writes the guide's reference from these texts.
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
"""The session domain of a hub that has only one host name."""

PATH_MODE_SHARING = "people who open a shared session trust its owner"
"""What an administrator accepts to allow sharing in path mode: a session's page has the hub's own
origin there, so it can act as the person who opens it."""

SHARED_ROUND_MOST = 30
"""The most seconds between two rounds of controllers that share their records: once a round they
tell each other which sessions are used."""


Instance = Annotated[
    str,
    text_like(
        r"[a-z][a-z0-9-]{0,15}",
        "a letter, then `a-z0-9-`, 16 characters at most",
        "{value} must begin with a letter and have only a-z, 0-9 and '-', at most 16 characters.",
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
        "{value} is not a device. Write its index or its UUID.",
    ),
]


class Ldap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The directory of user accounts. Set `user_dn_template`, or `search_base` with a filter."""

    url: LdapUrl = ""
    """`ldaps://host:636`, or `ldap://host:389` with `start_tls`."""
    start_tls: bool = False
    """Encrypt a connection to `ldap://` by StartTLS."""
    allow_plaintext: bool = False
    """For a test only: `ldap://` without StartTLS sends passwords in the clear."""
    ca_file: str = ""
    """PEM file of the authorities that sign the directory's certificate; empty: the system's."""
    user_dn_template: str = ""
    """DN of a person, to bind with directly: `uid={username},ou=people,dc=example,dc=org`."""
    search_base: str = ""
    """The hub searches below it for the person, and binds with the DN that it finds."""
    search_filter: str = "(uid={username})"
    """Filter of the search; it contains `{username}` once."""
    bind_dn: str = ""
    """Service account for the search; empty: anonymous."""
    bind_password: Secret = ""
    """Password of the service account."""
    uid_attribute: str = "uid"
    """Attribute with a person's user name."""
    name_attribute: str = "displayName"
    """Attribute with the name that the pages show."""
    group_base: str = ""
    """The hub searches below it for groups; empty: it reads only the person's `memberOf`."""
    allowed_groups: frozenset[str] = frozenset()
    """`cn` of each group whose members may log in; empty: everybody with an account."""
    admin_group: str = ""
    """`cn` of the administrators' group; empty: there are none."""
    connect_seconds: Positive = 3
    """Seconds to wait for a connection; people who log in wait no longer."""
    receive_seconds: Positive = 5
    """Seconds to wait for each answer of the directory."""
    max_connections: Positive = 8
    """Most connections to the directory at the same time."""

    def __repr__(self) -> str:
        """Show the address, never the password."""
        return f"Ldap(url={self.url!r})"


class Docker(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The Docker engine, its networks and registries."""

    host: str = "unix:///var/run/docker.sock"
    """Address of the engine: `unix://` or `tcp://`."""
    timeout_seconds: Positive = 30
    """Seconds to wait for each answer of the engine."""
    network_pool: str = "10.231.0.0/16"
    """Address range from which each session's network gets its subnet."""
    network_prefix: int = 28
    """Prefix length of each subnet: 28 gives 14 addresses, and 4096 sessions in a /16."""
    registry_auth_file: str = ""
    """Path of a file like Docker's `config.json`; the hub reads its `auths`."""
    registry_silence_seconds: Positive = 120
    """Seconds after which the hub gives up on a registry that sends nothing."""


class Kubernetes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The cluster, and the objects of sessions in it."""

    namespace: ObjectName = "slicerhub-sessions"
    """Namespace of the sessions, and of nothing else."""
    apps_namespace: MaybeObject = ""
    """Namespace of companions' IngressRoutes; empty: there are no companions."""
    hub_namespace: MaybeObject = ""
    """Namespace of the hub's own objects; empty: the controller's."""
    kubeconfig: str = ""
    """Path of a kubeconfig; empty: the controller runs in the cluster."""
    context: str = ""
    """Context of the kubeconfig; empty: its current one."""
    timeout_seconds: Positive = 15
    """Seconds to wait for each answer of the cluster."""
    force_seconds: Positive = 60
    """Seconds beyond its grace period after which a stop is forced, because the node is lost."""
    verify_url: VerifyUrl = "http://slicerhub-verify.slicerhub.svc:{port}"
    """Address of the gates' Service for Traefik. `{port}` is 8001 to 8016, which all lead to the
    same port of the gates, because Traefik keeps only two connections for each."""
    entry_point: ObjectName = "web"
    """Traefik's entry point for sessions."""
    tls: bool = False
    """Whether routes of sessions ask for TLS; needed where the entry point does not set it."""
    ingress_class: MaybeObject = ""
    """Ingress class of the Traefik that serves the hub, if it selects by class."""
    route_labels: dict[str, str] = {}
    """Labels on the routes for Traefik, if it selects by labels."""
    traefik_namespace: ObjectName = "traefik"
    """Namespace of Traefik; only its Pods can reach sessions."""
    traefik_labels: dict[str, str] = msgspec.field(
        default_factory=lambda: {"app.kubernetes.io/name": "traefik"}
    )
    """Labels of Traefik's Pods; only Pods with these labels can reach sessions."""
    egress_except: tuple[str, ...] = (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "168.63.129.16/32",  # Azure's service for its machines, outside the private networks
        "169.254.0.0/16",  # the metadata of cloud machines
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
    )
    """Networks that sessions with egress cannot reach: private ones and cloud metadata."""
    storage_class: MaybeObject = ""
    """Storage class of people's files; empty: the cluster's default."""
    storage_size: StorageSize = "10Gi"
    """Size of each person's volume."""
    access_mode: Literal["ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"] = "ReadWriteOnce"
    """Access mode of each person's volume: how many nodes can use it at once."""
    claims: dict[str, ObjectName] = {}
    """For a group volume's name, the name of an existing claim to use."""
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    """When a node fetches the image of a session."""
    image_pull_secrets: tuple[ObjectName, ...] = ()
    """Secrets with passwords for registries."""


class Gates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Gates: processes of their own that answer Traefik's questions."""

    folder: str = ""
    """Folder that the controller shares with the gates, for what proves them to each other. If this
    and `secret` are empty, there are no gates, and the controller itself answers Traefik."""
    secret: MaybeObject = ""
    """Name of the Secret, in the hub's own namespace, that the controllers share with their gates
    on a cluster, in place of a folder."""
    port: Port = 8002
    """Port at which gates follow the controller."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many sessions there may be, and what they may use together."""

    sessions_per_user: Positive = 3
    """Sessions of one person at the same time."""
    people: dict[str, Positive] = {}
    """Other numbers for single people, by user name."""
    sessions_total: Positive = 50
    """Sessions of all people together."""
    gpus: tuple[Device, ...] = ()
    """Graphics cards that the hub assigns to sessions; empty: the engine chooses."""
    groups: dict[str, Positive] = {}
    """Sessions that all members of a group of the directory may have together, by group."""
    cpus: NotNegativeReal = 0.0
    """CPU cores of all sessions together; 0: no limit."""
    memory_mib: NotNegative = 0
    """Memory of all sessions together, in MiB; 0: no limit."""


class Login(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a log-in lasts, and how many failed attempts are allowed."""

    hours: Positive = 12
    """Hours for which a log-in is valid."""
    attempts_per_user: Positive = 5
    """Failures of one name from one address after which its attempts are refused."""
    attempts_per_address: Positive = 30
    """Failures from one address, with any name, after which its attempts are refused."""
    attempts_seconds: Positive = 300
    """Seconds for which failures count."""


class AuditLog(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file for the audit log, in addition to standard output."""

    file: str = ""
    """Path of the file; empty: none."""
    max_mib: Positive = 64
    """Size in MiB at which the file is renamed to `<file>.1`, the one before to `<file>.2`, ..."""
    keep: Positive = 10
    """Number of renamed files to keep; the oldest is removed."""


class Admin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What administrators may do."""

    may_look: bool = False
    """Whether administrators may look into people's sessions; the owner is always told."""
    look_minutes: Positive = 30
    """Minutes for which an administrator may look into a session."""
    extend_hours: Positive = 168
    """Most hours by which a session's lifetime can be extended in total."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be configured."""

    instance: Instance = "slicerhub"
    """Name of the hub; it distinguishes two hubs on one engine."""
    public_url: str = "http://localhost:8080"
    """Address that people type, without a path."""
    extra_urls: tuple[str, ...] = ()
    """Further addresses of the same entry point."""
    session_domain: str = ""
    """Domain of sessions, which are at `<id>.<domain>`; empty: the host name of `public_url`, if it
    has one. `path`: sessions are at `<public_url>/s/<id>/`, on the hub's own origin."""
    path_mode_sharing: str = ""
    """The exact words `people who open a shared session trust its owner` allow sharing in path
    mode; empty: no sharing there."""
    orchestrator: Literal["docker", "kubernetes", "memory"] = "docker"
    """What runs sessions; `memory` only simulates them."""
    store: Literal["sqlite", "kubernetes"] = "sqlite"
    """Where the hub keeps log-ins and invitations. With `kubernetes` controllers share them."""
    data_dir: str = "/data"
    """Folder of the keys, and of the store if it is a file."""
    gateway_url: str = "http://traefik:8080"
    """Address of Traefik for the controller."""
    gateway_ca_file: str = ""
    """PEM file of an authority for Traefik's certificate, besides the system's; only for https."""
    organisation: str = ""
    """Name of your organisation, on the log-in page."""
    help_line: str = ""
    """Whom people can ask for help, on the log-in page."""
    demo_directory: str = ""
    """Address of the demo directory: while `ldap.url` is this, the log-in page shows passwords."""
    demo_bind_dn: str = ""
    """The hub's account in the demo directory."""
    demo_bind_password: Secret = ""
    """Password of the hub's account in the demo directory."""
    listen: str = "0.0.0.0"  # noqa: S104 - the container's networks decide what reaches it
    """Address on which the controller listens."""
    public_port: Port = 8000
    """Port for people and scripts, who come through Traefik."""
    private_port: Port = 8001
    """Port for Traefik's questions, health and metrics."""
    idle_seconds: NotNegative = 1800
    """Seconds without use after which a session is stopped, for profiles without a value; 0:
    never."""
    warning_seconds: NotNegative = 300
    """Seconds between the warning in a session and its stop."""
    ahead_seconds: NotNegative = 600
    """Seconds for which a session that was started at log-in waits for its owner."""
    directory_seconds: Positive = 300
    """Seconds between two checks in the directory that people may still use the hub."""
    departed_seconds: NotNegative = 3600
    """Seconds after which sessions of people who may no longer use the hub are stopped."""
    failed_seconds: NotNegative = 600
    """Seconds for which a failed session stays on its owner's page."""
    housekeeping_seconds: Positive = 10
    """Seconds between two rounds of housekeeping; at most 30 with `store = "kubernetes"`, because
    controllers tell each other once a round which sessions are used."""
    leave_seconds: NotNegative = 0
    """Seconds for which one of several controllers goes on answering after it is told to end."""
    ldap: Ldap = Ldap()
    docker: Docker = Docker()
    kubernetes: Kubernetes = Kubernetes()
    gates: Gates = Gates()
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
        """Whether people use HTTPS: cookies are then Secure and named ``__Host-``."""
        return self.public_url.startswith("https://")

    @property
    def demo(self) -> bool:
        """Whether people log in with the demo directory, whose passwords everybody knows."""
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
    """Tell whether a host is an IP address, which has no names below it."""
    last = host.rpartition(".")[2]
    return not last or last.isdigit()  # what browsers go by (URL standard, "ends in a number")
