"""Getting in by a log-in that is none: forged, used up, of another time, planted (rows 1-5, 18)."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

from docker import DockerClient
from e2e.stack import URL, is_closed, is_open
from msgspec.structs import replace
from security.attacker import (
    COOKIE,
    DENIED,
    SECRETS,
    Door,
    Person,
    change_directory,
    door,
    entry_of,
    handshake,
    key_ring,
    knock,
    navigation,
    open_socket,
    someone,
    try_login,
)

from controller.people.tokens import Audience, Claims, Key, KeyRing
from tests.support import asking
from tests.support.forgery import decoded, encoded, header_of, token
from tests.support.waits import until

CUT_SECONDS = 5  # within which an open view is closed: the hub's promise


def test_row_01_nobody_gets_in_without_a_login(
    alice: Person, victim: dict[str, Any], marker: str
) -> None:
    """A page leads to the log-in, a program and a WebSocket are told 401, whatever the method."""
    stranger = door(alice, victim).as_stranger()
    page = navigation(stranger)
    assert page.status_code == 302
    assert page.headers["location"].startswith((f"{URL}/login?", f"{URL}/enter/"))
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        for headers in (
            {"Accept": "application/json"},
            {"Accept": "text/html", "Sec-Fetch-Mode": "cors", "X-Requested-With": "XMLHttpRequest"},
        ):
            answer = knock(stranger, method, headers=headers)
            assert answer.status_code == 401, method
            assert marker not in str(answer.headers) + answer.text
    assert handshake(stranger) == 401


def proof(at: Door) -> tuple[str, str]:
    """Return name and value of the cookie that proves who somebody is at a session."""
    name = entry_of(at)
    return name, dict(one.split("=", 1) for one in at.cookie.split("; "))[name]


def key_of(good: str, ring: KeyRing) -> Key:
    """Return the key that has signed a token."""
    kid = json.loads(decoded(good.partition(".")[0]))["kid"]
    return next(one for one in ring.keys if one.kid == kid)


def forgeries(good: str, ring: KeyRing) -> dict[str, str]:
    """Return what an attacker might make of somebody's real token, without the key."""
    head, body, signature = good.split(".")
    header: dict[str, Any] = json.loads(decoded(head))
    claims: dict[str, Any] = json.loads(decoded(body))
    ours, empty = key_of(good, ring), Key("", "")
    theirs = replace(ours, secret=secrets.token_hex(32))
    public = Key("", ours.public().public)  # everybody may know it
    none = encoded(json.dumps(header | {"alg": "none"}).encode())
    other = encoded(json.dumps(claims | {"sub": "carol"}).encode())
    longer = encoded(json.dumps(claims | {"exp": claims["exp"] * 2}).encode())
    return {
        "alg none": f"{none}.{body}.",
        "alg none, signed": token(header | {"alg": "none"}, claims, ours),
        "alg nOnE": token(header | {"alg": "nOnE"}, claims, empty),
        "other key": token(header, claims, theirs),
        "empty key": token(header, claims, empty),
        "other user": f"{head}.{other}.{signature}",
        "longer life": f"{head}.{longer}.{signature}",
        "HS256 with our public key": token(header | {"alg": "HS256"}, claims, public),
        "HS512 with our public key": token(
            header | {"alg": "HS512"}, claims, public, digest="sha512"
        ),
        "HS256 that says EdDSA": token(header, claims, public),
        "EdDSA that says RS256": token(header | {"alg": "RS256"}, claims, ours),
        "crit": token(header | {"crit": ["x"], "x": 1}, claims, ours),
        "kid a path": token(header | {"kid": "../../../dev/null"}, claims, empty),
        "kid missing": token({"alg": "EdDSA", "typ": "JWT"}, claims, ours),
        "kid SQL": token(header | {"kid": "x' UNION SELECT '61"}, claims, Key("", "61")),
        "jku": token(header | {"jku": "http://evil.example/k", "kid": "x"}, claims, theirs),
        "jwk": token(
            header | {"jwk": {"kty": "oct", "k": encoded(bytes.fromhex(theirs.secret))}},
            claims,
            theirs,
        ),
        "signature missing": f"{head}.{body}.",
        "truncated": good[:-4],
        "twice": f"{good}.{good}",
        "empty": "..",
        "nested without end": f"{encoded(b'[' * 2900)}.e30.e30",
        "huge": good + "a" * 9000,
    }


def test_row_02_a_forged_login_is_none(
    alice: Person, victim: dict[str, Any], engine: DockerClient
) -> None:
    """Two dozen forgeries of alice's own log-in open neither her session nor the hub."""
    ring = key_ring(engine)
    at = door(alice, victim)
    name, cookie = proof(at)
    assert knock(at).status_code == 200
    for what, forged in forgeries(cookie, ring).items():
        for answer in (
            knock(at._replace(cookie=f"{name}={forged}")),
            asking.get(f"{URL}/api/v1/me", headers={"Cookie": f"{COOKIE}={forged}"}),
        ):
            assert answer.status_code == 401, what
    for what, forged in forgeries(alice.token, ring).items():
        headers = {"Authorization": f"Bearer {forged}"}
        assert knock(at.as_stranger(), headers=headers).status_code == 401, what
        assert asking.get(f"{URL}/api/v1/me", headers=headers).status_code == 401, what


def claims_of(text: str) -> dict[str, Any]:
    """Return what a token says."""
    found: dict[str, Any] = json.loads(decoded(text.split(".")[1]))
    return found


def test_row_03_a_login_of_another_time_or_kind_is_none(
    alice: Person, victim: dict[str, Any], engine: DockerClient
) -> None:
    """Even signed with the hub's own keys a token counts only in its time and for its purpose."""
    ring = key_ring(engine)
    at = door(alice, victim)
    name, good = proof(at)
    key = key_of(good, ring)
    login_key = key_of(alice.token, ring)
    claims, now = claims_of(good), time.time()
    signed = {
        "as it is": claims,
        "expired": claims | {"exp": now - 60},
        "not yet valid": claims | {"iat": now + 3600, "exp": now + 7200},
        "aud a list": claims | {"aud": [claims["aud"]]},
        "exp a text": claims | {"exp": "tomorrow"},
        "another sid": claims | {"sid": secrets.token_urlsafe(24)},
        "another sub": claims | {"sub": "carol"},
        **{f"{one} missing": {k: v for k, v in claims.items() if k != one} for one in claims},
        **{
            f"for {one}": claims | {"aud": one}
            for one in (*Audience, "link", "session", "")
            if one != claims["aud"]
        },
        **({"another session": claims | {"session": "a" * 26}} if "session" in claims else {}),
    }
    made = {what: token(header_of(key), body, key) for what, body in signed.items()}
    # With the key that signs log-ins: the one for a session's own host signs nothing else.
    signed_as_login = token(header_of(login_key), claims | {"aud": Audience.LOGIN}, login_key)
    assert knock(at._replace(cookie=f"{name}={made.pop('as it is')}")).status_code == 200
    for what, one in made.items():
        assert knock(at._replace(cookie=f"{name}={one}")).status_code == 401, what
        answer = asking.get(f"{URL}/api/v1/me", headers={"Cookie": f"{COOKIE}={one}"})
        assert answer.status_code == 401, what
    answer = asking.get(f"{URL}/api/v1/me", headers={"Cookie": f"{COOKIE}={signed_as_login}"})
    assert answer.status_code == 200
    # A script's token is no cookie, a cookie no script's token, and a session's own neither.
    service = login_key.sign(
        Claims("controller", victim["id"], Audience.SERVICE, iat=now, exp=now + 60)
    )
    for one in (alice.token, service):
        assert knock(at._replace(cookie=f"{name}={one}")).status_code == 401
    for one in (good, service):
        headers = {"Authorization": f"Bearer {one}"}
        assert asking.get(f"{URL}/api/v1/me", headers=headers).status_code == 401
    other = {"Authorization": f"Bearer {service}"}
    assert knock(door(alice, "a" * 26).as_stranger(), headers=other).status_code in {401, 404}


def test_row_04_a_login_is_over_with_its_logout(alice: Person, victim: dict[str, Any]) -> None:
    """A copied cookie opens nothing, over HTTP and WebSocket, in the hub and the session."""
    assert alice
    with Person("alice") as again:
        at = door(again, victim)
        hub = {"Cookie": again.cookie}
        bearer = {"Authorization": f"Bearer {again.token}"}
        assert asking.get(f"{URL}/api/v1/me", headers=hub).status_code == 200
        assert knock(at).status_code == 200
        assert handshake(at) == 101
        assert again.act("/logout").status_code == 303
        assert knock(at).status_code == 401
        assert handshake(at) == 401
        assert asking.get(f"{URL}/api/v1/me", headers=hub).status_code == 401
        assert again.api.post("/api/v1/logout").status_code == 204
        assert knock(at.as_stranger(), headers=bearer).status_code == 401


def test_row_05_who_leaves_is_out(alice: Person, engine: DockerClient) -> None:
    """Somebody who leaves the group, or the directory, is refused, and what is open is cut."""
    shown = alice.launch("slicer", "shown to dora")
    with someone(engine, "dora"), Person("dora") as dora:
        alice.invite(shown, "dora", "view")
        at = door(dora, shown)
        with open_socket(at) as socket:
            assert is_open(socket)
            group = "dn: cn=slicer-users,ou=groups,dc=example,dc=org\nchangetype: modify\n"
            member = "member\nmember: uid=dora,ou=people,dc=example,dc=org"
            change_directory(engine, f"{group}delete: {member}")
            until(lambda: knock(at).status_code == 401, what="dora's end")
            until(lambda: is_closed(socket), seconds=CUT_SECONDS, what="the end of dora's view")
        assert handshake(at) == 401
        assert dora.api.get("/api/v1/me").status_code == 401
        assert try_login("dora", "dora").status_code == 401
        change_directory(engine, f"{group}add: {member}")
        again = Person("dora")
        assert again.api.get("/api/v1/me").status_code == 200
    until(lambda: again.api.get("/api/v1/me").status_code == 401, what="the end of a deleted one")
    again.leave()
    alice.stop(shown["id"])


def test_row_18_a_planted_login_is_not_gone_on_with(
    alice: Person, bob: Person, victim: dict[str, Any]
) -> None:
    """A log-in gets an id of its own; what stood in the browser before is dead."""
    assert alice
    with Person("bob") as planted:
        before = planted.browser.cookies[COOKIE]
        answer = asking.post(
            f"{URL}/login",
            data={"username": "alice", "password": "alice", "next": "/"},
            headers={"Origin": URL, "Cookie": f"{COOKIE}={before}"},
        )
        assert answer.status_code == 303
        after = answer.cookies[COOKIE]
        SECRETS.add(after)
        assert claims_of(after)["sid"] != claims_of(before)["sid"]
        assert claims_of(after)["sub"] == "alice"
        old = {"Cookie": f"{COOKIE}={before}"}
        assert asking.get(f"{URL}/api/v1/me", headers=old).status_code == 401
        # A made-up one is not taken over either.
        fixed = secrets.token_urlsafe(32)
        answer = asking.post(
            f"{URL}/login",
            data={"username": "alice", "password": "alice", "next": "/"},
            headers={"Origin": URL, "Cookie": f"{COOKIE}={fixed}"},
        )
        assert fixed not in answer.headers["set-cookie"]
        SECRETS.add(answer.cookies[COOKIE])
    assert knock(door(bob, victim)).status_code in DENIED
