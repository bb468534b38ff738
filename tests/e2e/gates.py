"""The two gates of the running stack, asked one by one as Traefik asks them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from docker import DockerClient
from e2e.stack import URL, part, place_of

from tests.support.inside import inside

GATES = ("gate-1", "gate-2")

# From the controller, which is on Traefik's network; a session is not.
_ASK = """
import http.client, json, sys
gate, path, headers = json.loads(sys.argv[1])
connection = http.client.HTTPConnection(gate, 8001, timeout=10)
connection.request("GET", path, headers=headers)
answer = connection.getresponse()
answer.read()
print(json.dumps([answer.status, answer.getheaders()]))
"""

_STOP_WORKER = """
import os, pathlib, signal
workers = [int(one) for one in pathlib.Path("/proc/1/task/1/children").read_text().split()]
os.kill(workers[0], signal.SIGSTOP)
"""


def ask(
    engine: DockerClient, gate: str, session: dict[str, Any], uri: str = "/", **headers: str
) -> tuple[int, list[tuple[str, str]]]:
    """Return status and headers of what a gate answers about a request to a session."""
    parts = urlsplit(place_of(session))
    forwarded = {
        "X-Forwarded-Method": "GET",
        "X-Forwarded-Uri": parts.path.rstrip("/") + uri,
        "X-Forwarded-Host": parts.netloc,
        "X-Forwarded-Proto": urlsplit(URL).scheme,
        "X-Forwarded-For": "10.0.0.1",
    }
    question = [gate, f"/verify/{session['id']}", forwarded | headers]
    said = inside(part(engine, "controller"), "python", "-c", _ASK, json.dumps(question))
    status, found = json.loads(said)
    return status, [(name.lower(), value) for name, value in found]


def statuses(engine: DockerClient, session: dict[str, Any], **headers: str) -> list[int]:
    """Return what each gate answers about a request to a session."""
    return [ask(engine, gate, session, **headers)[0] for gate in GATES]


def stop_worker(engine: DockerClient, gate: str) -> None:
    """Let the program of a gate that answers stand still."""
    inside(part(engine, gate), "python", "-c", _STOP_WORKER)
