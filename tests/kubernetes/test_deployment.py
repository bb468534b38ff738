"""The hub as deploy/kubernetes installs it, on a real cluster, with the real Slicer in a browser.

The cluster of these tests enforces no NetworkPolicy and no Pod Security (it has no network plugin
and is older than the latter): that what is sent would be enforced is not shown here. What the
policies and the Pods say is checked in tests/unit.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser.windows import MOVED, changed, drag, frames_of, open_files, views_of
from playwright.sync_api import Browser, Page, expect

from tests.chromium import chromium
from tests.kubernetes.conftest import Cluster
from tests.kubernetes.deployment import (
    CHILDREN,
    HUB,
    PAGE,
    SESSIONS,
    Deployment,
    Person,
    closed_within,
    is_open,
    knocking,
    until,
)

CUT_SECONDS = 5  # within which an open view is closed: the hub's promise
START_MS = 120_000
KNOCKS = 200  # at least, so that a moment of openness would have been seen
NOTE = "left hippocampus smaller than right\n"

RIGHTS = {
    ("", "pods", "create delete get list watch"),
    ("", "pods/log", "get"),
    ("", "services", "create get list watch"),
    ("", "persistentvolumeclaims", "create get"),
    ("", "events", "list watch"),
    ("networking.k8s.io", "networkpolicies", "create get list watch"),
    ("traefik.io", "ingressroutes", "create get list watch"),
    ("traefik.io", "middlewares", "create get list watch"),
    ("metrics.k8s.io", "pods", "list"),
}


@pytest.fixture(scope="module")
def hub(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The hub, installed; it is gone afterwards."""
    deployment = Deployment(cluster, tmp_path_factory.mktemp("overlay"))
    try:
        deployment.install()
        yield deployment
    finally:
        deployment.remove()


@pytest.fixture(scope="module")
def alice(hub: Deployment) -> Iterator[Person]:
    """Somebody who may use the hub."""
    person = Person(hub.url, "alice")
    yield person
    person.leave()


@pytest.fixture(scope="module")
def bob(hub: Deployment) -> Iterator[Person]:
    """Somebody else who may use the hub."""
    person = Person(hub.url, "bob")
    yield person
    person.leave()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with chromium() as started:
        yield started


@pytest.fixture
def session(alice: Person) -> str:
    """The id of a session of alice's that is ready."""
    running = next(iter(alice.own()), None) or alice.begin("thesis")
    alice.wait(running, "ready")
    until(lambda: alice.is_served(running), "the session itself")
    return running


def start_slicer(page: Page, url: str) -> str:
    """Press the large button and wait until Slicer opens by itself; return the session's id."""
    page.get_by_role("button", name="Start Slicer").click()
    failure = page.locator("main .failure")
    expect(failure.or_(frames_of(page).first)).to_be_visible(timeout=START_MS)
    if failure.count():
        pytest.fail(failure.inner_text())
    assert page.url.startswith(f"{url}/s/")
    return page.url.removeprefix(f"{url}/s/").partition("/")[0]


def upload(page: Page, file: Path) -> None:
    """Put a file into the person's folder, by the panel."""
    open_files(page)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Upload files").click()
    chooser.value.set_files(file)
    expect(page.get_by_text(file.name).first).to_be_visible()


def test_the_hub_says_that_all_its_parts_answer(hub: Deployment) -> None:
    """Applied once, the hub finds its directory, Traefik, its rights and its profiles."""
    told = hub.in_controller("slicerhub", "check").splitlines()
    assert all(line.startswith("✓") for line in told)
    assert len(told) == 6
    assert hub.in_controller("id", "-u").strip() == "10001"


def test_the_controller_may_do_what_it_does_and_nothing_else(hub: Deployment) -> None:
    """Each right that is not on the list is a fault, and elsewhere it has no more than anybody."""
    account, nobody = f"{HUB}:slicerhub", f"{HUB}:nobody"
    wanted = {(group, what, verb) for group, what, verbs in RIGHTS for verb in verbs.split()}
    assert hub.rules_of(account, SESSIONS) - hub.rules_of(nobody, SESSIONS) == wanted
    namespaces = hub.kubectl(
        "get", "namespaces", "--output=jsonpath={.items[*].metadata.name}"
    ).split()
    assert {HUB, "kube-system", "default"} <= set(namespaces)
    for one in (HUB, "kube-system", "default", "traefik"):
        assert hub.rules_of(account, one) == hub.rules_of(nobody, one)


def test_log_in_work_show_take_back_stop_and_find_all_again(
    hub: Deployment, alice: Person, bob: Person, browser: Browser, tmp_path: Path
) -> None:
    """The whole job on a cluster: Slicer in the browser, a guest, and files on the second day."""
    context = browser.new_context(locale="en-GB", timezone_id="UTC")
    context.set_default_timeout(20_000)
    page = context.new_page()
    page.goto(hub.url)
    page.get_by_label("User name").fill("alice")
    page.get_by_label("Password", exact=True).fill("alice")
    page.keyboard.press("Enter")

    first = start_slicer(page, hub.url)
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
    assert bob.browser.get(path).status_code == 200
    with alice.socket(first) as own, bob.socket(first) as guest:
        assert is_open(guest)
        answer = alice.api.delete(f"/api/v1/sessions/{first}/shares/bob")
        assert answer.status_code == 200
        assert closed_within(guest, CUT_SECONDS)
        assert is_open(own)
    assert bob.browser.get(path).status_code == 403
    assert bob.handshake(first) == 403

    alice.stop(first)
    until(lambda: not hub.left(), "the end of all but the files")
    assert [
        one["metadata"]["annotations"]["slicerhub/owner"]
        for one in hub.objects("persistentvolumeclaims")
    ] == ["alice"]

    page.goto(hub.url)
    second = start_slicer(page, hub.url)
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
        assert alice.is_served(session_id)
        alice.stop(session_id)
        until(lambda: not hub.left(), "the end of all but the files")
    for answers in (anybody, foreign):
        assert answers.total() > KNOCKS
        assert not [status for status in answers if 200 <= status < 300], answers
    assert anybody.keys() <= {401, 404}, anybody


def test_without_its_controller_a_session_goes_on(
    hub: Deployment, alice: Person, session: str
) -> None:
    """The controller may be deleted at any moment: open views stay, and all is found again."""
    path = f"/s/{session}/"
    with alice.socket(session) as socket:
        with knocking(hub.url, path, {}) as anybody:
            hub.kubectl("delete", "pod", f"--namespace={HUB}", hub.controller())
            assert is_open(socket)
            hub.wait_available()
            until(lambda: alice.is_served(session), "the session itself")
        # Nobody is let through for lack of information meanwhile.
        assert not [status for status in anybody if 200 <= status < 300], anybody
        assert alice.own() == [session]
        alice.wait(session, "ready")
        assert is_open(socket)


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
        until(lambda: alice.is_served(session), "the session itself")
    assert not [status for status in anybody if 200 <= status < 300], anybody


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


def test_helm_installs_the_same_and_keeps_the_files(hub: Deployment) -> None:
    """The chart gives a hub that works, beside another one; uninstalled, it leaves the files."""
    with hub.by_helm() as other:
        told = other.in_controller("slicerhub", "check").splitlines()
        assert all(line.startswith("✓") for line in told)
        assert other.log_in_status("alice", "alice") == 200
        assert other.log_in_status("alice", "wrong") == 401
        assert hub.rules_of(f"{other.hub}:slicerhub", SESSIONS) == hub.rules_of(
            f"{HUB}:nobody", SESSIONS
        )
    assert other.left() == ["PersistentVolumeClaim slicerhub-data", f"Namespace {other.sessions}"]
