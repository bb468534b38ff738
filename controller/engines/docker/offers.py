"""What the labels of a container say of the companion that it would be. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from controller.core import labels
from controller.core.model import Offer, Route
from controller.rules import companions

_OURS = (labels.SESSION, labels.OWNER, labels.COMPONENT, labels.VOLUME)

_NAMED = re.compile(r"traefik\.([a-z]+)\.([a-z]+)\.([^.]+)\.(.+)")

_NO_NUMBER = 2**31 - 1  # of a priority: counts as the highest, and is refused like it


def read_offer(found: Mapping[str, str], where: str) -> Offer:
    """Return the offer that a container's labels make. ``where``: the service's name.

    Traefik reads its labels whatever their case, so this does. Names of what is not HTTP carry
    their protocol: ``tcp:database``.
    """
    app = found.get(labels.APP, "")
    names: set[str] = set()
    routers: dict[str, dict[str, str]] = {}
    for label, value in found.items():
        parts = _NAMED.fullmatch(label.lower())
        if parts is None:
            continue
        protocol, kind, name, option = parts.groups()
        names.add(name if protocol == "http" else f"{protocol}:{name}")
        if (protocol, kind) == ("http", "routers"):
            routers.setdefault(name, {})[option] = value
            if option == "service":
                names.add(value.strip())  # which may be somebody else's
    return Offer(
        where=where,
        app=app,
        title=found.get(labels.TITLE, ""),
        groups=found.get(labels.GROUPS, ""),
        routes=tuple(_route(options, app) for _, options in sorted(routers.items())),
        names=frozenset(names),
        claims=tuple(label for label in _OURS if label in found),
    )


def _route(options: Mapping[str, str], app: str) -> Route:
    first = options.get("middlewares", "").partition(",")[0].strip()
    return Route(
        rule=options.get("rule", "").strip(),
        guarded=first == f"{companions.guard_name(app)}@http",
        priority=_priority(options.get("priority", "")),
    )


def _priority(text: str) -> int | None:
    if not text:
        return None
    return int(text) if re.fullmatch(r"-?[0-9]{1,10}", text) else _NO_NUMBER
