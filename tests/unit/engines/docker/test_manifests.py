"""What is sent to the engine, whole: read the golden files to see how a session is closed in."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.core.model import Egress, Mount, UserId, volume_name
from controller.engines import environment
from controller.engines.docker import manifests
from controller.settings.loading import SLICER
from controller.settings.schema import PATH_MODE
from tests.support.samples import session, settings

Golden = Callable[[str, object], None]

LAB = replace(
    SLICER,
    id="lab",
    gpus=2,
    image="registry.example.org/lab/viewer:3",
    port=3000,
    cpus=0.5,
    memory_mib=512,
    shm_mib=64,
    pids=100,
    environment={"MODE": "a=b; $HOME", "HOME": "/work"},
    egress=Egress.INTERNET,
    home="/work",
    uid=4711,
    read_only=False,
)
OWN_HOSTS = settings(public_url="https://slicer.example.org", extra_urls="https://10.1.2.3:8443")
HUB = replace(OWN_HOSTS, session_domain=PATH_MODE)
HOSTILE = session(2, owner="a`b||\nc", name="`) || Host(`evil`\n\x00", profile="lab")


def test_container(golden: Golden) -> None:
    """A session of the default profile gets exactly this container."""
    volume = volume_name(HUB.instance, UserId("alice"))
    golden("docker_container", manifests.container(session(), SLICER, HUB, volume=volume))


def test_container_at_a_host_of_its_own(golden: Golden) -> None:
    """In subdomain mode a session is routed by its host alone, and is told where the hub is."""
    volume = volume_name(HUB.instance, UserId("alice"))
    body = manifests.container(session(), SLICER, OWN_HOSTS, volume=volume)
    golden("docker_container_own_host", body)


@given(st.text(), st.text())
def test_what_names_a_folder_is_the_hubs_word(one: str, other: str) -> None:
    """A session is told a word for its name: another name, another word; the same, the same."""
    slugs = [
        environment.environment(session(name=name), SLICER, HUB)["SLICERHUB_SESSION_SLUG"]
        for name in (one, other)
    ]
    for name, slug in zip((one, other), slugs, strict=True):
        assert set(slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
        assert (slug == "") == (name == "")
    assert (slugs[0] == slugs[1]) == (one.casefold() == other.casefold())


def test_container_of_a_lab(golden: Golden) -> None:
    """A profile's own settings arrive, and what people typed stays in the hub's labels."""
    volume = volume_name(HUB.instance, HOSTILE.owner)
    golden("docker_container_lab", manifests.container(HOSTILE, LAB, HUB, volume=volume))


def test_container_with_shared_things(golden: Golden) -> None:
    """Volumes of groups are mounted as the session has them, and only its own cards asked for."""
    shared = replace(
        session(),
        volumes=(Mount("atlas", writable=False), Mount("cases", writable=True)),
        gpus=("0", "GPU-3f2e"),
    )
    volume = volume_name(HUB.instance, UserId("alice"))
    golden(
        "docker_container_shared",
        manifests.container(shared, replace(SLICER, gpus=2), HUB, volume=volume),
    )


def test_group_volume(golden: Golden) -> None:
    """A group gets exactly this volume, and this opens it to everybody who has it mounted."""
    golden(
        "docker_group_volume",
        [
            manifests.group_volume("atlas", HUB),
            manifests.volume_opener("atlas", SLICER.image, HUB),
        ],
    )


def test_network(golden: Golden) -> None:
    """A session without egress gets exactly this network: internal, without the host in it."""
    golden("docker_network", manifests.network(session(), SLICER, HUB, subnet="10.231.0.0/28"))


def test_network_with_egress(golden: Golden) -> None:
    """A session with egress gets exactly this network."""
    golden(
        "docker_network_internet",
        manifests.network(HOSTILE, LAB, HUB, subnet="10.231.0.16/28"),
    )


def test_volume(golden: Golden) -> None:
    """A person gets exactly this volume, which says whose it is."""
    owner = UserId("../etc")
    golden("docker_volume", manifests.volume(volume_name("hub", owner), owner, HUB))


@given(st.text(), st.text())
def test_nothing_typed_leaves_its_label(owner: str, name: str) -> None:
    """No name of a person or a session changes what Traefik, the network or the paths are told."""
    plain = session(owner="alice", name="thesis")
    typed = session(owner=owner, name=name)
    volume = "hub-home"
    one, other = (manifests.container(each, SLICER, HUB, volume=volume) for each in (plain, typed))
    kept = {label: text for label, text in one["Labels"].items() if label.startswith("traefik.")}
    assert kept == {
        label: text for label, text in other["Labels"].items() if label.startswith("traefik.")
    }
    assert one["HostConfig"] == other["HostConfig"]
    assert one["NetworkingConfig"] == other["NetworkingConfig"]


LOWEST = int(ipaddress.IPv4Address("10.230.250.0"))
HIGHEST = int(ipaddress.IPv4Address("10.232.0.0"))
addresses = st.integers(LOWEST, HIGHEST).map(ipaddress.IPv4Address)
prefixes = st.integers(8, 32)
subnets = st.tuples(addresses, prefixes).map(lambda pair: ipaddress.IPv4Network(pair, strict=False))


@given(
    st.lists(subnets, max_size=12),
    st.lists(st.sampled_from(["fd00::/64", "", "default", "10.231.0.0/99"])),
    st.integers(20, 30),
)
def test_free_subnets(
    taken: list[ipaddress.IPv4Network], unreadable: list[str], prefix: int
) -> None:
    """A session's network overlaps no other one and lies in the configured pool."""
    pool = ipaddress.IPv4Network("10.231.0.0/20")
    used = [*unreadable, *map(str, taken)]
    found = itertools.islice(manifests.free_subnets(str(pool), prefix, used), 50)
    free = [ipaddress.IPv4Network(one) for one in found]
    every = list(itertools.islice(pool.subnets(new_prefix=prefix), 2000))
    possible = [one for one in every if not any(one.overlaps(other) for other in taken)]
    assert possible[:50] == free


def test_a_taken_pool_has_no_subnets() -> None:
    """Where everything is taken nothing is offered."""
    assert list(manifests.free_subnets("10.231.0.0/24", 28, ["10.0.0.0/8"])) == []
