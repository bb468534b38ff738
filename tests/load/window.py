"""A browser under load: pages and WebSockets of sessions, and whose they are."""

from __future__ import annotations

import json
import random
import re
import threading
import time

import httpx
from e2e.stack import PATH_MODE, URL, Browser, open_socket
from load.account import Book
from load.patience import Patience
from load.sessions import Own
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

ASK_SECONDS = 60.0  # a request that is not answered by then has failed


class Window:
    """One browser of a person, who asks with patience."""

    def __init__(
        self,
        name: str,
        book: Book,
        patience: Patience,
        over: threading.Event,
        chance: random.Random,
    ) -> None:
        """``over``: cuts pauses short; ``chance``: decides how long they are."""
        self._name = name
        self._book = book
        self._patience = patience
        self._over = over
        self._random = chance
        self._browser = Browser()
        self._browser.timeout = ASK_SECONDS

    def close(self) -> None:
        """Close the connections."""
        self._browser.close()

    def forget(self) -> None:
        """Forget all log-ins, without a word to the hub."""
        self._browser.cookies.clear()

    def log_in(self) -> None:
        """Log in by the form."""
        form = {"username": self._name, "password": self._name, "next": "/"}

        def ask() -> httpx.Response:
            return self._browser.post("/login", data=form, headers={"Origin": URL})

        self._patience.insist("log in", ask, (303,))

    def log_out(self) -> None:
        """Log out by the button of a page."""
        page = self._patience.insist("page of the hub", lambda: self._browser.get("/"))
        found = re.search(r'name="csrf" value="([^"]+)"', page.text if page else "")
        if found is None:
            self._patience.fail("log out", "no form on the page")
        form = {"csrf": found[1]}

        def ask() -> httpx.Response:
            return self._browser.post("/logout", data=form, headers={"Origin": URL})

        # An answer that was lost may have done it: then the hub knows this browser no more.
        self._patience.insist("log out", ask, (303, 401))
        self.forget()

    def cookie_at(self, url: str) -> str:
        """Return the Cookie header that it sends to an address."""
        return self._browser.cookie_at(url)

    def get(self, url: str) -> httpx.Response:
        """Open an address, and wherever that leads."""
        return self._browser.get(url)

    def step(self, url: str) -> httpx.Response:
        """Open an address, and follow nothing."""
        return self._browser.step(url)

    def look_on(self, own: Own, *, step: str, role: str) -> None:
        """Open the page of a session, as somebody who has this role in it."""
        answer = self._patience.insist(step, lambda: self._browser.get(own.url))
        assert answer is not None
        self._check(answer, own, role)

    def _check(self, answer: httpx.Response, own: Own, role: str) -> None:
        """See that it is this session that answers, and that it knows who asks."""
        headers = {name.lower(): value for name, value in answer.json()["headers"]}
        found = (answer.headers.get("x-echo"), headers.get("x-slicerhub-user"))
        if found != (own.marker, self._name) or headers.get("x-slicerhub-role") != role:
            self._book.crossing(
                f"{self._name} opened {own.id} ({own.marker}) and got {found} as "
                f"{headers.get('x-slicerhub-role')}"
            )

    def talk(self, own: Own, messages: int) -> None:
        """Send messages to a session's echo, and begin again where it was cut off."""
        left = messages
        line: list[ClientConnection] = []

        def ask() -> httpx.Response | None:
            opened = socket_at(own.url, self._browser.cookie_at(URL if PATH_MODE else own.url))
            if isinstance(opened, httpx.Response):
                return opened
            line.append(opened)
            return None

        while left:
            self._patience.insist("open a WebSocket", ask)
            socket = line[-1]
            opened = time.monotonic()
            try:
                with socket:
                    told = {name.lower(): one for name, one in json.loads(_heard(socket))}
                    marker = socket.response.headers.get("X-Echo") if socket.response else None
                    if (marker, told.get("x-slicerhub-user")) != (own.marker, self._name):
                        self._book.crossing(
                            f"{self._name} opened a WebSocket to {own.id}, got {marker}"
                        )
                    while left:
                        text = f"{self._name} {own.id} {left}"
                        sent = time.monotonic()
                        socket.send(text)
                        said = _heard(socket)
                        self._book.done("message and echo", time.monotonic() - sent)
                        if said != text:
                            self._book.crossing(f"{self._name} said '{text}', heard '{said}'")
                        left -= 1
                        if self._over.wait(self._random.uniform(0, 0.4)):
                            left = min(left, 1)
            except (ConnectionClosed, OSError) as error:
                # Traefik is the only part that an open WebSocket runs through.
                why = f"cut off ({type(error).__name__})"
                trouble = self._book.trouble(opened, part="traefik")
                if trouble is None:
                    self._patience.fail("message and echo", why)
                self._book.turned_away("message and echo", why, trouble)


def socket_at(url: str, cookie: str) -> ClientConnection | httpx.Response:
    """Open a WebSocket; return what was answered instead, if it was not opened."""
    try:
        # A browser that hears nothing waits; it does not close.
        return open_socket(url, {"Cookie": cookie} if cookie else {}, ping_interval=None)
    except InvalidStatus as refused:
        found = refused.response
        return httpx.Response(
            found.status_code,
            headers=list(found.headers.raw_items()),
            content=bytes(found.body or b""),
        )


def _heard(socket: ClientConnection) -> str:
    said = socket.recv(timeout=ASK_SECONDS)
    return said if isinstance(said, str) else said.decode(errors="replace")
