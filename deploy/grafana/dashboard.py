# ruff: noqa: INP001 - a script beside the file that it writes
"""Writes Grafana's dashboard of the hub: ``python deploy/grafana/dashboard.py``.

It is built by Grafana's own library for the schema of Grafana 10, so that whatever that schema
does not know cannot get in. The file beside this one is what it writes; a test compares the two.
Needs the packages of the group "test".
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    Dashboard,
    DashboardCursorSync,
    DataSourceRef,
    VariableRefresh,
)

FILE = Path(__file__).with_name("slicerhub.json")

_SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
_SELECTED = 'instance=~"$instance"'
_WIDTH = 24  # of Grafana's grid
_STAT, _SERIES = 4, 8  # heights


class Query(NamedTuple):
    """An expression; ``@`` in it is replaced by what selects the hub."""

    expression: str
    legend: str = ""


class View(NamedTuple):
    """One panel. ``stack``: the parts make a whole."""

    title: str
    unit: str
    queries: tuple[Query, ...]
    words: str = ""
    stack: bool = False


class Row(NamedTuple):
    """A heading, large numbers, and curves."""

    title: str
    numbers: tuple[View, ...]
    curves: tuple[View, ...]


def _quantiles(histogram: str, by: str = "") -> tuple[Query, ...]:
    """Return the median and the slowest twentieth of a histogram."""
    labels = f"le, {by}" if by else "le"
    legend = f" {{{{{by}}}}}" if by else ""
    return tuple(
        Query(
            f"histogram_quantile({share}, "
            f"sum by ({labels}) (rate({histogram}_bucket{{@}}[$__rate_interval])))",
            f"{name}{legend}",
        )
        for share, name in ((0.5, "median"), (0.95, "95 %"))
    )


def _rate(counter: str, by: str, where: str = "") -> Query:
    return Query(f"sum by ({by}) (rate({counter}{{@{where}}}[$__rate_interval]))", f"{{{{{by}}}}}")


def _part(part: str, title: str) -> tuple[View, ...]:
    return (
        View(f"{title}: time", "s", _quantiles(f"slicerhub_{part}_call_seconds", "call")),
        View(
            f"{title}: calls and failures",
            "ops",
            (
                Query(
                    f"sum(rate(slicerhub_{part}_call_seconds_count{{@}}[$__rate_interval]))",
                    "calls",
                ),
                Query(
                    f"sum by (call) (rate(slicerhub_{part}_failures_total{{@}}[$__rate_interval]))",
                    "failed: {{call}}",
                ),
            ),
        ),
    )


ROWS = (
    Row(
        "People and sessions",
        (
            View("Logged in", "none", (Query("sum(slicerhub_people_logged_in{@})"),)),
            View("Sessions", "none", (Query("sum(slicerhub_sessions{@}) or vector(0)"),)),
            View(
                "Used capacity",
                "percentunit",
                (Query("sum(slicerhub_sessions{@}) / sum(slicerhub_sessions_limit{@})"),),
                "Sessions, of the most that there may be",
            ),
            View("In the queue", "none", (Query("sum(slicerhub_queue_length{@}) or vector(0)"),)),
            View(
                "Graphics cards leased",
                "none",
                (
                    Query("sum(slicerhub_gpus_leased{@})", "leased"),
                    Query("sum(slicerhub_gpus{@})", "of"),
                ),
            ),
            View("Version", "none", (Query("slicerhub_build_info{@}", "{{version}}"),)),
        ),
        (
            View(
                "Sessions by phase",
                "none",
                (Query("sum by (phase) (slicerhub_sessions{@})", "{{phase}}"),),
                stack=True,
            ),
            View(
                "Sessions by profile",
                "none",
                (Query("sum by (profile) (slicerhub_sessions{@})", "{{profile}}"),),
                stack=True,
            ),
            View(
                "People",
                "none",
                (
                    Query("sum(slicerhub_people_logged_in{@})", "logged in"),
                    Query("sum by (state) (slicerhub_guests{@})", "guests {{state}}"),
                ),
            ),
            View(
                "Waiting in the queue",
                "none",
                (Query("sum by (profile) (slicerhub_queue_length{@})", "{{profile}}"),),
            ),
            View("Attempts to log in", "ops", (_rate("slicerhub_logins_total", "result"),)),
            View(
                "Acts in the audit log",
                "ops",
                (
                    _rate("slicerhub_audit_acts_total", "act"),
                    Query(
                        "sum(rate(slicerhub_audit_lines_lost_total{@}[$__rate_interval]))",
                        "not written to the file",
                    ),
                ),
            ),
        ),
    ),
    Row(
        "Starts",
        (),
        (
            View(
                "From launch to the page",
                "s",
                _quantiles("slicerhub_start_seconds", "profile"),
                "Without fetching the program",
            ),
            View("Steps of a start", "s", _quantiles("slicerhub_start_step_seconds", "step")),
            View(
                "Starts",
                "ops",
                (
                    _rate("slicerhub_start_seconds_count", "profile"),
                    Query(
                        "sum(rate(slicerhub_audit_acts_total"
                        '{@, act="start_failed"}[$__rate_interval]))',
                        "refused",
                    ),
                ),
            ),
        ),
    ),
    Row(
        "From the pointer to the picture",
        (),
        (
            View(
                "Time",
                "s",
                tuple(
                    Query(
                        f'max by (profile) (slicerhub_felt_seconds{{@, quantile="{share}"}})',
                        f"{name} {{{{profile}}}}",
                    )
                    for share, name in ((0.5, "median"), (0.95, "95 %"))
                ),
                "In the minute before the last poll, by the pages; none: nobody moved anything",
            ),
            View(
                "Pictures in that minute",
                "none",
                (Query("max by (profile) (slicerhub_felt_pictures{@})", "{{profile}}"),),
                "The times of few pictures say little",
            ),
        ),
    ),
    Row(
        "Front door",
        (),
        (
            View(
                "Answers to Traefik",
                "reqps",
                (_rate("slicerhub_verify_answers_total", "status"),),
                "200: let through; 302 and 401: not logged in; 403: not invited; 503: our fault",
            ),
            View("Time to answer", "s", _quantiles("slicerhub_verify_seconds")),
            View(
                "Processor",
                "percentunit",
                (Query("rate(process_cpu_seconds_total{@}[$__rate_interval])", "{{instance}}"),),
                "Of one core: the controller has one event loop",
            ),
            View(
                "Memory",
                "bytes",
                (Query("process_resident_memory_bytes{@}", "{{instance}}"),),
            ),
        ),
    ),
    Row(
        "Directory, engine, records",
        (),
        (
            *_part("directory", "Directory"),
            *_part("engine", "Engine"),
            *_part("store", "Records"),
        ),
    ),
    Row(
        "Housekeeping",
        (),
        (
            View(
                "Rounds",
                "ops",
                (_rate("slicerhub_housekeeping_round_seconds_count", "round"),),
                "None for minutes: the controller hangs",
            ),
            View(
                "Time of a round", "s", _quantiles("slicerhub_housekeeping_round_seconds", "round")
            ),
            View(
                "Decisions", "ops", (_rate("slicerhub_housekeeping_decisions_total", "decision"),)
            ),
            View("Failed acts", "ops", (_rate("slicerhub_housekeeping_failures_total", "round"),)),
            View(
                "Since the last round ended",
                "s",
                (
                    Query(
                        "time() - max by (round) "
                        "(slicerhub_housekeeping_last_finished_timestamp_seconds{@})",
                        "{{round}}",
                    ),
                ),
                "More than a few rounds: housekeeping is not done",
            ),
            View(
                "Questions to sessions",
                "ops",
                (_rate("slicerhub_session_questions_total", "outcome"),),
                "no_answer, unreadable: programs that hang or misbehave",
            ),
            View(
                "Guests without permission",
                "ops",
                (_rate("slicerhub_connected_without_right_total", "reason"),),
                "They were disconnected",
            ),
            View(
                "Faults",
                "ops",
                (_rate("slicerhub_faults_total", "work"),),
                "Errors in the hub itself; the log has each",
            ),
            View(
                "Unreadable objects",
                "none",
                (Query("max(slicerhub_engine_objects_unread{@})", "objects at the engine"),),
                "Their sessions are left alone; the log names each",
            ),
        ),
    ),
)


def build() -> dict[str, Any]:
    """Return the dashboard as Grafana reads it."""
    made = (
        dashboard.Dashboard("3D Slicer Hub")
        .uid("slicerhub")
        .description("Who works, how starts go, and how the parts answer")
        .tags(["slicerhub"])
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .refresh("30s")
        .time("now-6h", "now")
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
        )
        .with_variable(
            dashboard.QueryVariable("instance")
            .label("Hub")
            .datasource(_SOURCE)
            .query("label_values(slicerhub_build_info, instance)")
            .refresh(VariableRefresh.ON_DASHBOARD_LOAD)
            .multi(True)  # noqa: FBT003 - the library's own spelling
            .include_all(True)  # noqa: FBT003 - the same
        )
    )
    number = 0
    for row in ROWS:
        made.with_row(dashboard.Row(row.title))
        for view in row.numbers:
            number += 1
            made.with_panel(_number(view, _WIDTH // len(row.numbers)).id(number))
        # Two or three beside each other, so that no line is left half empty.
        across = 2 if len(row.curves) % 3 else 3
        for view in row.curves:
            number += 1
            made.with_panel(_curves(view, _WIDTH // across).id(number))
    whole = _encoded(made.build())
    for panel in whole["panels"]:
        if panel["type"] == "row":
            number += 1
            panel["id"] = number
    # Read once as Grafana's library reads it: then reading it again changes nothing.
    register_default_plugins()
    return _encoded(Dashboard.from_json(whole))


def _encoded(made: Dashboard) -> dict[str, Any]:
    return json.loads(json.dumps(made, cls=JSONEncoder))


def _targets(view: View) -> list[prometheus.Dataquery]:
    return [
        prometheus.Dataquery()
        .ref_id(chr(ord("A") + place))
        .expr(query.expression.replace("@", _SELECTED))
        .legend_format(query.legend)
        for place, query in enumerate(view.queries)
    ]


def _number(view: View, width: int) -> stat.Panel:
    panel = (
        stat.Panel()
        .title(view.title)
        .description(view.words)
        .datasource(_SOURCE)
        .unit(view.unit)
        .graph_mode(BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .height(_STAT)
        .span(width)
    )
    for target in _targets(view):
        panel.with_target(target)
    return panel


def _curves(view: View, width: int) -> timeseries.Panel:
    panel = (
        timeseries.Panel()
        .title(view.title)
        .description(view.words)
        .datasource(_SOURCE)
        .unit(view.unit)
        .min(0)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)  # noqa: FBT003 - the same
        )
        .tooltip(
            common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
        )
        .height(_SERIES)
        .span(width)
    )
    if view.stack:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL)).fill_opacity(30)
    for target in _targets(view):
        panel.with_target(target)
    return panel


def text() -> str:
    """Return the file."""
    return json.dumps(build(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
