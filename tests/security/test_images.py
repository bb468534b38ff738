"""What an image or a name could bring in, and what a session is given (rows 27, 31-34)."""

from __future__ import annotations

import json
import re
from typing import Any

from docker import DockerClient
from e2e.stack import INSTANCE, container_of
from security.attacker import (
    COOKIE,
    Person,
    at_once,
    door,
    knock,
    open_socket,
    someone,
    try_login,
)

from tests.support.breakage import ROOT
from tests.support.inside import inside, run_inside

ENABLE = {"traefik.enable"}
NAMES = [
    "`) || Host(`evil.example`",
    "a`,b",
    "x || PathPrefix(`/`)",
    "{{ env `PATH` }}",
    "$(reboot)",
    "traefik.enable=true",
    "a=b,c=d",
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "'; DROP TABLE login; --",
    "ünï cödé 🧠",
]


def test_row_27_a_session_never_sees_the_login(alice: Person, victim: dict[str, Any]) -> None:
    """No cookie and no token of the hub's arrives, by no method and in no handshake; its own do."""
    at = door(alice, victim)
    ours = [one.partition("=") for one in at.cookie.split("; ")]
    mixed = at._replace(cookie=f"before=1; {at.cookie}; {COOKIE.upper()}=x; after=2")
    bearer = {"Authorization": f"Bearer {alice.token}", "Proxy-Authorization": "Basic eA=="}
    for answer in (
        knock(mixed),
        knock(mixed, "POST", headers=bearer),
        knock(at.as_stranger(), headers=bearer),
    ):
        assert answer.status_code == 200
        seen = {name.lower(): value for name, value in answer.json()["headers"]}
        assert "authorization" not in seen
        assert seen.get("cookie", "before=1; after=2") == "before=1; after=2"
        for name, _, value in ours:
            assert value not in answer.text
            assert name.lower() not in seen.get("cookie", "").lower()
        assert alice.token not in answer.text
    with open_socket(mixed) as socket:
        text = str(socket.recv())
        assert not any(value in text for _, _, value in ours)
        seen = {name.lower(): value for name, value in json.loads(text)}
        assert seen["cookie"] == "before=1; after=2"


def labels_of(engine: DockerClient, session: dict[str, Any]) -> dict[str, str]:
    """Return Traefik's labels of a session."""
    labels: dict[str, str] = container_of(engine, session["id"]).labels
    return {key: value for key, value in labels.items() if key.startswith("traefik.")}


def test_row_31_no_name_becomes_a_rule(alice: Person, engine: DockerClient) -> None:
    """Whatever a session is called, it has one router, and its id is all that stands there."""
    begun = at_once([lambda name=name: alice.launch("echo", name) for name in NAMES])
    usual = {key.replace(begun[-1]["id"], "ID") for key in labels_of(engine, begun[-1])}
    for name, session in zip(NAMES, begun, strict=True):
        assert re.fullmatch(r"[a-z2-7]{26}", session["id"])
        labels = labels_of(engine, session)
        assert {key.replace(session["id"], "ID") for key in labels} == usual
        routers = {key.split(".")[3] for key in labels if key.startswith("traefik.http.routers.")}
        assert routers == {session["id"]}
        text = " ".join((*labels, *labels.values()))
        assert name not in text
        assert "evil" not in text
        container = container_of(engine, session["id"])
        assert container.labels["slicerhub.name"] == name
        assert re.fullmatch(r"[a-z0-9-]+", container.name)
        assert session["name"] == name
    answer = alice.api.post("/api/v1/sessions", json={"profile": "echo", "name": "two\nlines"})
    assert answer.status_code == 400
    at_once([lambda one=one: alice.stop(one["id"]) for one in begun])


def test_row_31_nor_does_the_name_of_somebody(engine: DockerClient) -> None:
    """Somebody whose uid has such characters in the directory gets no log-in; a dot is harmless."""
    for uid in ("mal`lory", "a||b", "a=b"):
        with someone(engine, uid, password="mallory"):
            assert try_login(uid, "mallory").status_code == 401, uid
    with someone(engine, "traefik.enable"), Person("traefik.enable") as one:
        session = one.launch("echo", "mine")
        labels = labels_of(engine, session)
        assert {key.split(".")[3] for key in labels if ".routers." in key} == {session["id"]}
        assert "traefik.enable" not in " ".join((*labels.values(), *(labels.keys() - ENABLE)))
        one.stop_all()


def test_row_32_an_image_cannot_route_itself(alice: Person, engine: DockerClient) -> None:
    """A profile whose image carries Traefik's labels is refused with a reason, and nothing runs."""
    answer = alice.api.post("/api/v1/sessions", json={"profile": "labelled", "name": "backdoor"})
    assert answer.status_code == 409
    assert "traefik." in answer.json()["cause"]
    labels = [f"slicerhub.instance={INSTANCE}", "slicerhub.profile=labelled"]
    assert engine.containers.list(all=True, filters={"label": labels}) == []
    assert alice.browser.get("/backdoor").status_code == 404


def mounts_of(engine: DockerClient, session: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what is mounted into a session."""
    return container_of(engine, session["id"]).attrs["Mounts"]


def test_row_33_names_never_meet_in_one_volume(engine: DockerClient) -> None:
    """People whose names look alike once slugged have volumes of their own, and no folder."""
    volumes: dict[str, str] = {}
    for uid in ("a.b", "a-b", "A_B"):
        with someone(engine, uid), Person(uid) as person:
            session = person.launch("echo", "../../etc")
            found = mounts_of(engine, session)
            assert {one["Type"] for one in found} == {"volume"}
            volumes[uid] = next(one["Name"] for one in found)
            assert re.fullmatch(r"[a-z0-9-]+", volumes[uid])
            session_id = session["id"]
            assert not container_of(engine, session_id).attrs["HostConfig"]["Binds"]
            # They are called as the directory spells them, and not as they are typed.
            own = person.api.get("/api/v1/me").json()["user"]
            for one in person.api.get("/api/v1/sessions").json()["items"]:
                assert one["owner"] == own
                person.stop(one["id"])
        engine.volumes.get(volumes[uid]).remove()
    assert len(set(volumes.values())) == 3
    with someone(engine, "../etc", password="etc"):
        assert try_login("../etc", "etc").status_code == 401


def test_row_34_nothing_helps_to_escape(victim: dict[str, Any], engine: DockerClient) -> None:
    """The engine confirms each restriction, and so does the kernel from inside."""
    container = container_of(engine, victim["id"])
    host, config = container.attrs["HostConfig"], container.attrs["Config"]
    assert config["User"] == "1000:1000"
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert "no-new-privileges" in host["SecurityOpt"][0]
    assert host["ReadonlyRootfs"] is True
    assert host["Privileged"] is False
    assert host["PidsLimit"] > 0
    assert host["Memory"] == host["MemorySwap"] == 128 * 1024 * 1024
    assert host["CpuQuota"] == 50_000
    assert not host["Binds"]
    assert not host["Devices"]
    assert host["PidMode"] == host["UTSMode"] == ""
    assert host["IpcMode"] == "private"
    assert host["NetworkMode"] == f"{INSTANCE}-{victim['id']}"
    assert {one["Type"] for one in container.attrs["Mounts"]} == {"volume"}
    status = inside(container, "cat", "/proc/self/status")
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert facts["Uid"].split() == ["1000"] * 4
    assert {int(facts[f"Cap{one}"], 16) for one in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {0}
    assert facts["NoNewPrivs"] == "1"
    assert facts["Seccomp"] == "2"
    for path in ("/var/run/docker.sock", "/run/docker.sock", "/run/secrets/kubernetes.io"):
        assert run_inside(container, "test", "-e", path).exit_code == 1
    refused = run_inside(container, "sh", "-c", "echo x > /usr/bin/x")
    assert refused.exit_code != 0


def test_row_34_nor_on_a_cluster() -> None:
    """What would be sent to a cluster passes its strictest standard."""
    spec = _pod_of((ROOT / "tests/support/golden/kubernetes_pod.json").read_text(encoding="utf-8"))
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    allowed = {"persistentVolumeClaim", "emptyDir", "configMap", "secret", "projected"}
    for volume in spec.get("volumes", []):
        assert volume.keys() - {"name"} <= allowed
    for container in spec["containers"] + spec.get("initContainers", []):
        limits = container["securityContext"]
        assert limits["allowPrivilegeEscalation"] is False
        assert limits["capabilities"]["drop"] == ["ALL"]
        assert not limits["capabilities"].get("add")
        assert container["resources"]["limits"].keys() >= {"cpu", "memory"}
        assert not any("hostPort" in port for port in container.get("ports", []))


def _pod_of(text: str) -> dict[str, Any]:
    found: Any = json.loads(text)
    return found["spec"]
