"""The banners inside sessions: warnings before a stop, and standing banners.

A session shows one banner at a time. A warning comes first. Standing banners say that an
administrator is viewing, that the hub is draining, and what administrators have written.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta

import anyio
import structlog

from controller.core.model import Observed, Phase, SessionId
from controller.core.records import Share
from controller.core.sentence import Sentence
from controller.rules import notices
from controller.rules.lifecycle import Warned
from controller.sessions.gateway import Gateway
from controller.sessions.grants import Grants
from controller.sessions.registry import Registry
from controller.sessions.rule_book import RuleBook

_AT_ONCE = 8  # banners that are sent at the same time

Said = tuple[Sentence, ...]
"""What one banner says."""

_log = structlog.get_logger("sessions")


class Banners:
    """What sessions show to everybody who is in them."""

    def __init__(
        self,
        registry: Registry,
        gateway: Gateway,
        grants: Grants,
        rules: RuleBook,
        *,
        clock: Callable[[], float],
        wall: Callable[[], datetime],
    ) -> None:
        """``clock``: monotonic seconds; ``wall``: UTC now."""
        self._registry = registry
        self._gateway = gateway
        self._grants = grants
        self._rules = rules
        self._clock = clock
        self._wall = wall
        self._begun = wall()
        self._swept = False
        self._shown: dict[SessionId, Said | None] = {}  # None: it is not known what
        self._limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def warn(self, seen: Observed, warned: Warned) -> None:
        """Tell everybody in a session that it will be stopped."""
        _log.info("session_warned", session=seen.session.id, reason=warned.reason.value)
        until = self._wall() + timedelta(seconds=warned.stop - self._clock())
        await self._show(seen, (notices.about_to_stop(warned.reason),), until)

    async def withdraw_warning(self, seen: Observed) -> None:
        """Take a warning back; the standing banner comes back with the next round."""
        await self._show(seen, (), None)
        self._shown.pop(seen.session.id, None)

    async def tell_of_looker(self, seen: Observed, name: str) -> bool:
        """Tell everybody in a session that somebody is viewing; False: they could not be told."""
        told = (notices.looking_on(name),)
        if not await self._show(seen, told, None):
            return False
        self._shown[seen.session.id] = told  # the standing banner comes back later
        return True

    async def show_anew(self, seen: Observed) -> bool:
        """Show a session's standing banner, even if it showed the same before.

        False: it cannot, does not answer, or shows a warning.
        """
        self._shown.pop(seen.session.id, None)
        return await self.show_standing(seen)

    async def show_standing(self, seen: Observed) -> bool:
        """Show a session's standing banner, unless it shows it already, or a warning."""
        standing = self._standing(seen)
        session_id = seen.session.id
        if self._shown.get(session_id, ()) == standing:
            return True
        known = self._registry.get(session_id)
        if known is not None and known.activity.warned is not None:
            return False
        async with self._limiter:
            shown = await self._show(seen, standing, None)
        if shown:
            self._shown[session_id] = standing
        return shown

    async def show_all(self, *, anew: bool = False) -> None:
        """Show standing banners where they are not shown yet; ``anew``: everywhere.

        Another controller may have shown something else.
        """
        if anew:
            self._shown = {one.session.id: None for one in self._registry.all()}
        async with anyio.create_task_group() as group:
            for seen in self._registry.all():
                if self._registry.phase(seen) is Phase.READY:
                    group.start_soon(self.show_standing, seen)

    async def sweep(self) -> None:
        """Show standing banners where they are not shown yet, and end expired ones.

        Raises StoreUnavailable.
        """
        living = {one.session.id for one in self._registry.all()}
        self._shown = {one: said for one, said in self._shown.items() if one in living}
        if not self._swept:
            self._swept = True
            for seen in self._registry.all():
                # An earlier controller may have shown a banner that has expired.
                if seen.session.created_at < self._begun:
                    self._shown.setdefault(seen.session.id, None)
        await self.show_all()
        await self._forget_messages(living)

    async def _forget_messages(self, living: Collection[SessionId]) -> None:
        now = self._wall().timestamp()
        await self._rules.forget_messages(
            [
                one
                for one, message in self._rules.rules.messages.items()
                if one not in living or now >= message.until
            ]
        )

    def _standing(self, seen: Observed) -> Said:
        """Return the standing banner of a session."""
        rules = self._rules.rules
        said = [notices.looking_on(one.display_name) for one in self.lookers(seen.session.id)]
        if rules.drain is not None:
            said.append(notices.draining_inside(rules.drain))
        message = rules.messages.get(seen.session.id)
        if message is not None and self._wall().timestamp() < message.until:
            said.append(Sentence("{text}", text=message.text))
        return tuple(said)

    def lookers(self, session_id: SessionId) -> list[Share]:
        """Return the administrators who are viewing a session."""
        return [one for one in self._grants.of_session(session_id) if one.look]

    async def _show(self, seen: Observed, said: Said, until: datetime | None) -> bool:
        """Show a banner in a session, an empty one removes it; False: that does not work now."""
        if not self._registry.profile_of(seen).endpoints:
            return False
        text = " ".join(str(one) for one in said)
        shown = await self._gateway.notice(seen.session.id, text, until)
        if not shown:
            _log.warning("notice_not_shown", session=seen.session.id)
        return shown
