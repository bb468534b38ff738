"""What becomes a companion and what does not, by its labels alone."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from controller.core.model import Offer, Person, UserId
from controller.engines.docker.offers import read_offer
from controller.rules import companions, routes
from controller.rules.companions import Companion, faults_of, judge
from tests.support.samples import session_id, settings

SETTINGS = settings()
LABELS = {
    "slicerhub.instance": "slicerhub",
    "slicerhub.app": "wiki",
    "slicerhub.title": "Lab wiki",
    "slicerhub.groups": "Research, staff",
    "traefik.enable": "true",
    "traefik.http.routers.wiki.rule": "PathPrefix(`/apps/wiki/`)",
    "traefik.http.routers.wiki.middlewares": "slicerhub-wiki@http",
}
SESSION = session_id(1)
RULE, CHAIN = "traefik.http.routers.wiki.rule", "traefik.http.routers.wiki.middlewares"


def offer(**changes: str) -> Offer:
    """Return what a wiki's labels offer, with some of them changed."""
    return read_offer(LABELS | changes, "lab/wiki")


def without(*labels: str) -> Offer:
    """Return what a wiki's labels offer, with some of them forgotten."""
    kept = {label: value for label, value in LABELS.items() if label not in labels}
    return read_offer(kept, "lab/wiki")


def test_the_shortest_labels_are_enough() -> None:
    """A service with the documented labels is taken, open to its groups whatever their case."""
    accepted, refused = judge([offer()], SETTINGS)
    assert refused == ()
    assert accepted == (Companion("wiki", "Lab wiki", frozenset({"research", "staff"})),)
    assert accepted[0].path == "/apps/wiki/"


@pytest.mark.parametrize(
    ("groups", "theirs", "admitted"),
    [
        ("research", {"Research"}, True),
        ("research, staff", {"STAFF", "other"}, True),
        ("research", {"staff"}, False),
        ("research", set[str](), False),
        ("*", set[str](), True),
        ("research", {"*"}, False),
    ],
)
def test_who_may(groups: str, theirs: set[str], *, admitted: bool) -> None:
    """Members of one of the groups may use it; everybody only where that is said."""
    (companion,), _ = judge([offer(**{"slicerhub.groups": groups})], SETTINGS)
    person = Person(UserId("dana"), "Dana", frozenset(theirs))
    assert companion.is_open_to(person) is admitted


@pytest.mark.parametrize(
    "changes",
    [
        {RULE: "Host(`lab.example`) && PathPrefix(`/apps/wiki/`)"},
        {RULE: "(Host(`lab.example`) || Host(`localhost`)) && PathPrefix(`/apps/wiki/`)"},
        {RULE: "PathPrefix(`/apps/wiki/page/`)"},
        {CHAIN: "slicerhub-wiki@http, wiki-strip"},
        {"traefik.http.middlewares.wiki-strip.stripprefix.prefixes": "/apps/wiki"},
        {"traefik.http.services.wiki.loadbalancer.server.port": "8080"},
        {"traefik.http.routers.wiki.service": "wiki"},
        {"traefik.http.routers.wiki.priority": "999"},
        {"traefik.http.routers.wiki.entrypoints": "web"},
        {"traefik.docker.network": "slicerhub_companions"},
    ],
)
def test_usual_labels_are_taken(changes: dict[str, str]) -> None:
    """What an owner may want besides is no reason to refuse."""
    assert faults_of(offer(**changes), SETTINGS) == ()


@pytest.mark.parametrize(
    ("app", "why"),
    [
        (SESSION, "looks like a session"),
        ("hub", "the hub's own name"),
        ("controller", "the hub's own name"),
        ("traefik", "the hub's own name"),
        ("api", "the hub's own name"),
        ("slicerhub", "the hub's own name"),
        ("Wiki", "must begin with a letter"),
        ("wi`ki", "must begin with a letter"),
        ("../s", "must begin with a letter"),
        ("wiki/x", "must begin with a letter"),
        ("a--b", "must begin with a letter"),
        ("wiki-", "must begin with a letter"),
        ("w" * 33, "must begin with a letter"),
        ("wiki\n", "must begin with a letter"),
        ("", "must begin with a letter"),
    ],
)
def test_names_that_are_not_theirs(app: str, why: str) -> None:
    """A name of a session, of the hub, or that is no plain word is refused, with the reason."""
    labels = {
        "slicerhub.app": app,
        "slicerhub.groups": "*",
        f"traefik.http.routers.{app}.rule": f"PathPrefix(`/apps/{app}/`)",
        f"traefik.http.routers.{app}.middlewares": f"slicerhub-{app}@http",
    }
    accepted, (refused,) = judge([read_offer(labels, "lab/wiki")], SETTINGS)
    assert accepted == ()
    assert refused.where == "lab/wiki"
    assert why in " ".join(refused.faults)


def test_the_name_of_this_hub() -> None:
    """The instance's name is the hub's own, too."""
    assert "the hub's own name" in faults_of(offer(), replace(SETTINGS, instance="wiki"))[0]


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "PathPrefix(`/`)",
        "PathPrefix(`/s/`)",
        f"PathPrefix(`/s/{SESSION}/`)",
        "PathPrefix(`/login`)",
        "PathPrefix(`/apps/`)",
        "PathPrefix(`/apps/wiki`)",
        "PathPrefix(`/apps/wikipedia/`)",
        "PathPrefix(`/apps/wiki/../../s/`)",
        "PathPrefix(`/apps/wiki/`) || PathPrefix(`/`)",
        "PathPrefix(`/`) || PathPrefix(`/apps/wiki/`)",
        "Host(`lab.example`) || PathPrefix(`/apps/wiki/`)",
        "!Host(`lab.example`) && PathPrefix(`/apps/wiki/`)",
        "PathPrefix(`/apps/wiki/`, `/`)",
        "PathRegexp(`/apps/wiki/|/`)",
        "Host(`lab.example`)",
        "PathPrefix(`/apps/wiki/`)\n|| PathPrefix(`/`)",
    ],
)
def test_paths_that_are_not_theirs(rule: str) -> None:
    """A rule that would match anything but the companion's own path is refused."""
    assert any("its rule" in fault for fault in faults_of(offer(**{RULE: rule}), SETTINGS))


@pytest.mark.parametrize(
    "chain", ["", "wiki-strip, slicerhub-wiki@http", "slicerhub-notes@http", "slicerhub-wiki"]
)
def test_a_router_that_does_not_ask_the_hub_first(chain: str) -> None:
    """The hub's middleware must be there, be its own, and come before all others."""
    assert any(
        "does not ask the hub" in fault for fault in faults_of(offer(**{CHAIN: chain}), SETTINGS)
    )


def test_forgotten_labels() -> None:
    """Nothing is guessed where a label is missing: neither who may use it nor how it is reached."""
    assert "slicerhub.groups is missing" in faults_of(without("slicerhub.groups"), SETTINGS)[0]
    assert "has no router" in faults_of(without(RULE, CHAIN), SETTINGS)[0]
    assert any("does not ask the hub" in one for one in faults_of(without(CHAIN), SETTINGS))
    (companion,), _ = judge([without("slicerhub.title")], SETTINGS)
    assert companion.title == "wiki"


@pytest.mark.parametrize(
    ("label", "value"),
    [
        (f"traefik.http.routers.{SESSION}.rule", "PathPrefix(`/apps/wiki/`)"),
        (f"traefik.http.services.{SESSION}.loadbalancer.server.port", "80"),
        (f"traefik.http.middlewares.{SESSION}-auth.headers.framedeny", "true"),
        ("traefik.http.routers.wiki.service", f"{SESSION}@docker"),
        ("traefik.http.routers.wiki.service", "api@internal"),
        ("Traefik.HTTP.Routers.hub.Rule", "PathPrefix(`/`)"),
        ("traefik.tcp.routers.wiki.rule", "HostSNI(`*`)"),
        ("traefik.udp.services.wiki.loadbalancer.server.port", "53"),
        ("traefik.tls.stores.default.defaultgeneratedcert.resolver", "x"),
    ],
)
def test_names_for_traefik_that_are_not_theirs(label: str, value: str) -> None:
    """What would define or use something of a session's or the hub's is refused."""
    assert any(
        "is a name for Traefik" in fault for fault in faults_of(offer(**{label: value}), SETTINGS)
    )


@pytest.mark.parametrize("priority", ["1000", "2147483647", "9" * 20, "high"])
def test_priorities_of_sessions(priority: str) -> None:
    """Nothing may come before a session."""
    found = faults_of(offer(**{"traefik.http.routers.wiki.priority": priority}), SETTINGS)
    assert any("priority" in fault for fault in found)


@pytest.mark.parametrize("label", ["slicerhub.session", "slicerhub.component", "slicerhub.owner"])
def test_labels_of_the_hubs_own(label: str) -> None:
    """A service that calls itself a session or a part of the hub is refused."""
    assert any(label in fault for fault in faults_of(offer(**{label: "traefik"}), SETTINGS))


def test_two_of_one_name() -> None:
    """A name that two services claim is neither's; the replicas of one service are one."""
    accepted, refused = judge([offer(), read_offer(LABELS, "other/wiki")], SETTINGS)
    assert accepted == ()
    assert [one.where for one in refused] == ["lab/wiki", "other/wiki"]
    assert all("claimed more than once: lab/wiki, other/wiki" in one.faults[0] for one in refused)
    accepted, refused = judge([offer(), offer()], SETTINGS)
    assert (len(accepted), refused) == (1, ())


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("  Lab \t wiki ", "Lab wiki"),
        ("Lab\u202ewiki", "Labwiki"),
        ("x" * 500, "x" * 60),
        ("\n", "wiki"),
    ],
)
def test_titles(given: str, shown: str) -> None:
    """A title is one line of what can be seen."""
    (companion,), _ = judge([offer(**{"slicerhub.title": given})], SETTINGS)
    assert companion.title == shown


def test_configuration() -> None:
    """Traefik gets the whole question for each companion; what was refused is closed."""
    told = companions.companions_configuration(
        ["wiki"], ["notes"], cookie="__Host-hub-login", verify_url=routes.VERIFY_URL
    )["http"]
    assert set(told["middlewares"]) == {"slicerhub-wiki", "closed"}
    auth = told["middlewares"]["slicerhub-wiki"]["forwardAuth"]
    assert re.fullmatch(r"http://verify-[0-9]+:8001/verify/app/wiki", auth["address"])
    assert auth["trustForwardHeader"] is False
    assert auth["addAuthCookiesToResponse"] == ["__Host-hub-login"]
    assert {"Cookie", "Authorization", "X-Slicerhub-User", "X-Slicerhub-Groups"} <= set(
        auth["authResponseHeaders"]
    )
    (closed,) = told["routers"].values()
    assert closed["rule"] == "PathPrefix(`/apps/notes/`)"
    assert closed["middlewares"] == ["closed"]
    assert closed["service"] == "noop@internal"
    assert closed["priority"] > routes.ROUTER_PRIORITY


def test_configuration_on_kubernetes() -> None:
    """Where ports stand for addresses, verify is asked about a companion at one of them."""
    url = "http://hub.example:{port}"
    told = companions.companions_configuration(
        ["wiki"], [], cookie="c", verify_url=url, limited=False
    )
    auth = told["http"]["middlewares"]["slicerhub-wiki"]["forwardAuth"]
    assert "maxResponseBodySize" not in auth  # which an older Traefik does not know
    assert re.fullmatch(r"http://hub\.example:80(0[1-9]|1[0-6])/verify/app/wiki", auth["address"])


def test_configuration_of_nothing() -> None:
    """Traefik refuses empty lists, so it gets none."""
    assert companions.companions_configuration([], [], cookie="c", verify_url="http://v") == {}
