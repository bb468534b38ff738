"""A real Docker engine for the tests: small images, a stand-in for Traefik, and a clean end."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any, cast

import docker
import pytest
from docker.errors import DockerException
from msgspec.structs import replace

from controller.core import labels
from controller.core.model import Egress, Session, object_name
from controller.engines.docker.engine import DockerOrchestrator
from controller.settings.loading import SLICER
from controller.settings.schema import Settings
from tests.support.samples import settings

POOL = "10.233.0.0/16"
BASE = "debian:bookworm-slim"

Api = Any  # docker.APIClient, whose stubs know its answers only in part

HOME = "RUN mkdir -p /home/slicer && chown 1000:1000 /home/slicer\n"
WORK = "trap 'exit 0' TERM; echo started; while :; do sleep 1 & wait $!; done"
IMAGES = {
    "good": f'FROM {BASE}\n{HOME}CMD ["sh", "-c", "{WORK}"]\n',
    "routed": f'FROM {BASE}\nLABEL Traefik.enable=true\nCMD ["sleep", "60"]\n',
    "posing": f'FROM {BASE}\nLABEL slicerhub.component=traefik\nCMD ["sleep", "60"]\n',
    "ending": f'FROM {BASE}\nCMD ["sh", "-c", "seq 50; echo last; exit 3"]\n',
    "broken": f'FROM {BASE}\nCMD ["/nowhere"]\n',
}


class Lab:
    """One instance of the hub on the engine, with all that belongs to it."""

    def __init__(self, api: Api, instance: str) -> None:
        """Use this engine. The profiles are named after their images."""
        self.api = api
        small = replace(SLICER, cpus=0.5, memory_mib=64, shm_mib=16, pids=50)
        profiles = [
            replace(small, id=name, image=f"{instance}:{name}", default=name == "good")
            for name in IMAGES
        ]
        profiles.append(replace(profiles[0], id="missing", image=f"{instance}:none"))
        profiles.append(replace(profiles[0], id="card", gpus=1))
        profiles.append(replace(profiles[0], id="online", egress=Egress.INTERNET))
        profiles.append(replace(profiles[0], id="writable", read_only=False))
        self.settings = replace(
            settings(instance=instance, docker_network_pool=POOL, docker_timeout_seconds="120"),
            profiles=tuple(profiles),
        )
        self.traefik = ""
        self._made: list[DockerOrchestrator] = []

    @property
    def instance(self) -> str:
        """Return the instance's name."""
        return self.settings.instance

    def orchestrator(self, configured: Settings | None = None) -> DockerOrchestrator:
        """Return an orchestrator, as another controller of the same hub would have it."""
        made = DockerOrchestrator(configured or self.settings)
        self._made.append(made)
        return made

    def build(self) -> None:
        """Build the images. Nothing is fetched."""
        for name, dockerfile in IMAGES.items():
            subprocess.run(
                ["docker", "build", "--quiet", "--tag", f"{self.instance}:{name}", "-"],
                input=dockerfile.encode(),
                check=True,
                capture_output=True,
            )

    def start_companion(self, app: str, said: Mapping[str, str]) -> None:
        """Run a service of the site's own, with these labels."""
        made = self.api.create_container(
            f"{self.instance}:good",
            name=f"{self.instance}-{app}",
            labels={labels.INSTANCE: self.instance, **said},
        )
        self.api.start(made["Id"])

    def stop_companion(self, app: str) -> None:
        """Remove that service."""
        self.api.remove_container(f"{self.instance}-{app}", force=True)

    def start_traefik(self) -> None:
        """Start what stands in for Traefik: sessions' networks are joined to it."""
        made = self.api.create_container(
            f"{self.instance}:good",
            name=f"{self.instance}-traefik",
            labels={labels.INSTANCE: self.instance, labels.COMPONENT: "traefik"},
        )
        self.traefik = str(made["Id"])
        self.api.start(self.traefik)

    def container_name(self, session: Session) -> str:
        """Return the name of a session's container."""
        return object_name(self.instance, session.owner, session.name)

    def inspect(self, session: Session) -> dict[str, Any]:
        """Return what the engine says of a session's container."""
        return self.api.inspect_container(self.container_name(session))

    def run(self, session: Session, command: str) -> str:
        """Run a shell command in a session and return what it prints."""
        done = subprocess.run(
            ["docker", "exec", self.container_name(session), "sh", "-c", command],
            check=False,
            capture_output=True,
            text=True,
        )
        return done.stdout

    def containers(self) -> list[str]:
        """Return the names of the instance's containers, without Traefik's."""
        found = self.api.containers(all=True, filters=self._ours())
        return sorted(one["Names"][0].lstrip("/") for one in found if one["Id"] != self.traefik)

    def networks(self) -> list[str]:
        """Return the names of the instance's networks."""
        return sorted(one["Name"] for one in self.api.networks(filters=self._ours()))

    def volumes(self) -> list[str]:
        """Return the names of the instance's volumes."""
        found: list[Api] = self.api.volumes(filters=self._ours())["Volumes"] or []
        return sorted(str(one["Name"]) for one in found)

    def _ours(self) -> dict[str, list[str]]:
        return {"label": [f"{labels.INSTANCE}={self.instance}"]}

    def clean(self) -> None:
        """Remove all sessions with everything that belongs to them."""
        for made in self._made:
            made.close()
        self._made.clear()
        for one in self.api.containers(all=True, filters=self._ours()):
            if one["Id"] != self.traefik:
                self.api.remove_container(one["Id"], force=True, v=True)
        for one in self.api.networks(filters=self._ours()):
            attached: dict[str, Api] = self.api.inspect_network(one["Id"])["Containers"] or {}
            for container in attached:
                self.api.disconnect_container_from_network(container, one["Id"], force=True)
            self.api.remove_network(one["Id"])
        for name in self.volumes():
            self.api.remove_volume(name)

    def leave(self) -> None:
        """Remove everything, the images too."""
        if self.traefik:
            self.api.remove_container(self.traefik, force=True, v=True)
            self.traefik = ""
        self.clean()
        for tag in self._tags():
            self.api.remove_image(tag, force=True)

    def _tags(self) -> Iterable[str]:
        for image in self.api.images(self.instance):
            yield from image["RepoTags"] or ()


@contextmanager
def lab() -> Generator[Lab, None, None]:
    """Give an instance of its own on the real engine; nothing of it is left afterwards.

    Without an engine or its base image the test is skipped, or fails where all parts must be
    there (SLICERHUB_TEST_STRICT).
    """
    try:
        api = cast("Api", docker).APIClient(version="auto", timeout=120)
        api.inspect_image(BASE)
    except DockerException as error:
        if os.environ.get("SLICERHUB_TEST_STRICT"):
            raise
        pytest.skip(f"no Docker engine with {BASE}: {error}")
    made = Lab(api, f"ct-{uuid.uuid4().hex[:10]}")
    try:
        made.build()
        made.start_traefik()
        yield made
    finally:
        made.leave()
        api.close()
