"""A week of two hundred people in seconds, and single sessions under whatever may happen.

True time is simulated. A controller sees it by a monotonic clock of its own; the wall clock is
stepped now and then. A controller that dies leaves what it wrote down a round before, no more.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.core.model import Observed
from controller.core.records import Memo, Reason
from controller.rules.lifecycle import Activity, Limits, Poll, Remove, Warn, WithdrawWarning, decide
from tests.support.samples import session

READY = Observed(session(), running=True, served=True)
LIMITS = Limits(start=180, idle=1800, lifetime=86_400, failed=600)
LOOKS = 30.0  # seconds between two looks into every session
ROUNDING = 1e-6  # seconds; 20 + 10.000000000000002 is 30
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0

Span = tuple[float, float]  # from, to


class Spans:
    """When something was going on: spans in order that do not overlap."""

    def __init__(self, spans: Sequence[Span]) -> None:
        """Keep them for quick questions."""
        self.starts = [start for start, _ in spans]
        self.ends = [end for _, end in spans]

    def last(self, at: float) -> float | None:
        """Return the last moment of it until now; None: it has not begun."""
        number = bisect_right(self.starts, at) - 1
        return None if number < 0 else min(self.ends[number], at)

    def going_on(self, at: float) -> bool:
        """Tell whether it goes on at this moment."""
        return self.last(at) == at

    def length(self, at: float) -> float:
        """Return how long it went on when it last did."""
        number = bisect_right(self.starts, at) - 1
        return 0.0 if number < 0 else min(self.ends[number], at) - self.starts[number]

    def within(self, start: float, end: float) -> float:
        """Return for how long it went on between two moments."""
        both = zip(self.starts, self.ends, strict=True)
        return sum(max(0.0, min(end, to) - max(start, since)) for since, to in both)


class World(msgspec.Struct, frozen=True):
    """What befalls everybody."""

    lives: Sequence[Span]  # of controllers, one after the other
    steps: Sequence[tuple[float, float]] = ()  # of the wall clock: when, and by how many seconds
    every: float = 10.0  # between two rounds of housekeeping
    blind: Spans = Spans([])  # sessions do not answer the controller

    def wall(self, at: float) -> float:
        """Return what the wall clock shows."""
        return at + sum(by for when, by in self.steps if when <= at)

    def door(self, at: float) -> float:
        """Return when somebody gets in who knocks now: without a controller nobody does."""
        return next(max(begin, at) for begin, end in self.lives if end > at)


class Story(msgspec.Struct, frozen=True):
    """What really happens in one session."""

    opened: float
    inputs: Spans
    computing: Spans = Spans([])
    closed: float = math.inf  # by its owner
    ahead: bool = False  # started ahead of its owner

    def last_input(self, at: float) -> float:
        """Return when somebody last did something; opening it counts."""
        return max(self.opened, self.inputs.last(at) or 0.0)

    def last_sign(self, at: float) -> float:
        """Return when it was last used: by somebody, or by something that it computes."""
        return max(self.last_input(at), self.computing.last(at) or 0.0)


class Ending(msgspec.Struct, frozen=True):
    """How a session ended. ``reason`` None: its owner closed it, or the simulation was over."""

    at: float
    reason: Reason | None
    told: float = math.inf  # when people were told of that
    age_error: float = 0.0  # seconds that a stepped clock made it look older
    restarts: int = 0
    down: float = 0.0  # seconds without a controller


class Watcher:
    """As much of a controller as is about one session."""

    def __init__(self, story: Story, world: World, begin: float, activity: Activity) -> None:
        """``begin``: when this controller's clock shows 0."""
        self.story = story
        self.world = world
        self.begin = begin
        self.activity = activity
        self.next_look = begin + LOOKS
        self.told = math.inf

    def look(self, at: float) -> None:
        """Find out whether the session is used; while it does not answer, nothing is learnt."""
        if self.world.blind.going_on(at):
            return
        moment = self.story.inputs.last(at)
        text = "" if moment is None else str(moment)
        touched = bool(text) and text != self.activity.input
        used = self.story.computing.going_on(at) and not self.activity.ahead
        self.activity = Activity(
            first_seen=self.activity.first_seen,
            last_active=at - self.begin if touched or used else self.activity.last_active,
            age_then=self.activity.age_then,
            warned=self.activity.warned,
            ahead=self.activity.ahead and not touched,
            polled=at - self.begin,
            input=text,
        )

    def round(self, at: float, limits: Limits) -> Reason | None:
        """Do one round; return why the session is stopped."""
        now = at - self.begin
        if self.activity.ahead and self.story.inputs.last(at) is not None:
            # Its owner's browser has asked for the page.
            self.activity = replace(self.activity, ahead=False, last_active=now)
        if at >= self.next_look:
            self.look(at)
            self.next_look = max(self.next_look, at) + LOOKS
        decision = decide(READY, self.activity, now, limits)
        if decision == Poll():
            self.look(at)
            decision = decide(READY, self.activity, now, limits)
        match decision:
            case Remove(reason):
                return reason
            case Warn(warned):
                self.activity = replace(self.activity, warned=warned)
                self.told = at
            case WithdrawWarning():
                self.activity = replace(self.activity, warned=None)
            case _:
                pass
        return None

    def memo(self, at: float) -> Memo:
        """Return what is written down."""
        now = at - self.begin
        known = self.activity
        return Memo(known.age(now), known.idle(now), True, known.ahead, known.input)  # noqa: FBT003 - served


def live(story: Story, world: World, limits: Limits) -> Ending:
    """Let a session live until something ends it."""
    memo: Memo | None = None
    age_error = 0.0
    lives = [life for life in world.lives if life[1] > story.opened]
    down = 0.0
    for number, (begin, end) in enumerate(lives):
        if number:
            down += begin - lives[number - 1][1]
        since = max(begin, story.opened)
        now = since - begin
        if memo is not None:
            activity = Activity(
                first_seen=now,
                last_active=now - memo.idle,
                age_then=memo.age,
                ahead=memo.ahead,
                polled=now,
                input=memo.input,
            )
        else:
            age = max(0.0, world.wall(since) - world.wall(story.opened))
            age_error = max(0.0, age - (since - story.opened))
            # Without a memo nobody knows that it was started ahead.
            ahead = story.ahead and not number
            activity = Activity(
                first_seen=now, last_active=now, age_then=age, polled=now, ahead=ahead
            )
        watcher = Watcher(story, world, begin, activity)
        written: Memo | None = None
        at = begin + world.every * (math.floor(now / world.every) + 1)
        while at < end:
            if at >= story.closed:
                return Ending(story.closed, None)
            # It dies in the middle of its last round: what it learns there is not written down.
            memo, written = written or memo, watcher.memo(at)
            reason = watcher.round(at, limits)
            if reason is not None:
                return Ending(at, reason, watcher.told, age_error, number, down)
            at += world.every
    return Ending(world.lives[-1][1], None, restarts=len(lives) - 1, down=down)


def judge(story: Story, world: World, limits: Limits, ending: Ending) -> None:
    """Hold the promises against what happened; everything in true time."""
    sign = story.last_sign(ending.at)
    match ending.reason:
        case Reason.IDLE:
            assert ending.at - story.last_input(ending.at) >= limits.idle
            # Computing is seen by looks only, and leaves no trace between them.
            unseen = (LOOKS + 2 * world.every) * (1 + ending.restarts) + ending.down
            unseen += world.blind.within(story.opened, ending.at)
            if story.computing.length(ending.at) > unseen:
                assert ending.at - sign >= limits.idle - unseen
            assert ending.at - ending.told >= limits.idle_warning - ROUNDING
        case Reason.LIFETIME:
            assert ending.at - story.opened >= limits.lifetime - ending.age_error
            assert ending.at - ending.told >= limits.lifetime_warning - ROUNDING
        case Reason.UNUSED:
            assert story.ahead
            assert story.inputs.last(ending.at) is None
            assert ending.at - story.opened >= limits.ahead
        case _:
            assert ending.reason is None
    # A restart takes what was not written down yet, and a warning begins anew.
    warning = max(limits.warning, world.every)
    restarts = ending.down + ending.restarts * (3 * world.every + LOOKS + warning)
    blind = 2 * world.blind.within(sign, ending.at) + LOOKS
    most = warning + 2 * world.every + restarts
    if limits.idle and not story.ahead:
        assert ending.at - sign <= limits.idle + most + blind
    if limits.lifetime and not story.ahead:
        # Nobody is stopped by it who cannot be told, and whose work cannot be saved.
        unreached = 2 * world.blind.within(story.opened, ending.at) + LOOKS
        assert ending.at - story.opened <= limits.lifetime + most + unreached
    if story.ahead and story.inputs.last(ending.at) is None and limits.idle:
        # A restart may forget that it was started ahead: then it is idle like any other.
        since = sign if ending.restarts else story.opened
        assert ending.at - since <= max(limits.ahead, limits.idle) + most + blind


# -- a week ----------------------------------------------------------------------------------

WEEK = 7 * DAY


def a_world(dice: random.Random) -> World:
    """Return a week with a restart every few hours and a clock that is set again and again."""
    moments = sorted(dice.uniform(0, WEEK) for _ in range(40))
    lives: list[Span] = []
    begin = 0.0
    for moment in moments:
        if moment > begin:
            lives.append((begin, moment))
            begin = moment + dice.choice([2.0, 20.0, 90.0, 15 * MINUTE])
    steps = [(dice.uniform(0, WEEK), dice.choice([-HOUR, HOUR])) for _ in range(20)]
    blind = Spans([(day * DAY + 11 * HOUR, day * DAY + 11.5 * HOUR) for day in (1, 3)])
    return World([*lives, (begin, WEEK)], steps, every=60.0, blind=blind)


def bursts(dice: random.Random, begin: float, end: float, *, work: Span, pause: Span) -> list[Span]:
    """Return spans of work between two moments, with pauses between them."""
    found: list[Span] = []
    while begin < end:
        stop = begin + dice.uniform(*work)
        found.append((begin, stop))
        begin = stop + dice.uniform(*pause)
    return found


class Plan(msgspec.Struct):
    """What somebody does in a week."""

    inputs: list[Span] = []
    computing: list[Span] = []
    closes: list[float] = []


def a_plan(dice: random.Random, habit: str) -> Plan:
    """Return a person's week by their habit."""
    plan = Plan()
    for day in range(5):
        begin = day * DAY + dice.uniform(7, 10) * HOUR
        match habit:
            case "works":
                spans = bursts(
                    dice, begin, begin + 8 * HOUR, work=(60, 2400), pause=(10, 29 * MINUTE)
                )
            case "reads":
                spans = bursts(
                    dice, begin, begin + 5 * HOUR, work=(1, 5), pause=(19 * MINUTE, 21 * MINUTE)
                )
            case "computes":
                spans = [(begin, begin + 5 * MINUTE)]
                plan.computing.append((begin + MINUTE, begin + dice.uniform(2, 6) * HOUR))
            case "forgets":
                spans = bursts(dice, begin, begin + HOUR, work=(60, 600), pause=(10, 300))
            case "closes":
                spans = bursts(dice, begin, begin + 2 * HOUR, work=(60, 600), pause=(10, 600))
                plan.closes.append(spans[-1][1] + MINUTE)
            case _:  # never sleeps, from Monday to Wednesday
                night = (begin, begin + 50 * HOUR) if day == 0 else (0.0, 0.0)
                spans = bursts(dice, *night, work=(60, 7200), pause=(60, 25 * MINUTE))
        plan.inputs += spans
    return plan


HABITS = {"works": 60, "reads": 40, "computes": 40, "forgets": 30, "closes": 20, "sleepless": 10}


def test_a_week() -> None:
    """Two hundred people, a week, forty restarts, a clock that jumps: nobody is wronged.

    Nobody active is stopped before their lifetime, nobody idle stays beyond limit and warning,
    and whoever was stopped was told in time. Who is stopped comes back when they go on.
    """
    dice = random.Random(2026)  # noqa: S311 - to be the same each time
    world = a_world(dice)
    reasons: Counter[tuple[str, Reason | None]] = Counter()
    restarts = 0
    people = [habit for habit, number in HABITS.items() for _ in range(number)]
    assert len(people) == 200
    for habit in people:
        plan = a_plan(dice, habit)
        inputs, computing = Spans(plan.inputs), Spans(plan.computing)
        free = 0.0
        for start, end in plan.inputs:
            if end <= free:
                continue
            opened = world.door(max(start, free))
            if end <= opened:
                continue
            closed = next((one for one in plan.closes if one > opened), math.inf)
            # Only what is done in this very session counts in it.
            story = Story(opened, inputs, computing, closed)
            ending = live(story, world, LIMITS)
            judge(story, world, LIMITS, ending)
            reasons[habit, ending.reason] += 1
            restarts += ending.restarts
            free = ending.at
    assert restarts > 100
    # Every habit came to the end that it deserves: nobody had to come back before the next day.
    assert reasons["works", Reason.IDLE] == 60 * 5
    assert reasons["reads", Reason.IDLE] == 40 * 5
    assert reasons["forgets", Reason.IDLE] == 30 * 5
    assert reasons["closes", None] == 20 * 5
    assert reasons["sleepless", Reason.LIFETIME] == 10 * 2
    # Who comes for five minutes may find no controller in them.
    assert 40 * 4 < reasons["computes", Reason.IDLE] <= 40 * 5
    assert {habit for habit, reason in reasons if reason is Reason.LIFETIME} == {"sleepless"}


def test_a_week_of_starts_ahead() -> None:
    """What is started every morning is there for who comes in time, and gone if nobody does."""
    dice = random.Random(7)  # noqa: S311 - to be the same each time
    world = a_world(dice)
    reasons: Counter[Reason | None] = Counter()
    for person in range(200):
        opened = world.door((person % 5) * DAY + dice.uniform(7, 10) * HOUR)
        comes = opened + dice.uniform(0, 20 * MINUTE)
        visit = [(comes, comes + dice.uniform(1, 3 * HOUR))] if person % 3 else []
        story = Story(opened, Spans(visit), Spans([(opened, opened + MINUTE)]), ahead=True)
        ending = live(story, world, LIMITS)
        judge(story, world, LIMITS, ending)
        reasons[ending.reason] += 1
    assert reasons[Reason.UNUSED] > 67
    assert reasons[Reason.IDLE] > 30
    assert reasons[None] == 0


# -- a single session ------------------------------------------------------------------------


@st.composite
def spans(draw: st.DrawFn, most: int, *, longest: float) -> list[Span]:
    """Return some spans in order."""
    found: list[Span] = []
    at = 0.0
    lengths = st.floats(0.001, longest)
    for _ in range(draw(st.integers(0, most))):
        begin = at + draw(lengths)
        at = begin + draw(lengths)
        found.append((begin, at))
    return found


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Return a world with any restarts and clock steps; it lasts longer than any session."""
    downs = draw(spans(5, longest=3000))
    lives: list[Span] = []
    begin = 0.0
    for down, up in downs:
        lives.append((begin, down))
        begin = up
    steps = draw(st.lists(st.tuples(st.floats(0, 20_000), st.sampled_from([-HOUR, HOUR]))))
    blind = draw(spans(3, longest=600))
    return World([*lives, (begin, begin + 15_000)], steps, draw(st.floats(10, 60)), Spans(blind))


stories = st.builds(
    Story,
    opened=st.floats(0, 5000),
    inputs=spans(8, longest=1500).map(Spans),
    computing=spans(3, longest=3000).map(Spans),
    ahead=st.booleans(),
)
limits = st.builds(
    Limits,
    start=st.just(180.0),
    idle=st.just(0.0) | st.floats(20, 3000),
    lifetime=st.just(0.0) | st.floats(20, 10_000),
    failed=st.just(600.0),
    warning=st.floats(0, 600),
    ahead=st.floats(0, 1000),
)


@settings(max_examples=60)
@given(stories, worlds(), limits)
def test_a_session(story: Story, world: World, limits: Limits) -> None:
    """Whatever people do and whatever befalls the hub, the promises hold for every session."""
    opened = world.door(story.opened)
    # Nobody sits at a session before it is there.
    begun = [
        (max(start, opened), end)
        for start, end in zip(story.inputs.starts, story.inputs.ends, strict=True)
        if end > opened
    ]
    real = replace(story, opened=opened, inputs=Spans(begun))
    judge(real, world, limits, live(real, world, limits))
