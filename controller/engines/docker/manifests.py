"""Bodies of Docker's API 1.41 (engine 20.10) for a session: container, network, volume.

Pure: no client, no clock.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Any

from controller.core import labels
from controller.core.model import Egress, Profile, Session, SessionId, UserId, group_volume_name
from controller.engines.environment import GROUPS_FOLDER, environment
from controller.rules import routes
from controller.settings.schema import Settings

Body = dict[str, Any]  # JSON of any depth; its shape is the engine's, and golden files hold it

_MIB = 1024 * 1024

_CPU_PERIOD = 100_000  # microseconds; the kernel's default

_TMP_MIB = 1024  # of /tmp, in memory

_STOP_SECONDS = 10  # the engine's own grace when it shuts down by itself

OPENER = "volume-opener"
"""``labels.COMPONENT`` of what ``volume_opener`` makes."""


def network_name(instance: str, session_id: SessionId) -> str:
    """Name of the network that a session has for itself and Traefik."""
    return f"{instance}-{session_id}"


def container_labels(session: Session, profile: Profile, settings: Settings) -> dict[str, str]:
    """Return all labels of a session's container: the hub's and Traefik's."""
    return labels.encode(session, settings.instance) | routes.traefik_labels(
        session.id,
        profile,
        settings,
        network=network_name(settings.instance, session.id),
    )


def container(session: Session, profile: Profile, settings: Settings, *, volume: str) -> Body:
    """Return the body of ``POST /containers/create`` for a session.

    Hardened by default (threats.md row 34). CPU is limited by quota and not by NanoCpus, which
    the engine refuses when a profile allows more cores than the machine has.
    """
    network = network_name(settings.instance, session.id)
    memory = profile.memory_mib * _MIB
    told = environment(session, profile, settings)
    mounts: list[Body] = [{"Type": "volume", "Source": volume, "Target": profile.home}]
    mounts += [
        {
            "Type": "volume",
            "Source": group_volume_name(settings.instance, mount.name),
            "Target": f"{GROUPS_FOLDER}/{mount.name}",
            "ReadOnly": not mount.writable,
            "VolumeOptions": {"NoCopy": True},  # what an image has there is nobody's shared file
        }
        for mount in session.volumes
    ]
    return {
        "Image": profile.image,
        "User": f"{profile.uid}:{profile.uid}",
        "Env": [f"{name}={value}" for name, value in sorted(told.items())],
        "Labels": container_labels(session, profile, settings),
        # Traefik has no router for a container whose health is still "starting"; readiness is
        # what the controller sees through Traefik.
        "Healthcheck": {"Test": ["NONE"]},
        "StopTimeout": _STOP_SECONDS,
        "HostConfig": {
            "NetworkMode": network,
            "Mounts": mounts,
            "Tmpfs": {"/tmp": f"rw,nosuid,nodev,mode=1777,size={_TMP_MIB}m"},  # noqa: S108
            "ReadonlyRootfs": profile.read_only,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "Privileged": False,
            "IpcMode": "private",
            "Memory": memory,
            "MemorySwap": memory,
            "CpuPeriod": _CPU_PERIOD,
            "CpuQuota": int(profile.cpus * _CPU_PERIOD),
            "DeviceRequests": _cards(session, profile),
            "PidsLimit": profile.pids,
            "ShmSize": profile.shm_mib * _MIB,
            "RestartPolicy": {"Name": "no"},
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
        },
        "NetworkingConfig": {"EndpointsConfig": {network: {}}},
    }


def _cards(session: Session, profile: Profile) -> list[Body]:
    if session.gpus:
        wish: Body = {"DeviceIDs": list(session.gpus)}
    elif profile.gpus:
        wish = {"Count": profile.gpus}
    else:
        return []
    # The engine finds the driver by the capability.
    return [{"Driver": ""} | wish | {"Capabilities": [["gpu"]]}]


def network(session: Session, profile: Profile, settings: Settings, *, subnet: str) -> Body:
    """Return the body of ``POST /networks/create`` for a session's own network.

    Without egress the network is internal, and its bridge has no address: the host cannot be
    reached from inside either.
    """
    internal = profile.egress is Egress.NONE
    return {
        "Name": network_name(settings.instance, session.id),
        "Driver": "bridge",
        "CheckDuplicate": True,
        "Internal": internal,
        "Attachable": False,
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Config": [{"Subnet": subnet}]},
        "Options": {"com.docker.network.bridge.inhibit_ipv4": "true"} if internal else {},
        "Labels": labels.encode(session, settings.instance),
    }


def volume(name: str, owner: UserId, settings: Settings) -> Body:
    """Return the body of ``POST /volumes/create`` for a person's files."""
    return {
        "Name": name,
        "Driver": "local",
        "Labels": {
            labels.INSTANCE: settings.instance,
            labels.SCHEMA: labels.SCHEMA_VERSION,
            labels.OWNER: owner,
        },
    }


def group_volume(name: str, settings: Settings) -> Body:
    """Return the body of ``POST /volumes/create`` for a group's files."""
    return {
        "Name": group_volume_name(settings.instance, name),
        "Driver": "local",
        "Labels": {
            labels.INSTANCE: settings.instance,
            labels.SCHEMA: labels.SCHEMA_VERSION,
            labels.VOLUME: name,
        },
    }


def volume_opener(name: str, image: str, settings: Settings) -> Body:
    """Return the body of a container whose making lets everybody write to a group's volume.

    A new volume is root's alone. Where a container is made with an empty volume over a folder of
    its image, the engine gives the volume that folder's content and mode: /tmp is empty and
    everybody's. The container is never started. A volume with anything in it stays as it is.
    """
    return {
        "Image": image,
        "Cmd": ["true"],  # an image may name no program, and the engine wants one
        "Labels": {
            labels.INSTANCE: settings.instance,
            labels.SCHEMA: labels.SCHEMA_VERSION,
            labels.COMPONENT: OPENER,
            labels.VOLUME: name,
        },
        "HostConfig": {
            "NetworkMode": "none",
            "Mounts": [
                {
                    "Type": "volume",
                    "Source": group_volume_name(settings.instance, name),
                    "Target": "/tmp",  # noqa: S108 - a folder of the image, not of this machine
                }
            ],
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
        },
    }


def free_subnets(pool: str, prefix: int, used: Iterable[str]) -> Iterator[str]:
    """Yield the pool's subnets that overlap no used one, lowest first.

    ``used``: subnets of all networks of the engine, foreign ones too; what is no IPv4 subnet is
    passed over.
    """
    taken = [network for network in map(_parse_subnet, used) if network is not None]
    for subnet in ipaddress.IPv4Network(pool).subnets(new_prefix=prefix):
        if not any(subnet.overlaps(other) for other in taken):
            yield str(subnet)


def _parse_subnet(text: str) -> ipaddress.IPv4Network | None:
    try:
        return ipaddress.IPv4Network(text, strict=False)
    except ValueError:
        return None
