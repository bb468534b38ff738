"""Settings: what is accepted, and how every fault is told with its place and its mending."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.errors import ConfigError
from controller.core.model import Egress
from controller.settings.loading import SLICER, load
from controller.settings.schema import Admin, Settings

SECRET = "hunter2-hunter2"
LDAP = {
    "SLICERHUB_LDAP_URL": "ldaps://ldap.example.org",
    "SLICERHUB_LDAP_USER_DN_TEMPLATE": "uid={username},ou=people,dc=example,dc=org",
}
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


def read(environ: Mapping[str, str], **files: str) -> tuple[Settings, list[str]]:
    """Load settings; ``files``: by their names, in place of the disk."""

    def read_file(path: str) -> str:
        if path not in files:
            raise FileNotFoundError(2, "No such file or directory", path)
        return files[path]

    return load(environ, read_file)


def faults_of(environ: Mapping[str, str], **files: str) -> list[str]:
    """Return what is said of wrong settings."""
    with pytest.raises(ConfigError) as caught:
        read(environ, **files)
    return caught.value.faults


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


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("instance = ", "not valid TOML"),
        ("= 5", "not valid TOML"),
        ("profiles = 5", "profiles: must be tables"),
        ("[profiles]\na = 5", "profiles.a: must be a table"),
        ("ldap = 5", "ldap: no such setting"),
        ("nothing = 1", "nothing: no such setting"),
        ('instance = "Lab"', "instance: 'Lab' must begin with a letter"),
        ('instance = "a.b"', "instance: "),
        ('instance = "lab\\n"', "instance: 'lab\\n' must begin with a letter"),
        (f'instance = "{"a" * 17}"', "instance: "),
        ("instance = 5", "instance (SLICERHUB_INSTANCE): "),
        (
            "housekeeping_seconds = 'perhaps'",
            "housekeeping_seconds (SLICERHUB_HOUSEKEEPING_SECONDS): ",
        ),
        ("orchestrator = 'swarm'", "orchestrator (SLICERHUB_ORCHESTRATOR): "),
        ("extra_urls = ['ftp://x']", "extra_urls: 'ftp://x' must be like"),
        ("public_url = 'http://localhost:8080/'", "public_url: "),
        ("public_url = 'http://localhost:99999'", "public_url: "),
        ("public_url = 'http://a`b'", "public_url: "),
        ("gateway_url = 'traefik'", "gateway_url: "),
        ("idle_seconds = -1", "idle_seconds: must be 0 or more"),
        ("idle_seconds = -1\n[profiles.a]\nimage = 'x'", "idle_seconds: must be 0 or more"),
        ("failed_seconds = -1", "failed_seconds: must be 0 or more"),
        ("housekeeping_seconds = 0", "housekeeping_seconds: must be more than 0"),
        ("public_port = 0", "public_port: "),
        ("private_port = 70000", "private_port: "),
        ("[limits]\nsessions_per_user = 0", "limits.sessions_per_user: must be more than 0"),
        ("[limits]\ncpus = -1", "limits.cpus: must be 0 or more"),
        ("[limits]\ncpus = nan", "limits.cpus: must be 0 or more"),
        ("[limits]\nmemory_mib = -1", "limits.memory_mib: must be 0 or more"),
        ("[limits]\ngroups = {a = 0}", "limits.groups.a: must be more than 0"),
        ("[limits]\ngroups = {a = 'x'}", "limits.groups (SLICERHUB_LIMITS_GROUPS): "),
        ("[limits]\ngroups = {'a,b' = 1}", "limits.groups: 'a,b' cannot be counted"),
        ("[limits]\ngroups = {'' = 1}", "limits.groups: '' cannot be counted"),
        (
            "[limits.people]\nalice = 1\nAlice = 2",
            "limits.people: 'alice' and 'Alice' are the same person. Keep one spelling.",
        ),
        ("[limits.people]\nAlice = 0", "limits.people.Alice: must be more than 0"),
        ("[limits]\ngpus = ['0', '0']", "limits.gpus: a device is listed twice"),
        ("[limits]\ngpus = ['a b']", "limits.gpus: 'a b' is not a device"),
        ("warning_seconds = -1", "warning_seconds: must be 0 or more"),
        ("ahead_seconds = -1", "ahead_seconds: must be 0 or more"),
        ("departed_seconds = -1", "departed_seconds: must be 0 or more"),
        ("directory_seconds = 0", "directory_seconds: must be more than 0"),
        ("[profiles.a]\nimage = 'x'\nmax_sessions = -1", "profiles.a.max_sessions: must be 0"),
        ("[profiles.a]\nimage = 'x'\ngpus = -1", "profiles.a.gpus: must be 0 or more"),
        ("[profiles.a]\nimage = 'x'\nqueue = 'yes'", "profiles.a.queue: "),
        ("[profiles.a]\nimage = 'x'\nstart_ahead = 1", "profiles.a.start_ahead: "),
        (
            "[limits]\ngpus = ['0']\n[profiles.a]\nimage = 'x'\ngpus = 2",
            "profiles.a.gpus: 2 is more than the 1 of limits.gpus",
        ),
        # What could never start would hold up everybody who waits behind it.
        ("[limits]\ncpus = 4\n[profiles.a]\nimage = 'x'\ncpus = 5", "profiles.a.cpus: "),
        (
            "[limits]\nmemory_mib = 4096\n[profiles.a]\nimage = 'x'\nmemory_mib = 4097",
            "profiles.a.memory_mib: ",
        ),
        ("[login]\nhours = 0", "login.hours: must be more than 0"),
        ("[login]\nattempts_seconds = 0", "login.attempts_seconds: must be more than 0"),
        ("[login]\nattempts_seconds = -1", "login.attempts_seconds: must be more than 0"),
        (
            "[profiles.a]\nimage = 'x'\nbusy_cpu_percent = -1",
            "profiles.a.busy_cpu_percent: must be 0 or more",
        ),
        ("[login]\nattempts_per_user = 0", "login.attempts_per_user: must be more than 0"),
        ("[login]\nattempts_per_address = 0", "login.attempts_per_address: must be more than 0"),
        ("[docker]\nnetwork_prefix = 31", "docker.network_prefix: /31 does not fit"),
        ("[docker]\nnetwork_prefix = 8", "docker.network_prefix: /8 does not fit"),
        ("[docker]\nnetwork_pool = 'fd00::/16'", "docker.network_pool: "),
        ("[docker]\nnetwork_pool = 'lan'", "docker.network_pool: "),
        ("[docker]\ntimeout_seconds = 0", "docker.timeout_seconds: must be more than 0"),
        ("[profiles.a]\ntitle = 'A'", "profiles.a.image is missing"),
        ("[profiles.a]\nimage = 5", "profiles.a.image: "),
        ("[profiles.a]\nimage = 'x'\ncpus = 0", "profiles.a.cpus: must be more than 0"),
        ("[profiles.a]\nimage = 'x'\ncpus = nan", "profiles.a.cpus: "),
        ("[profiles.a]\nimage = 'x'\ncpus = inf", "profiles.a.cpus: "),
        ("[profiles.a]\nimage = 'x'\nshm_mib = 0", "profiles.a.shm_mib: must be more than 0"),
        ("[profiles.a]\nimage = 'x'\ncpus = 'two'", "profiles.a.cpus: "),
        ("[profiles.a]\nimage = 'x'\nmemory_mib = -1", "profiles.a.memory_mib: must be"),
        ("[profiles.a]\nimage = 'x'\nport = 0", "profiles.a.port: "),
        ("[profiles.a]\nimage = 'x'\nport = 70000", "profiles.a.port: "),
        ("[profiles.a]\nimage = 'x'\npids = 0", "profiles.a.pids: must be more than 0"),
        ("[profiles.a]\nimage = 'x'\nidle_seconds = -5", "profiles.a.idle_seconds: "),
        ("[profiles.a]\nimage = 'x'\nlifetime_seconds = -5", "profiles.a.lifetime_seconds: "),
        ("[profiles.a]\nimage = 'x'\nuid = 0", "profiles.a.uid: 0 is root"),
        ("[profiles.a]\nimage = 'x'\nhome = 'home'", "profiles.a.home: must begin with '/'"),
        ("[profiles.a]\nimage = 'x'\nready_path = 'x'", "profiles.a.ready_path: must begin"),
        ("[profiles.a]\nimage = 'x'\negress = 'all'", "profiles.a.egress: "),
        ("[profiles.a]\nimage = 'x'\nid = '../b'", "profiles.a.id: "),
        (
            "[profiles.a]\nimage='x'\ndefault=true\n[profiles.b]\nimage='x'\ndefault=true",
            "profiles: only one may be the default, not a, b",
        ),
        ('[profiles."a b"]\nimage = "x"', "profiles.a b: an id can have"),
        ("[ldap]\nurl = 'ldaps://x'\nsearch_base = 'dc=x'\nstart_tls = true", "ldap.start_tls: "),
        ("[ldap]\nurl = 'ldap://x'\nsearch_base = 'dc=x'", "ldap.url: ldap:// would send"),
        ("[ldap]\nurl = 'ldaps://x'", "ldap: set either"),
        (
            "[ldap]\nurl = 'ldaps://x'\nsearch_base = 'dc=x'\nuser_dn_template = '{username}'",
            "ldap: set either",
        ),
        (
            "[ldap]\nurl = 'ldaps://x'\nuser_dn_template = 'uid=x'",
            "ldap.user_dn_template: it must contain {username}",
        ),
        (
            "[ldap]\nurl='ldaps://x'\nsearch_base='dc=x'\nsearch_filter='({username}|{username})'",
            "ldap.search_filter: it must contain {username}",
        ),
        (
            "[ldap]\nurl = 'ldaps://x'\nsearch_base = 'dc=x'\nbind_password = 'x'",
            "ldap.bind_dn is missing",
        ),
    ],
)
def test_faults(text: str, sentence: str) -> None:
    """A wrong setting is named, and nothing else is complained of."""
    faults = faults_of(
        {"SLICERHUB_CONFIG": "hub", "SLICERHUB_ORCHESTRATOR": "memory"}
        if "orchestrator" not in text
        else {"SLICERHUB_CONFIG": "hub"} | LDAP,
        hub=text,
    )
    assert [one for one in faults if one.startswith(sentence) or sentence in one], faults
    assert len(faults) == 1


def test_missing_file() -> None:
    """A configuration file that is not there is named."""
    (fault,) = faults_of(LDAP | {"SLICERHUB_CONFIG": "/etc/hub.toml"})
    assert fault.startswith("SLICERHUB_CONFIG: /etc/hub.toml cannot be read (No such file")


def test_directory_is_needed() -> None:
    """Without a directory nobody could log in: the hub says so instead of starting."""
    (fault,) = faults_of({})
    assert fault.startswith("ldap.url (SLICERHUB_LDAP_URL) is missing")


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
