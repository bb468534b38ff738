"""What changes between two moments, and that it says everything."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from controller.core.model import Person, Phase, Role, SessionId, UserId
from controller.core.records import Login
from controller.gate.facts import (
    Change,
    Extra,
    Facts,
    FromController,
    Guest,
    SessionFacts,
    change_between,
    settings_for_gates,
)
from controller.settings.schema import Ldap, Settings
from tests.support.samples import settings

_uids = st.sampled_from([UserId(one) for one in ("alice", "bob", "carol")])
_roles = st.sampled_from([Role.VIEW, Role.CONTROL])
_guests = st.dictionaries(_uids, st.builds(Guest, _roles, st.none() | st.floats(0, 1e10)))
_sessions = st.dictionaries(
    st.sampled_from([SessionId(one * 26) for one in "abcd"]),
    st.tuples(_uids, st.sampled_from(Phase), _guests),
).map(lambda found: {key: SessionFacts(key, *one) for key, one in found.items()})
_logins = st.dictionaries(
    st.sampled_from(["1", "2", "3"]), st.tuples(_uids, st.floats(0, 1e10))
).map(
    lambda found: {
        sid: Login(sid, Person(uid, uid), created=0.0, expires=expires)
        for sid, (uid, expires) in found.items()
    }
)
_extra = st.builds(Extra, st.binary(max_size=3), st.binary(max_size=3), st.just(()), st.binary())
_facts = st.builds(Facts, _sessions, _logins, st.integers(0, 5), _extra)


@dataclass
class Copy:
    """What somebody knows who was told every change."""

    sessions: dict[SessionId, SessionFacts] = field(default_factory=dict[SessionId, SessionFacts])
    logins: dict[str, Login] = field(default_factory=dict[str, Login])
    revision: int = 0
    extra: Extra | None = None

    def apply(self, change: Change) -> None:
        """Know this, too."""
        self.sessions |= {one.id: one for one in change.sessions}
        self.logins |= {one.sid: one for one in change.logins}
        for session_id in change.gone:
            del self.sessions[session_id]
        for sid in change.ended:
            del self.logins[sid]
        if change.revision is not None:
            self.revision = change.revision
        if change.extra is not None:
            self.extra = change.extra


@given(st.lists(_facts, min_size=1, max_size=5))
def test_changes_lead_to_the_same(moments: list[Facts]) -> None:
    """A gate that was told every change knows what the controller knows."""
    known = Copy()
    before = Facts({}, {}, 0, Extra(b"", b""))
    for number, after in enumerate(moments):
        change = change_between(before, after, number)
        sent = msgspec.msgpack.decode(msgspec.msgpack.encode(change), type=FromController)
        assert sent == change
        known.apply(change)
        assert known.sessions == after.sessions
        assert known.logins == after.logins
        assert known.revision == after.revision
        before = after


@given(_facts)
def test_nothing_new(facts: Facts) -> None:
    """Nothing is told where nothing has changed."""
    assert change_between(facts, facts, 1).is_empty


def test_gates_get_no_secrets() -> None:
    """What only the controller needs is not handed to gates."""
    configured = msgspec.structs.replace(
        settings(session_domain="sessions.example.org"),
        ldap=Ldap(url="ldaps://dc.example.org", bind_dn="cn=hub", bind_password="hidden"),
        demo_bind_password="hidden",
    )
    told = settings_for_gates(configured)
    assert b"hidden" not in msgspec.msgpack.encode(told)
    assert b"dc.example.org" not in msgspec.msgpack.encode(told)
    for name in ("instance", "secure", "hosts", "sessions_at", "public_url", "extra_urls"):
        assert getattr(told, name) == getattr(configured, name)
    assert isinstance(told, Settings)
