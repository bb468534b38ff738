"""Whatever is sent to the API, it answers as its own document says, and never with a fault."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker import DockerClient
from e2e.stack import URL, part
from security.attacker import HUB_HOST, Person

SECONDS = int(os.environ.get("SLICERHUB_FUZZ_SECONDS", "40"))  # for each kind of caller
# Not the form of each answer: the front door sends back, without words, what it does not take
# (encoded characters, headers by other names), and that is no answer of the API's.
CHECKS = ("not_a_server_error", "status_code_conformance", "response_headers_conformance")
# Streams that do not end; what would end the very log-in that asks; what empties the hub.
LEFT_OUT = r"/events$|/v1/logout$|/me/logins|/admin/drain$"


@pytest.fixture
def fuzzer(carol: Person) -> Iterator[Person]:
    """Somebody who asks for everything, and may have two sessions."""
    for name in ("bob", "carol"):
        answer = carol.api.put(f"/api/v1/admin/users/{name}/quota", json={"sessions": 2})
        assert answer.status_code == 204
    with Person("bob") as person:
        yield person
    with Person("carol") as administrator:  # anew, for carol may have been logged out
        take_quotas_back(administrator)


def take_quotas_back(administrator: Person) -> None:
    """Give everybody the configured quota: a client that tries everything sets any quota."""
    names: set[str] = set()
    page, pages = 1, 1
    while page <= pages:
        answer = administrator.api.get("/api/v1/admin/users", params={"page": page})
        assert answer.status_code == 200, answer.text
        found = answer.json()
        limited = {user["user"] for user in found["items"] if user["quota"] is not None}
        # Nobody in the directory has another kind of name, and not all fit into an address.
        names |= {name for name in limited if name.isascii() and name.isalnum()}
        page, pages = page + 1, found["pages"]
    for name in names:
        address = f"/api/v1/admin/users/{name}/quota"
        answer = administrator.api.put(address, json={"sessions": None})
        assert answer.status_code == 204, answer.text


def faults(engine: DockerClient) -> list[str]:
    """Return what the controller has logged as a fault of its own."""
    text = part(engine, "controller").logs().decode(errors="replace")
    return [line for line in text.splitlines() if re.search(r'"event": "(verify_)?fault"', line)]


@pytest.fixture(params=["anonymous", "user", "admin"])
def token(request: pytest.FixtureRequest, carol: Person, fuzzer: Person) -> str:
    """What the caller of the moment shows; nothing, if they are nobody."""
    return {"anonymous": "", "user": fuzzer.token, "admin": carol.token}[request.param]


@pytest.mark.thorough
def test_the_api_does_as_it_says(
    engine: DockerClient, machines: Iterator[str], tmp_path: Path, token: str
) -> None:
    """Thousands of requests, right and wrong: no fault, and no answer that is not documented."""
    before = len(faults(engine))
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        *("run", f"{URL}/api/openapi.json"),
        *("--url", next(machines), "--header", f"Host:{HUB_HOST}"),
        *("--checks", ",".join(CHECKS), "--exclude-path-regex", LEFT_OUT),
        *("--phases", "examples,coverage,fuzzing", "--max-time", str(SECONDS)),
        # One worker: Python 3.11's parser, which hypothesis uses, has faults among several threads
        # ("AST constructor recursion depth mismatch").
        *("--max-examples", "30", "--continue-on-failure", "--no-shrink", "--workers", "1"),
        *("--request-timeout", "60", "--no-color", "--warnings", "off"),
        *(("--header", f"Authorization:Bearer {token}") if token else ()),
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert len(faults(engine)) == before
