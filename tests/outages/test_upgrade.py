"""The controller is replaced while everybody goes on working."""

from __future__ import annotations

import time

from outages.conftest import Outage
from outages.watch import PAGES, SESSION, STRANGER, Desktop, Scene

from tests.support.breakage import compose
from tests.support.waits import until

DESKTOPS = 20  # besides the one that is always there


def test_the_controller_is_upgraded_under_load(broken: Outage, scene: Scene) -> None:
    """No request to a session is refused, and no socket closed; pages are away for a moment."""
    both = (scene.desktop, scene.beside)
    desktops = [Desktop(scene.alice, both[one % 2], pause=0.5) for one in range(DESKTOPS)]
    fault = f"upgrade of the controller with {DESKTOPS + 1} open desktops and requests all the time"
    with broken(fault, may=PAGES, by_itself=True, more=desktops, pause=0.02) as vigil:
        steady = time.monotonic()
        until(
            lambda: all(len(place.since(steady)) >= 5 for place in vigil.places), what="some load"
        )
        begun = time.monotonic()
        compose("up", "--detach", "--wait", "--no-deps", "--force-recreate", "controller")
        over = time.monotonic()
        vigil.last(3)
        answers = [one for place in vigil.places for one in place.since(steady)]
        refused = [one for one in answers if one.wrong]
        first = min((one.begun for one in refused), default=begun)
        last = max((one.ended for one in refused), default=begun)
        vigil.note(
            "requests",
            f"{len(answers)}, of them refused {len(refused)}, all within {last - first:.1f} s "
            f"of the {over - begun:.1f} s that it took",
        )
    outside = [one for one in refused if one.ended < begun or one.begun > over]
    assert outside == [], "refused though nothing was being restarted"
    at_sessions = [one for one in vigil.places if one.name in {SESSION, STRANGER}]
    assert [one.wrong for place in at_sessions for one in place.since(steady) if one.wrong] == []
    for desktop in vigil.desktops:
        assert desktop.losses(steady) == 0
        assert desktop.answered(over)
