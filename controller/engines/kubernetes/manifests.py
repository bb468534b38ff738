"""Objects of Kubernetes for a session: Pod, Service, Traefik's route, NetworkPolicy, claim.

Pure: no client, no clock. The Pod is the session's record: the labels of ``labels``, under the
prefix ``slicerhub/``, are its annotations, because a label's value may hold neither a person's
name nor a time; only what is selected by is a label besides. Everything else is a child of the
Pod and goes with it. Valid from Kubernetes 1.25 to the newest, and with any Traefik v3, which
passes over what it does not know yet.

``restartPolicy`` is Never: a program that ended shows why it ended, instead of beginning anew
without what was in it, and looking as if nothing had happened. There is no readiness probe: the
controller sees through Traefik whether a session is served, and a probe would take a session
that computes, and therefore answers late, away from the person who waits for it. Processes
cannot be limited by a Pod: ``pids`` of a profile has no effect here, the kubelet's podPidsLimit
holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.core import labels
from controller.core.labels import key
from controller.core.model import (
    Egress,
    Profile,
    Session,
    SessionId,
    UserId,
    group_volume_name,
    object_name,
    slug,
    volume_name,
)
from controller.engines.environment import GROUPS_FOLDER, environment
from controller.rules import cookies, routes
from controller.settings.schema import Settings

Body = dict[str, Any]  # an object of the engine's API, as JSON

CONTAINER = "session"
"""Name of the one container in a session's Pod."""

STOP_SECONDS = 10  # the engine's own grace when it evicts by itself

_TMP_MIB = 1024  # of /tmp, in memory

_TRAEFIK = "traefik.io/v1alpha1"

# What a client says in these about itself is not known to be true, and Traefik removes only their
# X-Forwarded-* sisters. An empty value removes a header; with Docker the entry point does that.
EDGE: Mapping[str, str] = {
    "Forwarded": "",
    "X-Original-Url": "",
    "X-Rewrite-Url": "",
    "X-Http-Method-Override": "",
    # Programs behind other log-ins believe these.
    "X-Forwarded-User": "",
    "Remote-User": "",
    "X-Remote-User": "",
    "X-Auth-Request-User": "",
}

STS_SECONDS = 31_536_000  # a year; sent on HTTPS alone

_DNS_PORT = 53


INSTANCE = key(labels.INSTANCE)

SESSION = key(labels.SESSION)

OWNER_SLUG = "slicerhub/owner-slug"


def record(session: Session, instance: str) -> dict[str, str]:
    """Return the whole record of a session."""
    return {key(name): text for name, text in labels.encode(session, instance).items()}


def decode(found: Mapping[str, str]) -> Session:
    """Return the session that a Pod's annotations record. Raises labels.LabelFault."""
    return labels.decode(plain(found))


def plain(found: Mapping[str, str]) -> dict[str, str]:
    """Return those annotations that record a session by the names of ``labels``."""
    prefix = key("slicerhub.")
    return {
        f"slicerhub.{name.removeprefix(prefix)}": text
        for name, text in found.items()
        if name.startswith(prefix)
    }


def selected_by(session: Session, instance: str) -> dict[str, str]:
    """Return the labels of a session's Pod and of its children."""
    return {INSTANCE: instance, SESSION: session.id, OWNER_SLUG: slug(session.owner)}


def pod_name(session: Session, instance: str) -> str:
    """Name of a session's Pod: the same for the same person and name, so it is refused twice."""
    return object_name(instance, session.owner, session.name)


def child_name(instance: str, session_id: SessionId) -> str:
    """Name of what a session's Pod owns, before the parts that tell the kinds apart."""
    return f"{instance}-{session_id}"


def pod(session: Session, profile: Profile, settings: Settings) -> Body:
    """Return a session's Pod. Passes Pod Security ``restricted`` unless the profile does not.

    Memory is set aside whole by default, cores in part: a session that waits for its person needs
    few of them, but what it has loaded stays in memory. /tmp and /dev/shm are memory, too: full,
    they refuse to take more, where a folder on disk would have the Pod evicted.
    """
    name = pod_name(session, settings.instance)
    ours = settings.kubernetes
    spec: Body = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": STOP_SECONDS,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": profile.uid,
            "runAsGroup": profile.uid,
            "fsGroup": profile.uid,
            # Else each start would walk through all of a person's files.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(session, profile, settings)],
        "volumes": _volumes(session, profile, settings),
    }
    if ours.access_mode == "ReadWriteOnce":
        spec["affinity"] = _near_own_files(session, settings.instance)
    if ours.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": secret} for secret in ours.image_pull_secrets]
    if profile.node_selector:
        spec["nodeSelector"] = profile.node_selector
    if profile.tolerations:
        spec["tolerations"] = [_toleration(taint) for taint in profile.tolerations]
    if profile.priority_class:
        spec["priorityClassName"] = profile.priority_class
    if profile.runtime_class:
        spec["runtimeClassName"] = profile.runtime_class
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": ours.namespace,
            "labels": selected_by(session, settings.instance),
            "annotations": record(session, settings.instance),
        },
        "spec": spec,
    }


def _container(session: Session, profile: Profile, settings: Settings) -> Body:
    mounts: list[Body] = [
        {"name": "home", "mountPath": profile.home},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a folder inside the session
        {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108
    ]
    mounts += [
        {
            "name": f"group-{mount.name}",
            "mountPath": f"{GROUPS_FOLDER}/{mount.name}",
            "readOnly": not mount.writable,
        }
        for mount in session.volumes
    ]
    return {
        "name": CONTAINER,
        "image": profile.image,
        "imagePullPolicy": settings.kubernetes.image_pull_policy,
        # Values are taken literally: "$$" stands for "$" in Kubernetes.
        "env": [
            {"name": name, "value": value.replace("$", "$$")}
            for name, value in sorted(environment(session, profile, settings).items())
        ],
        "ports": [{"name": "http", "containerPort": profile.port, "protocol": "TCP"}],
        "resources": _resources(profile),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": profile.read_only,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }


def _resources(profile: Profile) -> Body:
    # An engine takes no cards in part: what is requested of them is what is the limit.
    cards = {"nvidia.com/gpu": str(profile.gpus)} if profile.gpus else {}
    return {
        "limits": {
            "cpu": f"{int(profile.cpus * 1000)}m",
            "memory": f"{profile.memory_mib}Mi",
            **cards,
        },
        "requests": {
            "cpu": f"{int(min(profile.cpus_reserved, profile.cpus) * 1000)}m",
            "memory": f"{profile.memory_reserved_mib or profile.memory_mib}Mi",
            **cards,
        },
    }


def _volumes(session: Session, profile: Profile, settings: Settings) -> list[Body]:
    home = volume_name(settings.instance, session.owner)
    volumes: list[Body] = [
        {"name": "home", "persistentVolumeClaim": {"claimName": home}},
        {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": f"{_TMP_MIB}Mi"}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": f"{profile.shm_mib}Mi"}},
    ]
    volumes += [
        {
            "name": f"group-{mount.name}",
            "persistentVolumeClaim": {"claimName": group_claim_name(mount.name, settings)},
        }
        for mount in session.volumes
    ]
    return volumes


def _near_own_files(session: Session, instance: str) -> Body:
    """Prefer the node of a person's other sessions: their files can be on one node at a time."""
    other = {INSTANCE: instance, OWNER_SLUG: slug(session.owner)}
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": other}}
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}


def _toleration(taint: str) -> Body:
    """``gpu=true:NoSchedule`` as the engine wants it."""
    what, _, effect = taint.rpartition(":")
    name, equals, value = what.partition("=")
    if equals:
        return {"key": name, "operator": "Equal", "value": value, "effect": effect}
    return {"key": name, "operator": "Exists", "effect": effect}


def child_names(
    session_id: SessionId, profile: Profile, settings: Settings
) -> list[tuple[str, str]]:
    """Return (kind, name) of all that a session's Pod owns; see ``children``."""
    name = child_name(settings.instance, session_id)
    return [
        *((kind, name) for kind in ("NetworkPolicy", "Service", "IngressRoute")),
        *(("Middleware", f"{name}-{part}") for part in _parts(profile, settings)),
    ]


def _parts(profile: Profile, settings: Settings) -> tuple[str, ...]:
    """Return what a session's middlewares are called, in the order in which they are asked."""
    strip = ("strip",) if routes.strips_path(profile, settings) else ()
    return ("edge", "auth", *strip)


def children(session: Session, profile: Profile, settings: Settings, *, uid: str) -> list[Body]:
    """Return what belongs to a session's Pod, in the order in which it is made.

    ``uid``: of the Pod. The NetworkPolicy comes first, so that nothing is open before it; the
    IngressRoute last, so that there is never a route whose middlewares are missing (threats.md
    row 46).
    """
    found = [
        _network_policy(session, profile, settings),
        _service(session, profile, settings),
        _edge(session, settings),
        _auth(session, settings),
    ]
    if routes.strips_path(profile, settings):
        found.append(_strip(session, settings))
    found.append(_route(session, profile, settings))
    owner = {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": pod_name(session, settings.instance),
        "uid": uid,
        "controller": True,
        # They go after the Pod and never before: the NetworkPolicy holds to the program's end.
        "blockOwnerDeletion": False,
    }
    for body in found:
        body["metadata"]["ownerReferences"] = [owner]
    return found


def _metadata(session: Session, settings: Settings, *, part: str = "") -> Body:
    name = child_name(settings.instance, session.id)
    return {
        "name": f"{name}-{part}" if part else name,
        "namespace": settings.kubernetes.namespace,
        "labels": selected_by(session, settings.instance),
    }


def _for_traefik(metadata: Body, settings: Settings) -> Body:
    """Add what a Traefik that serves only some routes looks for; nothing of it is typed."""
    ours = settings.kubernetes
    marked = metadata | {"labels": ours.route_labels | metadata["labels"]}
    if ours.ingress_class:
        marked["annotations"] = {"kubernetes.io/ingress.class": ours.ingress_class}
    return marked


def _network_policy(session: Session, profile: Profile, settings: Settings) -> Body:
    """Let Traefik in and, if the profile says so, the session out; nothing else.

    Who has egress reaches names (the cluster's DNS) and the world, but not the private networks
    in which the hub, the engine and other sessions are.
    """
    ours = settings.kubernetes
    traefik = {
        "namespaceSelector": {
            "matchLabels": {"kubernetes.io/metadata.name": ours.traefik_namespace}
        },
        "podSelector": {"matchLabels": ours.traefik_labels},
    }
    egress: list[Body] = []
    if profile.egress is Egress.INTERNET:
        dns = {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
        }
        world = {"cidr": "0.0.0.0/0", "except": list(ours.egress_except)}
        egress = [
            {
                "to": [dns],
                "ports": [{"protocol": one, "port": _DNS_PORT} for one in ("UDP", "TCP")],
            },
            {"to": [{"ipBlock": world}]},
        ]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(session, settings),
        "spec": {
            "podSelector": {"matchLabels": {INSTANCE: settings.instance, SESSION: session.id}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {"from": [traefik], "ports": [{"protocol": "TCP", "port": profile.port}]},
            ],
            "egress": egress,
        },
    }


def _service(session: Session, profile: Profile, settings: Settings) -> Body:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(session, settings),
        "spec": {
            "type": "ClusterIP",
            "selector": {INSTANCE: settings.instance, SESSION: session.id},
            "ports": [
                {"name": "http", "port": profile.port, "targetPort": "http", "protocol": "TCP"}
            ],
        },
    }


def verify_address(session_id: SessionId, verify_url: str) -> str:
    """Return the forwardAuth address of a session.

    One Service with sixteen ports that lead to the same one of the controller is to Traefik what
    sixteen network aliases are with Docker: it keeps two idle connections for each host and port.
    """
    port = str(routes.VERIFY_PORT + routes.verify_alias(session_id))
    return f"{verify_url.replace('{port}', port)}/verify/{session_id}"


def _edge(session: Session, settings: Settings) -> Body:
    return {
        "apiVersion": _TRAEFIK,
        "kind": "Middleware",
        "metadata": _for_traefik(_metadata(session, settings, part="edge"), settings),
        "spec": {"headers": {"customRequestHeaders": dict(EDGE), "stsSeconds": STS_SECONDS}},
    }


def _auth(session: Session, settings: Settings) -> Body:
    return {
        "apiVersion": _TRAEFIK,
        "kind": "Middleware",
        "metadata": _for_traefik(_metadata(session, settings, part="auth"), settings),
        "spec": {
            "forwardAuth": {
                "address": verify_address(session.id, settings.kubernetes.verify_url),
                "trustForwardHeader": False,
                "authRequestHeaders": list(routes.request_headers(settings)),
                "authResponseHeaders": list(routes.AUTH_RESPONSE_HEADERS),
                "addAuthCookiesToResponse": list(cookies.own_cookies(settings)),
                "maxResponseBodySize": routes.MAX_VERIFY_BODY,
            }
        },
    }


def _strip(session: Session, settings: Settings) -> Body:
    return {
        "apiVersion": _TRAEFIK,
        "kind": "Middleware",
        "metadata": _for_traefik(_metadata(session, settings, part="strip"), settings),
        "spec": {"stripPrefix": {"prefixes": [routes.session_path(session.id).rstrip("/")]}},
    }


def _route(session: Session, profile: Profile, settings: Settings) -> Body:
    name = child_name(settings.instance, session.id)
    spec: Body = {
        "entryPoints": [settings.kubernetes.entry_point],
        "routes": [
            {
                "kind": "Rule",
                "match": routes.session_rule(session.id, settings),
                "priority": routes.ROUTER_PRIORITY,
                "middlewares": [{"name": f"{name}-{part}"} for part in _parts(profile, settings)],
                "services": [{"kind": "Service", "name": name, "port": profile.port}],
            }
        ],
    }
    if settings.kubernetes.tls:
        spec["tls"] = {}
    return {
        "apiVersion": _TRAEFIK,
        "kind": "IngressRoute",
        "metadata": _for_traefik(_metadata(session, settings), settings),
        "spec": spec,
    }


def claim(owner: UserId, settings: Settings) -> Body:
    """Return the claim on a person's files; no session owns it."""
    ours = settings.kubernetes
    return _claim(
        volume_name(settings.instance, owner), labels.OWNER, owner, ours.access_mode, settings
    )


def group_claim_name(name: str, settings: Settings) -> str:
    """Name of the claim on a group's files: the site's own if it has one, else the hub's."""
    return settings.kubernetes.claims.get(name) or group_volume_name(settings.instance, name)


def group_claim(name: str, settings: Settings) -> Body:
    """Return the claim on a group's files, which have to be had on many nodes at once."""
    return _claim(
        group_volume_name(settings.instance, name),
        labels.VOLUME,
        name,
        "ReadWriteMany",
        settings,
    )


def _claim(name: str, label: str, whose: str, mode: str, settings: Settings) -> Body:
    ours = settings.kubernetes
    spec: Body = {
        "accessModes": [mode],
        "resources": {"requests": {"storage": ours.storage_size}},
    }
    if ours.storage_class:
        spec["storageClassName"] = ours.storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": name,
            "namespace": ours.namespace,
            "labels": {INSTANCE: settings.instance},
            "annotations": {key(labels.SCHEMA): labels.SCHEMA_VERSION, key(label): whose},
        },
        "spec": spec,
    }
