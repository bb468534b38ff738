"""Servers that misbehave, or that nobody may ask."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress


class Listener:
    """A server that takes connections, counts them, and does with each what it was made for."""

    def __init__(self, behave: Callable[[socket.socket, threading.Event], None]) -> None:
        """Listen on a free port of 127.0.0.1."""
        self._behave = behave
        self._over = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.seen = 0
        self.ended = 0
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """Where it is, for ``ldap.url``."""
        return f"ldap://127.0.0.1:{self.port}"

    def close(self) -> None:
        """End it, and all that it has begun."""
        self._over.set()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for one in self._threads:
            one.join(timeout=20)

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.seen += 1
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(0.05)
            self._behave(connection, self._over)
        with self._lock:
            self.ended += 1


def read_until_closed(connection: socket.socket, over: threading.Event) -> None:
    """Read and never answer, until the other side gives up."""
    while not over.is_set():
        with suppress(TimeoutError):
            if not connection.recv(65536):
                return
