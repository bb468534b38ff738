"""What the site's monitoring sees, and the dashboard that shows it."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import promql_parser
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from msgspec.structs import replace
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from typing_extensions import override

from controller.core.errors import DirectoryUnavailable, EngineUnavailable, StoreUnavailable
from controller.core.model import Role, SessionId, Usage, UserId
from controller.engines.memory import MemoryOrchestrator
from controller.housekeeping.rounds import POLL_SECONDS
from controller.people.tokens import Keys
from controller.rules.felt import BOUNDS_MS, Felt, Parts
from controller.sessions.gateway import Client, Inside, TraefikGateway
from controller.settings.schema import AuditLog, Limits
from controller.store.sqlite.store import SqliteStore
from tests.support.hub import RING, World, eventually, running, world
from tests.support.samples import CREATED

pytestmark = pytest.mark.anyio

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana"
FILE = FOLDER / "slicerhub.json"


class Engine(MemoryOrchestrator):
    """An engine that can be away for one question."""

    away = False

    @override
    async def usage(self, session_id: SessionId) -> Usage | None:
        if self.away:
            raise EngineUnavailable("The engine does not answer.")
        return await super().usage(session_id)


class Records(SqliteStore):
    """Records that can be away for one write."""

    away = False

    @override
    async def remove_notice(self, uid: UserId, number: int) -> None:
        if self.away:
            raise StoreUnavailable("The disk is full.")
        await super().remove_notice(uid, number)


@pytest.fixture(scope="module")
async def day(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[World, None]:
    """Run a hub through a day in which everything happens that is counted."""
    assert anyio_backend == "asyncio"
    plain = world().settings
    no_folder = tmp_path_factory.mktemp("audit") / "file"
    no_folder.touch()
    configured = replace(
        plain,
        profiles=(replace(plain.profiles[0], queue=True, gpus=1),),
        limits=replace(Limits(), gpus=("0", "1", "2"), sessions_total=2),
        audit=AuditLog(file=str(no_folder / "audit.jsonl")),
    )
    engine, records = Engine(configured), Records(":memory:")
    hub = World(configured, orchestrator=engine, store=records)
    async with running(hub):
        alice = await hub.script("alice")
        made, carols = await hub.session(), await hub.session("carol")
        hub.gateway.insides[carols] = Inside(felt=felt(200, 4))
        await alice.post("/api/v1/sessions", json={"name": "in line"})
        await alice.put(f"/api/v1/sessions/{made}/shares/bob", json={"role": "view"})
        hub.gateway.insides[made] = Inside(
            clients=(Client(UserId("bob"), Role.VIEW, CREATED),), felt=felt(33, 6)
        )
        await hub.verify(made, {"Authorization": alice.headers["Authorization"]})
        await hub.verify(made)
        engine.away = records.away = True
        await hub.app.housekeeping.poll()
        page = await hub.browser("alice")
        assert (await page.act("/notices/1/dismiss")).status_code == 503
        engine.away = records.away = False
        assert (await page.act("/notices/1/dismiss")).status_code == 303
        async with hub.client() as stranger:
            wrong = {"username": "alice", "password": "wrong"}
            assert (await stranger.post("/api/v1/login", json=wrong)).status_code == 401
            hub.directory.fault = DirectoryUnavailable("The directory does not answer.")
            assert (await stranger.post("/api/v1/login", json=wrong)).status_code == 503
            hub.directory.fault = None
        nowhere = TraefikGateway(
            replace(configured, gateway_url="http://127.0.0.1:1"),
            Keys(RING),
            hub.clock.wall,
            hub.app.metrics,
        )
        assert await nowhere.inside(made) is None
        await nowhere.close()
        await hub.app.housekeeping.call_the_roll()
        await hub.spend(1600, every=400)  # by then people are warned that it will stop
        lost = "slicerhub_audit_lines_lost_total"
        await eventually(lambda: value(families(hub.app.metrics.text().decode()), lost) > 0)
        yield hub


def felt(bound: int, pictures: int) -> Felt:
    """So many pictures took at most this many milliseconds."""
    counts = tuple(pictures * (one == bound) for one in (*BOUNDS_MS, None))
    return Felt(counts, Parts(network=12.0, waiting=0.0, render=20.0, encode=3.0, paint=2.0))


async def scrape(hub: World) -> dict[str, Metric]:
    """Return what Prometheus reads, by the families' names."""
    async with hub.private() as monitoring:
        return families((await monitoring.get("/metrics")).text)


def families(text: str) -> dict[str, Metric]:
    """Read the text as Prometheus does."""
    return {one.name: one for one in text_string_to_metric_families(text)}


def value(found: dict[str, Metric], name: str, **labels: str) -> float:
    """Return one number; it must be there."""
    values = [
        sample.value
        for family in found.values()
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    ]
    assert len(values) == 1, (name, labels)
    return values[0]


async def test_metrics(fresh: World) -> None:
    """The monitoring counts sessions by phase, answers by status, and how long starts take."""
    alices = await fresh.session()
    await fresh.session(ready=False)
    await fresh.verify(alices)
    async with fresh.private() as monitoring:
        answer = await monitoring.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        lines = answer.text.splitlines()
        assert 'slicerhub_sessions{phase="ready",profile="slicer"} 1.0' in lines
        assert 'slicerhub_sessions{phase="starting",profile="slicer"} 1.0' in lines
        assert 'slicerhub_verify_answers_total{status="401"} 1.0' in lines
        assert 'slicerhub_start_seconds_count{profile="slicer"} 1.0' in lines
        assert "alice" not in answer.text
        await fresh.spend(1900)
        decided = 'slicerhub_housekeeping_decisions_total{decision="remove_idle"} 1.0'
        assert decided in (await monitoring.get("/metrics")).text.splitlines()


async def test_how_full_it_is(day: World) -> None:
    """Monitoring sees who is there, how many wait, and which cards are taken: only numbers."""
    found = await scrape(day)
    assert value(found, "slicerhub_people_logged_in") == 2
    assert value(found, "slicerhub_guests", state="invited") == 1
    assert value(found, "slicerhub_guests", state="connected") == 1
    assert value(found, "slicerhub_queue_length", profile="slicer") == 1
    assert value(found, "slicerhub_sessions", phase="ready", profile="slicer") == 2
    assert value(found, "slicerhub_sessions_limit") == 2
    assert value(found, "slicerhub_gpus") == 3
    assert value(found, "slicerhub_gpus_leased") == 2


async def test_how_quick_it_feels(day: World, fresh: World) -> None:
    """Of all sessions of a profile, as if their pictures were one's; nothing where none came."""
    found = await scrape(day)
    assert value(found, "slicerhub_felt_pictures", profile="slicer") == 10
    half = value(found, "slicerhub_felt_seconds", profile="slicer", quantile="0.5")
    most = value(found, "slicerhub_felt_seconds", profile="slicer", quantile="0.95")
    assert half == pytest.approx(0.025 + 0.008 * 5 / 6)
    assert most == pytest.approx(0.150 + 0.050 * 3.5 / 4)
    made = await fresh.session()
    fresh.gateway.insides[made] = Inside(felt=felt(33, 0))
    await fresh.app.housekeeping.poll()
    nothing = await scrape(fresh)
    assert nothing["slicerhub_felt_seconds"].samples == []
    assert nothing["slicerhub_felt_pictures"].samples == []


async def test_what_happened(day: World) -> None:
    """Starts, log-ins, verdicts and the calls to each part are counted and timed."""
    found = await scrape(day)
    for step in ("fetch", "engine", "load"):
        labels = {"profile": "slicer", "step": step}
        assert value(found, "slicerhub_start_step_seconds_count", **labels) == 2
    assert value(found, "slicerhub_start_seconds_count", profile="slicer") == 2
    assert value(found, "slicerhub_logins_total", result="refused") == 1
    assert value(found, "slicerhub_logins_total", result="unavailable") == 1
    assert value(found, "slicerhub_logins_total", result="throttled") == 0
    assert value(found, "slicerhub_logins_total", result="ok") >= 4
    assert value(found, "slicerhub_verify_answers_total", status="200") == 1
    assert value(found, "slicerhub_verify_seconds_count") == 2
    assert value(found, "slicerhub_verify_seconds_bucket", le="+Inf") == 2
    assert value(found, "slicerhub_housekeeping_round_seconds_count", round="look") > 1
    assert value(found, "slicerhub_housekeeping_failures_total", round="roll_call") == 0
    assert value(found, "slicerhub_housekeeping_decisions_total", decision="warn_idle") == 2
    assert value(found, "slicerhub_audit_acts_total", act="queue") == 1


@pytest.mark.parametrize(
    ("part", "call", "failures"),
    [
        ("directory", "authenticate", 1),
        ("directory", "find", 0),
        ("store", "remove_notice", 1),
        ("store", "add_login", 0),
        ("engine", "usage", 2),
        ("engine", "ensure", 0),
    ],
)
async def test_parts(day: World, part: str, call: str, failures: int) -> None:
    """A part that is away is seen by its failures; a wrong password is none."""
    found = await scrape(day)
    assert value(found, f"slicerhub_{part}_failures_total", call=call) == failures
    assert value(found, f"slicerhub_{part}_call_seconds_count", call=call) > failures


async def test_nobody_is_named(day: World) -> None:
    """No number tells of a person, an address or a session."""
    async with day.private() as monitoring:
        text = (await monitoring.get("/metrics")).text.lower()
    ids = [one.session.id for one in day.app.sessions.all()]
    for word in ("alice", "bob", "carol", "10.0.0.1", *ids):
        assert word not in text


async def test_names(day: World) -> None:
    """Names are Prometheus' way: counters end in _total, and what is timed in its unit."""
    for family in (await scrape(day)).values():
        assert family.documentation
        assert re.fullmatch(r"(slicerhub|process)_[a-z_]+", family.name)
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples)
        elif family.type == "histogram":
            assert family.name.endswith("_seconds")


# -- the dashboard -------------------------------------------------------------------------------


def panels() -> list[dict[str, Any]]:
    """Return the dashboard's panels, the rows too."""
    return json.loads(FILE.read_text(encoding="utf-8"))["panels"]


def expressions() -> Iterator[tuple[str, str]]:
    """Return each expression, as Prometheus gets it, and its legend."""
    for panel in panels():
        for target in panel.get("targets", ()):
            yield target["expr"].replace("$__rate_interval", "5m"), target.get("legendFormat", "")


def metrics_of(expression: str) -> set[str]:
    """Return the metrics that an expression reads."""
    names: set[str] = set()

    def visit(node: promql_parser.Expr) -> bool:
        if isinstance(node, promql_parser.VectorSelector) and node.name:
            names.add(node.name)
        return True

    promql_parser.walk(promql_parser.parse(expression), visit)
    return names


def generator() -> ModuleType:
    """Return the program that writes the dashboard."""
    spec = importlib.util.spec_from_file_location("dashboard", FOLDER / "dashboard.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_dashboard_is_up_to_date() -> None:
    """The dashboard in the repository is the one that its program writes."""
    assert FILE.read_text(encoding="utf-8") == generator().text()


def test_dashboard_fits_the_schema() -> None:
    """Grafana's own reader of dashboards takes all of the file in, and loses nothing of it."""
    register_default_plugins()
    whole = json.loads(FILE.read_text(encoding="utf-8"))
    read = cast("Any", Dashboard.from_json(whole))
    assert json.loads(json.dumps(read, cls=JSONEncoder)) == whole


def test_dashboard_is_whole() -> None:
    """Every row that an administrator looks for is there, and no panel lies on another."""
    found = panels()
    assert [one["title"] for one in found if one["type"] == "row"] == [
        "People and sessions",
        "Starts",
        "From the pointer to the picture",
        "Front door",
        "Directory, engine, records",
        "Housekeeping",
    ]
    assert len({one["id"] for one in found}) == len(found)
    taken: set[tuple[int, int]] = set()
    for one in found:
        place = one["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert taken.isdisjoint(cells), one["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
        if one["type"] != "row":
            assert one["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert one["targets"]


async def labels_of(hub: World) -> dict[str, set[str]]:
    """Return the metrics that there are after a day's work, each with its labels."""
    labels: dict[str, set[str]] = {}
    for family in (await scrape(hub)).values():
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    return labels


async def test_every_metric_exists(day: World) -> None:
    """Whatever the dashboard asks for is there after a day's work, with the labels it names."""
    labels = await labels_of(day)
    asked = 0
    for expression, legend in expressions():
        for name in metrics_of(expression):
            asked += 1
            assert name in labels, expression
            shown = set(re.findall(r"{{(\w+)}}", legend))
            assert shown <= labels[name] | {"instance"}, (expression, legend)
    assert asked > 40


# -- the alerts ----------------------------------------------------------------------------------


def rules() -> list[dict[str, Any]]:
    """Return the rules, as Prometheus reads them."""
    whole = yaml.safe_load((FOLDER / "alerts.yaml").read_text(encoding="utf-8"))
    (group,) = whole["groups"]
    assert group.keys() == {"name", "rules"}
    return group["rules"]


def matchers_of(expression: str) -> set[tuple[str, str]]:
    """Return each metric that an expression reads, with each label by which it selects."""
    found: set[tuple[str, str]] = set()

    def visit(node: promql_parser.Expr) -> bool:
        if isinstance(node, promql_parser.VectorSelector) and node.name:
            found.update((node.name, one.name) for one in node.matchers.matchers)
        return True

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


async def test_alerts_ask_for_what_there_is(day: World) -> None:
    """Each rule reads metrics that the hub has, selects by their labels and names them."""
    labels = await labels_of(day)
    for rule in rules():
        names = metrics_of(rule["expr"])
        assert names, rule
        assert names <= labels.keys(), rule
        assert all(label in labels[name] for name, label in matchers_of(rule["expr"])), rule
        shown = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
        assert shown <= {"instance"}.union(*(labels[name] for name in names)), rule


def test_alerts_say_what_to_do() -> None:
    """Each rule has a name of its own, a weight, and a sentence or two on what to do."""
    found = rules()
    assert len({rule["alert"] for rule in found}) == len(found)
    for rule in found:
        assert rule.keys() - {"for"} == {"alert", "expr", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"].keys() == {"summary", "description"}
        assert rule["annotations"]["description"].endswith(".")
        assert re.fullmatch(r"[0-9]+m", rule.get("for", "1m"))


def test_alerts_wait_three_rounds_and_a_minute() -> None:
    """What is said of rounds that are late fits the rounds of a hub with usual settings."""
    usual = world().settings
    for name, seconds in (
        ("sweep", usual.housekeeping_seconds),
        ("look", POLL_SECONDS),
        ("roll_call", usual.directory_seconds),
    ):
        late = [
            rule["expr"]
            for rule in rules()
            if f'round="{name}"' in rule["expr"] and rule["expr"].startswith("time() - ")
        ]
        assert len(late) == 1
        assert late[0].endswith(f"> {3 * seconds + 60}")
