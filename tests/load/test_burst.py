"""A hundred people press the button in the same moment, and twice."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from docker import DockerClient
from e2e.stack import Member, networks_of
from load.account import Book, Report, report_of
from load.people import PEOPLE, Gather, Load, Person
from load.remains import containers_of, duplicates, leftovers, listed
from load.sessions import Engine, Own

END_SECONDS = 1200.0  # in which it must come to an end on any machine


def log_all_in(people: list[Person]) -> None:
    """Let everybody be logged in, a few at a time."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(Person.log_in, people))


def test_burst(
    client: DockerClient,
    load: Load,
    names: list[str],
    gather: Gather,
    publish: Callable[[Report], None],
) -> None:
    """Each of a hundred gets one session that answers to them alone, though they pressed twice."""
    book = Book()
    people = gather(book, names[:PEOPLE], threading.Event(), 1.0)
    log_all_in(people)
    together = threading.Barrier(2 * PEOPLE)
    ready: dict[str, tuple[float, str]] = {}

    def press(person: Person) -> tuple[int, str]:
        together.wait()
        return person.press("burst")

    with Member("carol") as carol:
        assert listed(carol) == {}
        pressed = time.monotonic()
        with ThreadPoolExecutor(2 * PEOPLE) as pool:
            answers = list(pool.map(press, [*people, *people]))
        pairs = list(zip(answers[:PEOPLE], answers[PEOPLE:], strict=True))
        one_each = [
            sorted(status for status, _ in pair) == [202, 409] and pair[0][1] == pair[1][1] != ""
            for pair in pairs
        ]
        ids = {told for status, told in answers if status == 202}
        refused = Counter(answer for answer in answers if answer[0] not in {202, 409})
        while not ready.keys() >= ids and time.monotonic() - pressed < END_SECONDS:
            time.sleep(0.5)
            for session_id, phase in listed(carol).items():
                if phase in {"ready", "failed"} and session_id not in ready:
                    ready[session_id] = (time.monotonic() - pressed, phase)
        for session_id in ids:
            seconds, phase = ready.get(session_id, (END_SECONDS, "not ready in time"))
            if phase == "ready":
                book.done("from the button to ready", seconds)
            else:
                book.failed("from the button to ready", phase)
        engine = Engine(client)
        theirs = [
            (person, Own(first[1], "burst", engine.marker_of(first[1])))
            for person, (first, _) in zip(people, pairs, strict=True)
            if first[1] in ids
        ]
        for person, own in theirs:
            person.look_on(own)
        twice = duplicates(client)
        numbers = (len(containers_of(client)), len(networks_of(client)), len(listed(carol)))
        with ThreadPoolExecutor(8) as pool:
            for stopped in [pool.submit(person.stop, own) for person, own in theirs]:
                stopped.result()
        left = leftovers(client, carol)
    publish(
        report_of(
            book,
            "burst",
            f"Burst: {PEOPLE} launches at once, each pressed twice",
            {
                "seed (SLICERHUB_SOAK_SEED)": load.seed,
                "launches": len(ids),
                "refused": refused.total(),
                "failures": book.failures.total(),
                "duplicates": len(twice) + one_each.count(False),
                "cross-user answers": len(book.crossed),
                "containers, networks, sessions": " ".join(map(str, numbers)),
                "orphans": len(left),
            },
        )
    )
    assert dict(refused) == {}
    assert all(one_each)
    assert dict(book.failures) == {}
    assert book.crossed == []
    assert twice == []
    assert numbers == (PEOPLE, PEOPLE, PEOPLE)
    assert left == []
