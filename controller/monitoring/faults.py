"""Tells what is a fault: unexpected errors are contained, logged and counted; a close is none."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import structlog
from anyio.abc import TaskGroup

from controller.monitoring.metrics import Metrics

_log = structlog.get_logger("faults")


@contextmanager
def contained(
    work: str, metrics: Metrics, *, told: type[Exception] | tuple[()] = (), **about: str
) -> Generator[None]:
    """Keep an error in this piece of work from ending anything else.

    ``work``: one of a few words, for the count; ``told``: errors that the caller handles itself;
    ``about``: what the work was about, for the log.
    """
    metrics.watched(work)
    try:
        yield
    except told:
        raise
    except Exception:  # noqa: BLE001 - of any kind: that is what this is for
        metrics.fault(work)
        _log.exception("fault", work=work, **about)


@contextmanager
def until_closed(group: TaskGroup) -> Generator[None]:
    """Let a generator be followed until it is closed; then end the tasks that worked for it.

    A generator is closed by an exception that is raised where it yields (GeneratorExit). The group
    around it would make a fault of that.
    """
    try:
        yield
    except GeneratorExit:
        pass
    finally:
        group.cancel_scope.cancel()
