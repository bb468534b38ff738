"""A parent whose workers do as they are told (``python family.py HANDLE WORKERS``)."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable

import uvloop

from controller.gate.answers import Answer, Headers, answer
from controller.gate.contract import AskFirst
from controller.gate.parent import Heartbeat, Parent
from controller.gate.protocol import Listener


class Nobody:
    """Lets nobody in."""

    def answer(self, path: str, headers: Headers) -> Answer:
        """See Verifying."""
        del path, headers
        return answer(403, {})

    async def answer_after(self, asked: AskFirst, path: str, headers: Headers) -> Answer:
        """See Verifying."""
        del asked
        return self.answer(path, headers)


def doing(act: Callable[[], object]) -> Callable[[], Answer]:
    """Return what answers with a worker's pid once it has done something."""

    def page() -> Answer:
        act()
        return answer(200, {}, str(os.getpid()).encode())

    return page


def work(index: int, sock: socket.socket, heartbeat: Heartbeat) -> None:
    """Answer until SIGTERM or SIGINT."""
    del index
    if "fail" in sys.argv:
        raise RuntimeError("this worker fails")
    uvloop.run(serve(sock, heartbeat))


async def serve(sock: socket.socket, heartbeat: Heartbeat) -> None:
    """Answer until SIGTERM or SIGINT."""
    pages = {
        "/pid": lambda: None,
        "/stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
        "/hang": lambda: time.sleep(3600),
        "/end": lambda: os._exit(3),
    }
    listener = Listener(Nobody(), {path: doing(act) for path, act in pages.items()})
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    if "stubborn" in sys.argv:
        ended = asyncio.Event()
    await listener.start(sock)
    beating = asyncio.create_task(heartbeat.run())
    await ended.wait()
    await listener.stop(1.0)
    beating.cancel()


if __name__ == "__main__":
    listening = socket.socket(fileno=int(sys.argv[1]))
    Parent(work, listening, workers=int(sys.argv[2]), stop_seconds=1.0).serve()
