"""What an IngressRoute of Traefik's offers as a companion of the hub.

Pure. The labels of a companion are annotations here, under the prefix ``slicerhub/``. Names for
Traefik need no look: on Kubernetes it makes them from the namespace and the object's own.
"""

from __future__ import annotations

import msgspec

from controller.core import labels
from controller.core.model import Offer, Route
from controller.engines.kubernetes.answers import Metadata
from controller.rules import companions

_OURS = (labels.SESSION, labels.OWNER, labels.PROFILE, labels.COMPONENT)


class MiddlewareRef(msgspec.Struct, frozen=True):
    """A middleware by its name; of another provider with ``@`` and that one's."""

    name: str
    namespace: str = ""


class Rule(msgspec.Struct, frozen=True):
    """One route of an IngressRoute."""

    match: str = ""
    priority: int = 0  # 0: by the rule's length
    middlewares: tuple[MiddlewareRef, ...] | None = None


class Spec(msgspec.Struct, frozen=True):
    """What is routed."""

    routes: tuple[Rule, ...] | None = None


class IngressRoute(msgspec.Struct, frozen=True):
    """An IngressRoute, as far as it matters to the hub."""

    metadata: Metadata
    spec: Spec = Spec()


def read_offer(found: IngressRoute, namespace: str) -> Offer | None:
    """Return what an IngressRoute offers; None if it does not ask for the hub's log-in."""
    said = found.metadata.annotations or {}
    app = said.get(labels.key(labels.APP))
    if app is None:
        return None
    marked = said | (found.metadata.labels or {})
    return Offer(
        where=f"{namespace}/{found.metadata.name}",
        app=app,
        title=said.get(labels.key(labels.TITLE), ""),
        groups=said.get(labels.key(labels.GROUPS), ""),
        routes=tuple(_route(one, app) for one in found.spec.routes or ()),
        claims=tuple(labels.key(one) for one in _OURS if labels.key(one) in marked),
    )


def _route(rule: Rule, app: str) -> Route:
    first = next(iter(rule.middlewares or ()), None)
    return Route(
        rule=rule.match.strip(),
        guarded=first == MiddlewareRef(f"{companions.guard_name(app)}@http"),
        priority=rule.priority or None,
    )
