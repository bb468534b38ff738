"""The API: logging in and out, and what somebody may use."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import Body, FromPath, FromQuery, JSONBody

from controller.core.model import moment
from controller.people.desk import Desk
from controller.people.logins import Logins
from controller.people.standing import login_id
from controller.people.tokens import Audience
from controller.people.user_agent import agent_words
from controller.rules import access
from controller.settings.schema import Settings
from controller.web import logins as web_logins
from controller.web.answers import AnyRequest
from controller.web.caller import Caller
from controller.web.companions import Companions


class LoginIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user name and password of the directory."""

    username: Annotated[str, msgspec.Meta(max_length=256)]
    password: Annotated[str, msgspec.Meta(max_length=1024)]


class LoginOut(msgspec.Struct, frozen=True):
    """Send ``token`` as ``Authorization: Bearer`` until ``expires_at``."""

    token: str
    expires_at: datetime


class Me(msgspec.Struct, frozen=True):
    """Who you are to the hub."""

    user: str
    display_name: str
    groups: list[str]
    admin: bool


class LoginSeenOut(msgspec.Struct, frozen=True):
    """One of your log-ins. ``current``: it is the one that asks.

    ``client``: the browser in plain words, or "Script"; ``last_seen_at`` is right to a few minutes.
    """

    id: str
    client: str
    user_agent: str
    address: str
    since: datetime
    last_seen_at: datetime
    expires_at: datetime
    current: bool


class LoginsOut(msgspec.Struct, frozen=True):
    """All your log-ins, the last used first."""

    items: list[LoginSeenOut]


# ``admin`` has one of this name, too. In the API's document each has a fixed key: one that is made
# of the module's name would change when the module moves.
class LoggedOutOut(msgspec.Struct, frozen=True):
    """How many of your log-ins were ended."""

    ended: int


class ProfileOut(msgspec.Struct, frozen=True):
    """Something that you may launch."""

    id: str
    title: str
    description: str
    default: bool
    cpus: float
    memory_mib: int


class ProfilesOut(msgspec.Struct, frozen=True):
    """All that you may launch."""

    items: list[ProfileOut]


class CompanionOut(msgspec.Struct, frozen=True):
    """Another service of the site that you may use with the hub's log-in."""

    name: str
    title: str
    url: str


class CompanionsOut(msgspec.Struct, frozen=True):
    """All that you may use."""

    items: list[CompanionOut]


class AheadIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether a profile is started for you when you log in."""

    on: bool


@post("/login", status_code=200, summary="Log in", security=[])
async def log_in(
    request: AnyRequest, logins: NamedDependency[Logins], data: JSONBody[LoginIn]
) -> LoginOut:
    """Exchange user name and password for a token."""
    entry = await web_logins.log_in(logins, request, data.username, data.password, Audience.API)
    return LoginOut(entry.token, moment(entry.login.expires))


@post("/logout", status_code=204, summary="Log out")
async def log_out(logins: NamedDependency[Logins], caller: NamedDependency[Caller]) -> None:
    """End this log-in. Sessions go on."""
    await web_logins.log_out(logins, caller)


@put("/profiles/{profile_id:str}/ahead", status_code=204, summary="Start a profile at log-in")
async def set_ahead(
    settings: NamedDependency[Settings],
    desk: NamedDependency[Desk],
    caller: NamedDependency[Caller],
    profile_id: FromPath[str],
    data: JSONBody[AheadIn],
) -> None:
    """Choose whether a profile is started for you when you log in, where it offers that."""
    profile = access.choose_profile(settings, caller.person, profile_id)
    await desk.choose(caller.person.uid, profile, on=data.on)


@get("/me", summary="My account")
async def me(caller: NamedDependency[Caller]) -> Me:
    """Return what the directory said of you at log-in."""
    person = caller.person
    return Me(person.uid, person.display_name, sorted(person.groups), person.admin)


@get("/me/logins", summary="My log-ins", sync_to_thread=False)
def my_logins(logins: NamedDependency[Logins], caller: NamedDependency[Caller]) -> LoginsOut:
    """Return all your log-ins, of browsers and of scripts."""
    return LoginsOut(
        [
            LoginSeenOut(
                id=login_id(one),
                client=agent_words(one.agent, script=one.script),
                user_agent=one.agent,
                address=one.address,
                since=moment(one.created),
                last_seen_at=moment(one.seen),
                expires_at=moment(one.expires),
                current=one.sid == caller.login.sid,
            )
            for one in logins.standing.of_person(caller.person.uid)
        ]
    )


@delete("/me/logins/{login:str}", status_code=204, summary="End a log-in")
async def end_login(
    logins: NamedDependency[Logins], caller: NamedDependency[Caller], login: FromPath[str]
) -> None:
    """End one of your log-ins and close what it has open. Sessions go on."""
    await web_logins.end_login(logins, caller, login)


@delete("/me/logins", status_code=200, summary="Log out everywhere")
async def end_logins(
    logins: NamedDependency[Logins],
    caller: NamedDependency[Caller],
    but_here: FromQuery[bool] = False,
) -> Annotated[LoggedOutOut, Body(schema_component_key="api_LoggedOutOut")]:
    """End all your log-ins, also those of scripts; ``but_here``: all except the one that asks."""
    return LoggedOutOut(await web_logins.log_out_everywhere(logins, caller, but_here=but_here))


@get("/profiles", summary="My profiles")
async def profiles(
    settings: NamedDependency[Settings], caller: NamedDependency[Caller]
) -> ProfilesOut:
    """Return the profiles that are open to you."""
    return ProfilesOut(
        [
            ProfileOut(one.id, one.title, one.description, one.default, one.cpus, one.memory_mib)
            for one in settings.profiles
            if access.may_launch(caller.person, one)
        ]
    )


@get("/apps", summary="My other services")
async def apps(
    companions: NamedDependency[Companions], caller: NamedDependency[Caller]
) -> CompanionsOut:
    """Return the other services of the site that are open to you."""
    found = companions.open_to(caller.person)
    return CompanionsOut(
        [CompanionOut(one.app, one.title, caller.public_url + one.path) for one in found]
    )
