"""Asks Traefik for more than it should get, from an address of its own, until it is told to end.

Runs in a container that has Python and nothing else (``python -c <this file> <JSON>``), and prints
what came of it: how often each status was answered, ``none`` where the connection was just closed,
and ``held``, the connections that are open at the end. The JSON has ``heads``, what the connections
send, each another one in turn; ``at_once``, how many there are; ``rise``, the seconds within which
they begin; and ``drip``, what each sends every second from then on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections import Counter
from typing import Any

_PAUSE_SECONDS = 0.05  # after an answer: it is to be a flood, and not to use up the machine


class Flood:
    """Many connections that begin again whenever they are closed."""

    def __init__(self, host: str, port: int, drip: bytes) -> None:
        """Nothing is open."""
        self.answers: Counter[str] = Counter()
        self.held = 0
        self._where = (host, port)
        self._drip = drip

    async def go_on(self, head: bytes, pause: float) -> None:
        """Keep one connection from then on, and another one when it ends."""
        await asyncio.sleep(pause)
        while True:
            try:
                await self._once(head)
            except OSError:
                self.answers["none"] += 1
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _once(self, head: bytes) -> None:
        reader, writer = await asyncio.open_connection(*self._where)
        self.held += 1
        dripping = asyncio.create_task(self._go_on_sending(writer))
        try:
            writer.write(head)
            line = await reader.readline()
            words = line.decode("latin-1").split()
            self.answers[words[1] if len(words) > 1 else "none"] += 1
            while await reader.read(65536):
                pass
        finally:
            dripping.cancel()
            self.held -= 1
            writer.close()

    async def _go_on_sending(self, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while self._drip:
                await asyncio.sleep(1)
                writer.write(self._drip)
                await writer.drain()


async def main(wanted: dict[str, Any]) -> None:
    """Flood until SIGTERM."""
    host = socket.gethostbyname("traefik")  # once, and not in a thread for each connection
    flood = Flood(host, 8080, wanted["drip"].encode())
    heads = [one.encode() for one in wanted["heads"]]
    at_once, rise = wanted["at_once"], wanted["rise"]
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    tasks = [
        asyncio.create_task(flood.go_on(heads[number % len(heads)], rise * number / at_once))
        for number in range(at_once)
    ]
    await over.wait()
    print(json.dumps({**flood.answers, "held": flood.held}), flush=True)  # noqa: T201 - the result
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
