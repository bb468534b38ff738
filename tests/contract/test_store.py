"""What every store remembers: log-ins, failures, notices, starts, tickets, decisions and gates."""

from __future__ import annotations

import time

import pytest
from msgspec.structs import replace

from controller.core.errors import StoreUnavailable
from controller.core.model import Mount, Person, UserId
from controller.core.records import Drain, Gate, Memo, Message, Rules, Ticket
from controller.store import GATES_MOST, Store
from tests.contract.conftest import Opened
from tests.contract.records import ALICE, BOB, LINK, LOGIN, ONE, SHARE, TWO, someone
from tests.support.fakes.directory import PEOPLE
from tests.support.samples import session, session_id

pytestmark = pytest.mark.anyio

AGENT = "Größe \U0001f9e0 '; DROP TABLE login; --"


async def test_logins(store: Store) -> None:
    """A log-in is kept whole until it is over or ended."""
    other = replace(LOGIN, sid="sid-2", expires=300.0)
    await store.add_login(LOGIN)
    await store.add_login(other)
    assert sorted(await store.logins(150), key=lambda one: one.sid) == [LOGIN, other]
    assert await store.logins(200) == [other]
    await store.remove_login("sid-2")
    await store.remove_login("sid-2")
    assert await store.logins(0) == []


async def test_how_much_is_read(opened: Opened) -> None:
    """Who reads log-ins is told of all that was written before, by whichever controller."""
    one, other = opened(), opened()
    made = await one.add_login(LOGIN)
    read = await other.read_logins()
    assert read.logins == (replace(LOGIN, revision=made),)
    assert read.revision >= made
    await other.remove_login(LOGIN.sid)
    again = await one.read_logins()
    assert not again.logins
    assert again.revision >= read.revision


async def test_one_login_of_an_id(store: Store) -> None:
    """A second log-in of the same id is a fault, not another person's log-in."""
    await store.add_login(LOGIN)
    with pytest.raises(StoreUnavailable):
        await store.add_login(replace(LOGIN, person=PEOPLE["bob"]))
    assert await store.logins(150) == [LOGIN]


async def test_failures(store: Store) -> None:
    """Failures are counted for each key, for a while, until they are forgiven."""
    for at in (30.0, 10.0, 20.0):
        await store.add_failure("user:alice@a", at)
    await store.add_failure("address:a", 15.0)
    assert await store.failures("user:alice@a", 10.0) == [20.0, 30.0]
    assert await store.failures("address:a", 0.0) == [15.0]
    assert await store.failures("user:ALICE@a", 0.0) == []
    await store.clear_failures("user:alice@a")
    assert await store.failures("user:alice@a", 0.0) == []
    assert await store.failures("address:a", 0.0) == [15.0]


async def test_all_failures(store: Store) -> None:
    """Who has failed lately is told with all of it, by key; what was forgiven is not."""
    assert await store.all_failures(0.0) == {}
    for who, at in (("user:a@b@::/64", 30.0), ("user:a@b@::/64", 10.0), ("address:a", 20.0)):
        await store.add_failure(who, at)
    assert await store.all_failures(0.0) == {"user:a@b@::/64": [10.0, 30.0], "address:a": [20.0]}
    assert await store.all_failures(15.0) == {"user:a@b@::/64": [30.0], "address:a": [20.0]}
    await store.clear_failures("user:a@b@::/64")
    assert await store.all_failures(15.0) == {"address:a": [20.0]}
    assert await store.all_failures(20.0) == {}


async def test_where_somebody_is_logged_in(store: Store) -> None:
    """Of a log-in is kept from where it is, with what, and when it was last used."""
    whole = replace(LOGIN, address="2001:db8::1", agent=AGENT, script=True, seen=110.0, key="k")
    other = replace(LOGIN, sid="sid-2")
    for login in (whole, other):
        await store.add_login(login)
    await store.set_seen("sid-1", 150.0)
    await store.set_seen("sid-1", 120.0)  # of a controller that was slow to tell
    found = sorted(await store.logins(150), key=lambda one: one.sid)
    assert found == [replace(whole, seen=150.0), other]
    await store.remove_login("sid-1")
    await store.set_seen("sid-1", 160.0)
    assert await store.logins(150) == [other]


async def test_notices(store: Store) -> None:
    """A person's newest notices are kept until they put them away; others cannot."""
    for number in range(8):
        await store.add_notice(ALICE, f"notice {number}", "more", float(number))
    await store.add_notice(BOB, "for bob", "", 9.0)
    found = await store.notices(ALICE)
    assert [one.text for one in found] == [f"notice {number}" for number in (7, 6, 5, 4, 3)]
    assert [one.at for one in found] == [7.0, 6.0, 5.0, 4.0, 3.0]
    await store.remove_notice(BOB, found[0].number)
    assert await store.notices(ALICE) == found
    await store.remove_notice(ALICE, found[0].number)
    assert await store.notices(ALICE) == found[1:]
    assert [one.text for one in await store.notices(BOB)] == ["for bob"]


async def test_starts(store: Store) -> None:
    """How long the last starts of a profile took is remembered, older ones are not."""
    for number in range(30):
        await store.add_start("slicer", float(number), 1000.0 + number)
    await store.add_start("other", 5.0, 1.0)
    assert sorted(await store.starts("slicer")) == [float(number) for number in range(10, 30)]
    assert await store.starts("other") == [5.0]
    assert await store.starts("none") == []


async def test_people_change(store: Store) -> None:
    """What the directory says anew of somebody stands in all their log-ins and in no other's."""
    second = replace(LOGIN, sid="sid-2", expires=300.0)
    bobs = replace(LOGIN, sid="sid-3", person=PEOPLE["bob"])
    for login in (LOGIN, second, bobs):
        await store.add_login(login)
    demoted = Person(PEOPLE["carol"].uid, "Carol Clarke", frozenset({"slicer-users"}))
    await store.set_person(demoted)
    await store.set_person(Person(UserId("nobody"), "Nobody"))
    found = sorted(await store.logins(150), key=lambda one: one.sid)
    assert found == [replace(LOGIN, person=demoted), replace(second, person=demoted), bobs]


async def test_memos(store: Store) -> None:
    """What one controller writes down for the next replaces everything that it wrote before."""
    assert await store.memos() == {}
    first = Memo(age=10.5, idle=1.25, served=True, ahead=True, input="2026-03-05T14:05:00Z")
    await store.put_memos({ONE: first, TWO: Memo(1.0, 0.0, served=False)})
    assert await store.memos() == {ONE: first, TWO: Memo(1.0, 0.0, served=False)}
    await store.put_memos({ONE: replace(first, age=20.5)})
    assert await store.memos() == {ONE: replace(first, age=20.5)}
    assert await store.others_memos() == {}
    await store.put_memos({})
    assert await store.memos() == {}


async def test_tickets(store: Store) -> None:
    """The line is kept in its order, with everything that the sessions will be."""
    whole = replace(
        session(3, name="thèse 🧠"), volumes=(Mount("atlas", writable=True),), groups=("gpu",)
    )
    tickets = [Ticket(session(2), 5.0), Ticket(session(1), 6.0), Ticket(whole, 7.5)]
    for ticket in tickets:
        await store.add_ticket(ticket)
    assert tickets == await store.tickets()
    with pytest.raises(StoreUnavailable):
        await store.add_ticket(tickets[0])
    await store.remove_ticket(session_id(2))
    await store.remove_ticket(session_id(2))
    await store.add_ticket(Ticket(session(2), 8.0))
    assert await store.tickets() == [*tickets[1:], Ticket(session(2), 8.0)]


async def test_started_ahead(store: Store) -> None:
    """Each person's choice of what is started when they log in is kept until they change it."""
    for _ in range(2):
        await store.set_ahead(ALICE, "slicer", on=True)
    await store.set_ahead(ALICE, "gpu", on=True)
    await store.set_ahead(BOB, "gpu", on=True)
    assert await store.ahead(ALICE) == {"slicer", "gpu"}
    for _ in range(2):
        await store.set_ahead(ALICE, "gpu", on=False)
    assert await store.ahead(ALICE) == {"slicer"}
    assert await store.ahead(BOB) == {"gpu"}
    assert await store.ahead(UserId("carol")) == frozenset()


async def test_hostile_text(store: Store) -> None:
    """What people type is data and never SQL."""
    name = "'); DROP TABLE login; --\x00"
    await store.add_failure(name, 1.0)
    await store.add_login(replace(LOGIN, sid=name))
    assert await store.failures(name, 0.0) == [1.0]
    assert [one.sid for one in await store.logins(150)] == [name]


async def test_reopened(opened: Opened) -> None:
    """Everything is there after a restart, and after a kill: it was on disk before."""
    killed = opened()
    await killed.add_login(LOGIN)
    await killed.add_link(LINK, "digest")
    await killed.use_link("digest", someone(BOB), 150)
    await killed.add_share(SHARE)
    await killed.put_memos({ONE: Memo(1.0, 2.0, served=True)})
    await killed.add_ticket(Ticket(session(2), 5.0))
    again = opened()
    assert await again.logins(150) == [LOGIN]
    assert await again.shares() == [SHARE]
    assert await again.links(ONE) == [replace(LINK, uses=1)]
    assert await again.use_link("digest", someone(BOB), 150) is None
    assert await again.memos() == {ONE: Memo(1.0, 2.0, served=True)}
    assert await again.tickets() == [Ticket(session(2), 5.0)]
    await again.ping()


async def test_rules(opened: Opened) -> None:
    """What administrators decide holds until they take it back, also after a restart."""
    store = opened()
    assert await store.rules() == Rules()
    drain = Drain(ALICE, since=100.0, message="Größe", stop_at=200.0)
    await store.set_drain(Drain(BOB, since=50.0))
    await store.set_drain(drain)
    await store.set_quota(ALICE, 5)
    await store.set_quota(ALICE, 0)
    await store.set_quota(BOB, 2)
    assert await opened().rules() == Rules(drain, {ALICE: 0, BOB: 2})
    await store.set_quota(BOB, None)
    await store.set_drain(None)
    await store.set_drain(None)
    assert await opened().rules() == Rules(None, {ALICE: 0})
    await store.set_quota(ALICE, None)
    assert await store.rules() == Rules()


async def test_messages(opened: Opened) -> None:
    """What stands in a session is remembered until it is removed, beside all other rules."""
    store = opened()
    await store.set_quota(ALICE, 2)
    await store.set_message(ONE, Message("Größe", until=100.0))
    await store.set_message(ONE, Message("Later", until=200.0))
    await store.set_message(TWO, Message("Lunch", until=300.0))
    messages = {ONE: Message("Later", 200.0), TWO: Message("Lunch", 300.0)}
    assert await opened().rules() == Rules(None, {ALICE: 2}, messages)
    for _ in range(2):
        await store.set_message(ONE, None)
    assert (await opened().rules()).messages == {TWO: Message("Lunch", 300.0)}


async def test_gates(opened: Opened) -> None:
    """A controller that has just started knows which gates there may be, each in its last start."""
    store = opened()
    assert await store.gates() == ()
    now = time.time()
    second, first = Gate("gate-2", "boot-a", now + 0.25), Gate("gate-1", "boot-b", now)
    for gate in (second, first, first):
        await store.put_gate(gate)
    assert await opened().gates() == (first, second)
    restarted = Gate("gate-2", "boot-c", now + 1.0)
    await store.put_gate(restarted)
    assert await opened().gates() == (first, restarted)


async def test_a_gate_says_goodbye(opened: Opened) -> None:
    """A gate that ends is forgotten; a goodbye of an earlier start changes nothing."""
    store = opened()
    now = time.time()
    first, restarted = Gate("gate-1", "boot-a", now), Gate("gate-1", "boot-b", now)
    other = Gate("gate-2", "boot-a", now)
    await store.remove_gate(first)
    for gate in (first, restarted, other):
        await store.put_gate(gate)
    await store.remove_gate(first)
    assert await opened().gates() == (restarted, other)
    for _ in range(2):
        await store.remove_gate(restarted)
    assert await opened().gates() == (other,)
    again = replace(other, since=now + 1.25)
    await store.put_gate(again)
    await store.remove_gate(other)  # it was given up where it was before
    assert await opened().gates() == (again,)
    await store.remove_gate(again)
    assert await opened().gates() == ()


async def test_a_full_roster(store: Store) -> None:
    """One gate too many is refused with the reason, and no other is forgotten for it."""
    now = time.time()
    gates = [Gate(f"gate-{number:02}", "boot-a", now) for number in range(GATES_MOST)]
    for gate in gates:
        await store.put_gate(gate)
    late = Gate("gate-late", "boot-a", now)
    with pytest.raises(StoreUnavailable, match=f"{GATES_MOST} gates already"):
        await store.put_gate(late)
    assert list(await store.gates()) == gates
    gates[0] = replace(gates[0], boot="boot-b")
    await store.put_gate(gates[0])
    await store.remove_gate(gates[-1])
    await store.put_gate(late)
    assert list(await store.gates()) == [*gates[:-1], late]
