"""Whatever is killed or fails whenever it likes: nobody loses a session, and nobody gains one.

Random stories of three people, in simulated time. Each ends, and is cut now and then, by a minute
in which all must come right. SLICERHUB_FAULTS_STORIES says how many are told: 300 make more than
ten thousand steps.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from controller.core.model import Observed, Role, UserId
from tests.faults.checks import Checks
from tests.faults.people import People
from tests.faults.points import Fault, Trap
from tests.faults.world import World
from tests.support.fakes.directory import PEOPLE

people = st.sampled_from(sorted(PEOPLE))
names = st.sampled_from(["", "thesis"])
profiles = st.sampled_from(["plain", "grouped", "queued"])
roles = st.sampled_from([Role.VIEW, Role.CONTROL])
pick = st.integers(0, 7)
waits = st.booleans()


class Hub(RuleBasedStateMachine):
    """Three people, one hub, and everything that may befall it."""

    def __init__(self) -> None:
        """Begin with a hub that has just started."""
        super().__init__()
        self.world = World()
        self.people = People(self.world)
        self.checks = Checks(self.world, self.people)
        self.world.spend(2)

    def teardown(self) -> None:
        """See that all comes right in the end."""
        try:
            self.checks.recover()
        finally:
            self.world.close()

    # -- people ----------------------------------------------------------------------------

    @rule(who=people, profile=profiles, name=names, wait=waits)
    def launch(self, who: str, profile: str, name: str, *, wait: bool) -> None:
        """Somebody starts a session."""
        self.world.act(self.people.launch(PEOPLE[who], profile, name), wait=wait)

    @precondition(lambda self: self.people.known())
    @rule(which=pick, wait=waits)
    def stop(self, which: int, *, wait: bool) -> None:
        """Somebody stops a session of theirs."""
        self.world.act(self.people.stop(self.session(which)), wait=wait)

    @precondition(lambda self: self.people.known())
    @rule(which=pick, guest=people, role=roles, wait=waits)
    def share(self, which: int, guest: str, role: Role, *, wait: bool) -> None:
        """Somebody invites another."""
        seen = self.session(which)
        if guest != seen.session.owner:
            self.world.act(self.people.share(seen, UserId(guest), role), wait=wait)

    @precondition(lambda self: self.people.known())
    @rule(which=pick, guest=people, wait=waits)
    def revoke(self, which: int, guest: str, *, wait: bool) -> None:
        """Somebody takes an invitation back."""
        seen = self.session(which)
        if guest != seen.session.owner:
            self.world.act(self.people.revoke(seen, UserId(guest)), wait=wait)

    @precondition(lambda self: self.people.known())
    @rule(which=pick, role=roles)
    def make_link(self, which: int, role: Role) -> None:
        """Somebody makes a link."""
        self.world.act(self.people.make_link(self.session(which), role), wait=True)

    @precondition(lambda self: self.world.ledger.codes)
    @rule(which=pick, guest=people, wait=waits)
    def join(self, which: int, guest: str, *, wait: bool) -> None:
        """Somebody comes by a link."""
        codes = sorted(self.world.ledger.codes)
        self.world.act(self.people.join(codes[which % len(codes)], PEOPLE[guest]), wait=wait)

    def session(self, which: int) -> Observed:
        """Return one of the sessions that people see."""
        known = self.people.known()
        return known[which % len(known)]

    # -- time and faults -------------------------------------------------------------------

    @rule(fault=st.sampled_from(Fault), skip=st.integers(0, 12))
    def set_trap(self, fault: Fault, skip: int) -> None:
        """Let one of the next effects go wrong."""
        self.world.points.trap = Trap(fault, skip)

    @rule(seconds=st.sampled_from([0.1, 1, 12]))
    def spend(self, seconds: float) -> None:
        """Let time pass."""
        self.world.spend(seconds)

    @rule(seconds=st.sampled_from([-86_400, -3600, 3600, 86_400]))
    def set_clock(self, seconds: float) -> None:
        """Set the wall clock."""
        self.world.epoch += seconds

    @rule(down=st.sampled_from([0.5, 5, 100]))
    def crash(self, down: float) -> None:
        """Kill the controller in the middle of whatever it does."""
        self.world.crash(down)
        self.world.spend(2)

    @rule(away=st.sampled_from([1, 20]), stops=st.booleans())
    def restart_engine(self, away: float, *, stops: bool) -> None:
        """Restart the engine, with or without its containers."""
        self.world.points.away = True
        if stops:
            self.world.end_all()
        self.world.spend(away)
        self.world.points.away = False
        self.world.spend(2)

    @rule()
    def recover(self) -> None:
        """Let all be mended."""
        self.checks.recover()

    # -- at every moment -------------------------------------------------------------------

    @invariant()
    def bury(self) -> None:
        """Start another controller where one was killed, as the engine's restart policy does."""
        if self.world.points.dead:
            self.world.crash(1)
            self.world.spend(2)

    @invariant()
    def hold(self) -> None:
        """Nothing is lost, and nobody has more than they were given."""
        self.checks.check_always()


TestHub = Hub.TestCase
TestHub.settings = settings(
    max_examples=int(os.environ.get("SLICERHUB_FAULTS_STORIES", "30")),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
