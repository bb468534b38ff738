"""What the engine has of the hub, beside what the hub says; and what the hub's parts hold."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any, NamedTuple

from bench.memory import process_number
from docker import DockerClient
from e2e.stack import INSTANCE, Member, networks_of, part
from load.account import HeldLine

from tests.support.inside import inside
from tests.support.waits import until

ECHO_IMAGE = "slicerhub-test/echo"
REPAIRED_SECONDS = (
    90.0  # in which what a crash left is mended or gone: a minute, and a busy machine
)
_FLAT = 0.005  # of a part's memory, by which it may still move when it is at rest
_LOOKS = 5
_REST_SECONDS = 180.0

READ = """
import json, pathlib
print(json.dumps({one.parent.name: one.read_text() for one in pathlib.Path("/files").glob("*/*")
                  if one.name == "kept-by-the-soak"}))
"""


def containers_of(client: DockerClient) -> list[dict[str, Any]]:
    """Return what the engine says of the containers of all sessions."""
    labels = [f"slicerhub.instance={INSTANCE}", "slicerhub.session"]
    api: Any = client.api
    return api.containers(all=True, filters={"label": labels})


def listed(carol: Member) -> dict[str, str]:
    """Return the phases of all sessions that the hub knows, by their ids."""
    found: dict[str, str] = {}
    page, pages = 1, 1
    while page <= pages:
        answer = carol.api.get("/api/v1/admin/sessions", params={"page": page})
        assert answer.status_code == 200, answer.text
        told = answer.json()
        found |= {one["id"]: one["phase"] for one in told["items"]}
        page, pages = page + 1, told["pages"]
    return found


def differences(client: DockerClient, carol: Member) -> list[str]:
    """Return what only one of the two knows, the engine or the hub."""
    before = set(listed(carol))
    containers = {one["Labels"]["slicerhub.session"] for one in containers_of(client)}
    networks = {one["Labels"]["slicerhub.session"] for one in networks_of(client)}
    known = before | set(listed(carol))
    return [
        *(f"a container of {one}" for one in sorted(containers - known)),
        *(f"a network of {one}" for one in sorted(networks - known)),
        *(f"a session without a container: {one}" for one in sorted(before - containers)),
        *(f"a session without a network: {one}" for one in sorted(before - networks)),
    ]


def leftovers(client: DockerClient, carol: Member) -> list[str]:
    """Return what does not go although everything was stopped."""
    deadline = time.monotonic() + REPAIRED_SECONDS
    while True:
        sessions = listed(carol)
        found = [
            *(f"a session that is {phase}: {one}" for one, phase in sessions.items()),
            *(f"a container: {one['Names']}" for one in containers_of(client)),
            *(f"a network: {one['Name']}" for one in networks_of(client)),
        ]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(1)


def orphans(client: DockerClient, carol: Member) -> list[str]:
    """Return the differences that stay."""
    deadline = time.monotonic() + REPAIRED_SECONDS
    while (found := differences(client, carol)) and time.monotonic() < deadline:
        time.sleep(1)
    return found


def duplicates(client: DockerClient) -> list[str]:
    """Return what there is more than once of one name of one owner."""
    names = Counter(
        (one["Labels"]["slicerhub.owner"], one["Labels"]["slicerhub.name"])
        for one in containers_of(client)
    )
    return [f"{owner}: {name}" for (owner, name), number in names.items() if number > 1]


def lost_files(client: DockerClient, wanted: dict[str, str]) -> list[str]:
    """Return whose file is not there any more, or not as they wrote it: name -> text."""
    volumes: dict[str, str] = {}
    lost: list[str] = []
    for owner in wanted:
        labels = [f"slicerhub.instance={INSTANCE}", f"slicerhub.owner={owner}"]
        found = client.volumes.list(filters={"label": labels})
        if len(found) == 1:
            volumes[owner] = str(found[0].name)
        else:
            lost.append(f"{owner} has {len(found)} volumes")
    if not volumes:
        return lost
    said: Any = client.containers.run(
        ECHO_IMAGE,
        ["python", "-c", READ],
        volumes={
            name: {"bind": f"/files/{owner}", "mode": "ro"} for owner, name in volumes.items()
        },
        network_mode="none",
        remove=True,
    )
    there: dict[str, str] = json.loads(said)
    return lost + [one for one in volumes if there.get(one) != wanted[one]]


class Held(NamedTuple):
    """What a part's first process holds."""

    mib: float
    files: int


def held(client: DockerClient, service: str) -> Held:
    """Look once."""
    container = part(client, service)
    files = inside(container, "sh", "-c", "ls /proc/1/fd | wc -l")
    return Held(round(process_number(container, "Rss"), 1), int(files))


def at_rest(client: DockerClient, service: str) -> Held:
    """Look until the memory does not move any more."""
    seen: list[float] = []

    def rests() -> bool:
        seen.append(held(client, service).mib)
        last = seen[-_LOOKS:]
        return len(last) == _LOOKS and max(last) - min(last) <= _FLAT * max(last)

    until(rests, seconds=_REST_SECONDS, what=f"{service} to be at rest")
    return held(client, service)


def held_line(service: str, before: Held, after: Held) -> HeldLine:
    """Return the line of a report."""
    return HeldLine(service, before.mib, after.mib, before.files, after.files)
