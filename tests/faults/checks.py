"""What must be so at every moment, and what once all is right again."""

from __future__ import annotations

from collections import Counter

from controller.core import labels
from controller.core.model import Phase, Role, SessionId, UserId
from tests.faults.ledger import Fate
from tests.faults.people import People
from tests.faults.world import PLACES, World
from tests.support.fakes.directory import PEOPLE
from tests.support.fakes.engine import TRAEFIK


class Checks:
    """Compares the ledger with the engine, the store and what the hub sees."""

    def __init__(self, world: World, people: People) -> None:
        """``people``: who come again where they were cut off."""
        self._world = world
        self._people = people
        self._engine = world.engine
        self._ledger = world.ledger
        self._volumes: set[str] = set()  # that were ever there

    def check_always(self) -> None:
        """Check what holds at every moment, however wrong all else is."""
        self._volumes |= self._engine.volumes.keys()
        assert self._volumes == self._engine.volumes.keys(), "files are lost"
        twins = Counter(
            (one["Labels"][labels.OWNER], one["Labels"][labels.NAME].casefold())
            for one in self._engine.sessions()
            if one["State"] == "running"
        )
        assert all(number == 1 for number in twins.values()), f"two of one name: {twins}"
        for session, fate in self._ledger.fates.items():
            for person in PEOPLE.values():
                access = self._world.app.sessions.access(session, person.uid)
                role = access.role if access else None
                if fate is Fate.GONE:
                    assert access is None, f"{session} is gone, and {person.uid} may enter"
                if role not in {None, Role.OWNER}:
                    allowed = self._ledger.may(session, person.uid)
                    assert role in allowed, f"{person.uid} may {role} in {session}, not {allowed}"

    def recover(self) -> None:
        """Let what was broken be mended, and check that all is right within a minute."""
        self._world.recover()
        self.check_always()
        self._check_engine()
        self._check_fates()
        self._check_grants()
        self._check_links()

    def _check_engine(self) -> None:
        sessions = {one["Labels"][labels.SESSION]: one for one in self._engine.sessions()}
        networks = {
            one["Labels"][labels.SESSION]: name for name, one in self._engine.networks.items()
        }
        assert len(sessions) == len(self._engine.sessions()), "a session has two containers"
        others = [
            one["Name"]
            for one in self._engine.containers.values()
            if one["Id"] != TRAEFIK and labels.SESSION not in one["Labels"]
        ]
        assert others == [], f"left over: {others}"
        assert networks.keys() == sessions.keys(), "a network without its session, or none"
        reached = self._engine.containers[TRAEFIK]["Networks"]
        for session, one in sessions.items():
            assert not one["Name"].endswith(".stopping"), f"{session} is stopping for ever"
            ended = SessionId(session) in self._ledger.ended
            assert ended or one["State"] == "running", f"{session} is {one['State']}"
            assert networks[session] in reached, f"{session} has no route"
        assert reached - set(networks.values()) == {f"{self._world.settings.instance}_edge"}

    def _check_fates(self) -> None:
        there = {SessionId(one["Labels"][labels.SESSION]) for one in self._engine.sessions()}
        waiting = {one.session.id for one in self._world.runner.run(self._world.store.tickets())}
        seen = {one.session.id: one for one in self._world.app.sessions.everything()}
        refused = {one for one in seen if seen[one].refused}
        assert seen.keys() - refused == there | waiting, "the hub sees something else"
        assert not there & waiting, "somebody waits for what they have"
        for session in tuple(self._ledger.fates):
            self._ledger.fates[session] = self._fate(
                session, session in there, session in waiting, session in refused
            )
            if self._ledger.fates[session] is Fate.THERE:
                assert self._world.app.sessions.phase(seen[session]) is Phase.READY
        if len(self._of("queued", there)) < PLACES:
            assert not waiting, "there is room, and somebody waits"

    def _fate(self, session: SessionId, here: bool, waits: bool, refused: bool) -> Fate:
        """Check what has become of a session, and return what must be so from now on."""
        fate = self._ledger.fates[session]
        gone = fate is Fate.GONE or (
            fate is Fate.STOPPING and session not in self._ledger.killed_since
        )
        if gone:
            assert not here, f"{session} was stopped, and is there"
            assert not waits, f"{session} was stopped, and waits in the queue"
            return Fate.GONE
        assert here or fate is not Fate.THERE, f"{session} is lost"
        assert here or waits or refused or fate is not Fate.WAITS, f"{session}'s place is lost"
        if fate in {Fate.ENDED, Fate.THERE}:
            return fate
        if refused or session in self._ledger.ended:
            return Fate.ENDED
        return Fate.THERE if here else Fate.WAITS if waits else Fate.GONE

    def _of(self, profile: str, sessions: set[SessionId]) -> set[str]:
        return {
            one["Labels"][labels.SESSION]
            for one in self._engine.sessions()
            if one["Labels"][labels.PROFILE] == profile
        } & {str(one) for one in sessions}

    def _check_grants(self) -> None:
        for key, may in self._ledger.grants.items():
            if self._ledger.fates[key[0]] is not Fate.THERE:
                continue
            access = self._world.app.sessions.access(*key)
            role = access.role if access else None
            assert role in may, f"{key[1]} may {role} in {key[0]}, not {may}"
            self._ledger.grants[key] = {role}

    def _check_links(self) -> None:
        """Check that who came by a link and was cut off can come again."""
        for code, guests in self._ledger.tried.items():
            session = self._ledger.codes[code][0]
            if len(guests) > 1 or self._ledger.fates[session] is not Fate.THERE:
                continue
            (guest,) = guests
            if (code, guest) in self._ledger.asked_to_bar or self._world.app.sessions.owner(
                session
            ) == guest:
                continue
            if None not in self._ledger.may(session, guest):
                continue
            self._world.act(self._people.join(code, PEOPLE[guest]), wait=True)
            self._check_in(session, guest)

    def _check_in(self, session: SessionId, guest: UserId) -> None:
        """Check that somebody is in."""
        access = self._world.app.sessions.access(session, guest)
        assert access is not None
        assert access.role is not None, f"{guest} cannot come by a link that nobody has used"
        self._ledger.grants[session, guest] = {access.role}
