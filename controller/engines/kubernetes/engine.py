"""Sessions on a Kubernetes cluster: a Pod, what it owns, and the claim on its owner's files.

The Pod is the record and the first thing made; everything else carries an ownerReference to it,
so that its deletion takes all of a session but the files. A Pod that is being deleted has a
deletionTimestamp: that is the mark of a stop, and it survives the controller. Everything happens
in one namespace, with the rights of a Role in it.

``manifests`` and ``children`` build plain values, and of the answers only what ``answers`` names
is decoded; ``calls`` is the way there.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import timedelta

import anyio
import structlog
from typing_extensions import override

from controller.cluster.client import Api, ConflictError, MissingError, NotAdmittedError
from controller.core.errors import EngineUnavailable, FilesInUse, SessionExists, SessionStopping
from controller.core.model import (
    Observed,
    Offer,
    Profile,
    Session,
    SessionId,
    Usage,
    UserId,
    Volume,
)
from controller.core.sentence import Phrase
from controller.engines import Orchestrator
from controller.engines.kubernetes import manifests, observed, progress
from controller.engines.kubernetes.answers import (
    CHILDREN,
    METADATA_LIST,
    Event,
    Metadata,
    Pod,
    Thing,
)
from controller.engines.kubernetes.calls import Calls
from controller.engines.kubernetes.children import children
from controller.engines.kubernetes.claims import Claims
from controller.engines.kubernetes.events import Followed, note, owned
from controller.engines.kubernetes.images import Images, refusal
from controller.engines.kubernetes.offers import IngressRoute, read_offer
from controller.engines.kubernetes.usage import Measurements
from controller.monitoring.faults import until_closed
from controller.settings.schema import Settings

_SAME_SECONDS = 30.0  # after which what has not changed is told again

_DEBOUNCE_SECONDS = 0.02  # one start makes several events

_GONE_SECONDS = 0.1  # between two checks whether a Pod is gone

_FORCED_SECONDS = 10.0  # after which even a forced deletion must have been done

_log = structlog.get_logger("kubernetes")


class KubernetesOrchestrator(Orchestrator):
    """Sessions as Pods of one namespace, with all that they own."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is asked of the engine before the first call. ``clock``: monotonic seconds."""
        self._settings = settings
        self._calls = Calls(settings, Api(settings.kubernetes))
        self._claims = Claims(settings, self._calls)
        self._images = Images(settings, self._calls)
        self._measurements = Measurements(self._calls, clock)
        self._faults: set[str] = set()

    @override
    async def ensure(self, session: Session) -> None:
        """Raises QuotaReached, too, if the namespace's own quota is used up."""
        profile = self._images.profile(session.profile)
        await self._claims.ensure_of(session)
        existing = await self._find(session)
        try:
            pod = existing or await self._make_pod(session, profile)
            for body in children(session, profile, self._settings, uid=pod.uid):
                await self._make_child(body, session)
        except BaseException:
            if existing is None:
                with anyio.CancelScope(shield=True):
                    await self._undo(session)
            raise

    async def _find(self, session: Session) -> Metadata | None:
        name = manifests.pod_name(session, self._settings.instance)
        found = await self._calls.get("Pod", name)
        if found is None:
            return None
        if found.deletion_timestamp is not None:
            raise SessionStopping
        theirs = (found.labels or {}).get(manifests.SESSION, "")
        if theirs != session.id:
            raise SessionExists(theirs)
        return found

    async def _make_pod(self, session: Session, profile: Profile) -> Metadata:
        body = manifests.pod(session, profile, self._settings)
        try:
            return await self._calls.post(body)
        except ConflictError:
            found = await self._find(session)  # raises unless it is this very session
            if found is None:
                raise  # gone this moment
            return found
        except NotAdmittedError as error:
            raise refusal(profile, error) from error

    async def _make_child(self, body: manifests.Body, session: Session) -> None:
        try:
            await self._calls.post(body)
        except ConflictError:
            kind, name = str(body["kind"]), str(body["metadata"]["name"])
            found = await self._calls.get(kind, name)
            if found and (found.labels or {}).get(manifests.SESSION) != session.id:
                raise EngineUnavailable(
                    "The {kind} {name} already exists and is not the hub's. The administrator "
                    "must check it.",
                    kind=kind,
                    name=name,
                ) from None

    async def _undo(self, session: Session) -> None:
        try:
            found = await self._find(session)
            if found is not None:
                await self._calls.delete_pod(found, seconds=0)
        except (SessionExists, SessionStopping):
            return
        except EngineUnavailable as error:
            # Housekeeping finds the rest by its labels.
            _log.warning("half_made_session_left", session=session.id, error=error.in_full)

    @override
    async def fetch(self, profile_id: str, tell: Callable[[Phrase], None]) -> None:
        """The node's kubelet fetches; the Pod's events tell of it."""
        del tell
        self._images.profile(profile_id)

    @override
    async def remove(self, session_id: SessionId, *, grace: timedelta) -> None:
        """Deletion is forced where the Pod's node does not answer."""
        # The children go after the Pod (propagation in the background): so its NetworkPolicy
        # holds as long as its program runs, and verify lets nobody through meanwhile.
        for one in await self._calls.pods(session_id):
            # 0 would forget the Pod before its program ends, and two might write to the files.
            seconds = max(1, int(grace.total_seconds()))
            await self._calls.delete_pod(one.metadata, seconds=seconds)
            if await self._gone(one.metadata, seconds + self._settings.kubernetes.force_seconds):
                continue
            _log.warning("deletion_forced", session=session_id, pod=one.metadata.name)
            await self._calls.delete_pod(one.metadata, seconds=0)
            if not await self._gone(one.metadata, _FORCED_SECONDS):
                raise EngineUnavailable(
                    "The Pod {name} cannot be deleted. Something holds it, perhaps a "
                    "finalizer; the administrator must check it.",
                    name=one.metadata.name,
                )
        self._measurements.forget(session_id)

    async def _gone(self, pod: Metadata, seconds: float) -> bool:
        with anyio.move_on_after(seconds):
            while True:
                found = await self._calls.read_pod(pod.name)
                if found is None or found.metadata.uid != pod.uid:
                    return True
                if progress.has_ended(found):
                    # Nothing of it runs any more: what the node still clears away, which may take
                    # it a minute, does not keep anybody from the name and the files.
                    await self._calls.delete_pod(pod, seconds=0)
                await anyio.sleep(_GONE_SECONDS)
        return False

    @override
    async def get(self, session_id: SessionId) -> Observed | None:
        return next(iter(await self._observe(session_id)), None)

    @override
    async def list(self) -> Sequence[Observed]:
        return await self._observe(None)

    async def _observe(self, session_id: SessionId | None) -> list[Observed]:
        found, unread = await self._calls.listed("Pod", Pod, session_id)
        parts: set[tuple[str, str, str]] = set()
        events: dict[str, Event] = {}
        if found:
            for kind in CHILDREN:
                things, more = await self._calls.listed(
                    kind, Thing, session_id, accept=METADATA_LIST
                )
                parts.update(child for one in things for child in owned(kind, one))
                unread += more
            happened, more = await self._calls.listed("Event", Event, None)
            unread += more
            for event in happened:
                note(events, event)
        return self._read(found, parts, events, unread)

    def _read(
        self,
        found: Sequence[Pod],
        parts: set[tuple[str, str, str]],
        events: Mapping[str, Event],
        unread: Collection[str],
    ) -> list[Observed]:
        seen, faults = observed.observe(found, parts, events, self._settings)
        now = {*faults, *unread}
        for fault in now - self._faults:
            _log.warning("object_unreadable", fault=fault)
        self._faults = now
        return seen

    @property
    @override
    def unread(self) -> int:
        return len(self._faults)

    @override
    async def watch(self) -> AsyncGenerator[Sequence[Observed], None]:
        send, receive = anyio.create_memory_object_stream[None](1)

        def ring() -> None:
            # A full stream means that the bell has rung already; a closed one, that nobody listens.
            with contextlib.suppress(
                anyio.WouldBlock, anyio.BrokenResourceError, anyio.ClosedResourceError
            ):
                send.send_nowait(None)

        followed = Followed(ring)
        async with anyio.create_task_group() as group, send, receive:
            for follower in followed.followers:
                group.start_soon(self._calls.follow, follower)
            before: Sequence[Observed] | None = None
            with until_closed(group):
                while True:
                    with anyio.move_on_after(_SAME_SECONDS) as quiet:
                        await receive.receive()
                        await anyio.sleep(_DEBOUNCE_SECONDS)
                    if not followed.known:
                        continue  # what is out of date would bring back what was removed meanwhile
                    snapshot = self._read(*followed.facts())
                    # Half of what happens to a Pod changes nothing that is looked at.
                    if snapshot != before or quiet.cancelled_caught:
                        before = snapshot
                        yield snapshot

    @override
    async def logs(self, session_id: SessionId, *, tail: int) -> AsyncIterator[str]:
        for one in await self._calls.pods(session_id):
            try:
                text = await self._calls.log_of(one.metadata, tail=tail)
            except (MissingError, NotAdmittedError):
                continue  # gone, or not started yet: that is a fault of the request to the engine
            for line in text.decode(errors="replace").splitlines():
                yield line

    @override
    async def usage(self, session_id: SessionId) -> Usage | None:
        """None, too, in a cluster without metrics.k8s.io."""
        return await self._measurements.of(session_id)

    @override
    async def volumes(self) -> Sequence[Volume]:
        """A cluster tells how much was set aside, not what is in it."""
        return await self._claims.all()

    @override
    async def make_volume(self, owner: UserId) -> None:
        await self._claims.ensure(owner)

    @override
    async def remove_volume(self, owner: UserId) -> None:
        """A Pod's claim would go with the Pod: so none may be there."""
        if any(one.session.owner == owner for one in await self.list()):
            raise FilesInUse
        await self._claims.remove(owner)

    @override
    async def apps(self) -> Sequence[Offer]:
        """Return what IngressRoutes of kubernetes.apps_namespace with the hub's label offer."""
        namespace = self._settings.kubernetes.apps_namespace
        if not namespace:
            return []
        found, faults = await self._calls.ours("IngressRoute", IngressRoute, namespace=namespace)
        for fault in faults:
            _log.warning("offer_unreadable", fault=fault)
        offers = [read_offer(one, namespace) for one in found]
        return [one for one in offers if one is not None]

    @override
    async def check(self, profile_id: str) -> None:
        """Ask the cluster whether it would admit such a Pod."""
        await self._images.check(profile_id)

    @override
    async def ping(self) -> None:
        """Needs the rights to list, and Traefik's kinds in the cluster."""
        await self._calls.ping()

    @override
    async def aclose(self) -> None:
        await self._calls.aclose()
