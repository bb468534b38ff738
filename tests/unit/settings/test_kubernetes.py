"""What can be configured for Kubernetes: faults are told before anything is sent."""

from __future__ import annotations

import pytest

from controller.core.errors import ConfigError
from tests.support.samples import settings_of

WHOLE = """
orchestrator = "memory"
[kubernetes]
namespace = "imaging"
verify_url = "http://hub.slicerhub.svc.cluster.local:{port}"
storage_size = "50Gi"
access_mode = "ReadWriteMany"
egress_except = ["10.0.0.0/8"]
image_pull_secrets = ["registry"]
[kubernetes.route_labels]
"example.org/team" = "imaging"
[kubernetes.traefik_labels]
"app.kubernetes.io/name" = "traefik"
[kubernetes.claims]
atlas = "lab-atlas"
[volumes.atlas]
read = ["lab"]
[profiles.gpu]
image = "x"
tolerations = ["nvidia.com/gpu:NoSchedule", "team=imaging:NoExecute"]
runtime_class = "nvidia"
cpus_reserved = 2
[profiles.gpu.node_selector]
"kubernetes.io/arch" = "amd64"
"""


def test_whole() -> None:
    """All of it arrives as it was written."""
    found = settings_of(WHOLE)
    assert found.kubernetes.namespace == "imaging"
    assert found.kubernetes.claims == {"atlas": "lab-atlas"}
    assert found.kubernetes.route_labels == {"example.org/team": "imaging"}
    assert found.profiles[0].tolerations == (
        "nvidia.com/gpu:NoSchedule",
        "team=imaging:NoExecute",
    )
    assert found.profiles[0].cpus_reserved == 2


def test_variables() -> None:
    """What is no table can be set by variables, too."""
    found = settings_of(
        "",
        SLICERHUB_KUBERNETES_NAMESPACE="imaging",
        SLICERHUB_KUBERNETES_IMAGE_PULL_SECRETS="one, two",
        SLICERHUB_KUBERNETES_TLS="true",
    )
    assert found.kubernetes.image_pull_secrets == ("one", "two")
    assert found.kubernetes.tls


def test_rounds_of_several_controllers() -> None:
    """Several controllers that share records must report use often, and the fault says so."""
    slow = {"SLICERHUB_HOUSEKEEPING_SECONDS": "31"}
    shared = {"SLICERHUB_ORCHESTRATOR": "kubernetes", "SLICERHUB_STORE": "kubernetes"}
    directory = {
        "SLICERHUB_LDAP_URL": "ldaps://ldap.example.org",
        "SLICERHUB_LDAP_USER_DN_TEMPLATE": "uid={username},dc=example",
    }
    with pytest.raises(ConfigError) as caught:
        settings_of("", **slow, **shared, **directory)
    (fault,) = caught.value.faults
    assert fault.startswith("housekeeping_seconds: at most 30 with store = kubernetes.")
    assert settings_of("", **shared, **directory, SLICERHUB_HOUSEKEEPING_SECONDS="30")
    assert settings_of("", **slow).housekeeping_seconds == 31


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('namespace = "Imaging"', "kubernetes.namespace: 'Imaging' is not a valid object name"),
        ('namespace = ""', "kubernetes.namespace: '' is not a valid object name"),
        ('namespace = "a/b"', "kubernetes.namespace: 'a/b' is not a valid object name"),
        ('entry_point = "we b"', "kubernetes.entry_point"),
        ('traefik_namespace = "-"', "kubernetes.traefik_namespace"),
        ('image_pull_secrets = ["x", "Y"]', "kubernetes.image_pull_secrets: 'Y'"),
        ('ingress_class = "a b"', "kubernetes.ingress_class"),
        ('storage_class = "a_b"', "kubernetes.storage_class"),
        ('storage_size = "ten"', "kubernetes.storage_size: 'ten' must be like 10Gi"),
        ('storage_size = "0"', "kubernetes.storage_size"),
        ('access_mode = "ReadOnlyMany"', "kubernetes.access_mode"),
        ('image_pull_policy = "Sometimes"', "kubernetes.image_pull_policy"),
        ('verify_url = "http://hub:8001/verify"', "kubernetes.verify_url"),
        ('verify_url = "http://hub:{n}"', "kubernetes.verify_url"),
        ('egress_except = ["10.0.0.1/8"]', "kubernetes.egress_except"),
        ("timeout_seconds = 0", "kubernetes.timeout_seconds: must be more than 0"),
        ("force_seconds = -1", "kubernetes.force_seconds: must be more than 0"),
        ('claims = {atlas = "x"}', "kubernetes.claims: there is no [volumes.atlas]"),
        ('claims = {atlas = "X"}', "kubernetes.claims.atlas: 'X' is not a valid object name"),
        (
            'route_labels = {"a b" = "x"}',
            "kubernetes.route_labels: 'a b' = 'x' is not a valid label",
        ),
        ('traefik_labels = {a = "x y"}', "kubernetes.traefik_labels: 'a' = 'x y'"),
        ('name_space = "x"', "Did you mean kubernetes.namespace?"),
        ('hub_namespace = "Hub"', "kubernetes.hub_namespace: 'Hub' is not a valid object name"),
    ],
)
def test_faults(line: str, sentence: str) -> None:
    """Each fault is told with its name."""
    with pytest.raises(ConfigError) as caught:
        settings_of(f"[kubernetes]\n{line}\n")
    assert any(sentence in fault for fault in caught.value.faults), caught.value.faults


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('tolerations = ["gpu"]', "profiles.x.tolerations: 'gpu' must be like gpu=true:NoSchedule"),
        ('tolerations = ["gpu=a b:NoSchedule"]', "profiles.x.tolerations"),
        ('priority_class = "High!"', "profiles.x.priority_class"),
        ('runtime_class = "a b"', "profiles.x.runtime_class"),
        ('node_selector = {a = "b c"}', "profiles.x.node_selector"),
        ("cpus_reserved = 0", "profiles.x.cpus_reserved: must be more than 0"),
        (
            "memory_reserved_mib = 9000",
            "profiles.x.memory_reserved_mib: must be 0, or at most memory_mib",
        ),
    ],
)
def test_faults_of_profiles(line: str, sentence: str) -> None:
    """Each fault of a profile is told with its name."""
    with pytest.raises(ConfigError) as caught:
        settings_of(f'[profiles.x]\nimage = "x"\n{line}\n')
    assert any(sentence in fault for fault in caught.value.faults), caught.value.faults


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('store = "kubernetes"', "store (SLICERHUB_STORE): kubernetes needs orchestrator"),
        (
            'store = "kubernetes"\n[kubernetes]\nkubeconfig = "/x"',
            "kubernetes.hub_namespace (SLICERHUB_KUBERNETES_HUB_NAMESPACE) is missing",
        ),
    ],
)
def test_faults_of_the_store(text: str, sentence: str) -> None:
    """Records are kept in the cluster only where the hub knows which one, and where in it."""
    with pytest.raises(ConfigError) as caught:
        settings_of(text)
    assert any(sentence in fault for fault in caught.value.faults), caught.value.faults


def test_gates_share_a_secret() -> None:
    """On a cluster a Secret can stand for the folder, by a variable, too."""
    found = settings_of(
        "",
        SLICERHUB_ORCHESTRATOR="kubernetes",
        SLICERHUB_LDAP_URL="ldaps://ldap.example.org",
        SLICERHUB_LDAP_SEARCH_BASE="dc=example,dc=org",
        SLICERHUB_GATES_SECRET="slicerhub-gates",
    )
    assert (found.gates.secret, found.gates.folder) == ("slicerhub-gates", "")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[gates]\nsecret = "Gates"', "gates.secret: 'Gates' is not a valid object name"),
        (
            '[gates]\nsecret = "gates"',
            "gates.secret (SLICERHUB_GATES_SECRET): needs orchestrator = kubernetes",
        ),
        (
            '[gates]\nsecret = "gates"\nfolder = "/run/gates"',
            "gates.secret (SLICERHUB_GATES_SECRET): gates.folder is set, too",
        ),
        (
            '[gates]\nsecret = "gates"\n[kubernetes]\nkubeconfig = "/x"',
            "kubernetes.hub_namespace (SLICERHUB_KUBERNETES_HUB_NAMESPACE) is missing",
        ),
    ],
)
def test_faults_of_gates(text: str, sentence: str) -> None:
    """A Secret for gates is named only where there is a cluster, and nothing else serves them."""
    with pytest.raises(ConfigError) as caught:
        settings_of(text)
    assert any(sentence in fault for fault in caught.value.faults), caught.value.faults
