"""Other Compose projects behind the hub's log-in, through the real Traefik."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from docker import DockerClient
from e2e.stack import INSTANCE, PAGE, URL, Member, part
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.support import asking
from tests.support.reach import reached
from tests.support.waits import until

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "deploy/examples/companion/compose.yaml"
LAB = ROOT / "tests/e2e/companion/compose.yaml"
SESSION = "abcdefghijklmnopqrstuvwxyz"


def compose(file: Path, project: str, *words: str) -> None:
    """Run one command of Compose on a project."""
    environment = os.environ | {
        "SLICERHUB_INSTANCE": INSTANCE,
        "SLICERHUB_TEST_INSTANCE": INSTANCE,
    }
    subprocess.run(
        ["docker", "compose", "-f", str(file), "-p", project, *words],
        check=True,
        env=environment,
        timeout=300,
    )


@pytest.fixture(scope="module", autouse=True)
def companions(alice: Member, carol: Member) -> Iterator[None]:
    """Run the example of the guide and the tests' own companions beside the hub."""
    projects = ((EXAMPLE, f"{INSTANCE}-board"), (LAB, f"{INSTANCE}-lab"))
    try:
        for file, project in projects:
            compose(file, project, "up", "--detach", "--wait")
        until(lambda: alice.browser.get("/apps/board/").status_code == 200, what="the board")
        until(lambda: carol.browser.get("/apps/pictures/").status_code == 200, what="the pictures")
        yield
    finally:
        for file, project in projects:
            compose(file, project, "down", "--timeout", "1", "--volumes")


def log_of(engine: DockerClient) -> list[dict[str, Any]]:
    """Return what the controller has said."""
    said: bytes = part(engine, "controller").logs()
    lines = [line for line in said.decode().splitlines() if line.startswith("{")]
    return [json.loads(line) for line in lines]


def handshake(path: str, headers: dict[str, str], origin: str | None = URL) -> int:
    """Try a WebSocket handshake; return its status."""
    try:
        with connect(
            URL.replace("http", "ws") + path,
            additional_headers=headers,
            origin=origin,  # pyright: ignore[reportArgumentType] - any text may be sent
            proxy=None,
            open_timeout=20,
        ):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


def test_the_example_knows_who_you_are(alice: Member, bob: Member) -> None:
    """The stack of the guide shows everybody their own name, and who wrote which note."""
    assert "You are Alice" in alice.browser.get("/apps/board/").text
    own_page = {"Origin": URL}
    answer = alice.browser.post("/apps/board/", data={"note": "lunch at <1>"}, headers=own_page)
    assert (answer.status_code, answer.headers["location"]) == (303, "/apps/board/")
    page = bob.browser.get("/apps/board/").text
    assert "(bob)" in page
    assert "<b>alice</b>: lunch at &lt;1&gt;" in page


def test_a_foreign_page_cannot_write(alice: Member) -> None:
    """A form of another site changes nothing, though the browser sends the person's cookie."""
    for origin in ("http://evil.example", "null"):
        answer = alice.browser.post(
            "/apps/board/", data={"note": "forged"}, headers={"Origin": origin}
        )
        assert answer.status_code == 403
    assert "forged" not in alice.browser.get("/apps/board/").text


def test_a_stranger_logs_in_and_comes_back() -> None:
    """Who is not logged in gets the log-in, and after it the very page that was asked for."""
    wanted = f"{URL}/apps/board/?of=atlas&view=2"
    with httpx.Client(base_url=URL, headers=PAGE, follow_redirects=True) as browser:
        page = browser.get(wanted)
        assert page.url.path == "/login"
        assert 'value="/apps/board/?of=atlas&amp;view=2"' in page.text
        form = {"username": "bob", "password": "bob", "next": page.url.params["next"]}
        page = browser.post("/login", data=form, headers={"Origin": URL})
        assert str(page.url) == wanted
        assert "(bob)" in page.text


def test_a_program_without_login_gets_401() -> None:
    """Programs and handshakes are told so."""
    assert asking.get(f"{URL}/apps/board/", headers={"Accept": "*/*"}).status_code == 401
    assert handshake("/apps/board/", {}) == 401


def test_another_group_gets_403(alice: Member, bob: Member) -> None:
    """Who is in none of its groups gets no byte of it, by any method."""
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        for client in (alice.browser, bob.api):
            answer = client.request(method, "/apps/pictures/", headers={"Origin": URL})
            assert answer.status_code == 403
            assert "target" not in answer.text
    assert "This is not open to you" in alice.browser.get("/apps/pictures/").text
    assert handshake("/apps/pictures/", {"Cookie": alice.cookie}) == 403


def test_its_own_group_passes(carol: Member) -> None:
    """Its group gets through, the service is told who it is, and its own path is stripped."""
    for client in (carol.browser, carol.api):
        told = client.get("/apps/pictures/a/b?c=d").json()
        seen = {name.lower(): value for name, value in told["headers"]}
        assert told["target"] == "/a/b?c=d"
        assert seen["x-slicerhub-user"] == "carol"
        assert set(seen["x-slicerhub-groups"].split(",")) >= {"slicer-admins", "slicer-users"}
        assert seen["x-slicerhub-name"].startswith("Carol")
    assert handshake("/apps/pictures/", {"Cookie": carol.cookie}) == 101


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example"])
def test_a_foreign_page_cannot_open_a_websocket(carol: Member, origin: str | None) -> None:
    """A handshake with the person's cookie from another origin, or from none, is refused."""
    assert handshake("/apps/pictures/", {"Cookie": carol.cookie}, origin) == 403


def test_the_hubs_credentials_stay_with_the_hub(carol: Member) -> None:
    """A companion gets neither cookie nor token of the hub, and cannot set the cookie."""
    headers = {"Cookie": f"{carol.cookie}; mine=1"}
    told = carol.browser.get("/apps/pictures/", headers=headers)
    seen = {name.lower(): value for name, value in told.json()["headers"]}
    assert seen["cookie"] == "mine=1"
    told = carol.api.get("/apps/pictures/")
    assert "authorization" not in {name.lower() for name, _ in told.json()["headers"]}
    assert carol.token not in told.text
    name = next(iter(carol.browser.cookies))
    answer = asking.get(
        f"{URL}/apps/pictures/cookie?{name}=planted&own=fine", headers={"Cookie": carol.cookie}
    )
    planted = answer.headers.get_list("set-cookie")
    assert any(one.startswith("own=fine") for one in planted)
    assert not any("planted" in one for one in planted)


def test_nobody_can_name_themselves(carol: Member) -> None:
    """What a client says about who it is never reaches the companion."""
    names = ("X-Slicerhub-User", "X-Slicerhub-Groups", "X-Slicerhub-Name", "X-Slicerhub-Role")
    told = carol.browser.get("/apps/pictures/", headers=dict.fromkeys(names, "alice")).json()
    seen = {name.lower(): value for name, value in told["headers"]}
    assert seen["x-slicerhub-user"] == "carol"
    assert "alice" not in seen.values()
    assert "x-slicerhub-role" not in seen


def test_a_foreign_host_name_is_not_served(carol: Member) -> None:
    """Under a host name that is not the hub's a companion is not to be had."""
    answer = carol.api.get("/apps/pictures/", headers={"Host": "evil.example"})
    assert answer.status_code == 400
    assert "evil" not in answer.text


def test_links_for_those_who_may(alice: Member, carol: Member) -> None:
    """The first page and the API name to everybody what is open to them, and nothing refused."""
    page = alice.browser.get("/").text
    assert 'href="/apps/board/"' in page
    assert "/apps/pictures/" not in page
    assert 'href="/apps/pictures/"' in carol.browser.get("/").text
    listed = [
        {"name": "board", "title": "Notice board", "url": f"{URL}/apps/board/"},
        {
            "name": "pictures",
            "title": "Pictures of the department",
            "url": f"{URL}/apps/pictures/",
        },
    ]
    # A name that two claim is the first one's until the second has started.
    until(lambda: carol.api.get("/api/v1/apps").json()["items"] == listed, what="these two alone")


@pytest.mark.parametrize(
    ("app", "service", "why"),
    [
        ("controller", "controller", "the hub's own name"),
        (SESSION, "session", "looks like a session"),
        ("greedy", "greedy", "its rule"),
        ("twin", "twin", "claimed more than once"),
        ("twin", "other", "claimed more than once"),
        ("forgetful", "forgetful", "does not ask the hub"),
        ("ruleless", "ruleless", "has no router"),
    ],
)
def test_refused_names_are_in_the_log(
    engine: DockerClient, app: str, service: str, why: str
) -> None:
    """Each refusal is said once, with the service and what is wrong."""
    where = f"{INSTANCE}-lab/{service}"

    def refusals() -> list[dict[str, Any]]:
        lines = log_of(engine)
        return [
            one for one in lines if one["event"] == "companion_refused" and one["where"] == where
        ]

    # The hub looks every few seconds, and the containers start one after the other.
    said = until(refusals, what="the hub to refuse it")
    assert {line["app"] for line in said} == {app}
    assert why in " ".join(said[-1]["why"])


@pytest.mark.parametrize("app", ["controller", "twin", "forgetful", "ruleless"])
def test_what_is_refused_serves_nobody(carol: Member, app: str) -> None:
    """Below the path of a refused name nobody passes, not even where no guard was asked for."""
    path = f"/apps/{app}/"
    until(lambda: carol.api.get(path).status_code == 403, what="Traefik to hear of it")
    for method in ("GET", "POST", "OPTIONS"):
        for client in (carol.browser, carol.api):
            answer = client.request(method, path, headers={"Origin": URL})
            assert answer.status_code == 403
            assert "target" not in answer.text
        assert httpx.request(method, URL + path).status_code == 401


@pytest.mark.parametrize("app", ["foreign", "nameless", "unknown"])
def test_what_is_not_of_this_hub_is_not_there(carol: Member, app: str) -> None:
    """What names another hub, or no name, is not served at all."""
    for client in (carol.browser, carol.api):
        assert client.get(f"/apps/{app}/").status_code == 404


def test_what_belongs_to_the_hub_stays_with_the_hub(carol: Member) -> None:
    """Neither the log-in page nor a session's place can be had by a companion."""
    assert "password" in asking.get(f"{URL}/login", headers=PAGE).text
    assert carol.browser.get(f"/s/{SESSION}/").status_code == 403
    for host in (f"ruleless-{INSTANCE}-lab", f"{INSTANCE}-lab-ruleless-1"):
        assert asking.get(f"{URL}/", headers={"Host": host}).status_code == 404


def test_it_is_gone_with_its_stack(carol: Member) -> None:
    """A companion that is stopped is no longer linked nor served, and comes back with its stack."""
    project = f"{INSTANCE}-lab"

    def listed() -> bool:
        return "pictures" in carol.api.get("/api/v1/apps").text

    compose(LAB, project, "stop", "--timeout", "1", "pictures")
    until(lambda: not listed(), what="the link to go")
    until(lambda: carol.browser.get("/apps/pictures/").status_code == 404, what="the route to go")
    compose(LAB, project, "start", "pictures")
    until(listed, what="the link to come back")
    until(lambda: carol.browser.get("/apps/pictures/").status_code == 200, what="the service")


def test_companions_reach_nothing_of_the_hub(engine: DockerClient) -> None:
    """From inside a companion nothing of the hub answers but Traefik's public port."""
    found = engine.containers.list(
        filters={"label": [f"com.docker.compose.project={INSTANCE}-lab", "slicerhub.app=pictures"]}
    )
    targets = ["verify-0:8001", "traefik:8082", "traefik:8080"]
    for service, ports in (
        ("controller", (8000, 8001)),
        ("engine-proxy", (2375,)),
        ("engine-proxy-traefik", (2375,)),
        ("ldap", (636,)),
    ):
        networks = part(engine, service).attrs["NetworkSettings"]["Networks"].values()
        for host in (service, *(one["IPAddress"] for one in networks)):
            targets += [f"{host}:{port}" for port in ports]
    assert reached(found[0], targets) == ["traefik:8080"]
