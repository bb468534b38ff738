"""What is sent to the cluster, whole: read the golden files to see how a session is closed in."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any, cast

import kubernetes_validate  # pyright: ignore[reportMissingTypeStubs] - it has none
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes_validate.utils import (  # pyright: ignore[reportMissingTypeStubs]
    all_versions,
)
from msgspec.structs import replace

from controller.core import labels
from controller.core.model import Egress, Mount, Profile, Session, UserId
from controller.core.model import slug as hub_slug
from controller.engines.kubernetes import manifests
from controller.engines.kubernetes.children import child_names, children, verify_address
from controller.rules import routes
from controller.settings.loading import SLICER
from controller.settings.schema import PATH_MODE, Kubernetes, Settings
from tests.support.samples import session, session_id, settings

Golden = Callable[[str, object], None]
Body = dict[str, Any]

LAB = replace(
    SLICER,
    id="lab",
    gpus=2,
    image="registry.example.org/lab/viewer:3",
    port=3000,
    strip_path=False,
    cpus=0.25,
    memory_mib=512,
    memory_reserved_mib=256,
    shm_mib=64,
    environment={"MODE": "a=b; $HOME $(HOME)", "HOME": "/work"},
    egress=Egress.INTERNET,
    home="/work",
    uid=4711,
    read_only=False,
    node_selector={"gpu": "a100"},
    tolerations=("gpu=true:NoSchedule", "nvidia.com/gpu:NoExecute"),
    priority_class="interactive",
    runtime_class="nvidia",
)
OWN_HOSTS = settings(public_url="https://slicer.example.org", extra_urls="https://10.1.2.3:8443")
HUB = replace(OWN_HOSTS, session_domain=PATH_MODE)
SITE = replace(
    HUB,
    kubernetes=Kubernetes(
        namespace="imaging",
        verify_url="http://hub.slicerhub:8001",
        entry_point="websecure",
        tls=True,
        ingress_class="traefik-inside",
        route_labels={"team": "imaging"},
        traefik_namespace="ingress",
        traefik_labels={"app": "traefik"},
        egress_except=("10.0.0.0/8",),
        storage_class="nfs",
        storage_size="50Gi",
        access_mode="ReadWriteMany",
        claims={"cases": "pacs-export"},
        image_pull_policy="Always",
        image_pull_secrets=("registry",),
    ),
)
HOSTILE = replace(
    session(2, owner="a`b||\nc", name="`) || Host(`evil`\n\x00", profile="lab"),
    volumes=(Mount("atlas", writable=False), Mount("cases", writable=True)),
)
UID = "5d3a776b-283e-442a-9f71-90299085fd95"


def test_pod(golden: Golden) -> None:
    """A session of the default profile gets exactly this Pod."""
    golden("kubernetes_pod", manifests.pod(session(), SLICER, HUB))


def test_pod_of_a_lab(golden: Golden) -> None:
    """A profile's and a site's settings arrive, and what people typed stays in annotations."""
    golden("kubernetes_pod_lab", manifests.pod(HOSTILE, LAB, SITE))


def test_children(golden: Golden) -> None:
    """A session's Pod owns exactly these, and its route is made last."""
    found = children(session(), SLICER, HUB, uid=UID)
    assert [one["kind"] for one in found] == [
        "NetworkPolicy",
        "Service",
        "Middleware",
        "Middleware",
        "Middleware",
        "IngressRoute",
    ]
    golden("kubernetes_children", found)


def test_children_at_a_host_of_its_own(golden: Golden) -> None:
    """In subdomain mode a session is routed by its host alone, and no path is taken off."""
    golden("kubernetes_children_own_host", children(session(), SLICER, OWN_HOSTS, uid=UID))


def test_children_of_a_lab(golden: Golden) -> None:
    """A site's own Traefik is spoken to in its own terms; what people typed reaches it nowhere."""
    golden("kubernetes_children_lab", children(HOSTILE, LAB, SITE, uid=UID))


def test_claims(golden: Golden) -> None:
    """A person and a group get exactly these claims, which no session owns."""
    owner = UserId("../etc")
    found = [
        manifests.claim(owner, HUB),
        manifests.claim(owner, SITE),
        manifests.group_claim("atlas", SITE),
    ]
    assert not any("ownerReferences" in one["metadata"] for one in found)
    golden("kubernetes_claims", found)


@pytest.mark.parametrize("version", all_versions())
def test_every_version_takes_them(version: str) -> None:
    """Each Kubernetes from 1.25 to the newest knows every field that is sent."""
    bodies = [
        manifests.pod(session(), SLICER, HUB),
        manifests.pod(HOSTILE, LAB, SITE),
        *children(session(), SLICER, HUB, uid=UID),
        *children(HOSTILE, LAB, SITE, uid=UID),
        manifests.claim(UserId("alice"), HUB),
        manifests.group_claim("atlas", SITE),
    ]
    ours = [one for one in bodies if not str(one["apiVersion"]).startswith("traefik.io/")]
    # Traefik's kinds are held against its own schemas.
    assert {one["kind"] for one in bodies if one not in ours} == {"Middleware", "IngressRoute"}
    for body in ours:
        cast("Any", kubernetes_validate).validate(body, version, strict=True)


def test_versions() -> None:
    """The schemas at hand reach from the oldest supported version on."""
    assert all_versions()[0].startswith("1.25")


@pytest.mark.parametrize(("profile", "hub"), [(SLICER, HUB), (LAB, SITE)])
def test_restricted(profile: Profile, hub: Any) -> None:  # noqa: ANN401
    """A session's Pod keeps every rule of the Pod Security standard ``restricted``, and more."""
    spec: Body = manifests.pod(HOSTILE, profile, hub)["spec"]
    for name in ("hostNetwork", "hostPID", "hostIPC", "initContainers", "ephemeralContainers"):
        assert name not in spec
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert {next(key for key in one if key != "name") for one in spec["volumes"]} <= {
        "emptyDir",
        "persistentVolumeClaim",
    }
    (container,) = spec["containers"]
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert set(container["securityContext"]) == {
        "allowPrivilegeEscalation",
        "capabilities",
        "readOnlyRootFilesystem",
    }
    assert not any("hostPort" in port for port in container["ports"])


@given(st.text(min_size=1), st.text())
def test_nothing_typed_leaves_its_annotation(owner: str, name: str) -> None:
    """No name of a person or a session changes what Traefik, the network or the paths are told."""
    plain = session(owner="alice", name="thesis")
    typed = session(owner=owner, name=name)
    one, other = (_without_slugs(each) for each in (plain, typed))
    assert one == other


def _without_slugs(made: Session) -> object:
    """Return all that is sent, without annotations and with the slugs of names taken out."""
    pod = manifests.pod(made, SLICER, HUB)
    owned = children(made, SLICER, HUB, uid=UID)
    text = repr([_bare(pod), [_bare(one) for one in owned]])
    claim = manifests.claim(made.owner, HUB)["metadata"]["name"]
    slug = pod["metadata"]["labels"][manifests.OWNER_SLUG]
    told = {
        "SLICERHUB_USER": made.owner.replace("$", "$$"),
        "SLICERHUB_SESSION_SLUG": hub_slug(made.name.casefold()) if made.name else "",
    }
    environment = [f"{{'name': {name!r}, 'value': {value!r}}}" for name, value in told.items()]
    for made_of_names in (*environment, pod["metadata"]["name"], claim, f"{slug!r}"):
        assert made_of_names in text
        text = text.replace(made_of_names, "")
    return text


def _bare(body: Body) -> Body:
    metadata = {key: value for key, value in body["metadata"].items() if key != "annotations"}
    return body | {"metadata": metadata}


@given(st.text(min_size=1), st.text())
def test_names_are_labels(owner: str, name: str) -> None:
    """Every name and label is one that Kubernetes takes, whatever people are called."""
    made = session(owner=owner, name=name)
    pod = manifests.pod(made, SLICER, replace(HUB, instance="a234567890123456"))
    assert set(pod["metadata"]["name"]) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert len(pod["metadata"]["name"]) <= 63
    for value in pod["metadata"]["labels"].values():
        assert len(value) <= 63
        assert value[0] != "-"
        assert value[-1] != "-"


def test_record() -> None:
    """A Pod's annotations give back the session that was written into them."""
    found = manifests.pod(HOSTILE, LAB, SITE)["metadata"]["annotations"]
    foreign = {"example.org/slicerhub.name": "x", "kubernetes.io/limit-ranger": "y"}
    assert manifests.decode(found | foreign) == HOSTILE
    with pytest.raises(labels.LabelFault):
        manifests.decode(foreign)


@pytest.mark.parametrize("hub", [HUB, OWN_HOSTS], ids=["path", "own hosts"])
@pytest.mark.parametrize("profile", [SLICER, LAB])
def test_names_of_children(profile: Profile, hub: Settings) -> None:
    """What is looked for to be whole is what is made."""
    made = children(session(), profile, hub, uid=UID)
    wanted = child_names(session().id, profile, hub)
    assert sorted((one["kind"], one["metadata"]["name"]) for one in made) == sorted(wanted)


INSIDE = (
    "10.1.2.3",
    "100.100.100.200",  # metadata of Alibaba's machines
    "168.63.129.16",  # of Azure's
    "169.254.169.254",  # of everybody's
    "169.254.20.10",  # a node's own name server
    "172.20.0.1",
    "192.0.0.192",  # of Oracle's
    "192.168.1.1",
    "198.18.0.1",
)


def test_the_internet_is_not_the_machine_room() -> None:
    """A session that may use the internet reaches no private network, metadata or IPv6 address."""
    outward = replace(SLICER, egress=Egress.INTERNET)
    owned = children(session(), outward, HUB, uid="x")
    (policy,) = (one for one in owned if one["kind"] == "NetworkPolicy")
    blocks = [
        peer["ipBlock"]
        for rule in policy["spec"]["egress"]
        for peer in rule["to"]
        if "ipBlock" in peer
    ]
    (world,) = blocks
    assert world["cidr"] == "0.0.0.0/0"  # and so nothing of IPv6
    refused = [ipaddress.ip_network(one) for one in world["except"]]
    for address in INSIDE:
        assert any(ipaddress.ip_address(address) in one for one in refused), address
    assert not any(ipaddress.ip_address("93.184.215.14") in one for one in refused)


def test_verify_addresses() -> None:
    """Sessions are verified at sixteen ports of one Service, or at the one address of a site."""
    ids = [session_id(number) for number in range(500)]
    url = HUB.kubernetes.verify_url
    found = {verify_address(one, url).rpartition("/verify/")[0] for one in ids}
    first = routes.VERIFY_PORT
    assert found == {
        f"http://slicerhub-verify.slicerhub.svc:{port}"
        for port in range(first, first + routes.VERIFY_ALIASES)
    }
    one = verify_address(ids[0], "http://hub.slicerhub:8001")
    assert one == f"http://hub.slicerhub:8001/verify/{ids[0]}"
