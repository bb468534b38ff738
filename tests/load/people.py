"""Virtual users: they log in, launch, work, show what they have, stop; and try what is not theirs.

Each is a thread with a browser and a script of its own. What is asked for is asked for again while
something is broken, as a person does who is told that the hub is not available at the moment;
anything else than that answer is a failure, and so is that answer while nothing is broken.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import httpx
from e2e.stack import URL
from load.account import Book
from load.patience import Patience, Refused
from load.script import Script
from load.sessions import Engine, Own
from load.window import Window, socket_at

PEOPLE = 100
NAMES = ("thesis", "clinic")  # of each one's sessions
COLLEAGUES = 3  # to whom somebody shows their sessions; everybody else is a stranger


class Load(NamedTuple):
    """How much there is to carry."""

    minutes: float
    users: int
    seed: int

    @property
    def long(self) -> bool:
        """Whether it is the long mode: for the night, and for a machine with room."""
        return self.minutes >= 30


class Person:
    """A virtual user."""

    def __init__(
        self,
        name: str,
        book: Book,
        engine: Engine,
        over: threading.Event,
        *,
        seed: int,
        pause: float = 1.0,
    ) -> None:
        """``pause``: seconds between two acts, on average; ``over``: cuts pauses short."""
        self.name = name
        self.written = ""  # what stands in this person's file
        self.own: dict[str, Own] = {}  # by their names
        self.colleagues: list[Person] = []
        self._everybody: Sequence[Person] = []
        self._book = book
        self._engine = engine
        self._over = over
        self._random = random.Random(f"{seed} {name}")  # noqa: S311 - what people do is no secret
        self._pause = pause
        self._patience = Patience(name, book)
        self._script = Script(name, book, self._patience, engine)
        self._window = self._open_window()
        self._elsewhere: Window | None = None  # where this person opens what others show
        self._visiting = threading.Lock()

    def _open_window(self) -> Window:
        return Window(self.name, self._book, self._patience, self._over, self._random)

    def __repr__(self) -> str:
        """Return the name."""
        return self.name

    def leave(self) -> None:
        """Close the connections; the sessions go on."""
        self._script.close()
        self._window.close()
        if self._elsewhere:
            self._elsewhere.close()

    # -- acts ------------------------------------------------------------------------------

    def log_in(self) -> None:
        """Log in as a script and as a browser."""
        self._script.log_in()
        self._window.forget()
        self._window.log_in()

    def log_out(self) -> None:
        """Log out everywhere, see that the old log-in opens nothing, and log in again."""
        self._window.log_out()
        self._script.log_out()
        self.log_in()

    def press(self, name: str) -> tuple[int, str]:
        """Ask for a session once; return the status, and which one it is or why not."""
        return self._script.press(name)

    def launch(self, name: str) -> Own:
        """Launch a session and wait until it is ready. Raises Refused."""
        own = self.own[name] = self._script.launch(name)
        return own

    def keep_a_file(self, own: Own) -> None:
        """Write a file that must be there at the end."""
        text = f"{self.name} {self._random.getrandbits(64):x}"
        if self._engine.write(own.id, text):
            self.written = text
        else:
            self._patience.fail("write a file", "it could not be written")

    def look_on(self, own: Own) -> None:
        """Open the page of one's session."""
        self._window.look_on(own, step="page of a session", role="owner")

    def work(self, own: Own) -> None:
        """Work over a WebSocket for a while."""
        self.look_on(own)
        messages = self._random.randint(10, 100)
        self._window.talk(own, messages)

    def show(self, own: Own) -> None:
        """Invite a colleague, who comes and looks on; then take it back."""
        guest = self._random.choice(self.colleagues)
        role = self._random.choice(("view", "control"))
        path = f"/api/v1/sessions/{own.id}/shares/{guest.name}"
        self._script.told("share", "PUT", path, 200, json={"role": role})
        with guest.elsewhere() as window:
            guest.visit(window, own, role)
            self._script.told("take it back", "DELETE", path, 200)
            guest.come_back(window, own)

    @contextmanager
    def elsewhere(self) -> Generator[Window]:
        """Log in at another browser of this person's, for one host at a time."""
        with self._visiting:
            if self._elsewhere is None:
                self._elsewhere = self._open_window()
            self._elsewhere.forget()
            self._elsewhere.log_in()
            yield self._elsewhere
            self._elsewhere.log_out()

    def visit(self, window: Window, own: Own, role: str) -> None:
        """Open what a colleague shows."""
        window.look_on(own, step="page of a guest", role=role)
        window.talk(own, 3)

    def come_back(self, window: Window, own: Own) -> None:
        """Try again what is not shown any more."""
        self._patience.must_not(
            "a guest whose invitation is over", lambda: window.step(own.url), own.id
        )

    def stop(self, own: Own) -> None:
        """Stop a session, and wait until it is gone."""
        self.own.pop(own.name, None)
        self._script.stop(own)

    def look_after(self) -> None:
        """See that all of one's sessions are still there, and whose they are."""
        answer = self._script.told("list of sessions", "GET", "/api/v1/sessions", 200)
        items = answer.json()["items"]
        known = {self.name, *(one.name for one in self.inviters)}
        for one in items:
            if one["owner"] not in known:
                self._book.crossing(f"{self.name} is told of {one['id']} of {one['owner']}")
        listed = {one["id"] for one in items}
        for own in list(self.own.values()):
            if own.id not in listed:
                self._find_again(own)

    def _find_again(self, own: Own) -> None:
        """A session that was ready is not there: for a moment, or for ever."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            answer = self._script.told(
                "look at a session", "GET", f"/api/v1/sessions/{own.id}", 200, 404
            )
            if answer.status_code == 200:
                self._patience.fail("list of sessions", "a session was missing for a moment")
            time.sleep(0.2)
        self._book.loss(f"{own.id} of {self.name}")
        self.own.pop(own.name, None)

    @property
    def inviters(self) -> list[Person]:
        """Return who may show this person something."""
        return [one for one in self._everybody if self in one.colleagues]

    def meet(self, everybody: Sequence[Person]) -> None:
        """Have some of everybody as colleagues, and all others as strangers."""
        self._everybody = everybody
        here = everybody.index(self)
        near = range(1, min(COLLEAGUES, len(everybody) - 2) + 1)
        self.colleagues = [everybody[(here + number) % len(everybody)] for number in near]

    def intrude(self) -> None:
        """Try somebody's session to whom one has never been invited."""
        strangers = [
            one for one in self._everybody if one is not self and self not in one.colleagues
        ]
        theirs = [own for one in strangers for own in list(one.own.values())]
        if not theirs:
            return
        own = self._random.choice(theirs)
        path = f"/api/v1/sessions/{own.id}"
        ways: list[Callable[[], httpx.Response | None]] = [
            lambda: self._window.get(own.url),
            lambda: self._script.ask("GET", own.url),
            lambda: self._knock(own),
            lambda: self._script.ask("GET", path),
            lambda: self._script.ask("DELETE", path),
            lambda: self._script.ask("PUT", f"{path}/shares/{self.name}", json={"role": "control"}),
            lambda: self._script.ask("GET", f"{path}/events"),
        ]
        self._patience.must_not("a stranger", self._random.choice(ways), own.id)

    def _knock(self, own: Own) -> httpx.Response:
        """Try a WebSocket with whatever cookies one has."""
        mine = [self._window.cookie_at(one.url) for one in list(self.own.values())]
        cookie = "; ".join(filter(None, [self._window.cookie_at(URL), *mine]))
        opened = socket_at(own.url, cookie)
        if isinstance(opened, httpx.Response):
            return opened
        opened.close()
        return httpx.Response(101)

    # -- a life ----------------------------------------------------------------------------

    def live(self) -> None:
        """Do one thing after the other until it is over."""
        known = False
        self._over.wait(self._random.uniform(0, self._pause))
        while not self._over.is_set():
            try:
                if not known:
                    self.log_in()
                    known = True
                self._act()
            except Refused:
                known = False  # it may be over; whoever cannot go on begins anew
            self._over.wait(self._random.expovariate(1 / self._pause))

    def _act(self) -> None:
        free = [name for name in NAMES if name not in self.own]
        if len(free) == len(NAMES):
            own = self.launch(free[0])
            if not self.written:
                self.keep_a_file(own)
            return
        own = self._random.choice(list(self.own.values()))
        acts: list[tuple[Callable[[], object], int]] = [
            (lambda: self.look_on(own), 3),
            (lambda: self.work(own), 6),
            (lambda: self.show(own), 3),
            (self.intrude, 4),
            (self.look_after, 2),
            (self.log_out, 1),
            (lambda: self.stop(own), 3),
        ]
        if free:
            acts.append((lambda: self.launch(free[0]), 2))
        (act,) = self._random.choices(
            [one for one, _ in acts], weights=[weight for _, weight in acts]
        )
        act()


Gather = Callable[[Book, Sequence[str], threading.Event, float], list[Person]]
"""Makes people who know each other: book, names, what ends it, their pause."""
