"""Records that the tests of the stores keep."""

from __future__ import annotations

from controller.core.model import Person, Role, UserId
from controller.core.records import Link, Login, Share
from tests.support.fakes.directory import PEOPLE
from tests.support.samples import session_id

ALICE, BOB = UserId("alice"), UserId("bob")
LOGIN = Login("sid-1", PEOPLE["carol"], created=100.0, expires=200.0)
ONE, TWO = session_id(1), session_id(2)
SHARE = Share(ONE, BOB, Role.VIEW, "Bob Baker", created=100.0)
LINK = Link("link-1", ONE, Role.CONTROL, created=100.0, expires=200.0, max_uses=2)


def someone(uid: UserId) -> Person:
    """Return a person of whom the directory knows this name only."""
    return Person(uid, uid)
