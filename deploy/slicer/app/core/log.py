"""One line of JSON on stdout for each event, of this program and of the libraries."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

_LOGGER = logging.getLogger("session")
_LIMIT = 4000


def format_event(when: datetime, level: str, event: str, fields: dict[str, object]) -> str:
    """One line, whatever the fields contain: JSON escapes line ends. Long texts are cut."""
    record: dict[str, object] = {
        "time": when.isoformat(timespec="milliseconds"),
        "level": level,
        "event": event,
    }
    for key, value in fields.items():
        record[key] = value[:_LIMIT] if isinstance(value, str) else value
    return json.dumps(record, ensure_ascii=True, default=str)


class _LineFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = dict(getattr(record, "fields", {}))
        if record.name != _LOGGER.name:
            fields["logger"] = record.name
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        when = datetime.fromtimestamp(record.created, UTC)
        return format_event(when, record.levelname.lower(), record.getMessage(), fields)


def configure(stream: TextIO = sys.stdout) -> None:
    """Sends everything that uses `logging` to ``stream``; the libraries from warnings on."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_LineFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    _LOGGER.setLevel(logging.INFO)


def event(name: str, /, *, level: int = logging.INFO, **fields: object) -> None:
    """Writes one event, e.g. ``event("core.loaded", seconds=2.1)``."""
    _LOGGER.log(level, name, extra={"fields": fields})


def failure(name: str, error: BaseException, /, **fields: object) -> None:
    """Writes an event with the error's traceback in it, still on one line."""
    _LOGGER.error(name, exc_info=error, extra={"fields": fields})
