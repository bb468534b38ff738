"""Real processes: what hangs, ends or loses its parent, and that the socket keeps answering."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from controller.gate.parent import turns_of
from controller.gate.workers import SILENT_SECONDS
from tests.support.waits import until, until_steady

HERE = Path(__file__).parent
FAMILY = HERE / "family.py"


class Family:
    """A parent that runs, and its workers."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        """Know where it answers."""
        self.process = process
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, path: str = "/pid", *, seconds: float = 1.0) -> int | None:
        """Return which worker answers; None: none does in time."""
        try:
            return int(httpx.get(f"{self.url}{path}", timeout=seconds, trust_env=False).text)
        except httpx.HTTPError:
            return None

    def workers(self) -> list[int]:
        """Return the parent's children that have not ended."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split() if state(int(pid)) != "Z"]

    def watches(self) -> bool:
        """Tell whether the parent has begun: signals wait until it looks for them."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return "SigBlk:\t0000000000000000" not in status

    def begun(self, number: int) -> list[int]:
        """Wait until so many workers run and one answers; return them."""
        until(lambda: len(self.workers()) == number and self.ask(), what="workers")
        return self.workers()


def state(pid: int) -> str:
    """Return the state of a process as a letter (proc(5), stat); "": there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def gone(*pids: int) -> Callable[[], bool]:
    """Return what tells whether these processes have ended."""
    return lambda: all(state(pid) in {"", "Z"} for pid in pids)


@contextmanager
def family(workers: int, *words: str) -> Generator[Family]:
    """Run a parent with so many workers."""
    environment = os.environ | {"PYTHONPATH": str(HERE.parents[2])}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        handle = listener.fileno()
        process = subprocess.Popen(
            [sys.executable, str(FAMILY), str(handle), str(workers), *words],
            pass_fds=[handle],
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        port = listener.getsockname()[1]
    made = Family(process, port)
    try:
        yield made
    finally:
        left = made.workers() if process.poll() is None else []
        process.kill()
        process.wait()
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("act", ["/stop", "/hang", "/end"])
def test_replaced(act: str) -> None:
    """A worker that stops, hangs or ends is replaced, and people are answered as before."""
    with family(1) as made:
        (first,) = made.begun(1)
        made.ask(act, seconds=0.2)
        second = until(made.ask, what="an answer")
        assert second != first
        until(gone(first), what="the end of the first")
        assert made.workers() == [second]


def test_the_others_answer() -> None:
    """While one of two workers hangs, the other one answers."""
    with family(2) as made:
        before = made.begun(2)
        os.kill(before[0], signal.SIGSTOP)
        until(lambda: set(made.begun(2)) - set(before), what="another worker")
        assert before[0] not in made.workers()
        assert before[1] in made.workers()


def test_nobody_is_killed_for_the_parent() -> None:
    """After the parent itself was stopped, or the machine suspended, its workers go on."""
    with family(2) as made:
        before = made.begun(2)
        os.kill(made.process.pid, signal.SIGSTOP)
        until_steady(lambda: made.ask() in before, steady=1.0, what="answers")
        os.kill(made.process.pid, signal.SIGCONT)
        until_steady(lambda: made.ask() in before, steady=1.0, what="answers")
        assert sorted(made.workers()) == sorted(before)


@pytest.mark.parametrize("others", [1, 4])  # of four each has more turns than it in seconds
def test_nobody_is_killed_for_a_busy_machine(others: int) -> None:
    """A worker that hardly gets a turn of the processor is slow, but not killed for it."""
    with family(1) as made:
        (worker,) = made.begun(1)
        processor = min(os.sched_getaffinity(0))
        os.sched_setaffinity(worker, {processor})
        os.sched_setscheduler(worker, os.SCHED_IDLE, os.sched_param(0))
        take_all = f"import os; os.sched_setaffinity(0, {{{processor}}})\nwhile True: pass"
        many = [subprocess.Popen([sys.executable, "-c", take_all]) for _ in range(others)]
        try:
            enough = turns_of(worker).waited + 4 * SILENT_SECONDS
            until(lambda: turns_of(worker).waited > enough, what="a worker that starves")
            assert made.workers() == [worker]
        finally:
            for busy in many:
                busy.kill()
                busy.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("words", [(), ("stubborn",)])
def test_ends(number: signal.Signals, words: tuple[str, ...]) -> None:
    """The parent ends when its workers have ended; those that do not are killed."""
    with family(2, *words) as made:
        before = made.begun(2)
        made.process.send_signal(number)
        assert made.process.wait(30) == 0
        until(gone(*before), what="the end of the workers")


def test_no_worker_without_a_parent() -> None:
    """Workers whose parent was killed end by themselves, so that the port is free again."""
    with family(2) as made:
        before = made.begun(2)
        made.process.kill()
        until(gone(*before), what="the end of the workers")


def test_broken_workers() -> None:
    """A parent whose workers fail at once goes on trying, and can be ended."""
    with family(1, "fail") as made:
        until(made.watches, what="the parent")
        until_steady(lambda: made.process.poll() is None, steady=1.0, what="the parent")
        made.process.send_signal(signal.SIGTERM)
        assert made.process.wait(30) == 0
