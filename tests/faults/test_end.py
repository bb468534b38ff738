"""A controller that is told to end finishes what it does, and answers as long as it is asked."""

from __future__ import annotations

import http.client
import signal
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

import httpx

from tests.faults.controller import Plan
from tests.faults.process import ROOT, Hub
from tests.faults.test_kills import is_right, parts
from tests.support.engine import Lab
from tests.support.waits import until

END_SECONDS = 30  # that compose.yaml gives it


def test_a_launch_under_way(docker_hub: Hub, engine_lab: Lab) -> None:
    """Who has just pressed the button gets their session, though the controller ends."""
    answers: list[httpx.Response | None] = []
    with docker_hub.controller(Plan("after:create_network", act="hold")) as process:
        pressed = threading.Thread(target=lambda: answers.append(docker_hub.launch("thesis")))
        pressed.start()
        until(docker_hub.said.exists, seconds=60, what="the network")
        process.send_signal(signal.SIGTERM)
        # It takes no more, and goes on with what it has.
        until(lambda: _leaves(docker_hub), seconds=60, what="the word that it ends")
        late = docker_hub.launch("late")
        assert late is not None
        assert late.status_code == 503
        assert process.poll() is None
        docker_hub.said.unlink()
        pressed.join(60)
        assert process.wait(END_SECONDS + 60) == 0
    (answer,) = answers
    assert answer is not None
    assert answer.status_code == 202
    assert is_right(engine_lab)
    whole, _, _ = parts(engine_lab)
    assert list(whole) == [answer.json()["id"]]


def test_verify_answers_to_the_last(memory_hub: Hub) -> None:
    """Each question that Traefik asks over an open connection is answered, until it lets go."""
    with memory_hub.controller() as process:
        made = memory_hub.launch("thesis", "slicer")
        assert made is not None
        session = made.json()["id"]
        port = urlsplit(memory_hub.private).port
        traefik = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        headers = {
            "X-Forwarded-Method": "GET",
            "X-Forwarded-Uri": f"/s/{session}/",
            "X-Forwarded-Host": urlsplit(memory_hub.public).netloc,
            "X-Forwarded-Proto": "http",
            "Authorization": f"Bearer {memory_hub.token}",
        }

        def asked() -> int:
            traefik.request("GET", f"/verify/{session}", headers=headers)
            answer = traefik.getresponse()
            answer.read()
            return answer.status

        until(lambda: asked() == 200, seconds=30, what="the session")
        process.send_signal(signal.SIGTERM)
        # The pages end first; until then and for a second more Traefik is answered.
        until(lambda: _is_over(memory_hub) and asked() == 200, seconds=10, what="the pages' end")
        for _ in range(5):
            assert asked() == 200
        traefik.close()
        assert process.wait(END_SECONDS) == 0


def test_it_says_that_it_leaves(memory_hub: Hub) -> None:
    """One of several controllers that ends is not ready at once, and serves people meanwhile."""
    memory_hub.environment["SLICERHUB_LEAVE_SECONDS"] = "8"
    with memory_hub.controller() as process:
        assert not _leaves(memory_hub)
        process.send_signal(signal.SIGTERM)
        until(lambda: _leaves(memory_hub), seconds=60, what="the word that it leaves")
        made = memory_hub.launch("thesis", "slicer")
        assert made is not None
        assert made.status_code == 202
        assert process.wait(END_SECONDS) == 0


def test_it_stays_while_people_are_sent_to_it(memory_hub: Hub) -> None:
    """Who is still sent to a controller that leaves is answered, and it ends all the same."""
    memory_hub.environment["SLICERHUB_LEAVE_SECONDS"] = "4"
    with memory_hub.controller() as process, httpx.Client(timeout=30) as client:
        process.send_signal(signal.SIGTERM)
        answered = 0
        begun = time.monotonic()
        while time.monotonic() - begun < 6:
            assert client.get(f"{memory_hub.public}/login").status_code == 200
            answered += 1
        assert answered > 1
        assert process.wait(END_SECONDS) == 0


def _leaves(hub: Hub) -> bool:
    """Tell whether it says that others are to be asked."""
    return httpx.get(f"{hub.private}/startz", timeout=30).status_code == 503


def _is_over(hub: Hub) -> bool:
    try:
        httpx.get(f"{hub.public}/login", timeout=5)
    except httpx.TransportError:
        return True
    return False


def test_open_pages_do_not_hold_it_up(memory_hub: Hub) -> None:
    """Pages that follow what happens are let go after seconds; nothing waits for them for ever."""
    with memory_hub.controller() as process:
        made = memory_hub.launch("thesis", "slicer")
        assert made is not None
        path = f"{memory_hub.public}/api/v1/sessions/{made.json()['id']}/events"
        headers = {"Authorization": f"Bearer {memory_hub.token}"}
        with (
            httpx.Client(timeout=60) as client,
            client.stream("GET", path, headers=headers) as page,
        ):
            assert page.status_code == 200
            begun = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(END_SECONDS) == 0
            assert time.monotonic() - begun < END_SECONDS


def test_a_second_one_does_not_start(memory_hub: Hub) -> None:
    """A second controller on the same data says why it does not start; so does a renamed one."""
    with memory_hub.controller():
        done = _serve(memory_hub, "clinic")
        assert done.returncode == 1
        assert b"a running hub uses this folder" in done.stderr
    done = _serve(memory_hub, "hospital")
    assert done.returncode == 1
    assert b"belongs to the hub 'clinic'" in done.stderr
    assert b"Traceback" not in done.stderr


def _serve(hub: Hub, instance: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", "from controller.cli.main import main; main()", "serve"],
        env=hub.environment | {"SLICERHUB_INSTANCE": instance},
        cwd=ROOT,
        capture_output=True,
        timeout=120,
        check=False,
    )
