"""What the hub remembers, and what it does when it can remember nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path

import anyio
import msgspec
import pytest
from msgspec.structs import replace

from controller.core.errors import StoreUnavailable
from controller.core.model import Mount, Person, Role, UserId
from controller.core.records import Drain, Link, Login, Memo, Message, Rules, Share, Ticket
from controller.store import CLOSED_MOST, LINKS_MOST, SHARES_MOST, Store
from controller.store.sqlite.store import SqliteStore
from tests.support.fakes.directory import PEOPLE
from tests.support.samples import session, session_id

pytestmark = pytest.mark.anyio

ALICE, BOB = UserId("alice"), UserId("bob")
LOGIN = Login("sid-1", PEOPLE["carol"], created=100.0, expires=200.0)
AGENT = "Größe \U0001f9e0 '; DROP TABLE login; --"
ONE, TWO = session_id(1), session_id(2)
SHARE = Share(ONE, BOB, Role.VIEW, "Bob Baker", created=100.0)
LINK = Link("link-1", ONE, Role.CONTROL, created=100.0, expires=200.0, max_uses=2)


Opened = Callable[[], Store]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncGenerator[Opened, None]:
    """Give a way to open the same records once more, as another controller or a later one does."""
    made: list[SqliteStore] = []

    def again() -> SqliteStore:
        made.append(SqliteStore(tmp_path / "store.sqlite"))
        return made[-1]

    yield again
    for one in made:
        one.close()


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Store, None, None]:
    """Give a new store of each kind."""
    made = SqliteStore(tmp_path / "store.sqlite" if request.param == "file" else ":memory:")
    yield made
    made.close()


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


def by_place(shares: list[Share]) -> list[Share]:
    """Return invitations in an order that does not depend on the store."""
    return sorted(shares, key=lambda one: (one.session, one.uid))


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


async def test_shares(store: Store) -> None:
    """Invitations are kept whole, one of a person to a session, until they are taken back."""
    others = replace(SHARE, uid=ALICE, role=Role.CONTROL, expires=300.0)
    elsewhere = replace(SHARE, session=TWO)
    for share in (SHARE, others, elsewhere):
        await store.add_share(share)
    assert by_place(await store.shares()) == by_place([SHARE, others, elsewhere])
    changed = replace(SHARE, role=Role.CONTROL, display_name="Bob B.", expires=400.0)
    await store.add_share(changed)
    assert by_place(await store.shares()) == by_place([changed, others, elsewhere])
    await store.remove_share(ONE, BOB, bar=True)
    await store.remove_share(ONE, BOB, bar=True)
    assert by_place(await store.shares()) == by_place([others, elsewhere])
    await store.add_share(SHARE)
    await store.remove_person(BOB)
    await store.remove_person(BOB)
    assert await store.shares() == [others]


async def test_links(store: Store) -> None:
    """Links are kept whole and found by the hash of their code until they are ended."""
    endless = Link("link-2", ONE, Role.VIEW, created=50.0, expires=300.0)
    elsewhere = replace(LINK, id="link-3", session=TWO)
    for number, link in enumerate((LINK, endless, elsewhere)):
        await store.add_link(link, f"digest-{number}")
    assert await store.links(ONE) == [endless, LINK]
    assert await store.find_link("digest-0") == LINK
    assert await store.find_link("digest-1") == endless
    assert await store.find_link("digest-9") is None
    await store.remove_link(TWO, "link-1")
    assert await store.links(ONE) == [endless, LINK]
    await store.remove_link(ONE, "link-1")
    await store.remove_link(ONE, "link-1")
    assert await store.links(ONE) == [endless]
    assert await store.find_link("digest-0") is None
    with pytest.raises(StoreUnavailable):
        await store.add_link(replace(LINK, id="link-4"), "digest-1")


def someone(uid: UserId) -> Person:
    """Return a person of whom the directory knows this name only."""
    return Person(uid, uid)


async def test_uses_of_a_link(store: Store) -> None:
    """A link lets each person in once, as many as it says, and not after its end."""
    await store.add_link(LINK, "digest")
    assert await store.use_link("other", someone(BOB), 150) is None
    assert await store.use_link("digest", someone(BOB), 200) is None
    used = await store.use_link("digest", someone(BOB), 199.9)
    assert used == Share(ONE, BOB, Role.CONTROL, BOB, created=199.9, expires=LINK.expires)
    assert await store.shares() == [used]
    assert await store.use_link("digest", someone(BOB), 150) is None
    assert [one.uses for one in await store.links(ONE)] == [1]
    assert await store.use_link("digest", someone(ALICE), 150) is not None
    assert await store.use_link("digest", someone(UserId("carol")), 150) is None
    assert [one.uses for one in await store.links(ONE)] == [2]


async def test_a_link_without_number(store: Store) -> None:
    """A link without a number of uses lets in anybody until its end."""
    await store.add_link(replace(LINK, max_uses=None), "digest")
    for number in range(50):
        assert await store.use_link("digest", someone(UserId(f"person-{number}")), 150) is not None
    assert [one.uses for one in await store.links(ONE)] == [50]


async def test_the_last_use(opened: Opened) -> None:
    """Of many who come at once for the last use, by two controllers, one gets it."""
    stores = [opened(), opened()]
    await stores[0].add_link(replace(LINK, max_uses=1), "digest")
    found: list[Share | None] = []

    async def come(number: int) -> None:
        uid = UserId(f"person-{number}")
        found.append(await stores[number % 2].use_link("digest", someone(uid), 150))

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(come, number)
    assert len(found) == 20
    assert len([one for one in found if one is not None]) == 1
    assert [one.uses for one in await stores[1].links(ONE)] == [1]


async def test_so_many_invitations(opened: Opened) -> None:
    """A session has as many invitations as it may, also where two controllers make them at once."""
    stores = [opened(), opened()]
    assert await stores[0].shares() == []
    added: list[bool] = []

    async def invite(number: int) -> None:
        share = replace(SHARE, uid=UserId(f"person-{number}"))
        added.append(await stores[number % 2].add_share(share))

    for start in range(0, SHARES_MOST + 10, 10):
        async with anyio.create_task_group() as group:
            for number in range(start, start + 10):
                group.start_soon(invite, number)
    assert sorted(added) == [False] * 10 + [True] * SHARES_MOST
    there = await stores[0].shares()
    assert len(there) == SHARES_MOST
    assert await stores[1].add_share(replace(there[0], role=Role.CONTROL))
    assert await stores[1].add_share(replace(SHARE, session=TWO))
    assert await stores[0].add_share(replace(SHARE, uid=UserId("root"), look=True))
    await stores[0].add_link(LINK, "digest")
    assert await stores[0].use_link("digest", someone(UserId("newcomer")), 150) is None
    assert [one.uses for one in await stores[1].links(ONE)] == [0]
    await stores[1].remove_share(ONE, there[0].uid, bar=True)
    assert await stores[0].use_link("digest", someone(UserId("newcomer")), 150) is not None


async def test_so_many_links(opened: Opened) -> None:
    """A session has as many open links as it may; what is over makes room and is forgotten."""
    stores = [opened(), opened()]
    assert await stores[0].shares() == []
    added: list[bool] = []

    async def link(number: int, created: float) -> None:
        one = replace(LINK, id=f"link-{created}-{number}", created=created, expires=created + 100)
        added.append(await stores[number % 2].add_link(one, f"digest-{created}-{number}"))

    for start in range(0, LINKS_MOST + 10, 10):
        async with anyio.create_task_group() as group:
            for number in range(start, start + 10):
                group.start_soon(link, number, 100.0)
    assert sorted(added) == [False] * 10 + [True] * LINKS_MOST
    assert len(await stores[0].links(ONE)) == LINKS_MOST
    await link(0, 200.0)
    assert added[-1]
    assert [one.id for one in await stores[1].links(ONE)] == ["link-200.0-0"]


async def test_a_link_that_is_used_up_is_remembered(store: Store) -> None:
    """Who came by a link that is used up is still known to it when others are made."""
    await store.add_link(replace(LINK, max_uses=1), "digest")
    assert await store.use_link("digest", someone(BOB), 150) is not None
    assert await store.add_link(replace(LINK, id="link-2", created=160.0), "other")
    assert await store.find_link("digest") is not None
    assert await store.use_link("digest", someone(BOB), 170) is None


async def test_nobody_is_shut_out_who_was_not_invited(store: Store) -> None:
    """A name that was never invited leaves no trace at the links."""
    await store.add_link(LINK, "digest")
    await store.remove_share(ONE, BOB, bar=True)
    assert await store.use_link("digest", someone(BOB), 150) is not None


async def test_links_that_shut_out_too_many_end(store: Store) -> None:
    """What links remember of people does not grow without end: they end instead, and deny."""
    links = [replace(LINK, id=f"link-{number}", max_uses=None) for number in range(LINKS_MOST)]
    for number, link in enumerate(links):
        assert await store.add_link(link, f"digest-{number}")
    for number in range(CLOSED_MOST // LINKS_MOST):
        share = replace(SHARE, uid=UserId(f"person-{number}"))
        await store.add_share(share)
        await store.remove_share(ONE, share.uid, bar=True)
    assert len(await store.links(ONE)) == LINKS_MOST
    await store.add_share(SHARE)
    await store.remove_share(ONE, BOB, bar=True)
    assert await store.links(ONE) == []
    assert await store.use_link("digest-0", someone(BOB), 150) is None


async def test_shut_out(store: Store) -> None:
    """Who was uninvited does not come back by a link that was there; by a later one they do."""
    await store.add_link(LINK, "old")
    await store.add_link(replace(LINK, id="link-2", session=TWO), "elsewhere")
    await store.add_share(SHARE)
    await store.remove_share(ONE, BOB, bar=True)
    assert await store.use_link("old", someone(BOB), 150) is None
    assert [one.uses for one in await store.links(ONE)] == [0]
    assert await store.use_link("old", someone(ALICE), 150) is not None
    assert await store.use_link("elsewhere", someone(BOB), 150) is not None
    await store.add_link(replace(LINK, id="link-3"), "new")
    assert await store.use_link("new", someone(BOB), 150) is not None


async def test_grants_go_with_their_session(store: Store) -> None:
    """What belonged to sessions that are gone is forgotten, unless it is just being made."""
    late = replace(SHARE, session=session_id(3), created=180.0)
    for share in (SHARE, replace(SHARE, session=TWO), late):
        await store.add_share(share)
    await store.add_link(LINK, "one")
    await store.add_link(replace(LINK, id="link-2", session=TWO), "two")
    await store.use_link("two", someone(ALICE), 150)
    await store.add_link(replace(LINK, id="link-3", session=late.session, created=180.0), "three")
    await store.remove_grants({ONE}, 180.0)
    assert by_place(await store.shares()) == by_place([SHARE, late])
    assert await store.find_link("one") is not None
    assert await store.find_link("two") is None
    assert await store.find_link("three") is not None
    await store.remove_grants(set(), 180.1)
    assert await store.shares() == []
    assert await store.links(ONE) == []


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


async def test_lost_file(tmp_path: Path) -> None:
    """If the file is lost nobody is logged in any more."""
    path = tmp_path / "store.sqlite"
    store = SqliteStore(path)
    await store.add_login(LOGIN)
    store.close()
    path.unlink()
    again = SqliteStore(path)
    assert await again.logins(150) == []
    again.close()


FIRST_VERSION = """
    CREATE TABLE login (
        sid TEXT PRIMARY KEY, uid TEXT NOT NULL, person BLOB NOT NULL,
        created REAL NOT NULL, expires REAL NOT NULL
    ) STRICT;
    CREATE TABLE failure (who TEXT NOT NULL, at REAL NOT NULL) STRICT;
    CREATE INDEX failure_who ON failure (who, at);
    CREATE TABLE notice (
        number INTEGER PRIMARY KEY, uid TEXT NOT NULL, at REAL NOT NULL,
        text TEXT NOT NULL, more TEXT NOT NULL
    ) STRICT;
    CREATE INDEX notice_uid ON notice (uid, at);
    CREATE TABLE start (profile TEXT NOT NULL, at REAL NOT NULL, seconds REAL NOT NULL) STRICT;
    CREATE INDEX start_profile ON start (profile, at);
    PRAGMA user_version = 1;
"""


async def test_older_hub(tmp_path: Path) -> None:
    """The file of the first version keeps its log-ins and can do what the present one can."""
    path = tmp_path / "store.sqlite"
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript(FIRST_VERSION)
    db.execute(
        "INSERT INTO login VALUES (?, ?, ?, ?, ?)",
        (
            "sid-1",
            "carol",
            msgspec.json.encode(
                {
                    "uid": "carol",
                    "display_name": "Carol Clark",
                    "groups": ["slicer-users", "slicer-admins"],
                    "admin": True,
                }
            ),
            100.0,
            200.0,
        ),
    )
    db.execute("INSERT INTO notice (uid, at, text, more) VALUES ('alice', 1.0, 'a', 'b')")
    db.close()
    store = SqliteStore(path)
    assert await store.logins(150) == [LOGIN]
    assert [one.text for one in await store.notices(ALICE)] == ["a"]
    assert await store.shares() == []
    await store.add_share(SHARE)
    await store.add_link(LINK, "digest")
    await store.remove_share(ONE, BOB, bar=True)
    assert await store.use_link("digest", someone(BOB), 150) is None
    assert await store.memos() == {}
    assert await store.tickets() == []
    assert await store.ahead(ALICE) == frozenset()
    await store.set_seen("sid-1", 160.0)
    assert await store.logins(150) == [replace(LOGIN, seen=160.0)]
    store.close()
    again = SqliteStore(path)
    assert await again.links(ONE) == [LINK]
    again.close()


async def used(path: Path) -> None:
    """Let a hub make the file and end."""
    store = SqliteStore(path)
    await store.ping()
    store.close()


async def test_newer_hub(tmp_path: Path) -> None:
    """A file of a newer hub is not touched; the message says what to do."""
    path = tmp_path / "store.sqlite"
    await used(path)
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable, match=r"newer hub \(version 99"):
        await SqliteStore(path).ping()
    assert before == path.read_bytes()


async def test_interrupted_migration(tmp_path: Path) -> None:
    """A file that was begun and not finished is brought to its form at the next start."""
    path = tmp_path / "store.sqlite"
    path.write_bytes(b"")
    await used(path)
    db = sqlite3.connect(path)
    version = db.execute("PRAGMA user_version").fetchone()[0]
    db.close()
    assert version >= 1


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to look at" * 50])
async def test_damaged_file(tmp_path: Path, content: bytes) -> None:
    """A damaged file is not written over: the hub says so, until somebody has seen to it."""
    path = tmp_path / "store.sqlite"
    path.write_bytes(content)
    store = SqliteStore(path)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="must check the data folder"):
            await store.ping()
    assert content == path.read_bytes()
    path.rename(tmp_path / "damaged.sqlite")
    await store.add_login(LOGIN)
    assert await store.logins(150) == [LOGIN]
    store.close()


async def test_no_folder(tmp_path: Path) -> None:
    """A data folder that is not there is named as the cause."""
    with pytest.raises(StoreUnavailable, match="unable to open"):
        await SqliteStore(tmp_path / "none" / "store.sqlite").ping()


async def test_lost_table(tmp_path: Path) -> None:
    """Records that are damaged while the hub runs let nobody in."""
    path = tmp_path / "store.sqlite"
    store = SqliteStore(path)
    await store.add_login(LOGIN)
    db = sqlite3.connect(path)
    db.execute("UPDATE login SET person = X'7B'")
    db.commit()
    with pytest.raises(StoreUnavailable):
        await store.logins(150)
    db.execute("DROP TABLE login")
    db.commit()
    db.close()
    for call in (store.ping(), store.logins(150), store.add_login(LOGIN)):
        with pytest.raises(StoreUnavailable):
            await call
    store.close()


async def test_locked(tmp_path: Path) -> None:
    """A file that something else holds locked is said to be unusable; nothing hangs for ever."""
    path = tmp_path / "store.sqlite"
    store = SqliteStore(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        await store.add_login(LOGIN)
    other.execute("ROLLBACK")
    other.close()
    await store.add_login(LOGIN)
    store.close()


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


async def test_who_asks(opened: Opened) -> None:
    """Who asks for control is remembered; asking invites nobody, and a new role is an answer."""
    store = opened()
    await store.add_share(SHARE)
    await store.set_asks(SHARE.session, SHARE.uid)
    await store.set_asks(SHARE.session, ALICE)
    await store.set_asks(TWO, SHARE.uid)
    assert await opened().shares() == [replace(SHARE, asks=True)]
    await store.add_share(SHARE)
    assert await opened().shares() == [SHARE]


async def test_lowered(opened: Opened) -> None:
    """Who controlled looks on only, all else as it was; who is not invited is not by that."""
    store = opened()
    controls = replace(SHARE, role=Role.CONTROL, expires=100.0)
    await store.add_share(controls)
    await store.lower_share(controls.session, controls.uid)
    await store.lower_share(controls.session, ALICE)
    await store.lower_share(TWO, controls.uid)
    assert await opened().shares() == [replace(controls, role=Role.VIEW)]


async def test_looks_are_told_apart(store: Store) -> None:
    """Whether somebody was invited or looks on as an administrator is remembered."""
    look = replace(SHARE, uid=ALICE, look=True)
    await store.add_share(SHARE)
    await store.add_share(look)
    assert {one.uid: one.look for one in await store.shares()} == {BOB: False, ALICE: True}
