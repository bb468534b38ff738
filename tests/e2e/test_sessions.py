"""Launching, looking, stopping: on the real engine behind the real Traefik."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from docker import DockerClient
from docker.errors import NotFound
from e2e.stack import INSTANCE, URL, Member, container_of, networks_of, part, place_of, session_url

from tests.support.inside import inside
from tests.support.reach import reached
from tests.support.waits import until


def test_twenty_launches_of_one_name_make_one_session(alice: Member, engine: DockerClient) -> None:
    """Double clicks and two tabs end in one session, and everybody is told which."""

    def launch(_: int) -> tuple[int, str]:
        answer = alice.api.post("/api/v1/sessions", json={"profile": "echo", "name": "twenty"})
        body = answer.json()
        return answer.status_code, body.get("id") or body.get("session")

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(launch, range(20)))
    assert sorted(status for status, _ in answers) == [202] + [409] * 19
    ids = {session_id for _, session_id in answers}
    assert len(ids) == 1
    (session_id,) = ids
    assert container_of(engine, session_id)
    names = [network["Name"] for network in networks_of(engine)]
    assert names.count(f"{INSTANCE}-{session_id}") == 1
    alice.stop(session_id)


def test_events_tell_the_progress_until_it_is_ready(alice: Member) -> None:
    """A script can follow a start by its events; the stream ends when the session is ready."""
    answer = alice.api.post("/api/v1/sessions", json={"profile": "echo", "name": "events"})
    session_id = answer.json()["id"]
    assert answer.headers["location"] == f"/api/v1/sessions/{session_id}"
    events = alice.api.get(f"/api/v1/sessions/{session_id}/events", timeout=60)
    assert events.headers["content-type"].startswith("text/event-stream")
    assert '"phase":"ready"' in events.text.strip().splitlines()[-1]
    alice.stop(session_id)


def test_while_it_starts_a_browser_sees_the_progress(alice: Member) -> None:
    """The address of a starting session shows how far it is; programs are told to wait."""
    answer = alice.api.post("/api/v1/sessions", json={"profile": "slicer", "name": "progress"})
    session_id = answer.json()["id"]
    page = alice.browser.get(session_url(session_id), follow_redirects=True)
    assert page.status_code == 200
    assert "Starting" in page.text
    program = alice.api.get(session_url(session_id))
    assert program.status_code == 503
    assert int(program.headers["retry-after"]) > 0
    alice.stop(session_id)


def test_stopping_frees_everything_but_the_files(alice: Member, engine: DockerClient) -> None:
    """After a stop the container and its network are gone; the person's volume stays."""
    session = alice.launch("echo", "short")
    container = container_of(engine, session["id"])
    volumes = [mount["Name"] for mount in container.attrs["Mounts"] if mount["Type"] == "volume"]
    alice.stop(session["id"])
    with pytest.raises(NotFound):
        engine.containers.get(container.id)
    with pytest.raises(NotFound):
        engine.networks.get(f"{INSTANCE}-{session['id']}")
    assert [engine.volumes.get(name).name for name in volumes] == volumes
    assert len(volumes) == 1
    assert alice.browser.get(place_of(session)).status_code == 403


def test_files_are_there_in_the_next_session(alice: Member, engine: DockerClient) -> None:
    """What is written in one session is found in the next, whatever its name."""
    first = alice.launch("echo", "writes")
    inside(container_of(engine, first["id"]), "sh", "-c", "echo kept > /home/slicer/note")
    alice.stop(first["id"])
    second = alice.launch("echo", "reads")
    assert inside(container_of(engine, second["id"]), "cat", "/home/slicer/note") == "kept\n"
    alice.stop(second["id"])


def test_people_have_volumes_of_their_own(alice: Member, bob: Member, engine: DockerClient) -> None:
    """Nobody's files are mounted into another's session."""
    sessions = [alice.launch("echo", "volumes"), bob.launch("echo", "volumes")]
    names = {container_of(engine, one["id"]).attrs["Mounts"][0]["Name"] for one in sessions}
    assert len(names) == 2


def test_a_session_is_idle_and_is_stopped_and_says_why(alice: Member) -> None:
    """Unused for as long as its profile allows, a session is stopped; the page tells it after."""
    session = alice.launch("brief", "idle")
    alice.wait(session["id"], "gone", seconds=60)
    page = alice.browser.get("/").text
    assert "unused" in page
    assert "Brief · idle" in page


def test_a_used_session_is_not_idle(alice: Member) -> None:
    """Requests keep a session alive beyond its profile's idle time."""
    session = alice.launch("brief", "used")
    created = container_age(session)

    def still_there() -> bool:
        assert alice.browser.get(place_of(session)).status_code == 200
        return container_age(session) - created > 15

    until(still_there, seconds=60, what="fifteen seconds of use")
    alice.stop(session["id"])


def container_age(session: dict[str, Any]) -> float:
    """Seconds since the session was launched."""
    return (datetime.now(UTC) - datetime.fromisoformat(session["created_at"])).total_seconds()


def test_a_session_that_ends_by_itself_says_why(alice: Member) -> None:
    """A crash is shown as such: with the exit code in words, and the last lines it printed."""
    session = alice.launch("echo", "crash")
    alice.browser.get(f"{place_of(session)}fail")
    failed = alice.wait(session["id"], "failed")
    assert "exit code 3" in failed["message"]
    page = alice.browser.get(place_of(session), follow_redirects=True)
    assert page.status_code == 200
    assert "the echo was told to fail" in page.text
    again = alice.launch("echo", "crash")
    assert again["id"] != session["id"]
    alice.stop(again["id"])


def test_a_profile_without_its_image_is_refused_in_words(
    alice: Member, engine: DockerClient
) -> None:
    """The person learns what is missing, and nothing is left behind."""
    answer = alice.api.post("/api/v1/sessions", json={"profile": "missing", "name": "x"})
    assert answer.status_code == 409
    assert "administrator" in answer.json()["detail"]
    assert "slicerhub-test/no-such-image" in answer.json()["cause"]
    known = {one["id"] for one in alice.api.get("/api/v1/sessions").json()["items"]}
    left = [
        network["Name"]
        for network in networks_of(engine)
        if network["Labels"]["slicerhub.owner"] == "alice"
        and network["Labels"]["slicerhub.session"] not in known
    ]
    assert left == []


def test_profiles_of_a_group_are_for_that_group(alice: Member, carol: Member) -> None:
    """A profile that is not open to somebody is neither shown nor launched."""
    ids = [one["id"] for one in alice.api.get("/api/v1/profiles").json()["items"]]
    assert "admins" not in ids
    answer = alice.api.post("/api/v1/sessions", json={"profile": "admins"})
    assert answer.status_code == 403
    ids = [one["id"] for one in carol.api.get("/api/v1/profiles").json()["items"]]
    assert "admins" in ids


def test_more_than_one_person_may_have_is_refused(bob: Member) -> None:
    """Over the quota a launch is refused with a sentence and a time to try again."""
    for number in range(20):
        answer = bob.api.post("/api/v1/sessions", json={"profile": "echo", "name": f"q{number}"})
        if answer.status_code == 429:
            break
        assert answer.status_code == 202
    answer = bob.api.post("/api/v1/sessions", json={"profile": "echo", "name": "one more"})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert "Stop one" in answer.json()["detail"]
    bob.stop_all()


def test_a_session_is_hardened(echo: dict[str, Any], engine: DockerClient) -> None:
    """The engine confirms every restriction that the hub asked for."""
    facts = container_of(engine, echo["id"]).attrs
    host = facts["HostConfig"]
    assert facts["Config"]["User"] == "1000:1000"
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["ReadonlyRootfs"] is True
    assert host["Privileged"] is False
    assert host["PidsLimit"] == 1024
    assert host["Memory"] == host["MemorySwap"] == 128 * 1024 * 1024
    assert host["CpuQuota"] == 50_000
    assert not host["Binds"]
    assert {mount["Type"] for mount in facts["Mounts"]} == {"volume"}
    assert host["LogConfig"]["Config"] == {"max-file": "3", "max-size": "10m"}


def test_a_session_reaches_nothing_of_the_hub(
    alice: Member, bob: Member, engine: DockerClient, echo: dict[str, Any]
) -> None:
    """From inside, neither the controller nor LDAP nor the engine nor others' sessions answer."""
    assert alice
    other = container_of(engine, bob.launch("echo", "neighbour")["id"])
    targets: list[str] = []
    for service, ports in (
        ("controller", (8000, 8001)),
        ("ldap", (389, 636)),
        ("engine-proxy", (2375,)),
        ("engine-proxy-traefik", (2375,)),
    ):
        networks = part(engine, service).attrs["NetworkSettings"]["Networks"]
        for network in networks.values():
            targets += [f"{network['IPAddress']}:{port}" for port in ports]
            targets += [f"{network['Gateway']}:2375"] if network["Gateway"] else []
        targets += [f"{service}:{port}" for port in ports]
    neighbour = next(iter(other.attrs["NetworkSettings"]["Networks"].values()))
    own = container_of(engine, echo["id"])
    gateway = next(iter(own.attrs["NetworkSettings"]["Networks"].values()))["Gateway"]
    targets += [f"{neighbour['IPAddress']}:8080", "169.254.169.254:80", f"{gateway}:22"]
    targets += [f"{gateway}:18080", f"{gateway}:2375"]
    assert reached(own, targets) == []


def test_traefik_is_all_that_a_session_can_reach(
    echo: dict[str, Any], engine: DockerClient
) -> None:
    """Of Traefik, a session reaches the public entry point only: no API, no ping."""
    own = container_of(engine, echo["id"])
    (network,) = own.attrs["NetworkSettings"]["Networks"]
    traefik = part(engine, "traefik").attrs["NetworkSettings"]["Networks"][network]["IPAddress"]
    targets = [f"{traefik}:{port}" for port in (8080, 8081, 8082, 80, 443)]
    assert reached(own, targets) == [f"{traefik}:8080"]


def test_nothing_of_a_session_is_published_on_the_host(
    echo: dict[str, Any], engine: DockerClient
) -> None:
    """There is no way in but through Traefik."""
    ports = container_of(engine, echo["id"]).attrs["NetworkSettings"]["Ports"]
    assert not any(ports.values())
    assert URL
