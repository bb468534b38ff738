"""Objects of Kubernetes for a session: the Pod, its record, and the claims on files.

Pure: no client, no clock. The Pod is the session's record: the labels of ``labels``, under the
prefix ``slicerhub/``, are its annotations, because a label's value may hold neither a person's
name nor a time; only what is selected by is a label besides. Everything else but the claims is a
child of the Pod and goes with it, see ``children``. Valid from Kubernetes 1.25 to the newest.

``restartPolicy`` is Never: a program that ended shows why it ended, instead of beginning anew
without what was in it, and looking as if nothing had happened. There is no readiness probe: the
controller sees through Traefik whether a session is served, and a probe would take a session
that computes, and therefore answers late, away from the person who waits for it. Processes
cannot be limited by a Pod: ``pids`` of a profile has no effect here, the kubelet's podPidsLimit
holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.core import labels
from controller.core.labels import key
from controller.core.model import (
    Profile,
    Session,
    UserId,
    group_volume_name,
    object_name,
    slug,
    volume_name,
)
from controller.engines.environment import GROUPS_FOLDER, environment
from controller.settings.schema import Settings

Body = dict[str, Any]  # an object of the engine's API, as JSON

CONTAINER = "session"
"""Name of the one container in a session's Pod."""

STOP_SECONDS = 10  # the engine's own grace when it evicts by itself

_TMP_MIB = 1024  # of /tmp, in memory


INSTANCE = key(labels.INSTANCE)

SESSION = key(labels.SESSION)

OWNER_SLUG = "slicerhub/owner-slug"


def record(session: Session, instance: str) -> dict[str, str]:
    """Return the whole record of a session."""
    return {key(name): text for name, text in labels.encode(session, instance).items()}


def decode(found: Mapping[str, str]) -> Session:
    """Return the session that a Pod's annotations record. Raises labels.LabelFault."""
    return labels.decode(plain(found))


def plain(found: Mapping[str, str]) -> dict[str, str]:
    """Return those annotations that record a session by the names of ``labels``."""
    prefix = key("slicerhub.")
    return {
        f"slicerhub.{name.removeprefix(prefix)}": text
        for name, text in found.items()
        if name.startswith(prefix)
    }


def selected_by(session: Session, instance: str) -> dict[str, str]:
    """Return the labels of a session's Pod and of its children."""
    return {INSTANCE: instance, SESSION: session.id, OWNER_SLUG: slug(session.owner)}


def pod_name(session: Session, instance: str) -> str:
    """Name of a session's Pod: the same for the same person and name, so it is refused twice."""
    return object_name(instance, session.owner, session.name)


def pod(session: Session, profile: Profile, settings: Settings) -> Body:
    """Return a session's Pod. Passes Pod Security ``restricted`` unless the profile does not.

    Memory is set aside whole by default, cores in part: a session that waits for its person needs
    few of them, but what it has loaded stays in memory. /tmp and /dev/shm are memory, too: full,
    they refuse to take more, where a folder on disk would have the Pod evicted.
    """
    name = pod_name(session, settings.instance)
    ours = settings.kubernetes
    spec: Body = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": STOP_SECONDS,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": profile.uid,
            "runAsGroup": profile.uid,
            "fsGroup": profile.uid,
            # Else each start would walk through all of a person's files.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(session, profile, settings)],
        "volumes": _volumes(session, profile, settings),
    }
    if ours.access_mode == "ReadWriteOnce":
        spec["affinity"] = _near_own_files(session, settings.instance)
    if ours.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": secret} for secret in ours.image_pull_secrets]
    if profile.node_selector:
        spec["nodeSelector"] = profile.node_selector
    if profile.tolerations:
        spec["tolerations"] = [_toleration(taint) for taint in profile.tolerations]
    if profile.priority_class:
        spec["priorityClassName"] = profile.priority_class
    if profile.runtime_class:
        spec["runtimeClassName"] = profile.runtime_class
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": ours.namespace,
            "labels": selected_by(session, settings.instance),
            "annotations": record(session, settings.instance),
        },
        "spec": spec,
    }


def _container(session: Session, profile: Profile, settings: Settings) -> Body:
    mounts: list[Body] = [
        {"name": "home", "mountPath": profile.home},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a folder inside the session
        {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108
    ]
    mounts += [
        {
            "name": f"group-{mount.name}",
            "mountPath": f"{GROUPS_FOLDER}/{mount.name}",
            "readOnly": not mount.writable,
        }
        for mount in session.volumes
    ]
    return {
        "name": CONTAINER,
        "image": profile.image,
        "imagePullPolicy": settings.kubernetes.image_pull_policy,
        # Values are taken literally: "$$" stands for "$" in Kubernetes.
        "env": [
            {"name": name, "value": value.replace("$", "$$")}
            for name, value in sorted(environment(session, profile, settings).items())
        ],
        "ports": [{"name": "http", "containerPort": profile.port, "protocol": "TCP"}],
        "resources": _resources(profile),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": profile.read_only,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }


def _resources(profile: Profile) -> Body:
    # An engine takes no cards in part: what is requested of them is what is the limit.
    cards = {"nvidia.com/gpu": str(profile.gpus)} if profile.gpus else {}
    return {
        "limits": {
            "cpu": f"{int(profile.cpus * 1000)}m",
            "memory": f"{profile.memory_mib}Mi",
            **cards,
        },
        "requests": {
            "cpu": f"{int(min(profile.cpus_reserved, profile.cpus) * 1000)}m",
            "memory": f"{profile.memory_reserved_mib or profile.memory_mib}Mi",
            **cards,
        },
    }


def _volumes(session: Session, profile: Profile, settings: Settings) -> list[Body]:
    home = volume_name(settings.instance, session.owner)
    volumes: list[Body] = [
        {"name": "home", "persistentVolumeClaim": {"claimName": home}},
        {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": f"{_TMP_MIB}Mi"}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": f"{profile.shm_mib}Mi"}},
    ]
    volumes += [
        {
            "name": f"group-{mount.name}",
            "persistentVolumeClaim": {"claimName": group_claim_name(mount.name, settings)},
        }
        for mount in session.volumes
    ]
    return volumes


def _near_own_files(session: Session, instance: str) -> Body:
    """Prefer the node of a person's other sessions: their files can be on one node at a time."""
    other = {INSTANCE: instance, OWNER_SLUG: slug(session.owner)}
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": other}}
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}


def _toleration(taint: str) -> Body:
    """``gpu=true:NoSchedule`` as the engine wants it."""
    what, _, effect = taint.rpartition(":")
    name, equals, value = what.partition("=")
    if equals:
        return {"key": name, "operator": "Equal", "value": value, "effect": effect}
    return {"key": name, "operator": "Exists", "effect": effect}


def claim(owner: UserId, settings: Settings) -> Body:
    """Return the claim on a person's files; no session owns it."""
    ours = settings.kubernetes
    return _claim(
        volume_name(settings.instance, owner), labels.OWNER, owner, ours.access_mode, settings
    )


def group_claim_name(name: str, settings: Settings) -> str:
    """Name of the claim on a group's files: the site's own if it has one, else the hub's."""
    return settings.kubernetes.claims.get(name) or group_volume_name(settings.instance, name)


def group_claim(name: str, settings: Settings) -> Body:
    """Return the claim on a group's files, which have to be had on many nodes at once."""
    return _claim(
        group_volume_name(settings.instance, name),
        labels.VOLUME,
        name,
        "ReadWriteMany",
        settings,
    )


def _claim(name: str, label: str, whose: str, mode: str, settings: Settings) -> Body:
    ours = settings.kubernetes
    spec: Body = {
        "accessModes": [mode],
        "resources": {"requests": {"storage": ours.storage_size}},
    }
    if ours.storage_class:
        spec["storageClassName"] = ours.storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": name,
            "namespace": ours.namespace,
            "labels": {INSTANCE: settings.instance},
            "annotations": {key(labels.SCHEMA): labels.SCHEMA_VERSION, key(label): whose},
        },
        "spec": spec,
    }
