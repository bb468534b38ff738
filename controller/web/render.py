"""The pages as text: one frozen view for each page, one method that turns it into HTML.

Pure once a ``Renderer`` exists: it reads the package's templates and static files when it is
constructed, and nothing afterwards. All text in a view is plain text from any source, also hostile
names; escaping happens here and nowhere else. Pages have no inline script and no inline style, so
that they work under ``CONTENT_SECURITY_POLICY``.

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
from functools import cache
from pathlib import Path
from typing import ClassVar, Protocol, cast

import jinja2
import msgspec

from controller.core.errors import NotInvited
from controller.core.model import NAME_MAX
from controller.rules.sentences import (
    Step,
    StepState,
    ago_text,
    awaited,
    clock_text,
    duration_text,
    elapsed_text,
    iso_text,
    keep_around,
    place_text,
    uses_text,
)
from controller.web import apidoc, sparkline

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
"""Stylesheets, scripts and icon; served with immutable caching under ``static_prefix``."""

SLICES = 9
"""Slices in the drawing of the sliced sphere; they fill as a session starts."""

QUIET_ZONE = 4
"""Light modules that must surround a QR code."""

_HASH_LENGTH = 16  # hexadecimal digits: 64 bits, for telling versions apart and nothing more


class Viewer(msgspec.Struct, frozen=True):
    """The logged-in person who sees a page."""

    user: str
    display_name: str
    csrf: str  # goes into every form
    admin: bool = False


class View(Protocol):
    """What a page shows: a frozen value that knows its template."""

    template: ClassVar[str]

    @property
    def viewer(self) -> Viewer | None:
        """Return the person who sees it; None: nobody is logged in."""
        ...


FORBIDDEN_TITLE = NotInvited.title

FORBIDDEN_SENTENCE = str(NotInvited())


class RefusalView(msgspec.Struct, frozen=True):
    """The small page for people who may not enter: an answer to Traefik's question."""

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
    """Return the number of filled slices of the drawing, 0 to ``SLICES``, from the steps done.

    The last step, being ready, is never shown here; a running step counts half.
    """
    states = [step.state for step in steps]
    weight = states.count(StepState.DONE) + states.count(StepState.ACTIVE) / 2
    return round(SLICES * weight / len(states)) if states else 0


def static_hash(folder: Path = STATIC_FOLDER) -> str:
    """Return a hash over names and contents of the files in ``folder``; any change alters it."""
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
    """Return all templates by name; all ``Renderer``s of a process share them.

    ``static``: the URL under which static files live.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("controller.web"),
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
        plot_width=sparkline.WIDTH,
        plot_height=sparkline.HEIGHT,
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
        awaited=awaited,
        keep_around=keep_around,
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
        """Return the small page for people who are not invited; less than 900 bytes."""
        return self._templates["refusal.html"].render(view=view)

    def onward(self, url: str, title: str = "Opening the session") -> str:
        """Return the page between the log-in and the next page; ``url``: a path of the hub."""
        return self._templates["onward.html"].render(
            stylesheet=self.stylesheet, title=title, url=url
        )

    def aside(self, view: AsideView) -> str:
        """The small page at a session's own host; less than 1024 bytes."""
        return self._templates["aside.html"].render(view=view)

    def docs(self, document: Mapping[str, object]) -> str:
        """Return the API's page, from its OpenAPI document; it may use technical words."""
        endpoints, shapes = apidoc.read(document)
        template = self._templates["docs.html"]
        return template.render(viewer=None, endpoints=endpoints, shapes=shapes)
