"""The pages as text: one frozen view for each page, one method that turns it into HTML.

Pure once a ``Renderer`` exists: it reads the package's templates and static files when it is
constructed, and nothing afterwards. All text in a view is plain text from anywhere, hostile names
included; escaping happens here and nowhere else. Pages carry no inline script and no inline
style, so that they work under ``CONTENT_SECURITY_POLICY``.

What the forms send:

- ``POST /login``: ``username``, ``password``, ``next``
- ``POST /logout``: ``csrf``
- ``POST /launch``: ``csrf``, ``profile``, ``name`` (may be empty)
- ``POST /sessions/<id>/stop``: ``csrf``; ``GET /sessions/<id>/stop`` asks first
- ``POST /sessions/<id>/restart``: ``csrf``; ``GET /sessions/<id>/restart`` asks first
- ``POST /sessions/<id>/keep``: ``csrf``
- ``POST /sessions/<id>/ask``, ``POST /sessions/<id>/leave``: ``csrf``, by somebody invited
- ``POST /sessions/<id>/share``: ``csrf``, ``user``, ``role``, ``expires`` (seconds; empty: while
  the session runs)
- ``POST /sessions/<id>/share/change``: ``csrf``, ``user``, ``role``
- ``POST /sessions/<id>/share/remove``: ``csrf``, ``user``
- ``POST /sessions/<id>/links``: ``csrf``, ``role``, ``expires`` (seconds), ``max_uses`` (may be
  empty)
- ``POST /sessions/<id>/links/end``: ``csrf``, ``link``
- ``POST /join/<code>``: ``csrf``
- ``POST /ahead``: ``csrf``, ``profile``, ``on`` (``1``, or empty)
- ``POST /notices/<id>/dismiss``: ``csrf``
- ``POST /logins/end``: ``csrf``, ``id``
- ``POST /logins/all``: ``csrf``, ``but_here`` (``1``, or empty)

Those of administrators: ``GET /admin`` takes ``q``, ``sort``, ``desc`` and ``page``, ``GET
/admin/act`` the ``act`` and each ``id`` and asks; then

- ``POST /admin/act``: ``csrf``, ``act`` (``stop``, ``message``, ``extend`` or ``look``), ``ids``
  (with commas between), ``back``; ``text`` or ``hours``
- ``POST /admin/drain``: ``csrf``, ``message``, ``minutes``, ``at``; ``POST /admin/drain/end``:
  ``csrf``
- ``POST /admin/user/quota``: ``csrf``, ``user``, ``sessions`` (empty: as configured)
- ``POST /admin/user/logout``: ``csrf``, ``user``
- ``POST /admin/user/files``: ``csrf``, ``user``, ``typed``; ``GET /admin/user/files`` asks first
- ``POST /admin/throttled/release``: ``csrf``, ``id``
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import ClassVar, Literal, Protocol, cast

import jinja2
import msgspec

from controller import apidoc, plots
from controller.core.errors import HubError, NotInvited
from controller.core.model import NAME_MAX, Phase, Place, Role
from controller.rules.sentences import (
    Step,
    StepState,
    Why,
    ago_text,
    clock_text,
    duration_text,
    elapsed_text,
    iso_text,
    place_text,
    session_title,
    uses_text,
    why_text,
)

ASIDE_STYLE = (
    ":root{color-scheme:light dark;font:1.1rem/1.6 system-ui,sans-serif}"
    "main{max-width:34rem;margin:15vh auto;padding:0 1rem}"
)

_ASIDE_HASH = base64.b64encode(hashlib.sha256(ASIDE_STYLE.encode()).digest()).decode()

ASIDE_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_ASIDE_HASH}'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""For an ``AsideView``."""

STATIC_FOLDER = Path(__file__).parent / "static"
"""Stylesheet, script and icon; served with immutable caching under ``static_prefix``."""

SLICES = 9
"""Slices in the drawing of the sliced sphere; they fill as a session starts."""

QUIET_ZONE = 4
"""Light modules that must surround a QR code."""

_HASH_LENGTH = 16  # hexadecimal digits: 64 bits, for telling versions apart and nothing more


class Viewer(msgspec.Struct, frozen=True):
    """The person who looks at a page, logged in."""

    user: str
    display_name: str
    csrf: str  # goes into every form
    admin: bool = False


class View(Protocol):
    """What a page shows: a frozen value that knows its template."""

    template: ClassVar[str]

    @property
    def viewer(self) -> Viewer | None:
        """Return who looks at it; None: nobody who is logged in."""
        ...


class DemoAccount(msgspec.Struct, frozen=True):
    """An account of the demo directory, shown to everybody: only ever in the demo."""

    user: str
    password: str
    note: str = ""  # such as "administrator"


class LoginView(msgspec.Struct, frozen=True):
    """The log-in page."""

    template: ClassVar[str] = "login.html"

    organisation: str = ""
    help_line: str = ""  # whom to ask; addresses in it become links
    error: str = ""  # one sentence, never which of the two was wrong
    username: str = ""  # as typed before
    next: str = ""  # path to go to afterwards
    demo: tuple[DemoAccount, ...] = ()
    viewer: None = None


class Failure(msgspec.Struct, frozen=True):
    """Why a session failed."""

    reason: str  # a sentence
    log: tuple[str, ...] = ()  # the last lines, oldest first
    code: str = ""  # to be given to the administrator


class StopWarning(msgspec.Struct, frozen=True):
    """A session that is about to be stopped."""

    at: datetime  # UTC
    why: Literal["unused", "lifetime"]  # keeping it helps only against the first


class SessionCard(msgspec.Struct, frozen=True):
    """One of the viewer's own sessions."""

    id: str
    profile: str  # id, for trying again
    profile_title: str
    phase: Phase
    url: str
    started: datetime  # UTC
    name: str = ""
    message: str = ""  # a sentence: what it waits for, or what goes on
    last_used: datetime | None = None  # UTC
    stops_after: timedelta | None = None  # unused; None: never for that reason
    ends: datetime | None = None  # UTC; when its lifetime ends
    failure: Failure | None = None
    watching: tuple[str, ...] = ()  # others who are connected: "bob is watching"
    shared_with: int = 0  # people invited
    warning: StopWarning | None = None
    ahead: bool = False  # started at log-in, not by a press
    place: Place | None = None  # waiting in line
    can_share: bool = True
    saves_long: bool = False  # it stops, and its program takes its time to save

    @property
    def title(self) -> str:
        """What people call it: profile and, if given, name."""
        return session_title(self.profile_title, self.name)


class SharedCard(msgspec.Struct, frozen=True):
    """A session of somebody else to which the viewer is invited."""

    id: str
    owner: str  # display name
    profile_title: str
    phase: Phase
    url: str
    role: Role  # VIEW or CONTROL
    name: str = ""
    can_ask: bool = False  # control may be asked for
    asked: bool = False  # and has been
    until: datetime | None = None  # UTC; None: while it runs

    @property
    def title(self) -> str:
        """What people call it: profile and, if given, name."""
        return session_title(self.profile_title, self.name)


class ProfileChoice(msgspec.Struct, frozen=True):
    """A kind of session that the viewer may start."""

    id: str
    title: str
    description: str = ""
    resources: str = ""  # such as "4 cores · 16 GB"
    default: bool = False
    available: bool = True
    why_not: str = ""  # a sentence, if it is not available
    ahead: bool | None = None  # started at log-in? None: that is not offered
    queue: int | None = None  # people waiting in line; None: it has no line
    gpus: str = ""  # such as "GPU: 1 free"


class CompanionLink(msgspec.Struct, frozen=True):
    """Something else of the site that the viewer may open."""

    app: str
    title: str
    url: str


class NoticeKind(StrEnum):
    """How a notice looks."""

    INFO = "info"
    WARNING = "warning"


class Notice(msgspec.Struct, frozen=True):
    """Something that the viewer should know: ``text``, then the time, then ``more``.

    ``Notice("n1", "Slicer · thesis was stopped at", at=t, more="after 30 minutes unused.")``.
    The spaces between them are added; ``more`` may also begin with a full stop or a comma.
    """

    id: str
    text: str
    at: datetime | None = None  # UTC
    more: str = ""
    kind: NoticeKind = NoticeKind.INFO
    dismissable: bool = True


class HomeView(msgspec.Struct, frozen=True):
    """The page of somebody who is logged in."""

    template: ClassVar[str] = "home.html"

    viewer: Viewer
    now: datetime  # UTC
    profiles: tuple[ProfileChoice, ...]
    sessions: tuple[SessionCard, ...] = ()
    shared: tuple[SharedCard, ...] = ()
    companions: tuple[CompanionLink, ...] = ()
    notices: tuple[Notice, ...] = ()
    blocked: str = ""  # a sentence: why nothing can be started now, and what would help
    launch_name: str = ""  # as typed before, if the launch was refused
    launch_error: str = ""  # a sentence, if the launch was refused

    @property
    def ordered(self) -> tuple[ProfileChoice, ...]:
        """The profiles with the default one first: Enter in the name field starts it."""
        return tuple(sorted(self.profiles, key=lambda profile: not profile.default))

    @property
    def lead(self) -> ProfileChoice | None:
        """What the large button of the empty page starts: the default profile, if it may."""
        return next((p for p in self.ordered if p.available), next(iter(self.ordered), None))


class StartingView(msgspec.Struct, frozen=True):
    """The page that stands in a session's place until it is ready."""

    template: ClassVar[str] = "starting.html"

    viewer: Viewer
    id: str
    profile: str
    profile_title: str
    url: str
    elapsed: float  # seconds
    steps: tuple[Step, ...]
    name: str = ""
    message: str = ""
    failure: Failure | None = None
    place: Place | None = None  # waiting in line: shown instead of the steps
    can_cancel: bool = True  # guests only look on

    @property
    def title(self) -> str:
        """What people call it: profile and, if given, name."""
        return session_title(self.profile_title, self.name)


class ConfirmStopView(msgspec.Struct, frozen=True):
    """The question before a session is stopped."""

    template: ClassVar[str] = "confirm_stop.html"

    viewer: Viewer
    id: str
    profile_title: str
    name: str = ""

    @property
    def title(self) -> str:
        """What people call it: profile and, if given, name."""
        return session_title(self.profile_title, self.name)


class RestartView(msgspec.Struct, frozen=True):
    """The question before a session is stopped and started anew."""

    template: ClassVar[str] = "confirm_restart.html"

    viewer: Viewer
    id: str
    profile_title: str
    name: str = ""

    @property
    def title(self) -> str:
        """What people call it: profile and, if given, name."""
        return session_title(self.profile_title, self.name)


class Guest(msgspec.Struct, frozen=True):
    """Somebody who is invited to a session."""

    user: str
    display_name: str
    role: Role  # VIEW or CONTROL
    until: datetime | None = None  # UTC; None: while the session runs
    connected: bool = False
    asks: bool = False  # for control


class LinkRow(msgspec.Struct, frozen=True):
    """A link that invites whoever has it; its code is known to nobody any more."""

    id: str
    role: Role  # VIEW or CONTROL
    until: datetime  # UTC
    uses: int = 0
    max_uses: int | None = None  # None: any number


class FreshLink(msgspec.Struct, frozen=True):
    """A link just made: the only time that it is shown."""

    url: str
    role: Role  # VIEW or CONTROL
    until: datetime  # UTC
    max_uses: int | None = None  # None: any number
    qr: tuple[str, ...] = ()  # its QR code: rows of "0" and "1", without the quiet zone


class ShareView(msgspec.Struct, frozen=True):
    """Whom a session is shown to: the owner's page, and a dialog over the first page."""

    template: ClassVar[str] = "share.html"

    viewer: Viewer
    now: datetime  # UTC
    id: str
    profile_title: str
    name: str = ""
    people: tuple[Guest, ...] = ()
    links: tuple[LinkRow, ...] = ()
    connected: tuple[str, ...] = ()  # who is there now, the owner included
    fresh: FreshLink | None = None
    can_suggest: bool = False  # names may be looked up while they are typed
    kickable: bool = True  # what somebody has open can be cut
    error: str = ""  # a sentence, if what was asked for was refused
    typed_user: str = ""  # as typed before, if it was refused
    ask: tuple[str, ...] = ()  # users who asked for control

    @property
    def title(self) -> str:
        """What people call it: profile and, if given, name."""
        return session_title(self.profile_title, self.name)


class JoinView(msgspec.Struct, frozen=True):
    """The question to somebody who followed a link: who shows what, before anything is joined."""

    template: ClassVar[str] = "join.html"

    viewer: Viewer
    code: str
    owner: str  # display name
    title: str
    role: Role  # VIEW or CONTROL
    until: datetime | None = None  # UTC; None: while the session runs
    now: datetime | None = None  # UTC; None: times are said with their day
    waits_for: str = ""  # what it stands in line for


class LoginRow(msgspec.Struct, frozen=True):
    """One of the viewer's log-ins."""

    id: str
    client: str  # such as "Firefox on Windows"
    address: str
    since: datetime  # UTC
    seen: datetime  # UTC; right to a few minutes
    ends: datetime  # UTC
    current: bool = False


class LoginsView(msgspec.Struct, frozen=True):
    """Where the viewer is logged in."""

    template: ClassVar[str] = "logins.html"

    viewer: Viewer
    now: datetime  # UTC
    rows: tuple[LoginRow, ...]
    said: str = ""  # what came of the last act

    @property
    def others(self) -> int:
        """How many there are besides this one."""
        return sum(not row.current for row in self.rows)


class Bar(msgspec.Struct, frozen=True):
    """How much of something is taken, as digits and as a bar."""

    text: str
    percent: float  # of what may be taken; over 100 is drawn as 100


class AdminRow(msgspec.Struct, frozen=True):
    """Anybody's session in the administrators' table."""

    id: str
    owner: str
    title: str
    phase: Phase
    started: datetime  # UTC
    last_active: datetime  # UTC
    why: Why
    why_at: datetime | None = None  # UTC; the moment in ``why``
    ends: datetime | None = None  # UTC; None: never
    extra: timedelta = timedelta(0)  # by which its lifetime was extended
    cpu: Bar | None = None  # None: not known
    memory: Bar | None = None


class Column(msgspec.Struct, frozen=True):
    """A column of a table by which it can be sorted."""

    key: str
    title: str
    href: str  # the table sorted by it, or the other way round if it is so already
    order: Literal["", "ascending", "descending"] = ""


class Pager(msgspec.Struct, frozen=True):
    """Which page of a table this is, and the way to the others ("": there is none)."""

    page: int = 1
    pages: int = 1
    found: int = 0
    before: str = ""
    after: str = ""


class Tile(msgspec.Struct, frozen=True):
    """One plot of the last day."""

    title: str
    now: str  # the last value, in words
    most: str  # the greatest value, in words
    plot: plots.Plot
    most_at: datetime | None = None  # UTC


class DrainState(msgspec.Struct, frozen=True):
    """Nothing new starts."""

    by: str
    since: datetime  # UTC
    message: str = ""
    stop_at: datetime | None = None  # UTC


class AdminView(msgspec.Struct, frozen=True):
    """All sessions, and how full the hub is."""

    template: ClassVar[str] = "admin.html"

    viewer: Viewer
    now: datetime  # UTC
    here: str  # this page's own address
    rows: tuple[AdminRow, ...]
    columns: tuple[Column, ...]
    pager: Pager
    total: int
    summary: str  # such as "37 sessions: 35 ready, 2 starting"
    tiles: tuple[Tile, ...] = ()
    hours: tuple[tuple[datetime, tuple[str, ...]], ...] = ()  # the same as a table
    query: str = ""
    drain: DrainState | None = None
    newer: int = 0  # sessions of a newer hub
    may_look: bool = False
    said: str = ""  # what came of the last act


class AdminActView(msgspec.Struct, frozen=True):
    """The question before something is done to sessions."""

    template: ClassVar[str] = "admin_act.html"

    viewer: Viewer
    now: datetime  # UTC
    act: Literal["stop", "message", "extend", "look"]
    rows: tuple[AdminRow, ...]
    back: str
    most_hours: int
    most_characters: int
    look_minutes: int
    error: str = ""
    typed: str = ""  # the message, or the hours, as typed before


class AdminDrainView(msgspec.Struct, frozen=True):
    """The question before nothing starts any more."""

    template: ClassVar[str] = "admin_drain.html"

    viewer: Viewer
    now: datetime  # UTC
    sessions: int
    owners: int
    most_characters: int
    error: str = ""
    message: str = ""  # as typed before


class AdminUser(msgspec.Struct, frozen=True):
    """Somebody in the administrators' table of people."""

    user: str
    href: str  # where they are managed
    sessions: int
    most: int
    quota: int | None = None
    logged_in: bool = False
    files: str = ""  # such as "1.2 GB"; "": none


class AdminUsersView(msgspec.Struct, frozen=True):
    """The people who are here or have files here."""

    template: ClassVar[str] = "admin_users.html"

    viewer: Viewer
    now: datetime  # UTC
    users: tuple[AdminUser, ...]
    pager: Pager
    query: str = ""
    measured: datetime | None = None  # UTC
    measure: str = ""  # address that measures the files anew
    fault: str = ""
    said: str = ""


class AdminUserView(msgspec.Struct, frozen=True):
    """One person, and what may be done about them."""

    template: ClassVar[str] = "admin_user.html"

    viewer: Viewer
    user: AdminUser
    configured: int  # sessions that everybody may have
    volume: str = ""  # as the engine calls it
    error: str = ""
    said: str = ""


class AdminFilesView(msgspec.Struct, frozen=True):
    """The question before somebody's files are removed."""

    template: ClassVar[str] = "admin_files.html"

    viewer: Viewer
    user: AdminUser
    volume: str = ""
    error: str = ""


class ThrottledRow(msgspec.Struct, frozen=True):
    """Log-ins that are refused for a while."""

    id: str
    user: str  # "": of everybody from that address
    address: str
    failures: int
    until: datetime  # UTC


class AdminThrottledView(msgspec.Struct, frozen=True):
    """Whose log-ins are refused, and why."""

    template: ClassVar[str] = "admin_throttled.html"

    viewer: Viewer
    now: datetime  # UTC
    rows: tuple[ThrottledRow, ...]
    per_user: int  # failures of one name from one address that are borne
    per_address: int
    window: timedelta  # for which they count
    said: str = ""


class ErrorView(msgspec.Struct, frozen=True):
    """Any page that says that something cannot be had."""

    template: ClassVar[str] = "error.html"

    status: int
    title: str
    sentence: str
    viewer: Viewer | None = None
    retry_after: int | None = None  # seconds; the page tries again by itself. Only after a GET.


FORBIDDEN_TITLE = NotInvited.title

FORBIDDEN_SENTENCE = str(NotInvited())


class RefusalView(msgspec.Struct, frozen=True):
    """The small page for somebody who may not enter: an answer to Traefik's question."""

    stylesheet: str  # absolute path or URL
    home: str = "/"
    title: str = FORBIDDEN_TITLE
    sentence: str = FORBIDDEN_SENTENCE


class AsideView(msgspec.Struct, frozen=True):
    """The small page at a session's own host, where the hub has no stylesheet: it has its own."""

    home: str  # URL of the hub
    title: str = FORBIDDEN_TITLE
    sentence: str = FORBIDDEN_SENTENCE
    style: str = ASIDE_STYLE


def error_view(error: HubError, viewer: Viewer | None = None, *, again: bool = False) -> ErrorView:
    """Return an error as a page shows it; ``again``: the page may try again by itself."""
    return ErrorView(
        status=error.status,
        title=error.title,
        sentence=str(error),
        viewer=viewer,
        retry_after=error.retry_after if again else None,
    )


def qr_path(rows: Sequence[str]) -> str:
    """A QR code's dark modules as one SVG path, one rectangle for each run of them in a row.

    ``rows`` are ``"0"`` and ``"1"``, without the quiet zone; the path leaves room for it
    (``QUIET_ZONE`` modules on each side, ISO/IEC 18004, 6.3.8).
    """
    return "".join(
        f"M{run.start() + QUIET_ZONE} {y + QUIET_ZONE}h{len(run[0])}v1h-{len(run[0])}z"
        for y, row in enumerate(rows)
        for run in re.finditer("1+", row)
    )


def filled_slices(steps: Iterable[Step]) -> int:
    """How many slices of the drawing are filled: 0 to ``SLICES``, in step with the steps done.

    The last step is to be ready, which is never seen here; a running step counts half.
    """
    states = [step.state for step in steps]
    weight = states.count(StepState.DONE) + states.count(StepState.ACTIVE) / 2
    return round(SLICES * weight / len(states)) if states else 0


def static_hash(folder: Path = STATIC_FOLDER) -> str:
    """Hash over names and contents of the files in ``folder``: another one with any change."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        digest.update(f"{path.name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:_HASH_LENGTH]


def static_prefix(base: str = "/static", folder: Path = STATIC_FOLDER) -> str:
    """URL under which the static files live; it changes with them, so caches may keep it."""
    return f"{base}/{static_hash(folder)}"


@cache
def compiled(static: str) -> Mapping[str, jinja2.Template]:
    """Return all templates by their names; they are the same for each ``Renderer`` of a process.

    ``static``: the URL under which static files live.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("controller"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    # Jinja types these two dictionaries by its own entries only.
    cast("dict[str, object]", environment.globals).update(
        static=static,
        name_max=NAME_MAX,
        slices=SLICES,
        quiet=QUIET_ZONE,
        plot_width=plots.WIDTH,
        plot_height=plots.HEIGHT,
    )
    cast("dict[str, object]", environment.filters).update(
        clock=clock_text,
        iso=iso_text,
        duration=duration_text,
        elapsed=elapsed_text,
        filled=filled_slices,
        place=place_text,
        uses=uses_text,
        qr_path=qr_path,
        why=why_text,
        ago=ago_text,
    )
    return {name: environment.get_template(name) for name in environment.list_templates(["html"])}


class Renderer:
    """Turns views into pages. Reads templates and static files once, when it is made."""

    def __init__(self, static_base: str = "/static") -> None:
        """Load and compile every template, so that a broken one shows at the start."""
        self.static = static_prefix(static_base)
        self._templates = compiled(self.static)

    @property
    def stylesheet(self) -> str:
        """URL of the stylesheet, for a ``RefusalView``."""
        return f"{self.static}/hub.css"

    def page(self, view: View) -> str:
        """Return the page that the view belongs to."""
        return self._templates[view.template].render(view=view, viewer=view.viewer)

    def refusal(self, view: RefusalView) -> str:
        """The small page for somebody who was not invited; less than 900 bytes."""
        return self._templates["refusal.html"].render(view=view)

    def onward(self, url: str, title: str = "Opening the session") -> str:
        """The page between the log-in and what comes next; ``url``: a path of the hub."""
        return self._templates["onward.html"].render(
            stylesheet=self.stylesheet, title=title, url=url
        )

    def aside(self, view: AsideView) -> str:
        """The small page at a session's own host; less than 1024 bytes."""
        return self._templates["aside.html"].render(view=view)

    def docs(self, document: Mapping[str, object]) -> str:
        """The API's own page, from its OpenAPI document; here its own words may stand."""
        endpoints, shapes = apidoc.read(document)
        template = self._templates["docs.html"]
        return template.render(viewer=None, endpoints=endpoints, shapes=shapes)
