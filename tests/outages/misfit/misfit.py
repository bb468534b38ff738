"""Does what a program in a session should not, by the word in MISFIT.

``hungry`` serves a page, and at ``/eat`` takes more memory than it may have; ``deaf`` serves a page
and ends by no SIGTERM; ``idle`` never listens; ``silent`` takes connections and never answers;
``babbling`` speaks another protocol.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 8080
STEP = 1 << 20  # bytes


class Page(BaseHTTPRequestHandler):
    """A page, and the way to ruin."""

    def do_GET(self) -> None:
        """Answer, or eat until killed."""
        if self.path.startswith("/eat"):
            eaten: list[bytearray] = []
            while True:
                eaten.append(bytearray(os.urandom(STEP)))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")


def say(connection: socket.socket, words: bytes) -> None:
    """Say something to whoever connects, if there is anything to say, and listen for ever."""
    with connection:
        connection.sendall(words)
        while connection.recv(65536):
            pass


def answer_all(words: bytes) -> None:
    """Take every connection."""
    with socket.create_server(("0.0.0.0", PORT)) as server:  # noqa: S104
        while True:
            connection, _ = server.accept()
            threading.Thread(target=say, args=(connection, words), daemon=True).start()


def end(number: int, frame: object) -> None:
    """End at once."""
    del number, frame
    os._exit(0)


def main() -> None:
    """Misbehave until ended."""
    kind = os.environ["MISFIT"]
    # The first process of a container is ended by no signal that it does not handle.
    signal.signal(signal.SIGTERM, signal.SIG_IGN if kind == "deaf" else end)
    match kind:
        case "hungry" | "deaf":
            ThreadingHTTPServer(("0.0.0.0", PORT), Page).serve_forever()  # noqa: S104
        case "silent":
            answer_all(b"")
        case "babbling":
            answer_all(b"SSH-2.0-babble\r\n")
        case _:
            while True:
                signal.pause()


main()
