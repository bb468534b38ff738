"""Begins and ends log-ins for the handlers."""

from __future__ import annotations

from controller.core.records import Login
from controller.people.entering import FreshLogin
from controller.people.logins import Logins
from controller.people.tokens import Audience
from controller.web.answers import AnyRequest
from controller.web.caller import Caller, client_address


async def log_in(
    logins: Logins, request: AnyRequest, username: str, password: str, audience: Audience
) -> FreshLogin:
    """Log a person in by password. Raises what ``Entering.enter`` does."""
    return await logins.entering.enter(
        username,
        password,
        address=client_address(request),
        audience=audience,
        agent=request.headers.get("user-agent", ""),
    )


async def end_login(logins: Logins, caller: Caller, id_: str) -> Login:
    """End one of the caller's log-ins, and close its connections; valid ones reconnect.

    Raises NoSuchLogin, NotWrittenDown.
    """
    login = logins.standing.find(caller.person.uid, id_)
    reason = "asked" if login.sid == caller.login.sid else "elsewhere"
    await logins.leave(login, by=caller.actor, reason=reason)
    return login


async def log_out_everywhere(logins: Logins, caller: Caller, *, but_here: bool) -> int:
    """End all log-ins of the caller, or all but this one, scripts' too; return how many.

    Raises NotWrittenDown.
    """
    return await logins.revoke(
        caller.person.uid,
        by=caller.actor,
        reason="everywhere",
        but=caller.login if but_here else None,
    )


async def log_out(logins: Logins, caller: Caller) -> None:
    """End the caller's log-in, and close its connections; valid ones reconnect.

    Raises NotWrittenDown.
    """
    await logins.leave(caller.login, by=caller.actor, reason="asked")
