"""A count of changes: whoever keeps a copy of something sees by it whether the copy is old."""

from __future__ import annotations

from collections.abc import Callable


class ChangeCount:
    """How often something has changed, and who is told of it at once."""

    def __init__(self) -> None:
        self.number = 0
        self._subscribers: list[Callable[[], None]] = []

    def add(self) -> None:
        """Count a change."""
        self.number += 1
        for tell in self._subscribers:
            tell()

    def when_changed(self, tell: Callable[[], None]) -> None:
        """Call ``tell`` after every change."""
        self._subscribers.append(tell)
