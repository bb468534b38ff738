"""What a session's Pod owns: NetworkPolicy, Service, Traefik's middlewares and its route.

Pure, like ``manifests``: no client, no clock. All of it carries the Pod's ownerReference and goes
with the Pod. Valid with any Traefik v3, which passes over what it does not know yet.
"""

from __future__ import annotations

from collections.abc import Mapping

from controller.core.model import Egress, Profile, Session, SessionId
from controller.engines.kubernetes.manifests import INSTANCE, SESSION, Body, pod_name, selected_by
from controller.rules import cookies, routes
from controller.settings.schema import Settings

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


def child_name(instance: str, session_id: SessionId) -> str:
    """Name of what a session's Pod owns, before the parts that tell the kinds apart."""
    return f"{instance}-{session_id}"


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
