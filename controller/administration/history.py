"""How full the hub was in the last day.

It is kept in memory only: after a restart of the controller it begins again, and the plots have a
gap before that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from controller.sessions.polling import Poller
from controller.sessions.sessions import Sessions

SAMPLE_SECONDS = 60
"""Between two samples."""

_DAY = 86_400
_SAMPLES = _DAY // SAMPLE_SECONDS


class Sample(msgspec.Struct, frozen=True):
    """How full the hub was at one moment."""

    at: float  # seconds since the epoch
    sessions: int
    cores: float  # used by all together
    memory_bytes: int
    wait: float  # seconds that the first in the queue has waited


class History:
    """The samples of the last day."""

    def __init__(self, sessions: Sessions, poller: Poller, *, wall: Callable[[], float]) -> None:
        """``wall``: seconds since the epoch."""
        self._sessions = sessions
        self._poller = poller
        self._wall = wall
        self._samples: deque[Sample] = deque(maxlen=_SAMPLES)

    def sample(self) -> None:
        """Note how full the hub is."""
        usages = [
            poll.usage
            for one in self._sessions.all()
            if (poll := self._poller.last(one.session.id)) is not None and poll.usage is not None
        ]
        self._samples.append(
            Sample(
                at=self._wall(),
                sessions=len(self._sessions.all()),
                cores=sum(max(0.0, one.cpu_percent) for one in usages) / 100,
                memory_bytes=sum(one.memory_bytes for one in usages),
                wait=max(self._sessions.queue.waits(), default=0.0),
            )
        )

    @property
    def samples(self) -> Sequence[Sample]:
        """Return the samples of the last day, oldest first."""
        return tuple(self._samples)
