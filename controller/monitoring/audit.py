"""The audit log: who did what, to whose session, from where and when; one JSON line for each act.

The lines go to standard output with the other logs, marked ``"log": "audit"``, and, if a file is
named, into that file, which is rotated when it is full. They contain ids, names, roles and
reasons: no password, cookie, code or other secret is ever passed to ``record``.

No request waits for the file or fails because of it: a thread writes it, and lines that it cannot
write are counted and reported once.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from io import TextIOWrapper
from logging.handlers import QueueListener, RotatingFileHandler
from pathlib import Path
from queue import Full, Queue

import anyio
import anyio.to_thread
import structlog

from controller.core.errors import ConfigError
from controller.core.model import Session
from controller.core.records import Actor
from controller.monitoring.metrics import Metrics
from controller.settings.schema import AuditLog

_WAITING_MAX = 10_000  # lines that wait for the disk; more are lost

_STOP_SECONDS = 2.0  # that the end of the program waits for the disk

_TEXT_MAX = 200  # characters of one value

_BYTES_PER_MIB = 1024 * 1024

Detail = str | int | float | bool | None

_log = structlog.get_logger("audit")


class Act(StrEnum):
    """What is recorded."""

    LOGIN = "login"
    LOGIN_FAILED = "login_failed"  # reason: refused, throttled, unavailable
    # reason: asked, elsewhere, everywhere, replaced, departed, admin, keys, too_many
    LOGOUT = "logout"
    QUEUE = "queue"  # a session is put into the queue
    START = "start"
    START_FAILED = "start_failed"
    READY = "ready"
    OPEN = "open"  # somebody enters a session for the first time since they logged in, by role
    SHARE = "share"  # an invitation by name
    ROLE_CHANGED = "role_changed"
    REVOKE = "revoke"  # reason: taken_back, left, expired, departed
    CUT = "cut"  # who was connected and may not be; reason: not_invited, other_role, logged_out
    LINK_MADE = "link_made"
    LINK_ENDED = "link_ended"
    JOIN = "join"  # by a link
    STOP = "stop"  # reason: as records.Reason; by a person or by the hub
    GONE = "gone"  # ended without this controller: by the command, the engine, another controller
    ADMIN_STOP = "admin_stop"
    ADMIN_MESSAGE = "admin_message"
    ADMIN_EXTEND = "admin_extend"
    ADMIN_DRAIN = "admin_drain"
    ADMIN_UNDRAIN = "admin_undrain"
    ADMIN_LOOK = "admin_look"
    ADMIN_QUOTA = "admin_quota"
    ADMIN_REMOVE_FILES = "admin_remove_files"
    ADMIN_LOGOUT = "admin_logout"
    ADMIN_RELEASE = "admin_release"  # log-ins that were refused are looked at again
    KEYS_ROTATED = "keys_rotated"  # taken by a controller; at_once: without those of before


class Audit:
    """Records acts."""

    def __init__(self, settings: AuditLog, metrics: Metrics, *, wall: Callable[[], float]) -> None:
        """``wall``: seconds since the epoch. The file is written from ``start`` on."""
        self._metrics = metrics
        self._wall = wall
        self._waiting: Queue[logging.LogRecord] | None = None
        self._writer: QueueListener | None = None
        self._file: _File | None = None
        if settings.file:
            self._file = _File(settings, metrics.audit_line_lost)
            self._waiting = Queue(_WAITING_MAX)
            self._writer = QueueListener(self._waiting, self._file)

    def record(
        self, act: Act, by: Actor, *, whose: str = "", session: str = "", **details: Detail
    ) -> None:
        """Record an act: ``whose`` session or account it concerns, and ``details`` of the act."""
        line: dict[str, Detail] = {
            "at": _rfc3339(self._wall()),
            "act": act.value,
            "who": by.who,
            "whose": whose or None,
            "session": session or None,
            "from": by.address or None,
        }
        line |= {name: value for name, value in details.items() if value is not None}
        cut = {name: _short(value) for name, value in line.items()}
        self._metrics.acted(act.value)
        _log.info(act.value, log="audit", **cut)
        if self._waiting is not None:
            # Escaped to ASCII, so that every reader sees exactly one line.
            text = json.dumps({"log": "audit"} | cut)
            try:
                self._waiting.put_nowait(logging.makeLogRecord({"msg": text}))
            except Full:
                self._metrics.audit_line_lost()

    def record_on(self, session: Session, act: Act, by: Actor, **details: Detail) -> None:
        """Write down an act on somebody's session."""
        self.record(act, by, whose=session.owner, session=session.id, **details)

    def start(self) -> None:
        """Start writing the file, if there is one."""
        if self._writer is not None:
            self._writer.start()

    async def stop(self) -> None:
        """Write the remaining lines; a disk that hangs delays the end only for a short time."""
        writer, file = self._writer, self._file
        if writer is None or file is None:
            return

        def finish() -> None:
            writer.stop()
            with suppress(OSError):  # said already, for each line
                file.close()

        with anyio.move_on_after(_STOP_SECONDS, shield=True):
            try:
                await anyio.to_thread.run_sync(finish, abandon_on_cancel=True)
            except Full:
                _log.error("audit_lines_left", number=_WAITING_MAX)


def _rfc3339(seconds: float) -> str:
    at = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return at.replace("+00:00", "Z")


def _short(value: Detail) -> Detail:
    return value[:_TEXT_MAX] if isinstance(value, str) else value


class _File(RotatingFileHandler):
    """The file, readable by its owner only. An error is reported once until writing works again."""

    def __init__(self, settings: AuditLog, lost: Callable[[], None]) -> None:
        super().__init__(
            settings.file,
            maxBytes=settings.max_mib * _BYTES_PER_MIB,
            backupCount=settings.keep,
            encoding="utf-8",
            delay=True,
        )
        self._lost = lost
        self._failed = False
        self._told = False

    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, "a", encoding=self.encoding, opener=_private)

    def shouldRollover(self, record: logging.LogRecord) -> bool:  # noqa: N802 - its name there
        # A pipe is never rotated; Python 3.13 would ask it for its length.
        path = Path(self.baseFilename)
        return not (path.exists() and not path.is_file()) and bool(super().shouldRollover(record))

    def emit(self, record: logging.LogRecord) -> None:
        self._failed = False
        super().emit(record)
        self._told = self._told and self._failed

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - its name there
        del record
        self._failed = True
        self._lost()
        if not self._told:
            self._told = True
            _log.error("audit_file_unusable", file=self.baseFilename, error=str(sys.exception()))


def check_file(settings: AuditLog) -> None:
    """Raise ConfigError if lines could not be written to the file."""
    try:
        with open(settings.file, "a", opener=_private):
            pass
    except OSError as error:
        fault = (
            f"audit.file (SLICERHUB_AUDIT_FILE): {settings.file} cannot be written "
            f"({error.strerror or error}). Name a file in an existing folder to which the "
            "controller may write."
        )
        raise ConfigError([fault]) from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
