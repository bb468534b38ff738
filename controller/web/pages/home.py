"""The page of somebody who is logged in: sessions, and what may be started."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, ClassVar, Literal

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import PathParameter
from litestar.response import Redirect

from controller.core.errors import Refused, SessionExists, Unavailable
from controller.core.model import (
    Observed,
    Person,
    Phase,
    Profile,
    Role,
    moment,
)
from controller.core.records import Drain, Notice, Reason, Share
from controller.people.desk import Desk
from controller.rules import access, notices, routes
from controller.rules.queue import QueuePosition
from controller.rules.quotas import Resource, Shortfall
from controller.rules.sentences import refusal_of, session_title
from controller.sessions.polling import Poller
from controller.sessions.sessions import Sessions
from controller.sessions.sharing import Sharing
from controller.settings.schema import Settings
from controller.web.caller import Caller
from controller.web.companions import Companions
from controller.web.pages.forms import Form, Screen
from controller.web.pages.session import Failure, failure_view
from controller.web.render import Viewer
from controller.web.services import Services, constant


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
    place: QueuePosition | None = None  # waiting in the queue
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
    queue: int | None = None  # people waiting in the queue; None: it has no queue
    gpus: str = ""  # such as "GPU: 1 free"


class CompanionLink(msgspec.Struct, frozen=True):
    """Another service of the site that the viewer may open."""

    app: str
    title: str
    url: str


class NoticeKind(StrEnum):
    """How a notice looks."""

    INFO = "info"
    WARNING = "warning"


class NoticeView(msgspec.Struct, frozen=True):
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
    notices: tuple[NoticeView, ...] = ()
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


_MIB_PER_GB = 1024


class LaunchForm(msgspec.Struct, frozen=True):
    """What a launch button sends."""

    profile: str = ""
    name: str = ""


class AheadForm(msgspec.Struct, frozen=True):
    """Whether a profile is to be started at log-in."""

    profile: str = ""
    on: str = ""


_NoticeNumber = Annotated[int, PathParameter(ge=0, le=2**63 - 1)]  # what a record can hold


class HomeViews(msgspec.Struct, frozen=True):
    """What the first page is made of."""

    settings: Settings
    sessions: Sessions
    sharing: Sharing
    poller: Poller
    desk: Desk
    companions: Companions

    async def view(
        self, viewer: Viewer, person: Person, now: datetime, *, name: str = "", error: str = ""
    ) -> HomeView:
        """Return a person's page. ``name``: as typed for a launch that was refused by ``error``."""
        uid = person.uid
        own = self.sessions.owned_by(uid)
        notices = await self.desk.notices(uid)
        chosen = await self.desk.chosen(uid)
        return HomeView(
            viewer=viewer,
            now=now,
            profiles=tuple(
                self._choice(person, one, ahead=one.id in chosen) for one in self._offered(person)
            ),
            sessions=tuple([await self._card(seen) for seen in own]),
            shared=tuple(self._shared(seen, one) for seen, one in self.sessions.shared_with(uid)),
            companions=tuple(
                CompanionLink(one.app, one.title, one.path)
                for one in self.companions.open_to(person)
            ),
            notices=(*_drain_notice(self.sessions.drain), *(_notice(one) for one in notices)),
            blocked=self._blocked(person),
            launch_name=name,
            launch_error=error,
        )

    def _offered(self, person: Person) -> list[Profile]:
        return [one for one in self.settings.profiles if access.may_launch(person, one)]

    def _blocked(self, person: Person) -> str:
        """Say why nothing at all can be started, if so."""
        if self.sessions.drain is not None:
            return "Nothing new can be started at present. Running sessions go on."
        offered = self._offered(person)
        shortfalls = [self._refusal(person, one) for one in offered]
        reasons = {refusal_of(shortfall) for shortfall in shortfalls if shortfall is not None}
        only = offered and None not in shortfalls and len(reasons) == 1
        return str(reasons.pop()) if only else ""

    def _refusal(self, person: Person, profile: Profile) -> Shortfall | None:
        """Return why the button would be refused; None: it starts, or waits in the queue."""
        shortfall = self.sessions.launching.shortfall(person, profile)
        if shortfall is not None and profile.queue and shortfall.resource is not Resource.OWN:
            return None
        return shortfall

    def _choice(self, person: Person, profile: Profile, *, ahead: bool) -> ProfileChoice:
        whole = profile.memory_mib / _MIB_PER_GB
        memory = f"{whole:.3g} GB" if whole >= 1 else f"{profile.memory_mib} MB"
        cores = f"{profile.cpus:g} core{'' if profile.cpus == 1 else 's'}"
        shortfall = self._refusal(person, profile)
        queue = self.sessions.queue
        gpus = queue.free_gpus() if profile.gpus else None
        return ProfileChoice(
            id=profile.id,
            title=profile.title,
            description=profile.description,
            resources=f"{cores} · {memory}",
            default=profile.default,
            available=shortfall is None,
            why_not=str(refusal_of(shortfall)) if shortfall else "",
            ahead=ahead if profile.start_ahead else None,
            queue=queue.waiting_for(profile.id) if profile.queue else None,
            gpus="" if gpus is None else f"GPU: {gpus} free",
        )

    async def _card(self, seen: Observed) -> SessionCard:
        sessions = self.sessions
        profile = sessions.profile_of(seen)
        phase = sessions.phase(seen)
        return SessionCard(
            id=seen.session.id,
            profile=seen.session.profile,
            profile_title=profile.title,
            phase=phase,
            url=routes.session_url(seen.session.id, self.settings),
            started=seen.session.created_at,
            name=seen.session.name,
            message=str(sessions.message(seen)),
            last_used=sessions.usage.last_activity(seen) if phase is Phase.READY else None,
            stops_after=timedelta(seconds=profile.idle_seconds) if profile.idle_seconds else None,
            ends=sessions.usage.expires(seen),
            failure=await failure_view(sessions, seen, log=True),
            watching=self._watching(seen),
            shared_with=len(self.sharing.invitations.guests(seen)),
            warning=self._warning(seen),
            ahead=sessions.usage.is_ahead(seen),
            place=sessions.queue.place(seen),
            can_share=self.settings.sharing and phase in {Phase.READY, Phase.STARTING},
            saves_long=sessions.stopping.saves_long(seen),
        )

    def _watching(self, seen: Observed) -> tuple[str, ...]:
        """Say who else is connected."""
        names = {
            one.share.uid: one.share.display_name for one in self.sharing.invitations.guests(seen)
        }
        others = {
            one.user: one.role
            for one in self.poller.clients(seen.session.id)
            if one.user != seen.session.owner
        }
        return tuple(
            f"{names.get(user, user)} {'has control' if role is Role.CONTROL else 'is watching'}"
            for user, role in others.items()
        )

    def _warning(self, seen: Observed) -> StopWarning | None:
        warned = self.sessions.usage.warned(seen)
        if warned is None:
            return None
        reason, at = warned
        return StopWarning(at=at, why="lifetime" if reason is Reason.LIFETIME else "unused")

    def _shared(self, seen: Observed, share: Share) -> SharedCard:
        return SharedCard(
            id=seen.session.id,
            owner=seen.session.owner,
            profile_title=self.sessions.profile_of(seen).title,
            phase=self.sessions.phase(seen),
            url=routes.session_url(seen.session.id, self.settings),
            role=share.role,
            name=seen.session.name,
            can_ask=share.role is Role.VIEW,
            asked=share.asks,
            until=None if share.expires is None else moment(share.expires),
        )


def _drain_notice(drain: Drain | None) -> tuple[NoticeView, ...]:
    """Return what everybody is told during a drain."""
    if drain is None:
        return ()
    kind = NoticeKind.WARNING
    said = notices.draining(drain)
    if drain.stop_at is None:
        return (NoticeView("drain", str(said), kind=kind, dismissable=False),)
    text, more = said.around("at")
    at = moment(drain.stop_at)
    return (NoticeView("drain", text, at=at, more=more, kind=kind, dismissable=False),)


def _notice(notice: Notice) -> NoticeView:
    at = moment(notice.at)
    return NoticeView(id=str(notice.number), text=notice.text, at=at, more=notice.more)


@get("/")
async def home(
    views: NamedDependency[HomeViews],
    screen: NamedDependency[Screen],
    caller: NamedDependency[Caller],
) -> Response[str]:
    """Show a person's sessions and what they may start."""
    return screen.page(await views.view(screen.viewer, caller.person, screen.now))


@post("/launch", status_code=303)
async def launch(
    *,
    settings: NamedDependency[Settings],
    sessions: NamedDependency[Sessions],
    views: NamedDependency[HomeViews],
    screen: NamedDependency[Screen],
    caller: NamedDependency[Caller],
    data: Annotated[LaunchForm, Form],
) -> Response[str]:
    """Start a session and show its progress."""
    person = caller.person
    try:
        profile = access.choose_profile(settings, person, data.profile)
        seen = await sessions.launching.launch(person, profile, data.name, by=caller.actor)
    except SessionExists as error:
        return Redirect(f"/starting/{error.session_id}", status_code=303)
    except (Refused, Unavailable) as error:
        view = await views.view(
            screen.viewer, person, screen.now, name=data.name[:200], error=str(error)
        )
        return screen.refusal(view, error)
    return Redirect(f"/starting/{seen.session.id}", status_code=303)


@post("/ahead", status_code=303)
async def set_ahead(
    settings: NamedDependency[Settings],
    desk: NamedDependency[Desk],
    caller: NamedDependency[Caller],
    data: Annotated[AheadForm, Form],
) -> Response[str]:
    """Choose whether a profile is started at log-in."""
    profile = access.choose_profile(settings, caller.person, data.profile)
    if profile.start_ahead:
        await desk.choose(caller.person.uid, profile, on=bool(data.on))
    return Redirect("/", status_code=303)


@post("/notices/{number:int}/dismiss", status_code=303)
async def dismiss(
    desk: NamedDependency[Desk], caller: NamedDependency[Caller], number: _NoticeNumber
) -> Response[str]:
    """Put a notice away."""
    await desk.put_away(caller.person.uid, number)
    return Redirect("/", status_code=303)


def home_router(services: Services) -> Router:
    """Return the first page, and what its buttons do."""
    views = HomeViews(
        services.settings,
        services.sessions,
        services.sharing,
        services.poller,
        services.desk,
        services.companions,
    )
    return Router(
        "/",
        route_handlers=[home, launch, set_ahead, dismiss],
        dependencies={"views": constant(views)},
    )
