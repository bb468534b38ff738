"""Settings: what is accepted, from which file or variable, and that no fault is left unsaid."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from controller.core.errors import ConfigError
from controller.core.model import Egress
from controller.settings.loading import SLICER
from controller.settings.schema import Admin
from tests.unit.settings.reading import LDAP, faults_of, read

SECRET = "hunter2-hunter2"
WHOLE = f"""
instance = "lab"
public_url = "https://slicer.example.org"
extra_urls = ["https://10.0.0.1:8443"]
idle_seconds = 900

[ldap]
url = "ldap://ldap.example.org"
start_tls = true
search_base = "dc=example,dc=org"
bind_dn = "cn=hub,dc=example,dc=org"
bind_password = "{SECRET}"
allowed_groups = ["slicer-users", "staff"]

[limits]
sessions_per_user = 7

[profiles.small]
title = "Small"
image = "slicerhub/slicer:0.1.0"
cpus = 2
default = true

[profiles.big]
image = "slicerhub/slicer:0.1.0"
groups = ["gpu"]
idle_seconds = 0
egress = "internet"
environment = {{ MODE = "fast" }}
"""


def test_smallest() -> None:
    """With a directory named, everything else has a default, the profile too."""
    settings, notices = read(LDAP)
    assert settings.profiles == (SLICER,)
    assert settings.orchestrator == "docker"
    assert not settings.demo
    assert not notices


def test_memory_engine_needs_no_directory() -> None:
    """To look at the hub without an engine nothing at all has to be set up."""
    settings, _ = read({"SLICERHUB_ORCHESTRATOR": "memory"})
    assert settings.ldap.url == ""


def test_file() -> None:
    """Everything that stands in the file arrives."""
    settings, notices = read({"SLICERHUB_CONFIG": "hub"}, hub=WHOLE)
    assert not notices
    assert settings.instance == "lab"
    assert settings.urls == ("https://slicer.example.org", "https://10.0.0.1:8443")
    assert settings.hosts == ("slicer.example.org", "10.0.0.1")
    assert settings.secure
    assert settings.ldap.bind_password == SECRET
    assert settings.ldap.allowed_groups == {"slicer-users", "staff"}
    assert settings.limits.sessions_per_user == 7
    small, big = settings.profiles
    assert (small.id, small.title, small.cpus, small.idle_seconds) == ("small", "Small", 2, 900)
    assert (big.id, big.title, big.idle_seconds, big.groups) == ("big", "big", 0, {"gpu"})
    assert big.egress is Egress.INTERNET
    assert big.environment == {"MODE": "fast"}
    assert settings.profile("big") is big
    assert settings.profile("none") is None


def test_limits() -> None:
    """How many sessions there may be, of whom and of what, is read as it stands there."""
    text = """
    warning_seconds = 60
    [limits]
    cpus = 64
    memory_mib = 262144
    gpus = ["0", "GPU-8c1a"]
    groups = { students = 5, "Radiology staff" = 20 }
    people = { alice = 7 }
    [admin]
    may_look = true
    extend_hours = 24
    [profiles.a]
    image = "x"
    max_sessions = 4
    queue = true
    start_ahead = true
    gpus = 2
    """
    settings, _ = read(LDAP | {"SLICERHUB_CONFIG": "hub"}, hub=text)
    assert settings.warning_seconds == 60
    assert settings.limits.cpus == 64
    assert settings.limits.memory_mib == 262_144
    assert settings.limits.gpus == ("0", "GPU-8c1a")
    assert settings.limits.groups == {"students": 5, "Radiology staff": 20}
    assert settings.limits.people == {"alice": 7}
    assert settings.admin == Admin(may_look=True, look_minutes=30, extend_hours=24)
    (profile,) = settings.profiles
    assert (profile.max_sessions, profile.gpus) == (4, 2)
    assert profile.queue
    assert profile.start_ahead
    settings, _ = read(LDAP | {"SLICERHUB_LIMITS_GPUS": "0, 1", "SLICERHUB_LIMITS_CPUS": "64"})
    assert settings.limits.gpus == ("0", "1")
    assert settings.limits.cpus == 64
    assert not settings.admin.may_look  # unless somebody says so


def test_a_person_in_another_spelling() -> None:
    """Administrators need not know how the hub spells people's names in the settings."""
    text = "[limits.people]\nAlice = 7\n'ＢＯＢ' = 2\n'Straße' = 3"
    settings, _ = read(LDAP | {"SLICERHUB_CONFIG": "hub"}, hub=text)
    assert settings.limits.people == {"alice": 7, "bob": 2, "strasse": 3}


def test_variables_win() -> None:
    """A variable overrides the file; lists are split at commas."""
    settings, _ = read(
        {
            "SLICERHUB_CONFIG": "hub",
            "SLICERHUB_INSTANCE": "other",
            "SLICERHUB_LDAP_ALLOWED_GROUPS": " a, b ,,",
            "SLICERHUB_EXTRA_URLS": "http://a.example,http://b.example:81",
            "SLICERHUB_LIMITS_SESSIONS_PER_USER": "2",
            "SLICERHUB_DEMO_DIRECTORY": "ldap://ldap.example.org",
        },
        hub=WHOLE,
    )
    assert settings.instance == "other"
    assert settings.ldap.allowed_groups == {"a", "b"}
    assert settings.extra_urls == ("http://a.example", "http://b.example:81")
    assert settings.limits.sessions_per_user == 2
    assert settings.demo


def test_empty_variables_are_unset() -> None:
    """Compose hands on unset variables as empty ones: they change nothing."""
    empty = {
        "SLICERHUB_CONFIG": "",
        "SLICERHUB_INSTANCE": "",
        "SLICERHUB_LDAP_BIND_PASSWORD_FILE": "",
        "SLICERHUB_LIMITS_SESSIONS_TOTAL": "",
        "CONTAINER_ORCHESTRATOR": "",
        "INACTIVITY_TIME_SEC": "",
        "MAX_SESSIONS": "",
        "DOMAIN": "",
        "PORT": "",
        "NETWORK_NAME": "",
    }
    assert read(LDAP) == read(LDAP | empty)


def test_secrets_by_file() -> None:
    """A secret can stand in a file of its own; the line break behind it does not belong to it."""
    account = {"SLICERHUB_LDAP_BIND_DN": "cn=hub"}
    for environ, files in (
        (account | {"SLICERHUB_LDAP_BIND_PASSWORD_FILE": "pw"}, {"pw": SECRET + "\n"}),
        (
            account | {"SLICERHUB_CONFIG": "hub"},
            {"hub": '[ldap]\nbind_password_file = "pw"\n', "pw": SECRET + "\r\n"},
        ),
    ):
        settings, _ = read(LDAP | environ, **files)
        assert settings.ldap.bind_password == SECRET


def test_ca_file_is_a_path() -> None:
    """``ca_file`` names the authorities' file; only its own twin reads the name from another."""
    settings, _ = read(LDAP | {"SLICERHUB_LDAP_CA_FILE": "/etc/ca.pem"})
    assert settings.ldap.ca_file == "/etc/ca.pem"


def test_upstream_names() -> None:
    """Settings of the older program are accepted, with the new names in a notice."""
    settings, notices = read(
        {
            "CONTAINER_ORCHESTRATOR": "memory",
            "INACTIVITY_TIME_SEC": "600",
            "MAX_SESSIONS": "9",
            "DOMAIN": "slicer.example.org",
            "PORT": "81",
            "NETWORK_NAME": "traefik",
        }
    )
    assert settings.orchestrator == "memory"
    assert settings.idle_seconds == 600
    assert settings.profiles[0].idle_seconds == 600
    assert settings.limits.sessions_total == 9
    assert settings.public_url == "http://slicer.example.org:81"
    said = "\n".join(notices)
    for name in (
        "SLICERHUB_ORCHESTRATOR",
        "SLICERHUB_IDLE_SECONDS",
        "SLICERHUB_LIMITS_SESSIONS_TOTAL",
        "SLICERHUB_PUBLIC_URL",
        "NETWORK_NAME",
    ):
        assert name in said


def test_our_names_win_over_upstream() -> None:
    """Where both are given, the hub's own name counts."""
    settings, _ = read(LDAP | {"MAX_SESSIONS": "9", "SLICERHUB_LIMITS_SESSIONS_TOTAL": "10"})
    assert settings.limits.sessions_total == 10


def test_every_fault_at_once() -> None:
    """One start tells everything that is wrong, each with its name and what to do."""
    faults = faults_of(
        {
            "SLICERHUB_CONFIG": "hub",
            "SLICERHUB_INSTNCE": "x",
            "SLICERHUB_PUBLIC_URL": "slicer.example.org",
            "SLICERHUB_LIMITS_SESSIONS_TOTAL": "many",
            "SLICERHUB_LDAP_URL": "http://ldap.example.org",
            "SLICERHUB_LDAP_BIND_PASSWORD_FILE": "nowhere",
            "SLICERHUB_DOCKER_NETWORK_POOL": "10.231.0.1/16",
        },
        hub='[docker]\nhst = "x"\n[profiles.a]\nimge = "x"\n[profiles.B]\nimage = "x"\n',
    )
    for sentence in (
        r"SLICERHUB_INSTNCE: no such setting\. Did you mean SLICERHUB_INSTANCE\?",
        r"docker\.hst: no such setting\. Did you mean docker\.host\?",
        r"profiles\.a\.imge: no such setting\. Did you mean profiles\.a\.image\?",
        r"profiles\.a\.image is missing\. Name the image",
        r"profiles\.B: an id can have only a-z",
        r"public_url: 'slicer\.example\.org' must be like https://",
        r"limits\.sessions_total \(SLICERHUB_LIMITS_SESSIONS_TOTAL\): ",
        r"ldap\.url: 'http://ldap\.example\.org' must be like ldaps://",
        r"ldap\.bind_password_file: nowhere cannot be read",
        r"ldap: set either user_dn_template",
        r"docker\.network_pool: .*Write it like 10\.231\.0\.0/16",
    ):
        assert [one for one in faults if re.match(sentence, one)], sentence
    assert len(faults) == 11
    assert all("\n" not in one for one in faults)


def test_missing_file() -> None:
    """A configuration file that is not there is named."""
    (fault,) = faults_of(LDAP | {"SLICERHUB_CONFIG": "/etc/hub.toml"})
    assert fault.startswith("SLICERHUB_CONFIG: /etc/hub.toml cannot be read (No such file")


def test_secrets_are_not_shown() -> None:
    """Neither a print of the settings nor a fault shows a password."""
    settings, _ = read({"SLICERHUB_CONFIG": "hub"}, hub=WHOLE)
    assert SECRET not in repr(settings) + str(settings) + repr(settings.ldap) + f"{settings.ldap}"
    faults = faults_of(
        {"SLICERHUB_CONFIG": "hub", "SLICERHUB_HOUSEKEEPING_SECONDS": "perhaps"}, hub=WHOLE
    )
    assert SECRET not in "".join(faults)
    broken = WHOLE.replace("[limits]", "[limits")
    assert SECRET not in "".join(faults_of({"SLICERHUB_CONFIG": "hub"}, hub=broken))


names = st.sampled_from(
    ["INSTANCE", "PUBLIC_URL", "EXTRA_URLS", "DEMO", "LDAP_URL", "LDAP_BIND_PASSWORD_FILE"]
) | st.sampled_from(["DOCKER_NETWORK_POOL", "DOCKER_NETWORK_PREFIX", "LIMITS_SESSIONS_TOTAL", "X"])


@given(st.dictionaries(names.map("SLICERHUB_".__add__), st.text()), st.text())
def test_any_settings(environ: dict[str, str], text: str) -> None:
    """Whatever is set, the answer is settings or a list of sentences: never anything else."""
    try:
        settings, _ = read(LDAP | environ | {"SLICERHUB_CONFIG": "hub"}, hub=text)
    except ConfigError:
        return
    assert settings.profiles
