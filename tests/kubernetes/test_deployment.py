"""The hub as deploy/kubernetes installs it, on a real cluster, with the real Slicer in a browser.

There are two controllers and two gates; a single controller is what Helm installs here. The cluster
of these tests has two nodes and enforces NetworkPolicies and Pod Security.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from browser.windows import MOVED, changed, drag, upload, views_of
from playwright.sync_api import Browser

from tests.kubernetes.deployment import APPS, CHILDREN, HUB, SESSIONS, SLICER, Deployment
from tests.kubernetes.pages import id_below, log_in, start_slicer
from tests.kubernetes.visitors import (
    KNOCKS,
    PAGE,
    Person,
    anybody_got_in,
    client,
    closed_within,
    is_open,
    knocking,
)
from tests.kubernetes.waiting import until
from tests.support.chromium import chromium
from tests.support.manifests import Body
from tests.support.waits import until_steady

CUT_SECONDS = 5  # within which an open view is closed: the hub's promise
AGREED_SECONDS = 2  # within which controllers agree: the hub's promise, too
HEARD_SECONDS = 3  # in which Traefik has surely heard of a change
NOTE = "left hippocampus smaller than right\n"

OF_SESSIONS = {
    ("", "pods", "create delete get list watch"),
    ("", "pods/log", "get"),
    ("", "services", "create get list watch"),
    ("", "persistentvolumeclaims", "create delete get list"),
    ("", "events", "list watch"),
    ("networking.k8s.io", "networkpolicies", "create get list watch"),
    ("traefik.io", "ingressroutes", "create get list watch"),
    ("traefik.io", "middlewares", "create get list watch"),
    ("metrics.k8s.io", "pods", "list"),
}
OF_COMPANIONS = {("traefik.io", "ingressroutes", "list")}
OF_GATES = {("", "secrets/slicerhub-gates", "get update"), ("", "pods", "get")}
OF_RECORDS = {
    ("", "configmaps", "create delete get list update watch"),
    ("", "secrets/slicerhub-keys", "get update"),
    ("coordination.k8s.io", "leases", "create"),
    ("coordination.k8s.io", "leases/slicerhub-controller", "get update"),
}
POD: Body = {"name": "main", "image": SLICER}
RIGHTS = {SESSIONS: OF_SESSIONS, APPS: OF_COMPANIONS, HUB: OF_GATES | OF_RECORDS}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with chromium() as started:
        yield started


def test_the_hub_says_that_all_its_parts_answer(hub: Deployment) -> None:
    """Applied once, the hub finds its directory, Traefik, its rights and its profiles."""
    told = hub.in_controller("slicerhub", "check").splitlines()
    assert all(line.startswith("✓") for line in told)
    assert len(told) == 6
    assert hub.in_controller("id", "-u").strip() == "10001"


@pytest.mark.row(37)
def test_the_controller_may_do_what_it_does_and_nothing_else(hub: Deployment) -> None:
    """Each right that is not on the list is a fault, and elsewhere it has no more than anybody."""
    account, nobody = f"{HUB}:slicerhub", f"{HUB}:nobody"
    namespaces = hub.kubectl(
        "get", "namespaces", "--output=jsonpath={.items[*].metadata.name}"
    ).split()
    assert RIGHTS.keys() | {"kube-system", "default"} <= set(namespaces)
    for one in (*RIGHTS, "kube-system", "default", "traefik"):
        more = hub.rules_of(account, one) - hub.rules_of(nobody, one)
        assert more == {
            (group, what, verb)
            for group, what, verbs in RIGHTS.get(one, ())
            for verb in verbs.split()
        }


def test_log_in_work_show_take_back_stop_and_find_all_again(
    hub: Deployment, alice: Person, bob: Person, browser: Browser, tmp_path: Path
) -> None:
    """The whole job on a cluster: Slicer in the browser, a guest, and files on the second day."""
    context = browser.new_context(locale="en-GB", timezone_id="UTC")
    context.set_default_timeout(20_000)
    page = context.new_page()
    log_in(page, hub.url)

    first = id_below(start_slicer(page), hub.url)
    solid, _ = views_of(page)
    before = solid.rest()
    drag(page, solid)
    until(lambda: changed(before, solid.look()) > MOVED, "the brain from another side")
    note = tmp_path / "findings.txt"
    note.write_text(NOTE)
    upload(page, note)

    path = f"/s/{first}/"
    assert bob.browser.get(path).status_code == 403
    assert bob.handshake(first) == 403
    alice.invite(first, "bob")
    # Whichever controller is asked: the one that was not told hears of it a moment later.
    until(lambda: bob.browser.get(path).status_code == 200, "bob as a guest", AGREED_SECONDS)
    with alice.socket(first) as own, bob.socket(first) as guest:
        assert is_open(guest)
        answer = alice.api.delete(f"/api/v1/sessions/{first}/shares/bob")
        assert answer.status_code == 200
        assert closed_within(guest, CUT_SECONDS)
        assert is_open(own)
    until(lambda: bob.browser.get(path).status_code == 403, "bob outside", AGREED_SECONDS)
    assert bob.handshake(first) == 403

    alice.stop(first)
    until(lambda: not hub.left(), "the end of all but the files")
    assert [
        one["metadata"]["annotations"]["slicerhub/owner"]
        for one in hub.objects("persistentvolumeclaims")
    ] == ["alice"]

    page.goto(hub.url)
    second = id_below(start_slicer(page), hub.url)
    assert second != first
    pod = hub.of_session(second)[0]["metadata"]["name"]
    found = hub.kubectl(
        "exec",
        f"--namespace={SESSIONS}",
        pod,
        "--",
        *("find", "/home/slicer", "-name", note.name, "-exec", "cat", "{}", "+"),
    )
    assert found == NOTE
    context.close()
    alice.stop(second)
    until(lambda: not hub.left(), "the end of all but the files")
    assert len(hub.objects("persistentvolumeclaims")) == 1


def test_no_moment_without_a_log_in(hub: Deployment, alice: Person, bob: Person) -> None:
    """From launch to the end of a session, who may not see it never gets anything of it."""
    session_id = alice.begin("guarded")
    path = f"/s/{session_id}/"
    with (
        knocking(hub.url, path, {}) as anybody,
        knocking(hub.url, path, {**PAGE, "Cookie": bob.cookie}) as foreign,
    ):
        alice.wait(session_id, "ready")
        until(lambda: alice.is_served(session_id), "the session itself")
        until(lambda: min(anybody.total(), foreign.total()) > KNOCKS, "many knocks at it")
        alice.stop(session_id)
        until(lambda: not hub.left(), "the end of all but the files")
    for answers in (anybody, foreign):
        assert not anybody_got_in(answers), answers
    assert anybody.keys() <= {401, 404}, anybody


@pytest.mark.parametrize(
    "more",
    [
        {"containers": [POD | {"securityContext": {"privileged": True}}]},
        {"containers": [POD | {"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}]},
        {"containers": [POD], "hostNetwork": True},
        {"containers": [POD], "volumes": [{"name": "root", "hostPath": {"path": "/"}}]},
        {"containers": [POD], "securityContext": {"runAsUser": 0}},
    ],
)
def test_who_takes_over_the_controller_gets_no_machine(
    hub: Deployment, session: str, more: Body
) -> None:
    """Sessions are admitted where Pods with rights on their machine are refused to the hub."""
    assert hub.of_session(session)
    refused = hub.refusal(more)
    assert "forbidden" in refused
    assert "PodSecurity" in refused


def test_without_its_controllers_a_session_goes_on(
    hub: Deployment, alice: Person, session: str
) -> None:
    """All controllers may be deleted at once: work goes on, and all is found again."""
    path = f"/s/{session}/"
    with alice.socket(session) as socket:
        with (
            knocking(hub.url, path, {}) as anybody,
            knocking(hub.url, f"{path}-/ready", {"Cookie": alice.login_cookie}) as inside,
        ):
            hub.kubectl("delete", "pod", f"--namespace={HUB}", *hub.controllers())
            assert is_open(socket)
            hub.wait_available()
            until(lambda: inside.total() > KNOCKS, "many knocks at it")
        # Gates let people pass meanwhile, and nobody else for lack of information.
        assert inside.keys() == {200}, inside
        assert not anybody_got_in(anybody), anybody
        # Traefik has no route to the hub as long as there is no controller, and hears of new ones
        # after a while.
        until(lambda: alice.sees(session), "the session in the list")
        assert alice.own() == [session]
        alice.wait(session, "ready")
        assert is_open(socket)


def test_without_its_traefik_a_session_comes_back(
    hub: Deployment, alice: Person, session: str
) -> None:
    """Traefik may be deleted at any moment: the new one serves the session, to its owner alone."""
    with knocking(hub.url, f"/s/{session}/", {}) as anybody:
        hub.kubectl(
            *("delete", "pod", "--namespace=traefik", "--selector=app.kubernetes.io/name=traefik")
        )
        until(lambda: alice.is_reached(session), "the session itself")
    assert not anybody_got_in(anybody), anybody
    until(lambda: alice.sees(session), "the session in the list")
    assert alice.own() == [session]
    alice.wait(session, "ready")


@pytest.mark.parametrize("plural", CHILDREN)
def test_what_is_taken_from_a_session_comes_back(
    hub: Deployment, alice: Person, session: str, plural: str
) -> None:
    """A route, a service, a policy or a log-in that was deleted by hand is made anew, guarded."""
    path = f"/s/{session}/"
    before = {one["metadata"]["uid"] for one in hub.of_session(session, plural)}
    with knocking(hub.url, path, {}) as anybody:
        hub.delete(plural, session)

        def back() -> bool:
            now = {one["metadata"]["uid"] for one in hub.of_session(session, plural)}
            return len(now) == len(before) and not now & before

        until(back, f"new {plural}")
        alice.wait(session, "ready")
        # Traefik may still serve by what it had read before.
        until_steady(
            lambda: alice.is_served(session), steady=HEARD_SECONDS, what="the session itself"
        )
    assert not anybody_got_in(anybody), anybody


def test_a_session_whose_pod_was_deleted_is_over_and_its_files_are_there(
    hub: Deployment, alice: Person, session: str
) -> None:
    """Who deletes a session's Pod ends the session: it is told so, and another one can start."""
    with alice.socket(session) as socket:
        hub.delete("pods", session)
        assert closed_within(socket, CUT_SECONDS)
    alice.wait(session, "gone")
    until(lambda: not hub.left(), "the end of all but the files")
    assert alice.browser.get(f"/s/{session}/").status_code in {403, 404}
    assert len(hub.objects("persistentvolumeclaims")) == 1
    anew = alice.begin("thesis")
    alice.wait(anew, "ready")
    assert anew != session


def test_an_update_refuses_nobody(hub: Deployment, alice: Person, session: str) -> None:
    """While new controllers and gates take the old ones' place, all is answered as before."""
    before = {*hub.controllers(), *hub.gates()}
    login = {"Cookie": alice.login_cookie}
    with (
        alice.socket(session) as socket,
        knocking(hub.url, "/", PAGE | login) as pages,
        knocking(hub.url, "/", PAGE | {"Cookie": alice.cookie}) as sticky,
        knocking(hub.url, f"/s/{session}/-/ready", login) as inside,
        knocking(hub.url, f"/s/{session}/-/ready", login) as beside,
    ):
        hub.update()
        assert is_open(socket)
    assert not before & {*hub.controllers(), *hub.gates()}
    for answers in (pages, sticky, inside, beside):
        assert answers.keys() == {200}, answers
        assert answers.total() > KNOCKS
    alice.wait(session, "ready")


def test_one_of_two_controllers_may_be_killed(hub: Deployment, alice: Person, session: str) -> None:
    """When one of two ends without a word, the hub answers by the other in a moment.

    In sessions nobody notices.
    """
    login = {"Cookie": alice.login_cookie}
    with alice.socket(session) as socket:
        with (
            knocking(hub.url, f"/s/{session}/-/ready", login) as inside,
            knocking(hub.url, "/", PAGE | login) as pages,
        ):
            until(lambda: pages[200] > KNOCKS, "answers")
            hub.kill(hub.controllers()[0])
            killed = time.monotonic()

            def quiet() -> bool:
                """Nothing has been refused for as many requests as a second brings."""
                good, all_ = pages[200], pages.total()
                until(lambda: pages.total() > all_ + KNOCKS, "more answers")
                return pages[200] - good == pages.total() - all_

            until(quiet, "the other controller")
            print(f"noticed for less than {time.monotonic() - killed:.1f} s: {dict(pages)}")  # noqa: T201 - a number for people
        assert is_open(socket)
        until(lambda: alice.sees(session), "the session in the list")
    assert inside.keys() == {200}, inside
    # Nothing that was not a fault of the hub's own was answered, and nobody was logged out.
    assert pages.keys() <= {200, 500, 502, 503, 504}, pages
    hub.wait_available()


def test_a_companion_has_the_hubs_log_in(hub: Deployment, alice: Person) -> None:
    """The example's board knows who asks; others are refused; who is not logged in comes back."""
    with hub.companion():
        until(lambda: alice.browser.get("/apps/board/").status_code == 200, "the board")
        assert "You are Alice" in alice.browser.get("/apps/board/").text
        # The other controller hears of it by itself, and may do so a moment later.
        until(lambda: 'href="/apps/board/"' in alice.browser.get("/").text, "the link to it")
        with client(hub.url) as script:
            assert script.get("/apps/board/").status_code == 401
        with client(hub.url, headers=PAGE, follow_redirects=True) as stranger:
            page = stranger.get("/apps/board/?view=2")
            assert page.url.path == "/login"
            form = {"username": "bob", "password": "bob", "next": page.url.params["next"]}
            page = stranger.post("/login", data=form, headers={"Origin": hub.url})
            assert str(page.url) == f"{hub.url}/apps/board/?view=2"
            assert "(bob)" in page.text
        hub.annotate_companion("slicer-admins")
        until(lambda: alice.browser.get("/apps/board/").status_code == 403, "the other group")
        carol = Person(hub.url, "carol")
        until(
            lambda: carol.browser.get("/apps/board/").status_code == 200,
            "the board for the other group",
            AGREED_SECONDS,
        )
        # Without groups it would be open to everybody by mistake: then it is open to nobody.
        hub.annotate_companion("")
        until(lambda: carol.browser.get("/apps/board/").status_code == 403, "the refusal")
        carol.leave()


def test_too_much_is_refused_before_the_hub_sees_it(hub: Deployment, alice: Person) -> None:
    """Traefik reads no body that is far too large, and slows down who tries link after link."""
    answer = alice.api.post("/api/v1/sessions", content=b"x" * 200_000)
    assert answer.status_code == 413
    tried = (alice.browser.get("/join/no-such-link").status_code for _ in range(1000))
    assert sum(1 for _ in takewhile(lambda status: status != 429, tried)) >= 100
    assert alice.browser.get("/").status_code == 200
    with client(hub.url) as stranger:
        assert stranger.get("/login").status_code == 200


def test_images_are_there_before_anybody_waits(hub: Deployment) -> None:
    """Every machine has fetched the images that were named, and keeps them."""
    hub.kubectl(
        "rollout", "status", f"--namespace={HUB}", "daemonset/slicerhub-images", "--timeout=120s"
    )
    (found,) = hub.objects("daemonsets", HUB)
    nodes = json.loads(hub.kubectl("get", "nodes", "--output=json"))["items"]
    assert found["status"]["numberReady"] == len(nodes)


@pytest.mark.thorough(quarter=2)  # that the chart is as the base, their content decides
def test_helm_installs_the_same_and_keeps_the_files(hub: Deployment, browser: Browser) -> None:
    """The chart gives a hub that works, beside another one, grows, and leaves the files behind.

    As it comes, each session has a host of its own there.
    """
    with hub.by_helm() as other:
        told = other.in_controller("slicerhub", "check").splitlines()
        assert all(line.startswith("✓") for line in told)
        assert other.log_in_status("alice", "alice") == 200
        assert other.log_in_status("alice", "wrong") == 401
        context = browser.new_context(locale="en-GB", timezone_id="UTC")
        page = context.new_page()
        log_in(page, other.url)
        place = urlsplit(start_slicer(page))
        solid, _ = views_of(page)
        before = solid.rest()
        drag(page, solid)
        until(lambda: changed(before, solid.look()) > MOVED, "the brain from another side")
        assert re.fullmatch(r"[a-z2-7]{26}\." + re.escape(urlsplit(other.url).netloc), place.netloc)
        with client(hub.url) as script:
            assert script.get("/", headers={"Host": place.netloc}).status_code == 401
        context.close()
        other.upgrade({"store": "kubernetes", "replicas": 2})
        # The one controller has made room for the two; Traefik hears of that a moment later.
        until(lambda: other.log_in_status("alice", "alice") == 200, "the two controllers")
        assert hub.rules_of(f"{other.hub}:slicerhub", SESSIONS) == hub.rules_of(
            f"{HUB}:nobody", SESSIONS
        )
    assert other.left() == [
        "PersistentVolumeClaim slicerhub-data",
        f"Namespace {other.sessions}",
        f"Namespace {other.apps}",
    ]
