"""Virtual users: they log in, launch, work, show what they have, stop; and try what is not theirs.

Each is a thread with a browser and a script of its own. What is asked for is asked for again while
something is broken, as a person does who is told that the hub is not available at the moment;
anything else than that answer is a failure, and so is that answer while nothing is broken.
"""

from __future__ import annotations

import json
import random
import re
import threading
import time
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn

import httpx
from docker import DockerClient
from e2e.stack import (
    INSTANCE,
    PATH_MODE,
    URL,
    Browser,
    Names,
    open_socket,
    part,
    session_url,
)
from load.account import Book
from security.attacker import change_directory
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import ClientConnection

from tests.support.inside import inside

PEOPLE = 100
DEADLINE = 300.0  # seconds in which what was turned away must be granted
ASK_SECONDS = 60.0  # a request that is not answered by then has failed
WAIT_SECONDS = 2.0  # between two tries, at most
NAMES = ("thesis", "clinic")  # of each one's sessions
COLLEAGUES = 3  # to whom somebody shows their sessions; everybody else is a stranger
KEPT = "/home/slicer/kept-by-the-soak"
REFUSED = {401, 403, 404}

_SEARCH = (
    *("ldapsearch", "-Q", "-LLL", "-Y", "EXTERNAL", "-H", "ldapi://%2Ftmp%2Fslapd%2Fldapi"),
    *("-b", "ou=people,dc=example,dc=org", "uid"),
)
_PERSON = """\
dn: uid={uid},ou=people,dc=example,dc=org
changetype: add
objectClass: inetOrgPerson
uid: {uid}
cn: {uid}
sn: {uid}
displayName: {uid}
userPassword: {uid}
"""
_MEMBERS = """\
dn: cn=slicer-users,ou=groups,dc=example,dc=org
changetype: modify
add: member
{members}
"""


def enrol(engine: DockerClient, names: Sequence[str]) -> None:
    """Let people of these names be in the directory, with their name as password."""
    said = inside(part(engine, "ldap"), *_SEARCH)
    there = set(re.findall(r"^uid: (\S+)$", said, re.MULTILINE))
    if missing := [one for one in names if one not in there]:
        entries = [_PERSON.format(uid=one) for one in missing]
        members = [f"member: uid={one},ou=people,dc=example,dc=org" for one in missing]
        entries.append(_MEMBERS.format(members="\n".join(members)))
        change_directory(engine, "\n".join(entries))


class Load(NamedTuple):
    """How much there is to carry."""

    minutes: float
    users: int
    seed: int

    @property
    def long(self) -> bool:
        """Whether it is the long mode: for the night, and for a machine with room."""
        return self.minutes >= 30


class Refused(Exception):
    """Something was not granted; it stands in the book."""


class Own:
    """A session that is ready. ``marker``: what stands in every answer of it, and in no other."""

    def __init__(self, session_id: str, name: str, marker: str) -> None:
        """``name``: what its owner calls it."""
        self.id = session_id
        self.name = name
        self.marker = marker
        self.url = session_url(session_id)


class Engine:
    """What the tests ask of the engine, one after the other: its client is not made for threads."""

    def __init__(self, client: DockerClient) -> None:
        """Use this client."""
        self._client = client
        self._turn = threading.Lock()

    def marker_of(self, session_id: str) -> str:
        """Return what the echo calls itself; "": there is no such session."""
        labels = [f"slicerhub.instance={INSTANCE}", f"slicerhub.session={session_id}"]
        with self._turn:
            api: Any = self._client.api
            found = api.containers(filters={"label": labels})
        return found[0]["Id"][:12] if len(found) == 1 else ""

    def write(self, session_id: str, text: str) -> bool:
        """Put a file among the files of a session's owner, from inside."""
        labels = [f"slicerhub.session={session_id}"]
        with self._turn:
            found = self._client.containers.list(filters={"label": labels})
            if len(found) != 1:
                return False
            script = f"printf %s '{text}' > {KEPT}"
            return found[0].exec_run(["sh", "-c", script]).exit_code == 0


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
        self._api = httpx.Client(base_url=URL, transport=Names(), timeout=ASK_SECONDS)
        self._browser = Browser()
        self._browser.timeout = ASK_SECONDS
        self._elsewhere: Browser | None = None  # where this person opens what others show
        self._visiting = threading.Lock()

    def __repr__(self) -> str:
        """Return the name."""
        return self.name

    def leave(self) -> None:
        """Close the connections; the sessions go on."""
        self._api.close()
        self._browser.close()
        if self._elsewhere:
            self._elsewhere.close()

    # -- asking ----------------------------------------------------------------------------

    def _insist(
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
                if answer is None or (answer.status_code in granted and not _is_bare(answer)):
                    self._book.done(step, time.monotonic() - begun)
                    return answer
                told = _words_of(answer)
                honest = _is_temporary(answer)
                if _is_bare(answer):
                    honest = self._book.trouble(asked, part="traefik") is not None
                pause = min(WAIT_SECONDS, float(answer.headers.get("retry-after", WAIT_SECONDS)))
            trouble = self._book.trouble(asked)
            if not honest or trouble is None or time.monotonic() - begun > DEADLINE:
                self._fail(step, told)
            self._book.turned_away(step, told, trouble)
            time.sleep(pause)

    def _fail(self, step: str, told: str) -> NoReturn:
        self._book.failed(step, told)
        raise Refused(f"{step}: {told}")

    def _told(self, step: str, method: str, path: str, *granted: int, **given: Any) -> Any:  # noqa: ANN401
        """Ask the API; return the answer. Raises Refused."""
        answer = self._insist(step, lambda: self._api.request(method, path, **given), granted)
        assert answer is not None
        return answer

    # -- acts ------------------------------------------------------------------------------

    def log_in(self) -> None:
        """Log in as a script and as a browser."""
        wanted = {"username": self.name, "password": self.name}
        self._api.headers.pop("Authorization", None)
        answer = self._told("log in", "POST", "/api/v1/login", 200, json=wanted)
        self._api.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        self._browser.cookies.clear()
        self._log_in_at(self._browser)

    def _log_in_at(self, browser: Browser) -> None:
        form = {"username": self.name, "password": self.name, "next": "/"}

        def ask() -> httpx.Response:
            return browser.post("/login", data=form, headers={"Origin": URL})

        self._insist("log in", ask, (303,))

    def _log_out_at(self, browser: Browser) -> None:
        page = self._insist("page of the hub", lambda: browser.get("/"))
        found = re.search(r'name="csrf" value="([^"]+)"', page.text if page else "")
        if found is None:
            self._fail("log out", "no form on the page")
        form = {"csrf": found[1]}

        def ask() -> httpx.Response:
            return browser.post("/logout", data=form, headers={"Origin": URL})

        # An answer that was lost may have done it: then the hub knows this browser no more.
        self._insist("log out", ask, (303, 401))
        browser.cookies.clear()

    def log_out(self) -> None:
        """Log out everywhere, see that the old log-in opens nothing, and log in again."""
        self._log_out_at(self._browser)
        self._told("log out", "POST", "/api/v1/logout", 204, 401)
        answer = self._told("use a log-in that is over", "GET", "/api/v1/me", 200, 401)
        if answer.status_code == 200:
            self._book.crossing(f"{self.name}'s log-in opens the hub after its log-out")
        self.log_in()

    def press(self, name: str) -> tuple[int, str]:
        """Ask for a session once; return the status, and which one it is or why not."""
        wanted = {"profile": "echo", "name": name}
        answer = self._api.post("/api/v1/sessions", json=wanted)
        if answer.status_code not in {202, 409}:
            return answer.status_code, _words_of(answer)
        told = answer.json()
        return answer.status_code, told.get("id") or told.get("session", "")

    def launch(self, name: str) -> Own:
        """Launch a session and wait until it is ready. Raises Refused."""
        begun = time.monotonic()
        while True:
            asked = time.monotonic()
            wanted = {"profile": "echo", "name": name}
            answer = self._told("launch", "POST", "/api/v1/sessions", 202, 409, json=wanted)
            told = answer.json()
            session_id: str = told.get("id") or told.get("session", "")
            outcome = self._follow(session_id) if session_id else "the one before still stops"
            if outcome == "ready":
                break
            trouble = self._book.trouble(asked)
            if trouble is None or time.monotonic() - begun > DEADLINE:
                self._fail("launch until ready", outcome)
            self._book.turned_away("launch until ready", outcome, trouble)
            time.sleep(WAIT_SECONDS)
        self._book.done("launch until ready", time.monotonic() - begun)
        marker = self._engine.marker_of(session_id)
        if not marker:
            self._fail("launch until ready", "ready, and the engine has no such session")
        own = self.own[name] = Own(session_id, name, marker)
        return own

    def _follow(self, session_id: str) -> str:
        """Follow the events of a start; return "ready" or what became of it."""
        path = f"/api/v1/sessions/{session_id}"
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            try:
                with self._api.stream("GET", f"{path}/events") as events:
                    for _ in events.iter_lines():
                        pass
            except httpx.TransportError:
                pass  # the answer below tells whether that may be
            answer = self._told("look at a session", "GET", path, 200, 404)
            if answer.status_code == 404:
                return "accepted, and gone before it was ready"
            seen = answer.json()
            if seen["phase"] in {"ready", "failed"}:
                return "ready" if seen["phase"] == "ready" else f"failed: {seen['message']}"
            time.sleep(0.2)
        return "not ready in time"

    def keep_a_file(self, own: Own) -> None:
        """Write a file that must be there at the end."""
        text = f"{self.name} {self._random.getrandbits(64):x}"
        if self._engine.write(own.id, text):
            self.written = text
        else:
            self._fail("write a file", "it could not be written")

    def look_on(self, own: Own) -> None:
        """Open the page of one's session."""
        answer = self._insist("page of a session", lambda: self._browser.get(own.url))
        assert answer is not None
        self._check(answer, own, self.name, "owner")

    def _check(self, answer: httpx.Response, own: Own, user: str, role: str) -> None:
        """See that it is this session that answers, and that it knows who asks."""
        headers = {name.lower(): value for name, value in answer.json()["headers"]}
        found = (answer.headers.get("x-echo"), headers.get("x-slicerhub-user"))
        if found != (own.marker, user) or headers.get("x-slicerhub-role") != role:
            self._book.crossing(
                f"{user} opened {own.id} ({own.marker}) and got {found} as "
                f"{headers.get('x-slicerhub-role')}"
            )

    def work(self, own: Own) -> None:
        """Work over a WebSocket for a while."""
        self.look_on(own)
        messages = self._random.randint(10, 100)
        self._talk(self._browser, own, messages, self.name)

    def _talk(self, browser: Browser, own: Own, messages: int, user: str) -> None:
        """Send messages to a session's echo, and begin again where it was cut off."""
        left = messages
        line: list[ClientConnection] = []

        def ask() -> httpx.Response | None:
            opened = _opened(own.url, browser.cookie_at(URL if PATH_MODE else own.url))
            if isinstance(opened, httpx.Response):
                return opened
            line.append(opened)
            return None

        while left:
            self._insist("open a WebSocket", ask)
            socket = line[-1]
            opened = time.monotonic()
            try:
                with socket:
                    told = {name.lower(): one for name, one in json.loads(_heard(socket))}
                    marker = socket.response.headers.get("X-Echo") if socket.response else None
                    if (marker, told.get("x-slicerhub-user")) != (own.marker, user):
                        self._book.crossing(f"{user} opened a WebSocket to {own.id}, got {marker}")
                    while left:
                        text = f"{user} {own.id} {left}"
                        sent = time.monotonic()
                        socket.send(text)
                        said = _heard(socket)
                        self._book.done("message and echo", time.monotonic() - sent)
                        if said != text:
                            self._book.crossing(f"{user} said '{text}', heard '{said}'")
                        left -= 1
                        if self._over.wait(self._random.uniform(0, 0.4)):
                            left = min(left, 1)
            except (ConnectionClosed, OSError) as error:
                # Traefik is the only part that an open WebSocket runs through.
                why = f"cut off ({type(error).__name__})"
                trouble = self._book.trouble(opened, part="traefik")
                if trouble is None:
                    self._fail("message and echo", why)
                self._book.turned_away("message and echo", why, trouble)

    def show(self, own: Own) -> None:
        """Invite a colleague, who comes and looks on; then take it back."""
        guest = self._random.choice(self.colleagues)
        role = self._random.choice(("view", "control"))
        path = f"/api/v1/sessions/{own.id}/shares/{guest.name}"
        self._told("share", "PUT", path, 200, json={"role": role})
        with guest.elsewhere() as browser:
            guest.visit(browser, own, role)
            self._told("take it back", "DELETE", path, 200)
            guest.come_back(browser, own)

    @contextmanager
    def elsewhere(self) -> Generator[Browser]:
        """Log in at another browser of this person's, for one host at a time."""
        with self._visiting:
            if self._elsewhere is None:
                self._elsewhere = Browser()
                self._elsewhere.timeout = ASK_SECONDS
            self._elsewhere.cookies.clear()
            self._log_in_at(self._elsewhere)
            yield self._elsewhere
            self._log_out_at(self._elsewhere)

    def visit(self, browser: Browser, own: Own, role: str) -> None:
        """Open what a colleague shows."""
        answer = self._insist("page of a guest", lambda: browser.get(own.url))
        assert answer is not None
        self._check(answer, own, self.name, role)
        self._talk(browser, own, 3, self.name)

    def come_back(self, browser: Browser, own: Own) -> None:
        """Try again what is not shown any more."""
        self._try("a guest whose invitation is over", lambda: browser.step(own.url), own.id)

    def stop(self, own: Own) -> None:
        """Stop a session, and wait until it is gone."""
        path = f"/api/v1/sessions/{own.id}"
        begun = time.monotonic()
        self.own.pop(own.name, None)
        self._told("stop", "DELETE", path, 202, 404)
        while True:
            asked = time.monotonic()
            answer = self._told("look at a session", "GET", path, 200, 404)
            if answer.status_code == 404:
                break
            late = asked - begun > DEADLINE
            phase = answer.json()["phase"]
            if phase != "stopping" or late:
                # A controller that was killed may not have begun; then nobody has stopped it.
                trouble = self._book.trouble(begun)
                if trouble is None or late:
                    self._fail("stop until gone", f"it is {phase}")
                self._book.turned_away("stop until gone", f"it is {phase} again", trouble)
                self._told("stop", "DELETE", path, 202, 404)
            time.sleep(0.2)
        self._book.done("stop until gone", time.monotonic() - begun)

    def look_after(self) -> None:
        """See that all of one's sessions are still there, and whose they are."""
        answer = self._told("list of sessions", "GET", "/api/v1/sessions", 200)
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
            answer = self._told("look at a session", "GET", f"/api/v1/sessions/{own.id}", 200, 404)
            if answer.status_code == 200:
                self._fail("list of sessions", "a session was missing for a moment")
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
            lambda: self._browser.get(own.url),
            lambda: self._api.get(own.url),
            lambda: self._knock(own),
            lambda: self._api.get(path),
            lambda: self._api.delete(path),
            lambda: self._api.put(f"{path}/shares/{self.name}", json={"role": "control"}),
            lambda: self._api.get(f"{path}/events"),
        ]
        self._try("a stranger", self._random.choice(ways), own.id)

    def _knock(self, own: Own) -> httpx.Response:
        """Try a WebSocket with whatever cookies one has."""
        mine = [self._browser.cookie_at(one.url) for one in list(self.own.values())]
        cookie = "; ".join(filter(None, [self._browser.cookie_at(URL), *mine]))
        opened = _opened(own.url, cookie)
        if isinstance(opened, httpx.Response):
            return opened
        opened.close()
        return httpx.Response(101)

    def _try(self, step: str, ask: Callable[[], httpx.Response | None], what: str) -> None:
        """Try what must be refused."""

        def refused() -> httpx.Response | None:
            answer = ask()
            if answer is not None and _is_refusal(answer):
                return None
            if answer is None or not (_is_temporary(answer) or _is_bare(answer)):
                told = "it is open" if answer is None else _words_of(answer)
                self._book.crossing(f"{step}, {self.name}, at {what}: {told}")
                return None
            return answer

        self._insist(f"refused: {step}", refused, ())

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


def _opened(url: str, cookie: str) -> ClientConnection | httpx.Response:
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


def _is_temporary(answer: httpx.Response) -> bool:
    """Tell whether an answer says that it is worth another try."""
    if "x-echo" in answer.headers:
        return False  # it is a session's own
    if answer.status_code in {502, 503, 504}:
        return True
    # Traefik's own word for a forwardAuth that is away; it says nothing besides.
    return answer.status_code == 500 and not answer.content


def _is_bare(answer: httpx.Response) -> bool:
    """Tell whether it is Traefik that knows nothing: in the first moment after its start.

    It listens before it has read what it shall serve. The hub's own 404 is a problem or a page.
    """
    kind = answer.headers.get("content-type", "").partition(";")[0]
    return answer.status_code == 404 and kind not in {"application/problem+json", "text/html"}


def _is_refusal(answer: httpx.Response) -> bool:
    if "x-echo" in answer.headers or _is_bare(answer):
        return False
    if answer.status_code == 302:  # to the hub, which is asked and lets nobody in
        return answer.headers["location"].startswith(f"{URL}/")
    return answer.status_code in REFUSED


def _words_of(answer: httpx.Response) -> str:
    """Return what an answer says, without what differs from one to the next."""
    again = ", Retry-After" if "retry-after" in answer.headers else ""
    kind = answer.headers.get("content-type", "").partition(";")[0]
    if kind == "application/problem+json":
        told = answer.json()
        detail = str(told.get("detail", "")).partition(" (")[0]
        return f"{answer.status_code} {told.get('title')}: {detail}{again}"
    return f"{answer.status_code} {kind or 'nothing'}{again}"


Gather = Callable[[Book, Sequence[str], threading.Event, float], list[Person]]
"""Makes people who know each other: book, names, what ends it, their pause."""
