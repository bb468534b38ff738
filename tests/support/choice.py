"""Which tests a run takes: the short run takes what decides, and a quarter of the rest.

A test marked ``thorough`` is a second or third proof of something that another test decides, or
takes long for what it adds; the developers' page of the guide argues where the line is. ``--take``
says what a run takes:

all      every test (the default, also for somebody who runs pytest by hand)
short    what is not marked, and a quarter of what is
quarter  a quarter of everything: for a part that is a second proof as a whole

Which quarter it is follows from ``--turn``; `deploy/test` gives the number of commits, so that four
landings in a row run everything. All cases of one test are in the same quarter. What takes minutes
names its own (``thorough(quarter=2)``), so that no quarter has all of them.
"""

from __future__ import annotations

import zlib
from collections.abc import Container, Iterable
from typing import Any, Literal, cast

import pytest

QUARTERS = 4

Take = Literal["all", "short", "quarter"]

LEFT_OUT = pytest.StashKey[set[str]]()
"""What this plugin has left out of a run, by its id."""


def quarter_of(nodeid: str) -> int:
    """Return the quarter, 0 to 3, in which a test is; its cases are in one."""
    return zlib.crc32(nodeid.partition("[")[0].encode()) % QUARTERS


def is_taken(
    nodeid: str, *, thorough: bool, take: Take, turn: int, quarter: int | None = None
) -> bool:
    """Decide whether a run takes a test. ``turn``: any number; its remainder names the quarter.

    ``quarter``: that of the test, if it names one.
    """
    match take:
        case "all":
            return True
        case "short" if not thorough:
            return True
        case _:
            return (quarter_of(nodeid) if quarter is None else quarter) == turn % QUARTERS


def cases(values: Iterable[Any], *, always: Container[Any]) -> list[Any]:
    """Return the cases of a test, of which those that are not in ``always`` are thorough.

    A case of several values is a tuple.
    """

    def case(value: Any) -> Any:  # noqa: ANN401 - whatever a test is given
        if value in always:
            return value
        together = cast("tuple[Any, ...]", value) if isinstance(value, tuple) else (value,)
        return pytest.param(*together, marks=pytest.mark.thorough)

    return [case(value) for value in values]


def add_options(parser: pytest.Parser) -> None:
    """Let a run choose."""
    group = parser.getgroup("choice")
    group.addoption("--take", choices=["all", "short", "quarter"], default="all", help=__doc__)
    group.addoption("--turn", type=int, default=0, help="a number whose remainder is the quarter")


def pytest_configure(config: pytest.Config) -> None:
    """Say what the mark means."""
    config.addinivalue_line(
        "markers",
        "thorough(quarter): a second proof, or a long one: in each fourth short run, and in `all`",
    )
    config.stash[LEFT_OUT] = set()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what this run does not take."""
    take = cast("Take", config.getoption("--take"))
    turn = cast("int", config.getoption("--turn"))
    taken: list[pytest.Item] = []
    left: list[pytest.Item] = []
    for item in items:
        mark = item.get_closest_marker("thorough")
        quarter = mark.kwargs.get("quarter") if mark else None
        fits = is_taken(
            item.nodeid, thorough=mark is not None, take=take, turn=turn, quarter=quarter
        )
        (taken if fits else left).append(item)
    if left:
        config.stash[LEFT_OUT] |= {item.nodeid for item in left}
        config.hook.pytest_deselected(items=left)
        items[:] = taken


def is_extra(item: pytest.Item) -> bool:
    """Tell whether a run takes a test only because it is of the quarter whose turn it is."""
    take = cast("Take", item.config.getoption("--take"))
    thorough = item.get_closest_marker("thorough") is not None
    return take == "quarter" or (take == "short" and thorough)


def left_out(config: pytest.Config, items: Iterable[pytest.Item]) -> bool:
    """Tell whether all of these were left out by this plugin, and not by a person."""
    return all(item.nodeid in config.stash[LEFT_OUT] for item in items)
