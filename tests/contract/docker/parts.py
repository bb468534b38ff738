"""Sessions of the lab, and the parts that a crash left of one, made by hand."""

from __future__ import annotations

from datetime import timedelta

from controller.core import labels
from controller.core.model import Session, volume_name
from controller.engines.docker import manifests
from tests.support import samples
from tests.support.engine import Lab

NO_GRACE = timedelta(0)


def session(
    number: int = 1, *, owner: str = "alice", name: str = "thesis", profile: str = "good"
) -> Session:
    """Return a session of one of the lab's profiles."""
    return samples.session(number, owner=owner, name=name, profile=profile)


def network(lab: Lab, made: Session) -> str:
    """Return the name of a session's network."""
    return manifests.network_name(lab.instance, made.id)


def make_network(lab: Lab, made: Session) -> None:
    """Make a session's network by hand, as far as a crash let it come."""
    lab.api.create_network(
        network(lab, made), driver="bridge", internal=True, labels=labels.encode(made, lab.instance)
    )


def make_container(lab: Lab, made: Session) -> None:
    """Make a session's volume and container by hand, as far as a crash let it come."""
    profile = lab.settings.profile(made.profile)
    assert profile is not None
    volume = volume_name(lab.instance, made.owner)
    body = manifests.volume(volume, made.owner, lab.settings)
    lab.api.create_volume(body["Name"], labels=body["Labels"])
    config = manifests.container(made, profile, lab.settings, volume=volume)
    lab.api.create_container_from_config(config, lab.container_name(made))
