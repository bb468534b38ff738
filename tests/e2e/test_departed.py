"""Somebody leaves the group that may use the hub, in the real directory."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import pytest
from docker import DockerClient
from e2e.stack import (
    URL,
    Member,
    container_of,
    handshake,
    is_closed,
    is_open,
    open_socket,
    part,
    place_of,
)

from tests.support import asking
from tests.support.inside import inside
from tests.support.waits import until

CHANGE = """ldapmodify -Q -Y EXTERNAL -H ldapi://%2Ftmp%2Fslapd%2Fldapi <<LDIF
dn: cn=slicer-users,ou=groups,dc=example,dc=org
changetype: modify
$0: member
member: uid=bob,ou=people,dc=example,dc=org
LDIF"""


def change(engine: DockerClient, act: str) -> None:
    """Add bob to the group, or delete him from it."""
    inside(part(engine, "ldap"), "bash", "-c", CHANGE, act)


@contextmanager
def bob_gone(engine: DockerClient) -> Generator[None]:
    """While bob is not in the group."""
    change(engine, "delete")
    try:
        yield
    finally:
        change(engine, "add")


@pytest.mark.thorough
def test_who_leaves_is_out(alice: Member, engine: DockerClient) -> None:
    """Log-ins and invitations end, open views are cut, sessions stop after a grace; files stay."""
    shown = alice.launch("slicer", "shown to bob")
    with Member("bob") as bob:
        bob.stop_all()
        alice.invite(shown, "bob", "view")
        own = bob.launch("echo", "left behind")
        inside(container_of(engine, own["id"]), "sh", "-c", "echo kept > /home/slicer/testament")
        socket_path = f"{place_of(shown)}ws"
        cookie = bob.cookie_in(shown)
        with (
            open_socket(socket_path, alice.cookie_in(shown)) as owners,
            open_socket(socket_path, cookie) as guests,
        ):
            assert is_open(guests)
            with bob_gone(engine):
                until(lambda: bob.api.get("/api/v1/me").status_code == 401, what="bob's log-out")
                until(lambda: is_closed(guests), what="the end of bob's view")
                assert handshake(socket_path, cookie) == 401
                assert bob.browser.get("/").headers["location"].startswith("/login")
                shares = f"/api/v1/sessions/{shown['id']}/shares"
                until(
                    lambda: alice.api.get(shares).json() == {"items": []},
                    what="the end of bob's invitation",
                )
                refused = asking.post(
                    f"{URL}/api/v1/login", json={"username": "bob", "password": "bob"}
                )
                assert refused.status_code == 401
                until(
                    lambda: (
                        not engine.containers.list(
                            all=True, filters={"label": f"slicerhub.session={own['id']}"}
                        )
                    ),
                    what="the end of bob's session",
                )
                assert is_open(owners)
        assert alice.phase(shown["id"]) == "ready"
    with Member("bob") as bob:
        assert bob.browser.get(place_of(shown)).status_code == 403
        assert "may no longer use the hub" in bob.browser.get("/").text
        again = bob.launch("echo", "back")
        kept = inside(container_of(engine, again["id"]), "cat", "/home/slicer/testament")
        assert kept == "kept\n"
        bob.stop_all()
