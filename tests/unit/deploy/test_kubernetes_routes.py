"""What a cluster's Traefik is given: the same routes and limits as on one server, and no more."""

from __future__ import annotations

import re

import yaml

from controller.engines.kubernetes.children import EDGE, STS_SECONDS
from controller.rules import routes
from tests.support.manifests import FOLDER, Body, only, read
from tests.unit.deploy.builds import BUILDS, ROOT, hub_of_one_server, settings_of


def test_every_address_of_verify_leads_to_gates(build: list[Body]) -> None:
    """Each port at which a session's Traefik may ask is there, and none leads to the pages."""
    spec = only(build, "Service", "slicerhub-verify")["spec"]
    assert spec["selector"]["app.kubernetes.io/component"] == "gate"
    ports = spec["ports"]
    wanted = range(routes.VERIFY_PORT, routes.VERIFY_PORT + routes.VERIFY_ALIASES)
    assert [one["port"] for one in ports] == list(wanted)
    assert {one["targetPort"] for one in ports} == {"private"}


def test_the_private_port_has_no_route(build: list[Body]) -> None:
    """Traefik serves pages and API of the hub, and nothing else of it."""
    routes = [one for one in build if one["kind"] == "IngressRoute"]
    services = [
        (service["name"], service["port"])
        for one in routes
        for rule in one["spec"]["routes"]
        for service in rule["services"]
    ]
    assert set(services) == {("slicerhub", 8000)}


def test_codes_of_links_are_not_written_down(build: list[Body]) -> None:
    """The address that ends in a link's code leaves no line in Traefik's access log."""
    pages, links, *_ = only(build, "IngressRoute", "slicerhub")["spec"]["routes"]
    assert links["observability"] == {"accessLogs": False}
    assert links["priority"] > pages["priority"]
    assert links["services"] == pages["services"]


def test_hosts_of_sessions_come_before_companions(build: list[Body]) -> None:
    """Nothing of a site's own is served at a session's host, and sessions are: as on one server."""
    for route in only(build, "IngressRoute", "slicerhub")["spec"]["routes"][2:]:
        assert route["priority"] == routes.PLACES_PRIORITY < routes.ROUTER_PRIORITY
    text = (ROOT / "traefik/dynamic/hub.yml").read_text()
    places = re.search(r"^    places:\n(?:      .*\n)+", text, re.MULTILINE)
    assert places is not None
    assert f"priority: {routes.PLACES_PRIORITY}\n" in places[0]


def named(route: Body) -> list[str]:
    """Return what a route goes through, as it is called on one server, which has one controller."""
    names = [one["name"].removeprefix("slicerhub-") for one in route["middlewares"]]
    return [one for one in names if one != "again"]


def limits_of_one_server() -> Body:
    """Return what Traefik reads of limits.yml in the Docker stack, for the host ``HUB``."""
    text = (ROOT / "traefik/dynamic/limits.yml").read_text()
    text = re.sub(r"\{\{ mul (\d+) \$factor \}\}", r"\1", text)
    text = text.replace('{{ template "hub" $hosts }}', "HUB")
    return yaml.safe_load(re.sub(r"^\{\{.*\}\}$", "", text, flags=re.MULTILINE))["http"]


def test_limits_are_those_of_one_server(build: list[Body]) -> None:
    """One address may ask as much of what costs as it may of the Docker stack, and no more."""
    server = limits_of_one_server()
    for name, middleware in server["middlewares"].items():
        assert only(build, "Middleware", f"slicerhub-{name}")["spec"] == middleware
    ours = only(build, "IngressRoute", "slicerhub-limits")["spec"]
    pages = only(build, "IngressRoute", "slicerhub")["spec"]
    assert ours["entryPoints"] == pages["entryPoints"]
    assert ours.get("tls") == pages.get("tls")
    hub = pages["routes"][0]["match"]
    for route, theirs in zip(ours["routes"], server["routers"].values(), strict=True):
        assert route["match"] == theirs["rule"].replace("HUB", hub)
        assert route["priority"] == theirs["priority"]
        assert named(route) == ["edge", *theirs["middlewares"]]
        assert route["services"] == pages["routes"][0]["services"]
    served = hub_of_one_server()["routers"]
    for route, theirs in zip(
        pages["routes"], (served["hub"], served["join"], served["places"]), strict=False
    ):
        assert named(route) == ["edge", *theirs["middlewares"]]


def test_what_may_be_repeated_is(build: list[Body]) -> None:
    """Where one controller may go and another stay, what only reads is asked for again."""
    for name in ("slicerhub", "slicerhub-limits"):
        for route in only(build, "IngressRoute", name)["spec"]["routes"]:
            again = "slicerhub-again" in {one["name"] for one in route["middlewares"]}
            changes = "Method(`POST`)" in route["match"] or "!(Method(`GET`)" in route["match"]
            joins = "&& PathPrefix(`/join/`)" in route["match"]
            assert again is not (changes or joins), route["match"]


def test_each_limit_is_of_one_address() -> None:
    """A client that reaches a limit delays only itself, and every way to the hub has one."""
    limits = limits_of_one_server()
    kinds = {
        name: (kind, how)
        for name, middleware in limits["middlewares"].items()
        for kind, how in middleware.items()
    }
    for kind, how in kinds.values():
        if kind in {"rateLimit", "inFlightReq"}:
            assert how["sourceCriterion"] == {"ipStrategy": {"ipv6Subnet": 64}}
    for router in (*limits["routers"].values(), *hub_of_one_server()["routers"].values()):
        assert "rateLimit" in [kinds[one][0] for one in router["middlewares"]]


def test_a_log_in_is_under_way_once_it_has_come_in_whole() -> None:
    """Half-sent bodies take no place among the log-ins, and there are few of one address."""
    for router in limits_of_one_server()["routers"].values():
        chain = router["middlewares"]
        if "small-body" in chain:
            assert chain.index("bodies-at-once") < chain.index("small-body")
        if "login-at-once" in chain:
            assert chain.index("small-body") < chain.index("login-at-once")


def test_traefik_brought_along_may_read_what_it_needs() -> None:
    """Its rights in each namespace are those with which it serves on the cluster of the tests."""
    text = (ROOT / "tests/kubernetes/traefik.yaml").read_text()
    shown = only(read(text), "ClusterRole", "traefik")["rules"]
    roles = [one for one in BUILDS["overlays/minikube"]() if one["kind"] == "Role"]
    found = {
        one["metadata"]["namespace"]: one["rules"]
        for one in roles
        if one["metadata"]["name"] == "traefik"
    }
    assert found == dict.fromkeys(("slicerhub", "slicerhub-sessions", "slicerhub-apps"), shown)


def test_traefik_brought_along_is_set_as_on_one_server() -> None:
    """The entry point of the cluster's Traefik refuses what the Docker stack's refuses."""
    server = yaml.safe_load((ROOT / "traefik/traefik.yml").read_text())
    cluster = yaml.safe_load((FOLDER / "components/traefik/traefik.yml").read_text())
    for one in (server, cluster):
        del one["entryPoints"]["web"]["address"]
        del one["entryPoints"]["web"]["http"]["middlewares"]
        del one["entryPoints"]["ping"]["address"]
    assert cluster["entryPoints"] == server["entryPoints"]
    for table in ("global", "log", "accessLog", "ping"):
        assert cluster[table] == server[table]
    http = server["providers"]["http"]
    base = BUILDS["base"]()
    verify = settings_of(base).kubernetes.verify_url.format(port=routes.VERIFY_PORT)
    assert cluster["providers"].pop("http") == http | {"endpoint": f"{verify}/traefik"}
    crd = cluster["providers"].pop("kubernetesCRD")
    assert crd["allowCrossNamespace"] is crd["allowExternalNameServices"] is False
    hub = hub_of_one_server()
    edge = only(base, "Middleware", "slicerhub-edge")["spec"]
    assert edge == hub["middlewares"]["edge"]
    assert edge["headers"] == {"customRequestHeaders": EDGE, "stsSeconds": STS_SECONDS}
    transport = only(base, "ServersTransport", "slicerhub")["spec"]
    # Only here may the machine of a controller vanish, and another one answer.
    assert transport.pop("maxIdleConnsPerHost") == -1
    theirs = hub["serversTransports"]["hub"]["forwardingTimeouts"]
    assert transport["forwardingTimeouts"] == theirs | {"dialTimeout": "500ms"}
