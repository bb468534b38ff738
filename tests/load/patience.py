"""Asks for something until it is granted, as a person does while the hub is not available."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import NoReturn

import httpx
from load.account import Book
from load.answers import is_bare, is_refusal, is_temporary, words_of
from websockets.exceptions import ConnectionClosed, InvalidHandshake

DEADLINE = 300.0  # seconds in which what was turned away must be granted
WAIT_SECONDS = 2.0  # between two tries, at most


class Refused(Exception):
    """Something was not granted; it stands in the book."""


class Patience:
    """Somebody's way to ask; what comes of it stands in the book."""

    def __init__(self, name: str, book: Book) -> None:
        """``name``: who asks."""
        self._name = name
        self._book = book

    def insist(
        self,
        step: str,
        ask: Callable[[], httpx.Response | None],
        granted: Collection[int] = (200,),
    ) -> httpx.Response | None:
        """Ask until it is granted; None is as good. Raises Refused."""
        begun = time.monotonic()
        while True:
            asked = time.monotonic()
            pause = WAIT_SECONDS
            try:
                answer = ask()
            except (httpx.TransportError, OSError, InvalidHandshake, ConnectionClosed) as error:
                told, honest = f"no answer ({type(error).__name__})", True
            else:
                if answer is None or (answer.status_code in granted and not is_bare(answer)):
                    self._book.done(step, time.monotonic() - begun)
                    return answer
                told = words_of(answer)
                honest = is_temporary(answer)
                if is_bare(answer):
                    honest = self._book.trouble(asked, part="traefik") is not None
                pause = min(WAIT_SECONDS, float(answer.headers.get("retry-after", WAIT_SECONDS)))
            trouble = self._book.trouble(asked)
            if not honest or trouble is None or time.monotonic() - begun > DEADLINE:
                self.fail(step, told)
            self._book.turned_away(step, told, trouble)
            time.sleep(pause)

    def fail(self, step: str, told: str) -> NoReturn:
        """Write down that something was not granted. Raises Refused."""
        self._book.failed(step, told)
        raise Refused(f"{step}: {told}")

    def must_not(self, step: str, ask: Callable[[], httpx.Response | None], what: str) -> None:
        """Try what must be refused. ``what``: is tried, for the book."""

        def refused() -> httpx.Response | None:
            answer = ask()
            if answer is not None and is_refusal(answer):
                return None
            if answer is None or not (is_temporary(answer) or is_bare(answer)):
                told = "it is open" if answer is None else words_of(answer)
                self._book.crossing(f"{step}, {self._name}, at {what}: {told}")
                return None
            return answer

        self.insist(f"refused: {step}", refused, ())
