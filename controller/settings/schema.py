"""Settings of the hub: their names, types and defaults."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from controller.core.model import GroupVolume, Profile

PATH_MODE = "path"
"""The session domain of those who have one host name and no more."""

PATH_MODE_SHARING = "people who open a shared session trust its owner"
"""What an administrator accepts who lets sessions be shared in path mode: the page of a session
has the hub's own origin there, and whoever opens it lets it act in their name."""

SHARED_ROUND_MOST = 30
"""Seconds between two rounds of controllers that share their records, at most: in each they tell
each other what was used."""


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
    # one and the same port of the controller: see rules.routes.VERIFY_ALIASES for why.
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
