"""Places that are few: fifty launches at once, the line, and what is started ahead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from docker import DockerClient
from e2e.stack import INSTANCE, Member, place_of, session_url

from tests.support.waits import until

PLACES = 10  # of the profiles "few" and "line", as the tests' slicerhub.toml says
LAUNCHES = 50


def launch_at_once(people: list[Member], profile: str) -> list[tuple[Member, httpx.Response]]:
    """Let these people launch fifty sessions at the same time."""

    def launch(number: int) -> tuple[Member, httpx.Response]:
        member = people[number % len(people)]
        wanted = {"profile": profile, "name": f"{profile} {number}"}
        return member, member.api.post("/api/v1/sessions", json=wanted)

    with ThreadPoolExecutor(LAUNCHES) as pool:
        return list(pool.map(launch, range(LAUNCHES)))


def running(engine: DockerClient, profile: str) -> list[str]:
    """Return the sessions of a profile that the engine has."""
    labels = [f"slicerhub.instance={INSTANCE}", f"slicerhub.profile={profile}"]
    found = engine.containers.list(all=True, filters={"label": labels}, ignore_removed=True)
    return [one.labels["slicerhub.session"] for one in found]


def line_of(people: list[Member]) -> list[dict[str, Any]]:
    """Return the sessions that wait in the queue, the next one first."""
    found = [one for who in people for one in who.api.get("/api/v1/sessions").json()["items"]]
    return sorted((one for one in found if one["place"]), key=lambda one: one["place"]["position"])


def stop(people: list[Member], wanted: set[str]) -> None:
    """Let everybody stop what is theirs of these sessions, and do not wait."""
    for who in people:
        for one in who.api.get("/api/v1/sessions").json()["items"]:
            if one["id"] in wanted:
                assert who.api.delete(f"/api/v1/sessions/{one['id']}").status_code == 202


@pytest.fixture(scope="module")
def people(alice: Member, bob: Member, carol: Member) -> list[Member]:
    """Everybody."""
    return [alice, bob, carol]


def stop_all(people: list[Member]) -> None:
    """Let everybody stop what they have, at the same time."""
    with ThreadPoolExecutor(len(people)) as pool:
        list(pool.map(Member.stop_all, people))


@pytest.mark.thorough
def test_fifty_launches_for_ten_places(people: list[Member], engine: DockerClient) -> None:
    """Exactly ten get a session; the others are told so, and when to try again."""
    answers = launch_at_once(people, "few")
    assert Counter(answer.status_code for _, answer in answers) == {202: PLACES, 429: 40}
    for _, answer in answers:
        if answer.status_code == 429:
            assert int(answer.headers["retry-after"]) > 0
            assert "All places are taken" in answer.json()["detail"]
    made = {answer.json()["id"] for _, answer in answers if answer.status_code == 202}
    # An accepted one may still be on its way: a busy engine answers late.
    until(lambda: sorted(running(engine, "few")) == sorted(made), what="all ten")
    stop_all(people)
    assert running(engine, "few") == []


@pytest.mark.thorough
def test_fifty_launches_and_a_line(people: list[Member], engine: DockerClient) -> None:
    """Ten begin, forty wait; as places become free the line moves on by itself, each in turn."""
    answers = launch_at_once(people, "line")
    assert {answer.status_code for _, answer in answers} == {202}
    line = line_of(people)
    assert [one["place"]["position"] for one in line] == list(range(1, LAUNCHES - PLACES + 1))
    assert {one["phase"] for one in line} == {"pending"}
    waiting = {one["id"] for one in line}
    first = {answer.json()["id"] for _, answer in answers} - waiting
    until(lambda: sorted(running(engine, "line")) == sorted(first), what="the first ten")

    # Most give up, from the end of the queue; those who stay have their turn.
    left, given_up = line[:PLACES], line[PLACES:]
    stop(people, {one["id"] for one in given_up})
    assert [one["id"] for one in line_of(people)] == [one["id"] for one in left]
    stop(people, first)

    def moved_on() -> bool:
        for who in people:
            found = who.api.get("/api/v1/sessions").json()["items"]
            waiting = {one["id"] for one in found if one["place"]}
            turns = [one["id"] in waiting for one in left if one["owner"] == who.name]
            assert turns == sorted(turns), "somebody was passed by themselves"
        return sorted(running(engine, "line")) == sorted(one["id"] for one in left)

    until(moved_on, seconds=90, what="the turn of everybody in line")
    assert line_of(people) == []
    stop_all(people)


def test_who_waits_knows_for_what(alice: Member, bob: Member, carol: Member) -> None:
    """A position in the queue is seen on the page, can be given up, and leads to a session."""
    first = alice.launch("single", "a")
    second, third = bob.begin("single", "b"), carol.begin("single", "c")
    assert second["place"] == {"position": 1, "waits_for": "a free place"}
    assert third["place"] == {"position": 2, "waits_for": "a free place"}
    assert "2nd in the queue" in carol.browser.get("/").text
    assert "2nd in the queue" in carol.browser.get(f"/starting/{third['id']}").text
    assert bob.act(f"/sessions/{second['id']}/stop").status_code == 303
    assert bob.phase(second["id"]) == "gone"
    alice.stop(first["id"])
    assert carol.wait(third["id"], "ready")["place"] is None
    assert carol.browser.get(place_of(third)).status_code == 200
    carol.stop(third["id"])


@pytest.fixture
def early(alice: Member) -> Iterator[None]:
    """While alice wants a session of the profile "early" to be started when she logs in."""
    assert alice.act("/ahead", profile="early", on="1").status_code == 303
    yield
    assert alice.act("/ahead", profile="early", on="").status_code == 303


@pytest.mark.usefixtures("early")
def test_started_ahead(engine: DockerClient) -> None:
    """Who wants it finds their session running after the log-in; unused, it goes quietly."""
    assert running(engine, "early") == []
    with Member("alice") as alice:
        (session_id,) = until(lambda: running(engine, "early"), what="the session started ahead")
        alice.wait(session_id, "ready")
        assert "started ahead for you" in alice.browser.get("/").text
        alice.wait(session_id, "gone")
        assert "Early was stopped at" not in alice.browser.get("/").text


@pytest.mark.usefixtures("early")
def test_started_ahead_and_used(engine: DockerClient) -> None:
    """The button leads to what was started ahead; from then on it is a session like others."""
    with Member("alice") as alice:
        (session_id,) = until(lambda: running(engine, "early"), what="the session started ahead")
        pressed = alice.act("/launch", profile="early")
        assert pressed.headers["location"] == f"/starting/{session_id}"
        alice.wait(session_id, "ready")
        assert alice.browser.get(session_url(session_id)).status_code == 200
        # What is used gates report a moment later.
        until(lambda: "started ahead for you" not in alice.browser.get("/").text, what="a used one")
        alice.stop(session_id)
