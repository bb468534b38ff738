"""What is remembered of much that comes: as much as there is room for."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

_Key = TypeVar("_Key")

_Value = TypeVar("_Value")


class Kept(OrderedDict[_Key, _Value]):
    """Keeps what was put last, up to ``most``: what was put first makes room, one for one.

    Forgetting all of it at once would cost milliseconds, in which nobody is answered, and what many
    use would have to be made again for all of them. A plain dict looks longer for its first key
    with each one that was removed.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def keep(self, key: _Key, value: _Value) -> None:
        """Keep this, as the last."""
        self[key] = value
        self.move_to_end(key)
        if len(self) > self.most:
            self.popitem(last=False)
