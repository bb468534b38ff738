"""People during a fault: an open desktop, pages that are asked for again and again, log-ins.

What they see is noted as it is; nothing is asserted of how long it takes beyond generous deadlines.
"""

from __future__ import annotations

import html
import re
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import httpx
import msgspec
from docker import DockerClient
from e2e.stack import INSTANCE, PAGE, URL, Member, Names, open_socket, place_of
from outages.table import PROPERTY, Row
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection

from tests.support.waits import until

PATIENCE = 12.0  # seconds that somebody waits for an answer before they try again
DESKTOP_PATIENCE = 20.0  # seconds after which they load a desktop anew that does not answer
RIGHT_SECONDS = 180.0  # in which everything must be right again: generous
SLOW_SECONDS = 2.0  # from which on waiting for an answer is worth a word
NONE = 0  # in the place of a status: there was no answer

_HEADING = re.compile(r"<h1[^>]*>(.*?)</h1>(?:\s*<p[^>]*>(.*?)</p>)?", re.DOTALL)

Judge = Callable[[httpx.Response], str]
"""Returns "" for the answer that is always given, else what is wrong with it."""


class Answer(NamedTuple):
    """What came of one request."""

    begun: float  # monotonic
    ended: float
    status: int
    wrong: str  # "": it was as always


class Place:
    """Somewhere that is asked again and again, on a new connection each time."""

    def __init__(
        self, name: str, ask: Callable[[httpx.Client], httpx.Response], judge: Judge
    ) -> None:
        """``name``: as it stands in the table."""
        self.name = name
        self.answers: list[Answer] = []
        self._ask = ask
        self._judge = judge

    def watch(self, over: threading.Event, pause: float) -> None:
        """Ask until it is over."""
        transport = Names(limits=httpx.Limits(max_keepalive_connections=0))
        with httpx.Client(base_url=URL, transport=transport, timeout=PATIENCE) as client:
            while not over.is_set():
                self.answers.append(self._one(client))
                over.wait(pause)

    def _one(self, client: httpx.Client) -> Answer:
        begun = time.monotonic()
        try:
            answer = self._ask(client)
        except httpx.TimeoutException:
            return Answer(begun, time.monotonic(), NONE, f"no answer in {PATIENCE:.0f} s")
        except httpx.HTTPError:
            return Answer(begun, time.monotonic(), NONE, "no connection")
        return Answer(begun, time.monotonic(), answer.status_code, self._judge(answer))

    def since(self, moment: float) -> list[Answer]:
        """Return what was answered to requests that were under way then, or came later."""
        return [one for one in tuple(self.answers) if one.ended >= moment]

    def is_right(self, since: float) -> bool:
        """Tell whether the last two answers to requests of after this moment were as always."""
        last = [one for one in tuple(self.answers)[-2:] if one.begun >= since]
        return len(last) == 2 and not any(one.wrong for one in last)

    def told(self, since: float, until_then: float) -> str:
        """Return what was answered otherwise than always, and how long people waited, if it was."""
        found = [one for one in self.since(since) if one.begun <= until_then]
        words = list(dict.fromkeys(one.wrong for one in found if one.wrong))
        slowest = max((one.ended - one.begun for one in found if not one.wrong), default=0.0)
        if slowest >= SLOW_SECONDS:
            words.append(f"an answer as always after {slowest:.0f} s")
        return ", ".join(words)


def words_of(answer: httpx.Response) -> str:
    """Return status and sentence of an answer, as a person or a program is told them."""
    kind = answer.headers.get("content-type", "")
    if answer.is_redirect:
        said = f"to {urlsplit(answer.headers['location']).path}"
        said = re.sub("/[a-z2-7]{26}$", "/…", said)
    elif "json" in kind:
        said = str(answer.json().get("detail", ""))
    elif found := _HEADING.search(answer.text):
        parts = [re.sub(r"<[^>]+>", "", one).strip() for one in found.groups() if one]
        said = html.unescape(". ".join(parts))
    else:
        said = answer.text.strip()[:80]
    return f'{answer.status_code} "{said}"' if said else str(answer.status_code)


def _always(status: int, mark: str = "") -> Judge:
    def judge(answer: httpx.Response) -> str:
        fine = answer.status_code == status and mark in answer.text
        return "" if fine else words_of(answer)

    return judge


class Scene(NamedTuple):
    """Who is there: alice works, a second session of hers runs beside, bob comes and goes."""

    engine: DockerClient
    alice: Member
    bob: Member
    desktop: dict[str, Any]
    beside: dict[str, Any]


HOME, LIST, SESSION, LOGIN, START = "first page", "API", "session", "log-in", "start"
STRANGER = "stranger at the session"
MEANWHILE, AFTERWARDS = "meanwhile", "afterwards"  # names of sessions that the tests start
DOWN = frozenset({NONE, 500, 502, 503, 504})


def everywhere(statuses: Iterable[int]) -> dict[str, frozenset[int]]:
    """Return that these may be answered wherever people ask."""
    return dict.fromkeys([HOME, LIST, SESSION, LOGIN, STRANGER], frozenset(statuses))


PAGES: dict[str, frozenset[int]] = dict.fromkeys((HOME, LIST, LOGIN), DOWN)
"""What may be answered while the controller is not there. Sessions are served as always."""

EVERYWHERE = everywhere(DOWN)
"""What may be answered while nobody can say who may pass."""


def places_of(scene: Scene) -> list[Place]:
    """Return what people ask for all the time."""
    alice, desktop, url = scene.alice, scene.desktop, place_of(scene.desktop)
    hub_cookie = {"Cookie": alice.cookie} | PAGE
    entry = alice.cookie_in(desktop) | PAGE
    bearer = {"Authorization": f"Bearer {alice.token}"}

    def ready(answer: httpx.Response) -> str:
        if answer.status_code != 200:
            return words_of(answer)
        found = [one["phase"] for one in answer.json()["items"] if one["id"] == desktop["id"]]
        return "" if found == ["ready"] else f"the session is {', '.join(found) or 'not there'}"

    shown, echoed = _always(200, desktop["id"]), _always(200, '"container"')
    return [
        Place(HOME, lambda client: client.get("/", headers=hub_cookie), shown),
        Place(LIST, lambda client: client.get("/api/v1/sessions", headers=bearer), ready),
        Place(SESSION, lambda client: client.get(url, headers=entry), echoed),
        Place(STRANGER, lambda client: client.get(url), _always(401)),
    ]


def log_in(name: str) -> Place:
    """Return somebody who logs in again and again, by a script."""

    def ask(client: httpx.Client) -> httpx.Response:
        return client.post("/api/v1/login", json={"username": name, "password": name})

    return Place(LOGIN, ask, _always(200))


class Desktop:
    """A session that somebody works in: an open WebSocket on which each word is said back.

    If it closes, or does not answer for so long that people load the page anew, it is opened again.
    """

    def __init__(self, member: Member, session: Mapping[str, Any], pause: float = 0.1) -> None:
        """``pause``: seconds between two words."""
        self._url = place_of(dict(session))
        self._headers = member.cookie_in(dict(session))
        self._pause = pause
        self.answers: list[tuple[float, float]] = []  # said, and said back
        self.lost: list[float] = []  # when it closed, or was given up
        self._is_open = False

    def hold(self, over: threading.Event) -> None:
        """Work until it is over."""
        while not over.is_set():
            try:
                with open_socket(self._url, self._headers, ping_interval=None) as socket:
                    socket.recv(timeout=PATIENCE)  # what the session was sent
                    self._is_open = True
                    self._work(socket, over)
            except (OSError, EOFError, WebSocketException):
                if self._is_open:
                    self.lost.append(time.monotonic())
                self._is_open = False
            over.wait(self._pause)

    def _work(self, socket: ClientConnection, over: threading.Event) -> None:
        number = 0
        while not over.is_set():
            number += 1
            said = time.monotonic()
            socket.send(str(number))
            while not over.is_set():
                try:
                    if socket.recv(timeout=0.5) == str(number):
                        break
                except TimeoutError:
                    if time.monotonic() - said > DESKTOP_PATIENCE:
                        raise  # they load the page anew
            else:
                return
            self.answers.append((said, time.monotonic()))
            over.wait(self._pause)

    def answered(self, since: float, until_then: float = float("inf")) -> bool:
        """Tell whether a word that was said after this moment was said back, before another."""
        return any(
            said >= since and back <= until_then for said, back in reversed(tuple(self.answers))
        )

    def longest(self, since: float) -> float:
        """Return for how long somebody waited for the answer to a word, at most."""
        return max((back - said for said, back in tuple(self.answers) if back >= since), default=0)

    def losses(self, since: float) -> int:
        """Return how often it closed, or had to be loaded anew."""
        return sum(one >= since for one in tuple(self.lost))


class Notices(Enum):
    """What an open desktop has to do with a fault."""

    NOTHING = "goes on"  # it stays open, and answers meanwhile
    SILENCE = "stays open"  # it may be silent meanwhile
    CLOSING = "closes"  # and is opened again
    ANYTHING = "comes back"


class Vigil:
    """Everybody, from before a fault until all is right."""

    def __init__(self, scene: Scene, more: Iterable[Desktop], pause: float) -> None:
        """``pause``: seconds between two requests for one place."""
        self.scene = scene
        self.places = places_of(scene)
        self.desktops = [Desktop(scene.alice, scene.desktop), *more]
        self.notes: list[str] = []
        self.fault_at = 0.0  # when it happened, if that is later than the beginning
        self._pause = pause
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        """Begin."""
        comer = log_in(self.scene.bob.name)
        works: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
            (comer.watch, (self._over, max(self._pause, 1.0))),
            *((place.watch, (self._over, self._pause)) for place in self.places),
            *((one.hold, (self._over,)) for one in self.desktops),
        ]
        self.places.append(comer)
        self._threads = [threading.Thread(target=work, args=given) for work, given in works]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def until_right(self, since: float) -> None:
        """Wait until everything is answered as always that was asked after this moment."""

        def right() -> bool:
            return all(one.is_right(since) for one in self.places) and all(
                one.answered(since) for one in self.desktops
            )

        until(right, seconds=RIGHT_SECONDS, what="everything to be as always")

    def last(self, seconds: float) -> None:
        """Let the fault last for a while: people must get to see it."""
        self._over.wait(seconds)

    def start(self) -> httpx.Response | None:
        """Press "start", and note what is answered; None: nothing is."""
        try:
            answer = self.scene.alice.api.post(
                "/api/v1/sessions", json={"profile": "echo", "name": MEANWHILE}, timeout=40
            )
        except httpx.HTTPError:
            self.note(START, "no answer")
            return None
        phase = f", {answer.json()['phase']}" if answer.status_code == 202 else ""
        self.note(START, words_of(answer) + phase)
        return answer

    def note(self, place: str, words: str) -> None:
        """Put something more into the table."""
        self.notes.append(f"{place}: {words}")

    def told(self, since: float, until_then: float) -> str:
        """Return what people were answered otherwise than always."""
        said = [(place.name, place.told(since, until_then)) for place in self.places]
        found = [*(f"{name}: {words}" for name, words in said if words), *self.notes]
        return "; ".join(found) or "everything as always"

    def noticed(self, since: float) -> str:
        """Return what the first desktop has noticed."""
        own = self.desktops[0]
        losses, longest = own.losses(since), own.longest(since)
        if losses:
            times = "once" if losses == 1 else f"{losses} times"
            return f"yes: closed {times}, and open again"
        if longest >= SLOW_SECONDS:
            return f"yes: silent for {longest:.0f} s, then it went on"
        return f"no (longest wait for an answer {longest:.1f} s)"


def running(engine: DockerClient) -> dict[str, str]:
    """Return when the program of each session that runs was started, by the session's id."""
    api: Any = engine.api
    labels = [f"slicerhub.instance={INSTANCE}", "slicerhub.session"]
    found = api.containers(filters={"label": labels})
    return {
        one["Labels"]["slicerhub.session"]: api.inspect_container(one["Id"])["State"]["StartedAt"]
        for one in found
        if not one["Names"][0].endswith(".stopping")
    }


def start_and_stop(scene: Scene, name: str) -> float:
    """Start a session, as often as it takes; return when it was ready. It is stopped then."""

    def begun() -> str | None:
        try:
            answer = scene.alice.api.post(
                "/api/v1/sessions", json={"profile": "echo", "name": name}, timeout=40
            )
        except httpx.HTTPError:
            return None
        if "json" not in answer.headers.get("content-type", ""):
            return None
        told: dict[str, Any] = answer.json()
        return told.get("id") or told.get("session")

    session_id = until(begun, seconds=RIGHT_SECONDS, what="a start that is accepted")
    scene.alice.wait(session_id, "ready", seconds=RIGHT_SECONDS)
    at = time.monotonic()
    scene.alice.stop(session_id)
    return at


def clear_away(scene: Scene, name: str) -> None:
    """Wait for what became of a start during a fault, and stop it."""

    def settled() -> bool:
        found = scene.alice.api.get("/api/v1/sessions").json()["items"]
        mine = [one for one in found if one["name"] == name]
        for one in mine:
            if one["phase"] in {"ready", "failed"}:
                scene.alice.api.delete(f"/api/v1/sessions/{one['id']}")
        return not mine

    until(settled, seconds=RIGHT_SECONDS, what="the end of what was started meanwhile")


@contextmanager
def outage(
    scene: Scene,
    fault: str,
    record: Callable[[str, object], None],
    *,
    may: Mapping[str, frozenset[int]] | None = None,
    notices: Notices = Notices.NOTHING,
    by_itself: bool = False,
    more: Sequence[Desktop] = (),
    pause: float = 0.2,
) -> Generator[Vigil]:
    """Break something inside this, and find out what people get of it.

    ``may``: what may be answered otherwise than always, by place; NONE is no answer. ``by_itself``:
    nothing has to be taken away again, and time counts from the fault. ``record`` takes the row of
    the table. Fails if a session is lost, or people are told what they must not be.
    """
    with Vigil(scene, more, pause) as vigil:
        vigil.until_right(time.monotonic())
        before = running(scene.engine)
        begun = since = time.monotonic()
        over = started = 0.0
        try:
            yield vigil
            over = time.monotonic()
            since = (vigil.fault_at or begun) if by_itself else over
            vigil.until_right(over)
            started = start_and_stop(scene, AFTERWARDS)
            clear_away(scene, MEANWHILE)
        finally:
            now = time.monotonic()
            after = running(scene.engine)
            lost = {one for one in before if after.get(one) != before[one]}
            seconds = (started or now) - since
            row = Row(fault, vigil.told(begun, now), seconds, len(lost), vigil.noticed(begun))
            record(PROPERTY, msgspec.json.encode(row).decode())
        lost |= {one for one in before if scene.alice.phase(one) != "ready"}
    assert lost == set(), "sessions were lost"
    _check(vigil, begun, over, may or {}, notices)


def _check(
    vigil: Vigil, begun: float, over: float, may: Mapping[str, frozenset[int]], notices: Notices
) -> None:
    for place in vigil.places:
        allowed = may.get(place.name, frozenset[int]())
        others = [one for one in place.since(begun) if one.wrong and one.status not in allowed]
        assert others == [], f"{place.name}: what nobody should be told"
    for desktop in vigil.desktops:
        losses = desktop.losses(begun)
        match notices:
            case Notices.NOTHING:
                assert losses == 0, "an open desktop was closed"
                assert desktop.answered(begun, over), "an open desktop did not answer meanwhile"
            case Notices.SILENCE:
                assert losses == 0, "an open desktop was closed"
            case Notices.CLOSING:
                assert losses > 0, "the desktop was not closed: was there a fault?"
            case Notices.ANYTHING:
                pass
