"""Runs the parts of the tests in lanes beside each other.

``python -m tests.support.run --help``. Called by `deploy/test`, which has prepared the machine.
What each step says is kept in a file; the terminal is told what begins, what came of it, and all of
what failed. At the end stands how many tests passed, and `tests.support.report` has written where
the time went.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Container, Mapping
from pathlib import Path
from typing import IO

import click
import msgspec
import trustme

from tests.support import report
from tests.support.choice import Take
from tests.support.durations import StepTime
from tests.support.lanes import PARTS, ROOT, STACKS, Lane, Run, Step, lanes

QUIET_SECONDS = 30  # after so long a sign of life is shown
END_SECONDS = 20  # for a command to end by itself when it is told to
SHOWN_LINES = 400  # of what a failed step has said
SUMMARY = 300  # characters that are repeated at the end of why a test failed
STORIES: Mapping[Take, int] = {"short": 10, "all": 120}  # of the model of faults
SOAK: Mapping[Take, float] = {"short": 1, "all": 3}  # minutes
NO_TESTS = 5  # pytest's exit status when nothing was chosen
GIVES_WAY = 5  # niceness of what tests: a third of the weight of what is tested


class Ended(msgspec.Struct, frozen=True):
    """What a lane tells the terminal."""

    line: str
    log: Path | None = None  # of a step that failed


class Runner:
    """Runs lanes, some at a time, and keeps what they say."""

    def __init__(self, folder: Path, *, slots: int) -> None:
        """``folder``: for what the steps say and how long they took; it is emptied."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.folder = folder
        self._slots = slots
        self._began = self._shown = time.monotonic()
        self._said: queue.Queue[Ended] = queue.Queue()
        self._stopping = threading.Event()
        self._running: dict[str, tuple[Step, subprocess.Popen[bytes]]] = {}
        self._times: list[StepTime] = []
        self._failed: list[Ended] = []

    def seconds(self) -> float:
        """Return how long it has been running."""
        return time.monotonic() - self._began

    def run(self, wanted: tuple[Lane, ...]) -> bool:
        """Run the lanes, those first that stand first; tell whether all went well."""
        names = {lane.name for lane in wanted}
        others = {lane.name for lane in wanted if not lane.alone}
        needed = {
            lane.name: (lane.after & names) | (others if lane.alone else set[str]())
            for lane in wanted
        }
        left = list(wanted)
        done: dict[str, bool] = {}
        changed = threading.Condition()

        def live(lane: Lane) -> None:
            well = False
            try:
                well = self._run(lane)
            finally:
                with changed:
                    done[lane.name] = well
                    changed.notify_all()

        def begin() -> list[threading.Thread]:
            """Begin as many lanes as there is room for."""
            begun: list[threading.Thread] = []
            for lane in [one for one in left if needed[one.name] <= done.keys()]:
                if not all(done[name] for name in lane.after & done.keys()):
                    self._say(f"[{lane.name}] not run: what it needs has failed")
                    done[lane.name] = False
                elif self._has_room(lane, [one for one in wanted if one not in left], done):
                    begun.append(threading.Thread(target=live, args=(lane,), name=lane.name))
                else:
                    break
                left.remove(lane)
            for thread in begun:
                thread.start()
            return begun

        threads: list[threading.Thread] = []
        try:
            while left and not self._stopping.is_set():
                with changed:
                    threads += begin()
                    changed.wait(0.5)
                self._watch()
            while any(thread.is_alive() for thread in threads):
                self._watch()
                time.sleep(0.2)
        finally:
            self._stop()
            for thread in threads:
                thread.join()
            self._tell()
        return all(done.get(lane.name) for lane in wanted)

    def _has_room(self, lane: Lane, begun: list[Lane], done: Container[str]) -> bool:
        taken = sum(one.slots for one in begun if one.name not in done)
        return not taken or taken + lane.slots <= self._slots

    def _run(self, lane: Lane) -> bool:
        well, over = True, False
        for step in lane.steps:
            if (over or self._stopping.is_set()) and not step.always:
                continue
            self._say(f"[{lane.name}] {step.name}")
            status = self._do(lane, step)
            if step.asks:
                over, well = status != 0, status in {0, NO_TESTS}
                continue
            good = status == 0 or (step.tests and status == NO_TESTS)
            well = well and good
            over = over or not (good or step.tests or step.always)
        return well

    def _do(self, lane: Lane, step: Step) -> int:
        name = f"{lane.name}-{step.name}".replace(" ", "-").replace("'", "")
        log = self.folder / f"{name}.log"
        began = self.seconds()
        with log.open("wb") as out:
            process = subprocess.Popen(
                step.words,
                cwd=ROOT,
                env=os.environ | step.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._running[lane.name] = (step, process)
            if step.tests and lane.after:  # who waits for images tests what runs in containers
                _give_way(process.pid)
            if self._stopping.is_set() and not step.always:
                _end(process, signal.SIGTERM)
            _, waited, used = os.wait4(process.pid, 0)
            status = process.returncode = os.waitstatus_to_exitcode(waited)
            del self._running[lane.name]
        took = self.seconds() - began
        well = status == 0 or (status == NO_TESTS and (step.tests or step.asks))
        spent = StepTime(lane.name, step.name, began, took, used.ru_utime + used.ru_stime, well)
        self._times.append(spent)
        last = _last_line(log).strip("= ") if step.tests else ""
        line = f"[{lane.name}] {step.name}: {last or ('done' if well else 'FAILED')} ({took:.0f} s)"
        self._say(line, log=None if well else log)
        return status

    def _say(self, line: str, *, log: Path | None = None) -> None:
        self._said.put(Ended(f"{self.seconds():5.0f}s  {line}", log))

    def _tell(self) -> bool:
        """Show what was said meanwhile; tell whether it was anything."""
        told = False
        while not self._said.empty():
            said = self._said.get()
            told = True
            click.echo(said.line)
            if said.log:
                self._failed.append(said)
                _show(said.log)
        return told

    def _watch(self) -> None:
        if self._tell():
            self._shown = time.monotonic()
        elif time.monotonic() - self._shown > QUIET_SECONDS:
            self._shown = time.monotonic()
            now = sorted(f"{name}: {step.name}" for name, (step, _) in self._alive())
            click.echo(f"{self.seconds():5.0f}s    ... {' | '.join(now)}")

    def _alive(self) -> list[tuple[str, tuple[Step, subprocess.Popen[bytes]]]]:
        return [*self._running.copy().items()]

    def _stop(self) -> None:
        """End what runs, unless it clears up; the lanes go on with what clears up."""
        self._stopping.set()
        deadline = time.monotonic() + END_SECONDS
        told: set[int] = set()
        while time.monotonic() < deadline:
            left = [(step, process) for _, (step, process) in self._alive() if not step.always]
            if not left:
                return
            for step, process in left:
                if process.pid not in told:
                    told.add(process.pid)
                    # Which pytest takes as an end with all its fixtures.
                    _end(process, signal.SIGINT if step.tests else signal.SIGTERM)
            time.sleep(0.1)
        for _, (step, process) in self._alive():
            if not step.always:
                _end(process, signal.SIGKILL)

    def failures(self) -> list[str]:
        """Return a line for each step that failed, and one for each of its tests that did."""
        lines: list[str] = []
        for one in self._failed:
            lines.append(one.line)
            lines += _failed_tests(one.log) if one.log else ()
        return lines

    def times(self) -> list[StepTime]:
        """Return what each step took."""
        return self._times


def _give_way(pid: int) -> None:
    """Let what is tested come before what tests it, where both want the processor.

    Linux shares it between sessions of processes first, and all containers together count as one of
    them (sched(7), autogroup): beside five lanes they would have a sixth, for all stacks and every
    Slicer in them, which has a limit of time to start in.
    """
    with contextlib.suppress(OSError):  # another kernel shares it out otherwise, or it is over
        Path(f"/proc/{pid}/autogroup").write_text(str(GIVES_WAY), "ascii")


def _end(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    try:
        os.killpg(process.pid, how)
    except ProcessLookupError:
        return


def _lines(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8", errors="replace").splitlines()


def _last_line(log: Path) -> str:
    lines = _lines(log)
    return next((line for line in reversed(lines) if line.strip()), "")


def _failed_tests(log: Path) -> list[str]:
    """Return what pytest's summary says of each test that failed: the end of a long log is read."""
    lines = _lines(log)
    return [f"      | {line[:SUMMARY]}" for line in lines if line.startswith(("FAILED ", "ERROR "))]


def _show(log: Path) -> None:
    """Show what a failed step has said: of pytest what failed, of others the end."""
    lines = _lines(log)
    starts = [
        number
        for number, line in enumerate(lines)
        if line.startswith("====") and ("FAILURES" in line or "ERRORS" in line)
    ]
    shown = lines[starts[0] :] if starts else lines
    if len(shown) > SHOWN_LINES:
        half = SHOWN_LINES // 2
        shown = [*shown[:half], f"... the whole stands in {log}", *shown[-half:]]
    click.echo("\n".join(f"      | {line}" for line in shown))


def _hold(path: Path) -> IO[str] | None:
    """Take a lock that goes with this process; None: another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.support.run", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    parser.add_argument("--all", action="store_true", help="every test, and not the short run")
    parser.add_argument("--short", action="store_true", help="the short run's tests of named parts")
    parser.add_argument("--slots", type=int, default=0, help="lanes at a time (two for each core)")
    parser.add_argument("--turn", type=int, default=-1, help="which quarter of the rest is run")
    parser.add_argument("--prepared", type=float, default=0, help="seconds that went before")
    parser.add_argument("--bare", action="store_true", help="the machine had nothing before")
    parser.add_argument("--option", action="append", default=[], help="for pytest")
    return parser.parse_args(words)


def _commits() -> int:
    """Return the number of commits; 0 where there is no repository to ask."""
    asked = subprocess.run(
        ["git", "rev-list", "--count", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return int(asked.stdout) if asked.returncode == 0 else 0


def _run_of(given: argparse.Namespace, environment: Mapping[str, str], cache: Path) -> Run:
    named = tuple(part for part in PARTS if part in given.parts)
    # Who names a part, or tests, wants all of it.
    whole = given.all or named or given.option
    take: Take = "all" if whole and not given.short else "short"
    return Run(
        parts=named or PARTS,
        take=take,
        turn=_commits() if given.turn < 0 else given.turn,
        python=sys.executable,
        cores=os.cpu_count() or 1,
        instance=environment.get("SLICERHUB_TEST_INSTANCE", "slicerhub-test"),
        port=int(environment.get("SLICERHUB_TEST_PORT", "18080")),
        pool=environment.get("SLICERHUB_TEST_NETWORK_POOL", "10.232.0.0/16"),
        cache=str(cache),
        stories=int(environment.get("SLICERHUB_FAULTS_STORIES", STORIES[take])),
        soak=float(environment.get("SLICERHUB_SOAK_MINUTES") or SOAK[take]),
        authority=str(cache / "an-authority.pem"),
        mode=environment.get("SLICERHUB_SESSION_DOMAIN", ""),
        options=tuple(given.option),
    )


def main(words: list[str] | None = None) -> int:
    """Run what the command line names; return the status for the shell."""
    given = _arguments(words)
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slicerhub"
    wanted = _run_of(given, os.environ, home)
    locks: list[IO[str] | None] = []
    if set(wanted.parts) & set(STACKS):
        locks.append(_hold(home / f"{wanted.instance}.lock"))
    if "kubernetes" in wanted.parts:
        locks.append(_hold(home / "cluster-of-tests.lock"))
    if None in locks:
        click.echo(
            "deploy/test: another run of the tests is under way on this machine.\n"
            "  Wait for it; or name parts, and set SLICERHUB_TEST_INSTANCE, _PORT, _NETWORK_POOL.",
            err=True,
        )
        return 1
    reports = Path(os.environ.get("SLICERHUB_REPORTS") or home / "reports")
    runner = Runner(reports / "run", slots=given.slots or 2 * wanted.cores)
    os.environ["SLICERHUB_DURATIONS"] = str(runner.folder / "durations")
    trustme.CA().cert_pem.write_to_path(wanted.authority)
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.default_int_handler)
    busy = report.busy()
    try:
        well = runner.run(lanes(wanted))
    except KeyboardInterrupt:
        click.echo("stopped")
        return 130
    limit = report.limit_of(report.budgets(), wanted.take, wanted.parts, bare=given.bare)
    took = given.prepared + runner.seconds()
    written = report.write(
        reports / "durations.md",
        runner.folder / "durations",
        runner.times(),
        report.Whole(took, report.busy() - busy, wanted.take, wanted.turn % 4, limit),
    )
    for line in runner.failures():
        click.echo(line)
    click.echo(f"where the time went: {reports / 'durations.md'}")
    click.echo(written.closing_line())
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
