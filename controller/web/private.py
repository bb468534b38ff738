"""The private listener, for Traefik and monitoring: verify, health, metrics, companions."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Response, get
from litestar.types import ASGIApp

from controller.engines import Orchestrator
from controller.gate.verify import Verify
from controller.monitoring.metrics import Metrics
from controller.monitoring.verdicts import CONTENT_TYPE
from controller.people.logins import Logins
from controller.rules.felt import MEDIAN, SLOW, merged, quantile_ms
from controller.sessions.polling import Poller
from controller.sessions.sessions import Sessions
from controller.sessions.sharing import Sharing
from controller.settings.schema import Settings
from controller.web.companions import Companions
from controller.web.framework import MsgspecApp
from controller.web.health import Health, Report


class Gauges(msgspec.Struct, frozen=True):
    """How full the hub is, at each scrape. No names: only numbers."""

    settings: Settings
    sessions: Sessions
    sharing: Sharing
    poller: Poller
    logins: Logins
    orchestrator: Orchestrator

    def watch(self, metrics: Metrics) -> None:
        """Let each scrape ask."""
        limits, queue = self.settings.limits, self.sessions.queue
        lined = [one.id for one in self.settings.profiles if one.queue]
        metrics.watch(
            "slicerhub_people_logged_in",
            "People who are logged in",
            (),
            lambda: [((), len(self.logins.standing.people()))],
        )
        metrics.watch(
            "slicerhub_guests",
            "People in sessions of others, at the last poll",
            ("state",),
            self._guests,
        )
        metrics.watch(
            "slicerhub_queue_length",
            "Sessions that wait in the queue, by profile",
            ("profile",),
            lambda: [((one,), queue.waiting_for(one)) for one in lined],
        )
        metrics.watch(
            "slicerhub_sessions_limit",
            "Most sessions that there may be",
            (),
            lambda: [((), limits.sessions_total)],
        )
        metrics.watch(
            "slicerhub_engine_objects_unread",
            "Objects of the hub at the engine that it cannot read; the log names each",
            (),
            lambda: [((), self.orchestrator.unread)],
        )
        metrics.watch(
            "slicerhub_gpus",
            "Graphics cards that the hub assigns to sessions",
            (),
            lambda: [((), len(limits.gpus))],
        )
        metrics.watch(
            "slicerhub_gpus_leased",
            "Graphics cards that sessions have",
            (),
            lambda: [((), len(limits.gpus) - (queue.free_gpus() or 0))],
        )
        metrics.watch(
            "slicerhub_felt_seconds",
            "From the pointer to the picture in the minute before the last poll, as pages measure",
            ("profile", "quantile"),
            self._felt_seconds,
        )
        metrics.watch(
            "slicerhub_felt_pictures",
            "Pictures that pages measured in the minute before the last poll",
            ("profile",),
            lambda: [((profile,), sum(counts)) for profile, counts in self._felt().items()],
        )

    def _guests(self) -> list[tuple[tuple[str], float]]:
        seen = self.sessions.all()
        invited = {
            guest.share.uid for one in seen for guest in self.sharing.invitations.guests(one)
        }
        connected = {
            client.user
            for one in seen
            for client in self.poller.clients(one.session.id)
            if client.user != one.session.owner
        }
        return [(("invited",), len(invited)), (("connected",), len(connected))]

    def _felt(self) -> dict[str, tuple[int, ...]]:
        """Return the counts of each profile in whose sessions something was felt."""
        counts: dict[str, list[tuple[int, ...]]] = {}
        for one in self.sessions.all():
            felt = self.poller.felt(one.session.id)
            if felt is not None and any(felt.counts):
                counts.setdefault(one.session.profile, []).append(felt.counts)
        return {profile: merged(several) for profile, several in counts.items()}

    def _felt_seconds(self) -> list[tuple[tuple[str, str], float]]:
        return [
            ((profile, str(share)), ms / 1000)
            for profile, counts in self._felt().items()
            for share in (MEDIAN, SLOW)
            if (ms := quantile_ms(counts, share)) is not None
        ]


def private_app(
    verify: Verify, health: Health, metrics: Metrics, companions: Companions
) -> ASGIApp:
    """Return the application for Traefik and the site's monitoring."""

    @get("/healthz", sync_to_thread=False)
    def healthz() -> dict[str, bool]:
        return {"alive": True}

    @get("/startz", sync_to_thread=False)
    def startz() -> Response[dict[str, bool]]:
        state = {"knows": health.knows, "leaving": health.leaving}
        return Response(state, status_code=200 if health.knows and not health.leaving else 503)

    @get("/readyz")
    async def readyz() -> Response[Report]:
        report = await health.report()
        return Response(report, status_code=200 if report.ready else 503)

    @get("/metrics", sync_to_thread=False)
    def numbers() -> Response[bytes]:
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    @get("/traefik", sync_to_thread=False)
    def traefik() -> Response[Any]:
        # Traefik keeps its earlier configuration, instead of one without companions.
        ready = companions.ready
        return Response(
            companions.configuration() if ready else None, status_code=200 if ready else 503
        )

    handlers = [healthz, startz, readyz, numbers, traefik]
    rest = MsgspecApp(handlers, openapi_config=None, logging_config=None)

    async def dispatch(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        # Before Litestar: its routing costs three times as much as the whole verdict.
        if scope["type"] == "http" and scope["path"].startswith("/verify/"):
            await verify(scope, receive, send)
        else:
            await rest(scope, receive, send)

    return dispatch
