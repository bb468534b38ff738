"""Sessions on a Kubernetes cluster: a Pod, what it owns, and the claim on its owner's files.

The Pod is the record and the first thing made; everything else carries an ownerReference to it,
so that its deletion takes all of a session but the files. A Pod that is being deleted has a
deletionTimestamp: that is the mark of a stop, and it survives the controller. Everything happens
in one namespace, with the rights of a Role in it.

The builders of ``manifests`` give plain values, and of the answers only what ``answers`` names is
decoded; ``cluster`` is the way there.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import anyio
import structlog

from controller.cluster.client import (
    JSON,
    Api,
    BrokenError,
    ConflictError,
    ForbiddenError,
    MissingError,
    NotAdmittedError,
    decoded,
    read_each,
)
from controller.cluster.watching import Source, follow
from controller.core import labels
from controller.core.errors import (
    EngineUnavailable,
    FilesInUse,
    ImageRefused,
    QuotaReached,
    SessionExists,
    SessionStopping,
)
from controller.core.model import (
    Observed,
    Offer,
    Profile,
    Session,
    SessionId,
    Usage,
    UserId,
    Volume,
    volume_name,
)
from controller.engines.kubernetes import answers, manifests, observed, progress
from controller.engines.kubernetes.answers import (
    CHILDREN,
    METADATA,
    METADATA_LIST,
    Claim,
    Event,
    Measured,
    Metadata,
    Pod,
    Thing,
)
from controller.engines.kubernetes.children import children
from controller.engines.kubernetes.events import Followed, note, owned
from controller.engines.kubernetes.offers import IngressRoute, read_offer
from controller.settings.schema import Settings

_T = TypeVar("_T")

_SAME_SECONDS = 30.0  # after which what has not changed is told again

_DEBOUNCE_SECONDS = 0.02  # one start makes several events

_GONE_SECONDS = 0.1  # between two looks whether a Pod is gone

_FORCED_SECONDS = 10.0  # after which even a forced deletion must have been done

_METRICS_SECONDS = 10.0  # metrics-server measures each 15 s

_NO_METRICS_SECONDS = 300.0  # between two looks whether there are metrics by now

_KINDS = {  # kind -> where its objects are
    "Pod": ("/api/v1", "pods"),
    "Service": ("/api/v1", "services"),
    "PersistentVolumeClaim": ("/api/v1", "persistentvolumeclaims"),
    "Event": ("/api/v1", "events"),
    "NetworkPolicy": ("/apis/networking.k8s.io/v1", "networkpolicies"),
    "Middleware": ("/apis/traefik.io/v1alpha1", "middlewares"),
    "IngressRoute": ("/apis/traefik.io/v1alpha1", "ingressroutes"),
    "PodMetrics": ("/apis/metrics.k8s.io/v1beta1", "pods"),
}

_log = structlog.get_logger("kubernetes")


class KubernetesOrchestrator:
    """See Orchestrator."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is asked of the engine before the first call. ``clock``: monotonic seconds."""
        self._settings = settings
        self._namespace = settings.kubernetes.namespace
        self._api = Api(settings.kubernetes)
        self._clock = clock
        self._measured: dict[str, Usage | None] = {}
        self._measure_at = 0.0  # of the clock; not before that
        self._measuring = anyio.Lock()
        self._faults: set[str] = set()

    async def ensure(self, session: Session) -> None:
        """See Orchestrator. Raises QuotaReached, too, if the namespace's own quota is used up."""
        profile = self._profile(session.profile)
        await self._ensure_claims(session)
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
        found = await self._get("Pod", name)
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
            return await self._post(body)
        except ConflictError:
            found = await self._find(session)  # raises unless it is this very session
            if found is None:
                raise  # gone this moment
            return found
        except NotAdmittedError as error:
            raise _refusal(profile, error) from error

    async def _make_child(self, body: manifests.Body, session: Session) -> None:
        try:
            await self._post(body)
        except ConflictError:
            kind, name = str(body["kind"]), str(body["metadata"]["name"])
            found = await self._get(kind, name)
            if found and (found.labels or {}).get(manifests.SESSION) != session.id:
                raise EngineUnavailable(
                    f"There is a {kind} {name} already, which is not the hub's. The administrator "
                    "must look at it."
                ) from None

    async def _undo(self, session: Session) -> None:
        try:
            found = await self._find(session)
            if found is not None:
                await self._delete(found, seconds=0)
        except (SessionExists, SessionStopping):
            return
        except EngineUnavailable as error:
            # Housekeeping finds the rest by its labels.
            _log.warning("half_made_session_left", session=session.id, error=error.in_full)

    async def _ensure_claims(self, session: Session) -> None:
        body = manifests.claim(session.owner, self._settings)
        await self._ensure_claim(body, labels.OWNER, session.owner)
        for mount in session.volumes:
            if mount.name not in self._settings.kubernetes.claims:
                body = manifests.group_claim(mount.name, self._settings)
                await self._ensure_claim(body, labels.VOLUME, mount.name)

    async def _ensure_claim(self, body: manifests.Body, label: str, whose: str) -> None:
        name = str(body["metadata"]["name"])
        found = await self._get("PersistentVolumeClaim", name)
        if found is None:
            try:
                found = await self._post(body)
            except ConflictError:
                found = await self._get("PersistentVolumeClaim", name)
            except NotAdmittedError as error:
                raise EngineUnavailable(f"No place for files is given: {error}") from error
        # Its name holds a short hash only, its annotation all.
        if found and (found.annotations or {}).get(labels.key(label)) != whose:
            raise EngineUnavailable(
                f"The claim {name} is not annotated as {whose}'s. Nothing is mounted; the "
                "administrator must look at it."
            )

    async def fetch(self, profile_id: str, tell: Callable[[str], None]) -> None:
        """See Orchestrator. The node's kubelet fetches; the Pod's events tell of it."""
        del tell
        self._profile(profile_id)

    async def remove(self, session_id: SessionId, *, grace: timedelta) -> None:
        """See Orchestrator. Deletion is forced where the Pod's node does not answer."""
        # The children go after the Pod (propagation in the background): so its NetworkPolicy
        # holds as long as its program runs, and verify lets nobody through meanwhile.
        for one in await self._pods(session_id):
            # 0 would forget the Pod before its program ends, and two might write to the files.
            seconds = max(1, int(grace.total_seconds()))
            await self._delete(one.metadata, seconds=seconds)
            if await self._gone(one.metadata, seconds + self._settings.kubernetes.force_seconds):
                continue
            _log.warning("deletion_forced", session=session_id, pod=one.metadata.name)
            await self._delete(one.metadata, seconds=0)
            if not await self._gone(one.metadata, _FORCED_SECONDS):
                raise EngineUnavailable(
                    f"The Pod {one.metadata.name} cannot be deleted. Something holds it, perhaps a "
                    "finalizer; the administrator must look at it."
                )
        self._measured.pop(session_id, None)

    async def _gone(self, pod: Metadata, seconds: float) -> bool:
        with anyio.move_on_after(seconds):
            while True:
                found = await self._read_pod(pod.name)
                if found is None or found.metadata.uid != pod.uid:
                    return True
                if progress.has_ended(found):
                    # Nothing of it runs any more: what the node still clears away, which may take
                    # it a minute, does not keep anybody from the name and the files.
                    await self._delete(pod, seconds=0)
                await anyio.sleep(_GONE_SECONDS)
        return False

    async def get(self, session_id: SessionId) -> Observed | None:
        """See Orchestrator."""
        return next(iter(await self._observe(session_id)), None)

    async def list(self) -> Sequence[Observed]:
        """See Orchestrator."""
        return await self._observe(None)

    async def _observe(self, session_id: SessionId | None) -> list[Observed]:
        found, unread = await self._list("Pod", Pod, session_id)
        parts: set[tuple[str, str, str]] = set()
        events: dict[str, Event] = {}
        if found:
            for kind in CHILDREN:
                things, more = await self._list(kind, Thing, session_id, accept=METADATA_LIST)
                parts.update(child for one in things for child in owned(kind, one))
                unread += more
            happened, more = await self._list("Event", Event, None)
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
    def unread(self) -> int:
        """See Orchestrator."""
        return len(self._faults)

    async def watch(self) -> AsyncGenerator[Sequence[Observed], None]:
        """See Orchestrator."""
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
                source = Source(
                    follower.kind,
                    partial(self._path, follower.kind),
                    self._query(follower.kind, None),
                    follower.accept,
                    follower.accept_list,
                )
                group.start_soon(follow, self._api, source, follower)
            before: Sequence[Observed] | None = None
            try:
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
            except GeneratorExit:
                pass  # whoever watched has closed this; the group would make a fault of it
            finally:
                group.cancel_scope.cancel()

    async def logs(self, session_id: SessionId, *, tail: int) -> AsyncIterator[str]:
        """See Orchestrator."""
        for one in await self._pods(session_id):
            path = f"{self._path('Pod', one.metadata.name)}/log"
            query = {"container": manifests.CONTAINER, "tailLines": str(tail)}
            try:
                text = await self._api.request("GET", path, query=query)
            except (MissingError, NotAdmittedError):
                continue  # gone, or not started yet: that is a fault of the request to the engine
            for line in text.decode(errors="replace").splitlines():
                yield line

    async def usage(self, session_id: SessionId) -> Usage | None:
        """See Orchestrator. None, too, in a cluster without metrics.k8s.io."""
        async with self._measuring:
            if self._clock() >= self._measure_at:
                await self._measure()
        return self._measured.get(session_id)

    async def _measure(self) -> None:
        """Ask for all sessions at once: housekeeping asks for one after the other."""
        self._measured = {}
        try:
            found, _ = await self._list("PodMetrics", Measured, None)
        except (MissingError, ForbiddenError, BrokenError) as error:
            self._measure_at = self._clock() + _NO_METRICS_SECONDS
            _log.info("no_metrics", why=error.in_full)
            return
        self._measure_at = self._clock() + _METRICS_SECONDS
        for one in found:
            session_id = (one.metadata.labels or {}).get(manifests.SESSION, "")
            try:
                self._measured[session_id] = answers.usage_of(one.containers)
            except ValueError as error:
                _log.warning("metrics_unreadable", session=session_id, fault=str(error))

    async def volumes(self) -> Sequence[Volume]:
        """See Orchestrator. A cluster tells how much was set aside, not what is in it."""
        query = {"labelSelector": f"{manifests.INSTANCE}={self._settings.instance}"}
        path = self._path("PersistentVolumeClaim")
        found, _ = read_each(await self._api.request("GET", path, query=query), Claim)
        owner = labels.key(labels.OWNER)
        marked = [(one, (one.metadata.annotations or {}).get(owner)) for one in found]
        return [
            Volume(UserId(whose), one.metadata.name, one.size, reserved=True)
            for one, whose in marked
            if whose and one.metadata.deletion_timestamp is None
        ]

    async def make_volume(self, owner: UserId) -> None:
        """See Orchestrator."""
        await self._ensure_claim(manifests.claim(owner, self._settings), labels.OWNER, owner)

    async def remove_volume(self, owner: UserId) -> None:
        """See Orchestrator. A Pod's claim would go with the Pod: so none may be there."""
        if any(one.session.owner == owner for one in await self.list()):
            raise FilesInUse
        name = volume_name(self._settings.instance, owner)
        found = await self._get("PersistentVolumeClaim", name)
        if found is None:
            return
        if (found.annotations or {}).get(labels.key(labels.OWNER)) != owner:
            raise EngineUnavailable(
                f"The claim {name} is not annotated as this person's. It is left as it is."
            )
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": found.uid},
        }
        with contextlib.suppress(MissingError, ConflictError):
            path = self._path("PersistentVolumeClaim", name)
            await self._api.request("DELETE", path, body=body)

    async def apps(self) -> Sequence[Offer]:
        """See Orchestrator: IngressRoutes of kubernetes.apps_namespace with the hub's label."""
        namespace = self._settings.kubernetes.apps_namespace
        if not namespace:
            return []
        query = {"labelSelector": f"{manifests.INSTANCE}={self._settings.instance}"}
        path = self._path("IngressRoute", namespace=namespace)
        found, faults = read_each(await self._api.request("GET", path, query=query), IngressRoute)
        for fault in faults:
            _log.warning("offer_unreadable", fault=fault)
        offers = [read_offer(one, namespace) for one in found]
        return [one for one in offers if one is not None]

    async def check(self, profile_id: str) -> None:
        """See Orchestrator: the cluster is asked whether it would admit such a Pod.

        Labels for Traefik in an image do nothing here: Traefik reads objects of the cluster, and
        what an image is labelled with never becomes one. Whether a node has what the profile
        wants (the image, a card) the hub may not see; the session's progress tells.
        """
        profile = self._profile(profile_id)
        session = Session(
            id=SessionId("a" * 26),
            owner=UserId("check"),
            profile=profile.id,
            name="check",
            created_at=datetime.fromisoformat("2000-01-01T00:00:00Z"),
        )
        body = manifests.pod(session, profile, self._settings)
        try:
            await self._api.request("POST", self._path("Pod"), query={"dryRun": "All"}, body=body)
        except NotAdmittedError as error:
            if "dry run" in str(error):
                # A webhook of the site's cannot be asked; then only a start tells.
                _log.info("profile_not_tried", profile=profile.id, why=error.in_full)
                return
            raise _refusal(profile, error) from error

    async def ping(self) -> None:
        """See Orchestrator. Needs the rights to list, and Traefik's kinds in the cluster."""
        await self._api.request("GET", self._path("Pod"), query={"limit": "1"})
        try:
            await self._api.request("GET", self._path("IngressRoute"), query={"limit": "1"})
        except MissingError as error:
            raise EngineUnavailable(
                "The cluster does not know Traefik's kinds (traefik.io/v1alpha1). Install "
                "Traefik's CustomResourceDefinitions."
            ) from error

    async def aclose(self) -> None:
        """See Orchestrator."""
        await self._api.aclose()

    def _profile(self, profile_id: str) -> Profile:
        profile = self._settings.profile(profile_id)
        if profile is None:
            raise ImageRefused(f"There is no profile {profile_id} any more.")
        return profile

    def _path(self, kind: str, name: str = "", *, namespace: str = "") -> str:
        group, plural = _KINDS[kind]
        path = f"{group}/namespaces/{namespace or self._namespace}/{plural}"
        return f"{path}/{name}" if name else path

    def _query(self, kind: str, session_id: SessionId | None) -> dict[str, str]:
        """Select what is this instance's; events carry no labels and are told by their Pods."""
        if kind == "Event":
            return {"fieldSelector": "involvedObject.kind=Pod"}
        selector = f"{manifests.INSTANCE}={self._settings.instance},{manifests.SESSION}"
        return {"labelSelector": f"{selector}={session_id}" if session_id else selector}

    async def _pods(self, session_id: SessionId | None) -> Sequence[Pod]:
        """Return a session's Pods, or all. Raises EngineUnavailable if one cannot be read."""
        found, faults = await self._list("Pod", Pod, session_id)
        if faults:
            raise EngineUnavailable(f"The cluster's answer cannot be read: {faults[0]}")
        return found

    async def _list(
        self,
        kind: str,
        what: type[_T],
        session_id: SessionId | None,
        *,
        accept: str = JSON,
    ) -> tuple[list[_T], list[str]]:
        query = self._query(kind, session_id)
        found = await self._api.request("GET", self._path(kind), query=query, accept=accept)
        things, faults = read_each(found, what)
        return things, [f"{kind} {fault}" for fault in faults]

    async def _read_pod(self, name: str) -> Pod | None:
        try:
            return decoded(await self._api.request("GET", self._path("Pod", name)), Pod)
        except MissingError:
            return None

    async def _get(self, kind: str, name: str) -> Metadata | None:
        try:
            found = await self._api.request("GET", self._path(kind, name), accept=METADATA)
        except MissingError:
            return None
        return decoded(found, Thing).metadata

    async def _post(self, body: manifests.Body) -> Metadata:
        made = await self._api.request("POST", self._path(str(body["kind"])), body=body)
        return decoded(made, Thing).metadata

    async def _delete(self, pod: Metadata, *, seconds: int) -> None:
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": seconds,
            "propagationPolicy": "Background",
            "preconditions": {"uid": pod.uid},  # the name may be another session's by now
        }
        with contextlib.suppress(MissingError, ConflictError):
            await self._api.request("DELETE", self._path("Pod", pod.name), body=body)


def _refusal(profile: Profile, error: NotAdmittedError) -> ImageRefused | QuotaReached:
    if "exceeded quota" in str(error):
        _log.warning("quota_of_namespace", profile=profile.id, why=error.in_full)
        return QuotaReached("All places are taken. Try again later.")
    return ImageRefused(f"The cluster does not admit the profile {profile.id}: {error}")
