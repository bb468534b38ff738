"""Every fault in the settings is told with its place and what to do."""

from __future__ import annotations

import pytest

from tests.unit.settings.reading import LDAP, faults_of


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


def test_directory_is_needed() -> None:
    """Without a directory nobody could log in: the hub says so instead of starting."""
    (fault,) = faults_of({})
    assert fault.startswith("ldap.url (SLICERHUB_LDAP_URL) is missing")
