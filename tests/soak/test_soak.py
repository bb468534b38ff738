"""Everybody works while one part after the other is broken; nobody loses anything."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from docker import DockerClient
from e2e.stack import Member
from load.account import Book, Report, report_of
from load.patience import Refused
from load.people import Gather, Load, Person
from load.remains import (
    at_rest,
    duplicates,
    held_line,
    leftovers,
    listed,
    lost_files,
    orphans,
)
from soak.mischief import Mischief, Watch

ACTS_PER_SECOND = 8.0  # of all together; more people make longer pauses, not more load
PARTS = ("controller", "traefik")
STEPS = (  # without any of them it was no soak
    *("log in", "launch until ready", "page of a session", "message and echo", "share"),
    *("page of a guest", "take it back", "stop until gone", "log out", "list of sessions"),
    *("refused: a stranger", "refused: a guest whose invitation is over"),
)


def end(people: Sequence[Person]) -> None:
    """Let everybody see what they have, and stop it."""

    def go(person: Person) -> None:
        try:
            person.log_in()
            person.look_after()
            for own in list(person.own.values()):
                person.stop(own)
        except Refused:
            pass  # it stands in the book

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(go, people))


def stop_rest(carol: Member) -> None:
    """Stop what nobody has counted as theirs: a launch that was given up."""
    for session_id in listed(carol):
        carol.api.delete(f"/api/v1/admin/sessions/{session_id}")


def test_soak(
    client: DockerClient,
    load: Load,
    names: list[str],
    gather: Gather,
    publish: Callable[[Report], None],
) -> None:
    """No session, file or guest's right is lost or given away, whatever part dies meanwhile."""
    book, over, calm = Book(), threading.Event(), threading.Event()
    people = gather(book, names[: load.users], over, load.users / ACTS_PER_SECOND)
    before = {one: at_rest(client, one) for one in PARTS}
    with Watch("watch") as watch, Member("carol") as carol:
        mischief = Mischief(client, book, watch, every=60.0 if load.minutes >= 10 else 30.0)
        with ThreadPoolExecutor(load.users + 1) as pool:
            deeds = pool.submit(mischief.run, calm)
            lives = [pool.submit(one.live) for one in people]
            try:
                # A fault of the test's own ends it at once; users do not end by themselves.
                deadline = time.monotonic() + load.minutes * 60
                while time.monotonic() < deadline and not any(
                    one.done() for one in (deeds, *lives)
                ):
                    time.sleep(1)
                calm.set()
                deeds.result()
            finally:
                calm.set()
                over.set()
            for one in lives:
                one.result()
        twice = duplicates(client)
        left = orphans(client, carol)
        end(people)
    with Member("carol") as carol:
        stop_rest(carol)
        left += leftovers(client, carol)
    for one in people:
        one.leave()
    wrote = {one.name: one.written for one in people if one.written}
    gone = lost_files(client, wrote)
    after = {one: at_rest(client, one) for one in PARTS}
    publish(
        report_of(
            book,
            "soak",
            f"Soak: {load.users} users, {load.minutes:g} minutes",
            {
                "seed (SLICERHUB_SOAK_SEED)": load.seed,
                "log-ins": book.number("log in"),
                "launches": book.number("launch until ready"),
                "messages over WebSocket": book.number("message and echo"),
                "times something was broken": len(book.troubles),
                "failures": book.failures.total(),
                "tries at what is a stranger's": sum(
                    len(took) for step, took in book.took.items() if step.startswith("refused")
                ),
                "cross-user answers": len(book.crossed),
                "sessions lost": len(book.lost),
                "duplicates": len(twice),
                "orphans": len(left),
                "files looked for": len(wrote),
                "files lost": len(gone),
            },
            held=[held_line(one, before[one], after[one]) for one in PARTS],
        )
    )
    assert book.crossed == []
    assert book.lost == []
    assert twice == []
    assert left == []
    assert gone == []
    assert dict(book.failures) == {}
    assert book.troubles, "nothing was broken"
    assert len(wrote) == load.users
    assert [one for one in STEPS if not book.number(one)] == []
