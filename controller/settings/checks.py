"""Checks rules between settings; each fault is a sentence that says what to do. Pure.

It also checks texts for which a pattern is not enough. Ranges are at the fields themselves.
"""

from __future__ import annotations

import ipaddress
import re

from controller.core.kinds import LABEL_KEY, LABEL_VALUE
from controller.core.model import Profile, parse_session_id
from controller.settings.schema import (
    PATH_MODE,
    PATH_MODE_SHARING,
    SHARED_ROUND_MOST,
    Ldap,
    Settings,
    is_address,
)

_PORTS = range(1, 65536)

_DOMAIN_MAX = 226  # characters: with a session's 26 and a dot before it, 253

_LABEL_KEY = re.compile(LABEL_KEY)

_LABEL_VALUE = re.compile(LABEL_VALUE)

_NAME = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"  # one part of a host name

_DOMAIN = re.compile(rf"{_NAME}(?:\.{_NAME})*")


def faults_of(settings: Settings, ldap_configured: bool) -> list[str]:
    """Return every fault as a sentence. ``ldap_configured``: a directory is configured."""
    faults = [*_check_addresses(settings), *_check_names(settings)]
    if settings.store == "kubernetes" and settings.orchestrator != "kubernetes":
        faults.append(
            "store (SLICERHUB_STORE): kubernetes needs orchestrator = kubernetes. Use sqlite."
        )
    if settings.store == "kubernetes" and settings.housekeeping_seconds > SHARED_ROUND_MOST:
        faults.append(
            f"housekeeping_seconds: at most {SHARED_ROUND_MOST} with store = kubernetes. Once a "
            "round, controllers tell each other which sessions are used; with longer rounds a "
            "session in use could be stopped."
        )
    faults += _check_gates(settings)
    cluster = settings.kubernetes
    in_cluster = settings.store == "kubernetes" or settings.gates.secret
    if in_cluster and cluster.kubeconfig and not cluster.hub_namespace:
        faults.append(
            "kubernetes.hub_namespace (SLICERHUB_KUBERNETES_HUB_NAMESPACE) is missing. A "
            "controller outside the cluster needs it."
        )
    faults += _check_kubernetes(settings)
    for one in settings.profiles:
        faults += _check_on_kubernetes(one)
    if ldap_configured or settings.orchestrator != "memory":
        faults += _check_ldap(settings.ldap)
    faults += [
        f"limits.groups: {group!r} cannot be counted. Its name must not have a comma."
        for group in settings.limits.groups
        if not group or "," in group
    ]
    for name, most in (("cpus", settings.limits.cpus), ("memory_mib", settings.limits.memory_mib)):
        faults += [
            f"profiles.{one.id}.{name}: more than limits.{name}, for all sessions. Lower it, "
            "or raise the limit."
            for one in settings.profiles
            if 0 < most < getattr(one, name)
        ]
    defaults = [one.id for one in settings.profiles if one.default]
    if len(defaults) > 1:
        faults.append(f"profiles: only one may be the default, not {', '.join(defaults)}.")
    return faults


def _check_gates(settings: Settings) -> list[str]:
    faults: list[str] = []
    if settings.gates.secret and settings.gates.folder:
        faults.append(
            "gates.secret (SLICERHUB_GATES_SECRET): gates.folder is set, too. Keep the Secret on a "
            "cluster, otherwise the folder."
        )
    if settings.gates.secret and settings.orchestrator != "kubernetes":
        faults.append(
            "gates.secret (SLICERHUB_GATES_SECRET): needs orchestrator = kubernetes. Use "
            "gates.folder."
        )
    return faults


def _check_addresses(settings: Settings) -> list[str]:
    faults: list[str] = []
    for path, url in (
        *(("public_url", url) for url in (settings.public_url,)),
        *(("extra_urls", url) for url in settings.extra_urls),
        ("gateway_url", settings.gateway_url),
    ):
        found = re.fullmatch(r"https?://[A-Za-z0-9.\-]+(?::([0-9]{1,5}))?", url)
        if found is None or int(found[1] or 1) not in _PORTS:
            faults.append(
                f"{path}: {url!r} must be like https://slicer.example.org, without a path."
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


def _check_session_domain(settings: Settings) -> list[str]:
    faults: list[str] = []
    path = "session_domain (SLICERHUB_SESSION_DOMAIN)"
    domain = settings.session_domain.lower()
    if domain and (not _DOMAIN.fullmatch(domain) or len(domain) > _DOMAIN_MAX):
        faults.append(
            f"{path}: {settings.session_domain!r} must be a host name like "
            f'sessions.example.org, without a port, or "{PATH_MODE}".'
        )
    elif domain != PATH_MODE and domain and is_address(domain):
        faults.append(
            f"{path}: {domain} is an IP address, which has no names below it. Name a domain, or "
            f'set it to "{PATH_MODE}".'
        )
    faults += [
        f"{path}: {host}, the hub's own, would be the name of a session. Name another domain."
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
    if len(set(gpus)) < len(gpus):
        faults.append("limits.gpus: a device is listed twice.")
    faults += [
        f"profiles.{one.id}.gpus: {one.gpus} is more than the {len(gpus)} of limits.gpus."
        for one in settings.profiles
        if gpus and one.gpus > len(gpus)
    ]
    return faults


def _check_kubernetes(settings: Settings) -> list[str]:
    ours = settings.kubernetes
    faults = _check_labels("kubernetes.route_labels", ours.route_labels)
    faults += _check_labels("kubernetes.traefik_labels", ours.traefik_labels)
    faults += [
        f"kubernetes.claims: there is no [volumes.{name}]. Add it, or remove the name."
        for name in ours.claims
        if name not in {one.name for one in settings.volumes}
    ]
    for subnet in ours.egress_except:
        try:
            ipaddress.IPv4Network(subnet)
        except ValueError as error:
            faults.append(f"kubernetes.egress_except: {error}. Write it like 10.0.0.0/8.")
    return faults


def _check_on_kubernetes(profile: Profile) -> list[str]:
    path = f"profiles.{profile.id}"
    faults = _check_labels(f"{path}.node_selector", profile.node_selector)
    if profile.memory_reserved_mib > max(profile.memory_mib, 0):
        faults.append(f"{path}.memory_reserved_mib: must be 0, or at most memory_mib.")
    return faults


def _check_labels(path: str, found: dict[str, str]) -> list[str]:
    return [
        f"{path}: {key!r} = {value!r} is not a valid label of Kubernetes."
        for key, value in found.items()
        if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value)
    ]


def _check_ldap(ldap: Ldap) -> list[str]:
    if not ldap.url:
        return ["ldap.url (SLICERHUB_LDAP_URL) is missing. Write it like ldaps://ldap.example.org."]
    faults: list[str] = []
    if ldap.url.startswith("ldap://") and not (ldap.start_tls or ldap.allow_plaintext):
        faults.append(
            "ldap.url: ldap:// would send passwords in the clear. Use ldaps://, or set "
            "ldap.start_tls; for a test only, ldap.allow_plaintext."
        )
    if ldap.url.startswith("ldaps://") and ldap.start_tls:
        faults.append("ldap.start_tls: ldaps:// is already encrypted. Remove one of them.")
    if bool(ldap.user_dn_template) == bool(ldap.search_base):
        faults.append(
            "ldap: set either user_dn_template (like uid={username},ou=people,dc=example,dc=org) "
            "or search_base: one of them, not both."
        )
    faults += [
        f"ldap.{name}: it must contain {{username}} exactly once."
        for name, text in (
            ("user_dn_template", ldap.user_dn_template),
            ("search_filter", ldap.search_filter),
        )
        if text and text.count("{username}") != 1
    ]
    if ldap.bind_password and not ldap.bind_dn:
        faults.append("ldap.bind_dn is missing, but bind_password is set. Name the account.")
    return faults
