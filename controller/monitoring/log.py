"""Logs: one JSON line for each event on standard output, also for those of libraries.

Values are escaped by JSON, so that a name with a line break stays on one line. Values that could
be secrets are hidden, by their keys.
"""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

_SECRET = ("password", "secret", "token", "cookie", "authorization", "csrf")

_VALUE_MAX = 2000  # characters of one value


def configure() -> None:
    """Set up structlog, and send the standard library's logging to it."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        strike_out,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        # One write for a line and its end, like the handler below: otherwise lines could mix.
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def strike_out(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Replace possible secrets, and shorten long values."""
    del logger, method
    for key, value in event.items():
        if any(word in key.lower() for word in _SECRET):
            event[key] = "***"
        elif isinstance(value, str) and len(value) > _VALUE_MAX:
            # The end of a traceback says the most.
            cut = f"…{value[-_VALUE_MAX:]}" if key == "exception" else f"{value[:_VALUE_MAX]}…"
            event[key] = cut
    return event
