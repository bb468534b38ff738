"""Sessions that are started when their owner logs in, so that they find them running."""

from __future__ import annotations

import structlog

from controller.core.errors import HubError
from controller.core.model import Person
from controller.core.records import Actor
from controller.people.desk import Desk
from controller.sessions.sessions import Sessions

_log = structlog.get_logger("sessions")


class StartAhead:
    """Starts what people have chosen. A log-in never fails for it."""

    def __init__(self, sessions: Sessions, desk: Desk) -> None:
        self._sessions = sessions
        self._desk = desk

    async def start(self, person: Person, by: Actor) -> None:
        """Start what this person wants to find running, and has not yet."""
        try:
            wanted = await self._desk.wanted(person)
        except HubError as error:
            _log.info("not_started_ahead", user=person.uid, why=error.in_full)
            return
        there = [one.session for one in self._sessions.owned_by(person.uid)]
        for profile in wanted:
            if any(one.profile == profile.id for one in there):
                continue
            # One of them goes without a name, as it does at a press.
            name = profile.title if any(not one.name for one in there) else ""
            try:
                seen = await self._sessions.launching.launch(
                    person, profile, name, by=by, ahead=True
                )
            except HubError as error:
                _log.info("not_started_ahead", user=person.uid, why=error.in_full)
            else:
                there.append(seen.session)
