"""Launching and stopping for ever costs the hub no memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from docker import DockerClient
from e2e.stack import Member
from load.account import Book, Report, report_of
from load.people import Gather, Load, Person
from load.remains import at_rest, held_line, leftovers

TOGETHER = 5
WARM_UP = 100
FLAT = 0.05  # of the memory before, by which that after may be more
PARTS = ("controller", "traefik")


def test_memory_stays_flat(
    client: DockerClient,
    load: Load,
    names: list[str],
    gather: Gather,
    publish: Callable[[Report], None],
) -> None:
    """After a thousand launches and stops the controller holds what it held before them."""
    book = Book()
    times = 1000 if load.long else 100
    people = gather(book, names[:TOGETHER], threading.Event(), 1.0)

    def cycles(number: int) -> None:
        def go(person: Person) -> None:
            for _ in range(number // TOGETHER):
                person.stop(person.launch("again and again"))

        with ThreadPoolExecutor(TOGETHER) as pool:
            list(pool.map(go, people))

    for one in people:
        one.log_in()
    cycles(WARM_UP)
    before = {one: at_rest(client, one) for one in PARTS}
    cycles(times)
    after = {one: at_rest(client, one) for one in PARTS}
    with Member("carol") as carol:
        left = leftovers(client, carol)
    growth = after["controller"].mib / before["controller"].mib - 1
    publish(
        report_of(
            book,
            "memory",
            f"Memory: {times} launches and stops, after {WARM_UP} to warm up",
            {
                "launches and stops": book.number("stop until gone"),
                "failures": book.failures.total(),
                "orphans": len(left),
                "the controller's memory grew by": f"{growth:+.1%}",
            },
            held=[held_line(one, before[one], after[one]) for one in PARTS],
        )
    )
    assert dict(book.failures) == {}
    assert left == []
    assert book.number("stop until gone") == WARM_UP + times
    assert growth <= FLAT
    # Sockets of the moment come and go; what leaks with each launch would be hundreds.
    for one in PARTS:
        assert after[one].files - before[one].files < times // 4, one
