"""What sessions show to everybody who is in them, one banner at a time."""

from __future__ import annotations

import pytest

from controller.core.model import Observed, UserId
from controller.core.records import Drain, Message, Reason
from controller.rules.lifecycle import Warned
from controller.sessions.gateway import Inside
from tests.support.fakes.parts import Parts
from tests.support.samples import session

pytestmark = pytest.mark.anyio


@pytest.fixture
def parts() -> Parts:
    """Give the parts of a hub with one session that is ready."""
    made = Parts()
    seen = Observed(session=session(created_at=made.now), running=True)
    made.show(seen)
    known = made.registry.get(seen.session.id)
    assert known is not None
    known.served = True
    made.registry.put(seen)
    return made


def shown(parts: Parts) -> list[str]:
    """Return what was shown, in its order."""
    return [text for _, text, _ in parts.gateway.notices]


def drain(parts: Parts) -> Drain:
    """Return the emptying of the hub, said just now."""
    return Drain(UserId("carol"), parts.now.timestamp(), "Back at noon.", None)


async def test_what_stands_is_shown_once(parts: Parts) -> None:
    """A banner that is seen is not sent again with each round."""
    await parts.sessions.rule_book.set_drain(drain(parts))
    for _ in range(3):
        await parts.sessions.banners.sweep()
    (text,) = shown(parts)
    assert text.startswith("Back at noon.")


async def test_a_warning_comes_before_what_stands(parts: Parts) -> None:
    """While people are warned of a stop nothing covers that; then what stood there comes back."""
    (seen,) = parts.sessions.all()
    warned = Warned(Reason.IDLE, parts.seconds, parts.seconds + 300)
    await parts.sessions.warn(seen, warned)
    await parts.sessions.rule_book.set_drain(drain(parts))
    await parts.sessions.banners.sweep()
    assert len(shown(parts)) == 1
    await parts.sessions.withdraw_warning(seen)
    await parts.sessions.banners.sweep()
    assert [bool(text) for text in shown(parts)] == [True, False, True]


async def test_a_message_is_over_after_its_time(parts: Parts) -> None:
    """What an administrator said goes away by itself."""
    (seen,) = parts.sessions.all()
    message = Message("Please save.", parts.now.timestamp() + 600)
    await parts.sessions.rule_book.set_message(seen.session.id, message)
    await parts.sessions.banners.sweep()
    parts.spend(601)
    await parts.sessions.banners.sweep()
    assert shown(parts) == ["Please save.", ""]
    assert parts.sessions.rule_book.rules.messages == {}


async def test_a_session_that_does_not_answer_is_shown_it_later(parts: Parts) -> None:
    """What could not be shown is tried again with the next round."""
    (seen,) = parts.sessions.all()
    parts.gateway.insides[seen.session.id] = None
    await parts.sessions.rule_book.set_drain(drain(parts))
    await parts.sessions.banners.sweep()
    assert shown(parts) == []
    parts.gateway.insides[seen.session.id] = Inside()
    await parts.sessions.banners.sweep()
    assert len(shown(parts)) == 1
