"""The command ``render``: what the hub would send to the engine."""

from __future__ import annotations

import json
import sys
import uuid
from datetime import UTC, datetime
from typing import Any

import click

from controller.cli.common import run
from controller.core.errors import ConfigError
from controller.core.model import Profile, Session, UserId, new_session_id, volume_name
from controller.engines.docker import manifests as docker
from controller.engines.kubernetes import manifests as kubernetes
from controller.engines.kubernetes.children import children
from controller.settings.schema import Settings


@click.command()
@click.argument("profile", default="")
def render(profile: str) -> None:
    """Print what the hub would send to the engine for a session of PROFILE."""

    async def work(settings: Settings) -> None:
        chosen = settings.profile(profile) if profile else _default(settings)
        if chosen is None:
            known = ", ".join(one.id for one in settings.profiles)
            raise ConfigError([f"{profile}: there is no such profile. There are: {known}."])
        session = Session(
            new_session_id(), UserId("somebody"), chosen.id, "example", datetime.now(UTC)
        )
        on_kubernetes = settings.orchestrator == "kubernetes"
        parts = (_on_kubernetes if on_kubernetes else _on_docker)(session, chosen, settings)
        json.dump(parts, sys.stdout, indent=2, ensure_ascii=False)
        click.echo()

    run(work)


def _on_docker(session: Session, profile: Profile, settings: Settings) -> dict[str, Any]:
    volume = volume_name(settings.instance, session.owner)
    pool, prefix = settings.docker.network_pool, settings.docker.network_prefix
    subnet = next(docker.free_subnets(pool, prefix, ()))
    return {
        "volume": docker.volume(volume, session.owner, settings),
        "network": docker.network(session, profile, settings, subnet=subnet),
        "container": docker.container(session, profile, settings, volume=volume),
    }


def _on_kubernetes(session: Session, profile: Profile, settings: Settings) -> dict[str, Any]:
    """Return a session's objects for kubectl; the Pod's uid is a placeholder until it exists."""
    items = [
        kubernetes.claim(session.owner, settings),
        kubernetes.pod(session, profile, settings),
        *children(session, profile, settings, uid=str(uuid.UUID(int=0))),
    ]
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _default(settings: Settings) -> Profile:
    return next((one for one in settings.profiles if one.default), settings.profiles[0])
