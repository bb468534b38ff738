"""Getting in without being let in: forged, stolen, guessed log-ins (rows 1-5, 18-26)."""

from __future__ import annotations

import base64
import hmac
import json
import math
import re
import secrets
import statistics
import subprocess
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from docker import DockerClient
from e2e.stack import INSTANCE, PAGE, URL, is_closed, is_open, part
from security.attacker import (
    COOKIE,
    DENIED,
    MODIFY,
    SECRETS,
    Door,
    Person,
    at_once,
    change_directory,
    directory_log,
    door,
    elapsed,
    entry_of,
    handshake,
    helper,
    key_ring,
    knock,
    navigation,
    open_socket,
    someone,
    try_login,
)

from controller.people.tokens import Audience, Claims, KeyRing
from tests.support.breakage import frozen, inside, wait_for_hub
from tests.support.choice import cases
from tests.support.waits import until

CUT_SECONDS = 5  # within which an open view is closed: the hub's promise
ANSWER_SECONDS = 8  # within which a log-in is answered, whatever the directory does
LIMIT = 5  # failures of one name at one address
REFUSAL_SECONDS = 1.0  # before which no refusal is answered
WINDOW = 15  # seconds for which failures count here, as slicerhub.toml says


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


def encoded(data: bytes) -> str:
    """Return base64url without padding, as in a token."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(header: object, body: object, secret: bytes, digest: str = "sha256") -> str:
    """Make a token of any header and body."""
    text = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(body).encode())}"
    return f"{text}.{encoded(hmac.digest(secret, text.encode(), digest))}"


def forgeries(good: str, ring: KeyRing) -> dict[str, str]:
    """Return what an attacker might make of somebody's real token, without the key."""
    head, body, signature = good.split(".")
    header: dict[str, Any] = json.loads(base64.urlsafe_b64decode(head + "=="))
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=="))
    theirs, ours = secrets.token_bytes(32), bytes.fromhex(ring.keys[0].secret)
    none = encoded(json.dumps(header | {"alg": "none"}).encode())
    other = encoded(json.dumps(claims | {"sub": "carol"}).encode())
    longer = encoded(json.dumps(claims | {"exp": claims["exp"] * 2}).encode())
    return {
        "alg none": f"{none}.{body}.",
        "alg none, signed": token(header | {"alg": "none"}, claims, ours),
        "alg nOnE": token(header | {"alg": "nOnE"}, claims, b""),
        "other key": token(header, claims, theirs),
        "empty key": token(header, claims, b""),
        "other user": f"{head}.{other}.{signature}",
        "longer life": f"{head}.{longer}.{signature}",
        "HS512 with our key": token(header | {"alg": "HS512"}, claims, ours, "sha512"),
        "HS for RS": token(header | {"alg": "RS256"}, claims, ours),
        "crit": token(header | {"crit": ["x"], "x": 1}, claims, ours),
        "kid a path": token(header | {"kid": "../../../dev/null"}, claims, b""),
        "kid missing": token({"alg": "HS256", "typ": "JWT"}, claims, ours),
        "kid SQL": token(header | {"kid": "x' UNION SELECT 'a"}, claims, b"a"),
        "jku": token(header | {"jku": "http://evil.example/k", "kid": "x"}, claims, theirs),
        "jwk": token(header | {"jwk": {"kty": "oct", "k": encoded(theirs)}}, claims, theirs),
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
    """Twenty forgeries of alice's own log-in open neither her session nor the hub."""
    ring = key_ring(engine)
    at = door(alice, victim)
    name, cookie = proof(at)
    assert knock(at).status_code == 200
    for what, forged in forgeries(cookie, ring).items():
        for answer in (
            knock(at._replace(cookie=f"{name}={forged}")),
            httpx.get(f"{URL}/api/v1/me", headers={"Cookie": f"{COOKIE}={forged}"}),
        ):
            assert answer.status_code == 401, what
    for what, forged in forgeries(alice.token, ring).items():
        headers = {"Authorization": f"Bearer {forged}"}
        assert knock(at.as_stranger(), headers=headers).status_code == 401, what
        assert httpx.get(f"{URL}/api/v1/me", headers=headers).status_code == 401, what


def claims_of(text: str) -> dict[str, Any]:
    """Return what a token says."""
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text.split(".")[1] + "=="))
    return found


def test_row_03_a_login_of_another_time_or_kind_is_none(
    alice: Person, victim: dict[str, Any], engine: DockerClient
) -> None:
    """Even signed with the hub's own key a token counts only in its time and for its purpose."""
    key = key_ring(engine).keys[0]
    at = door(alice, victim)
    name, good = proof(at)
    header = {"alg": "HS256", "typ": "JWT", "kid": key.kid}
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
    made = {what: token(header, body, bytes.fromhex(key.secret)) for what, body in signed.items()}
    assert knock(at._replace(cookie=f"{name}={made.pop('as it is')}")).status_code == 200
    for what, one in made.items():
        assert knock(at._replace(cookie=f"{name}={one}")).status_code == 401, what
        answer = httpx.get(f"{URL}/api/v1/me", headers={"Cookie": f"{COOKIE}={one}"})
        # What opens a session at its own host is no log-in; made into one it is one, for the hub.
        expected = 200 if what == f"for {Audience.LOGIN}" else 401
        assert answer.status_code == expected, what
    # A script's token is no cookie, a cookie no script's token, and a session's own neither.
    service = KeyRing((key,)).issue(
        Claims("controller", victim["id"], Audience.SERVICE, iat=now, exp=now + 60)
    )
    for one in (alice.token, service):
        assert knock(at._replace(cookie=f"{name}={one}")).status_code == 401
    for one in (good, service):
        headers = {"Authorization": f"Bearer {one}"}
        assert httpx.get(f"{URL}/api/v1/me", headers=headers).status_code == 401
    other = {"Authorization": f"Bearer {service}"}
    assert knock(door(alice, "a" * 26).as_stranger(), headers=other).status_code in {401, 404}


def test_row_04_a_login_is_over_with_its_logout(alice: Person, victim: dict[str, Any]) -> None:
    """A copied cookie opens nothing, over HTTP and WebSocket, in the hub and the session."""
    assert alice
    with Person("alice") as again:
        at = door(again, victim)
        hub = {"Cookie": again.cookie}
        bearer = {"Authorization": f"Bearer {again.token}"}
        assert httpx.get(f"{URL}/api/v1/me", headers=hub).status_code == 200
        assert knock(at).status_code == 200
        assert handshake(at) == 101
        assert again.act("/logout").status_code == 303
        assert knock(at).status_code == 401
        assert handshake(at) == 401
        assert httpx.get(f"{URL}/api/v1/me", headers=hub).status_code == 401
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
    """Who logs in gets an id of their own; what stood in the browser before is dead."""
    assert alice
    with Person("bob") as planted:
        before = planted.browser.cookies[COOKIE]
        answer = httpx.post(
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
        assert httpx.get(f"{URL}/api/v1/me", headers=old).status_code == 401
        # A made-up one is not taken over either.
        fixed = secrets.token_urlsafe(32)
        answer = httpx.post(
            f"{URL}/login",
            data={"username": "alice", "password": "alice", "next": "/"},
            headers={"Origin": URL, "Cookie": f"{COOKIE}={fixed}"},
        )
        assert fixed not in answer.headers["set-cookie"]
        SECRETS.add(answer.cookies[COOKIE])
    assert knock(door(bob, victim)).status_code in DENIED


def guess(url: str, number: int) -> httpx.Response:
    """Try a wrong password, and claim to come from somewhere else each time."""
    claimed = f"203.0.113.{number}"
    return try_login(
        "eve",
        "wrong",
        url=url,
        X_Forwarded_For=claimed,
        X_Real_Ip=claimed,
        Forwarded=f"for={claimed}",
    )


def test_row_20_guessing_ends_soon(engine: DockerClient, machines: Iterator[str]) -> None:
    """After five wrong passwords the right one is refused, too; elsewhere they still log in."""
    guesser, home = next(machines), next(machines)
    with someone(engine, "eve"):
        wrong = at_once([lambda number=number: guess(guesser, number) for number in range(LIMIT)])
        assert [one.status_code for one in wrong] == [401] * LIMIT
        begun = time.monotonic()
        refused = [
            try_login("eve", password, url=guesser, X_Forwarded_For=f"198.51.100.{number}")
            for number, password in enumerate(("eve", "wrong"))
        ]
        assert {one.status_code for one in refused} == {429}
        assert len({without_times(one.text) for one in refused}) == 1
        assert all(1 <= int(one.headers["retry-after"]) <= WINDOW for one in refused)
        # Another name from there, and the same name from elsewhere, are not locked out.
        assert try_login("bob", "bob", url=guesser).status_code == 200
        assert try_login("eve", "eve", url=home).status_code == 200
        until(
            lambda: try_login("eve", "eve", url=guesser).status_code == 200,
            seconds=WINDOW + 5,
            what="the end of the wait",
        )
        assert time.monotonic() - begun < WINDOW + 5


def without_times(text: str) -> str:
    """Return a text without its numbers of seconds."""
    return re.sub(r"\d+ s", "", text)


def test_row_20_spraying_and_a_restart_do_not_help(
    engine: DockerClient, machines: Iterator[str]
) -> None:
    """One address that tries many names is stopped, also after the hub was killed."""
    guesser, home = next(machines), next(machines)
    answers = at_once(
        [
            lambda number=number: try_login(f"name{number}", "summer", url=guesser)
            for number in range(30)
        ]
    )
    assert {one.status_code for one in answers} == {401}
    assert try_login("bob", "bob", url=guesser).status_code == 429
    failures = "import sqlite3; print(*sqlite3.connect('/data/store.sqlite').execute("
    failures += "\"SELECT COUNT(*) FROM failure WHERE who LIKE 'address:%'\").fetchone())"
    controller = part(engine, "controller")
    before = int(inside(controller, "python", "-c", failures))
    assert before >= 30
    controller.kill(signal="SIGKILL")
    controller.start()
    wait_for_hub()
    assert int(inside(controller, "python", "-c", failures)) > 0
    assert try_login("bob", "bob", url=home).status_code == 200


def test_row_21_nobody_learns_who_has_an_account(
    engine: DockerClient, machines: Iterator[str]
) -> None:
    """An unknown name, a wrong password and a barred one get the same bytes at the same pace."""
    change_directory(
        engine,
        "dn: uid=fred,ou=people,dc=example,dc=org\nchangetype: add\nobjectClass: inetOrgPerson\n"
        "uid: fred\ncn: fred\nsn: fred\nuserPassword: fred",
    )
    tries = {
        "unknown": ("nobody-here", "wrong"),
        "wrong password": ("bob", "wrong"),
        "not in the group": ("fred", "fred"),
        "impossible": ("a*)(uid=*", "wrong"),
        "no password": ("bob", ""),
    }
    try:
        rounds = [paces(next(machines), tries) for _ in range(5)]
    finally:
        change_directory(engine, "dn: uid=fred,ou=people,dc=example,dc=org\nchangetype: delete")
    assert {answer.status_code for one in rounds for answer, _ in one.values()} == {401}
    assert len({answer.content for one in rounds for answer, _ in one.values()}) == 1
    pace = {what: [one[what][1] for one in rounds] for what in tries}
    assert min(min(times) for times in pace.values()) >= REFUSAL_SECONDS
    medians = [statistics.median(times) for times in pace.values()]
    jitter = max(max(times) - min(times) for times in pace.values())
    assert max(medians) - min(medians) <= max(jitter, 0.1), pace


def paces(url: str, tries: dict[str, tuple[str, str]]) -> dict[str, tuple[httpx.Response, float]]:
    """Try all of these at the same time, so that the machine is as busy for each."""
    answers = at_once(
        [
            lambda name=name, password=password: elapsed(lambda: try_login(name, password, url=url))
            for name, password in tries.values()
        ]
    )
    return dict(zip(tries, answers, strict=True))


INJECTIONS = [
    "*",
    "a*",
    "*)(uid=*",
    "alice)(uid=*",
    "*)(|(uid=*",
    "alice)(|(userPassword=*",
    "*)(objectClass=*",
    "(alice",
    "alice)",
    "al\\69ce",
    "\\2a",
    "alice\\",
    "alice\0",
    "\0*",
    "alice,ou=people",
    "alice,ou=people,dc=example,dc=org",
    "uid=alice",
    "alice+cn=alice",
    "alice;",
    '"alice"',
    "<alice>",
    "#616c696365",
    " alice ou",
    "alice\r\nbob",
    "＊",
    "ａlice）（uid＝＊",
    "ali\u200dce",
    "ali\u202ece",
    "a" * 65,
    "\ufdfa" * 10,
    "../alice",
]


def new_lines(engine: DockerClient, before: str) -> str:
    """Return what the directory has logged since."""
    return directory_log(engine)[len(before) :]


@contextmanager
def watched(engine: DockerClient) -> Generator[list[str]]:
    """Collect what the directory sees meanwhile: its log is complete once a mark stands in it."""
    before, seen = directory_log(engine), [""]
    yield seen
    assert try_login("bob", "bob").status_code == 200
    until(
        lambda: re.search(r'BIND dn="uid=bob,.*\n(.*\n)*.*SRCH', new_lines(engine, before)),
        what="the directory's log",
    )
    seen[0] = new_lines(engine, before)


def test_row_22_nothing_typed_widens_a_search(
    engine: DockerClient, machines: Iterator[str]
) -> None:
    """Names that mean something in a filter or a DN are refused; the directory never sees them."""
    # What is no user name at all counts as one and the same at an address.
    urls = [next(machines) for _ in range(math.ceil(len(INJECTIONS) / LIMIT))]
    with watched(engine) as seen:
        answers = at_once(
            [
                lambda number=number, typed=typed: try_login(
                    typed, "alice", url=urls[number % len(urls)]
                )
                for number, typed in enumerate(INJECTIONS)
            ]
        )
    assert [one.status_code for one in answers] == [401] * len(INJECTIONS)
    filters = set(re.findall(r'filter="([^"]*)"', seen[0]))
    assert filters, "the directory's log shows no search at all"
    # Of anybody whom other tests have let log in, and whom the hub looks up again: a plain word.
    known = {re.sub(r"\b(uid|memberUid)=[a-z]+\b(?=[,)])", r"\1=NAME", one) for one in filters}
    assert known <= FILTERS, known - FILTERS
    assert not re.search(r'scope=[12] deref=\d filter="\(objectClass=\*\)"', seen[0])
    bound = set(re.findall(r'BIND dn="([^"]*)" method', seen[0]))
    assert bound <= BOUND, bound - BOUND


_NAME_DN = "uid=NAME,ou=people,dc=example,dc=org"
FILTERS = {
    "(objectClass=*)",  # of one entry that is named
    "(&(uid=NAME)(objectClass=*))",
    "(&(uid=slicerhub-check)(objectClass=*))",  # a name that nobody has: does it answer?
    f"(|(member={_NAME_DN})(uniqueMember={_NAME_DN})(?memberUid=NAME))",
}
"""All that the hub ever asks of this directory, whoever logs in."""

BOUND = {_NAME_DN.replace("NAME", name) for name in ("alice", "bob", "carol")} | {
    "cn=hub,ou=services,dc=example,dc=org",
    "",  # the health check
}


def test_row_23_no_password_no_bind(engine: DockerClient, machines: Iterator[str]) -> None:
    """An empty, blank or NUL-only password is refused, and the directory sees no bind."""
    passwords = ["", " ", "\t\n", "\u00a0", "\u3000", "\0", "\0\0"]
    first, second = next(machines), next(machines)
    with someone(engine, "gail"), watched(engine) as seen:
        answers = at_once(
            [
                lambda number=number, password=password: try_login(
                    "gail", password, url=first if number < 4 else second
                )
                for number, password in enumerate(passwords)
            ]
        )
        form = log_in_by_form("gail", "")
    assert [one.status_code for one in answers] == [401] * len(passwords)
    assert form.status_code == 401
    assert "uid=gail" not in "".join(re.findall(r"BIND dn=.*", seen[0]))
    # A bind as somebody that the server takes for nobody's is told "err=0" with an empty dn.
    anonymous = re.findall(r'conn=(\d+) op=\d+ BIND dn="" method=128', seen[0])
    remote = re.findall(r"conn=(\d+) fd=\d+ ACCEPT from IP=(?!127\.)", seen[0])
    assert not set(anonymous) & set(remote)


def test_row_24_twins_of_a_name_are_one_person(
    alice: Person, engine: DockerClient, machines: Iterator[str]
) -> None:
    """Capitals, wide letters and look-alikes are alice herself or nobody; never a second volume."""
    assert alice
    twins = [
        "ALICE",
        "Alice",
        "ａｌｉｃｅ",
        "ＡＬＩＣＥ",
        "аlice",
        "alıce",
        "al\xadice",
        "a\u0301lice",
    ]
    url = next(machines)
    answers = at_once([lambda typed=typed: try_login(typed, "alice", url=url) for typed in twins])
    for typed, answer in zip(twins, answers, strict=True):
        if answer.status_code != 200:
            assert answer.status_code == 401, typed
            continue
        SECRETS.add(answer.json()["token"])
        headers = {"Authorization": f"Bearer {answer.json()['token']}"}
        assert httpx.get(f"{URL}/api/v1/me", headers=headers).json()["user"] == "alice"
        begun = httpx.post(
            f"{URL}/api/v1/sessions", json={"profile": "echo", "name": "twin"}, headers=headers
        )
        assert begun.status_code in {202, 409}
    assert 200 in {one.status_code for one in answers}
    volumes = engine.volumes.list(filters={"label": "slicerhub.owner=alice"})
    ours = [one for one in volumes if one.name.startswith(COOKIE.removesuffix("login"))]
    assert len(ours) == 1
    found = alice.api.get("/api/v1/sessions").json()["items"]
    (twin,) = [one for one in found if one["name"] == "twin"]
    alice.stop(twin["id"])


def log_in_by_form(name: str, password: str) -> httpx.Response:
    """Try to log in as a browser."""
    return httpx.post(
        f"{URL}/login",
        data={"username": name, "password": password, "next": "/"},
        headers={"Origin": URL, **PAGE},
        timeout=30,
    )


def verify_is_right(at: Any, stranger: Any) -> None:  # noqa: ANN401
    """Check that who may is let in, and who may not is not."""
    assert knock(at).status_code == 200
    assert knock(stranger).status_code == 401


@pytest.mark.parametrize("fault", cases(["black hole", "down"], always={"black hole"}))
def test_row_26_without_its_directory_the_hub_goes_on(engine: DockerClient, fault: str) -> None:
    """A log-in is told in time and in plain words; verify and open sessions do not notice."""
    with Person("alice") as alice:
        session = alice.launch("echo", f"during {fault}")
        at = door(alice, session)
        with open_socket(at) as socket:
            socket.recv()
            with directory_gone(engine, fault):
                for answer, seconds in at_once(
                    [
                        lambda: elapsed(lambda: try_login("alice", "alice")),
                        lambda: elapsed(lambda: log_in_by_form("alice", "alice")),
                    ]
                ):
                    assert answer.status_code == 503
                    assert seconds <= ANSWER_SECONDS
                    assert "ldap" not in answer.text.lower()
                for _ in range(20):
                    verify_is_right(at, at.as_stranger())
                socket.send("still here?")
                assert socket.recv() == "still here?"
                assert alice.api.get("/api/v1/me").status_code == 200
        until(lambda: try_login("alice", "alice").status_code == 200, what="log-ins again")
        assert alice.api.get("/api/v1/me").status_code == 200, "somebody was taken for gone"
        alice.stop(session["id"])


@contextmanager
def directory_gone(engine: DockerClient, fault: str) -> Generator[None]:
    """Let the directory swallow everything, or not be there."""
    if fault == "black hole":
        with frozen(engine, "ldap"):
            yield
        return
    directory = part(engine, "ldap")
    directory.stop(timeout=5)
    try:
        yield
    finally:
        directory.start()
        until(
            lambda: part(engine, "ldap").attrs["State"]["Health"]["Status"] == "healthy",
            seconds=60,
            what="the directory again",
        )


ROGUE = """
import socket, ssl, sys
open("/tmp/pem", "w").write(sys.argv[1])
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain("/tmp/pem")
door = socket.create_server(("0.0.0.0", 636))
print("open", flush=True)
while True:
    line, _ = door.accept()
    print("knocked", flush=True)
    try:
        print("heard", tls.wrap_socket(line, server_side=True).recv(4096), flush=True)
    except OSError as error:
        print("refused", error, flush=True)
"""


def certificate(folder: Path) -> str:
    """Return key and certificate for the directory's name, by an authority that nobody knows."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ldap"
    names = ["-addext", "subjectAltName=DNS:ldap", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    return key.read_text() + cert.read_text()


@contextmanager
def rogue(engine: DockerClient, folder: Path, alias: str) -> Generator[Any]:
    """Let a directory of the attacker's be at a name in the hub's own network."""
    network: Any = engine.networks.get(f"{INSTANCE}_internal")
    # Of the edge network as well, or none of its ports would have a route.
    command = ["python", "-u", "-c", ROGUE, certificate(folder)]
    with helper(engine, command=command, user="0:0", network=f"{INSTANCE}_edge") as container:
        network.connect(container, aliases=[alias])
        until(lambda: b"open" in container.logs(), what="the rogue")
        yield container


def test_row_26_another_directory_gets_no_password(engine: DockerClient, tmp_path: Path) -> None:
    """A server in the directory's place, whose certificate nobody vouches for, hears nothing."""
    directory = part(engine, "ldap")
    directory.stop(timeout=5)
    try:
        with rogue(engine, tmp_path, "ldap") as other:
            answer, seconds = elapsed(lambda: try_login("alice", "alice"))
            told = until(lambda: other.logs() if b"knocked" in other.logs() else b"", what="a try")
    finally:
        directory.start()
    assert answer.status_code == 503
    assert seconds <= ANSWER_SECONDS
    assert b"heard" not in told
    until(lambda: try_login("alice", "alice").status_code == 200, what="log-ins again")


REFERRAL = """\
dn: uid=ref,ou=people,dc=example,dc=org
changetype: add
objectClass: referral
objectClass: extensibleObject
uid: ref
ref: ldaps://rogue:636/uid=alice,ou=people,dc=example,dc=org"""


def test_row_26_a_referral_is_not_followed(engine: DockerClient, tmp_path: Path) -> None:
    """A directory that points elsewhere gets nobody's password sent there."""
    change_directory(engine, REFERRAL)
    try:
        with rogue(engine, tmp_path, "rogue") as other:
            answer, seconds = elapsed(lambda: try_login("ref", "alice"))
            assert answer.status_code in {401, 503}
            assert seconds <= ANSWER_SECONDS
            assert b"knocked" not in other.logs()
    finally:
        # -M: the entry itself, and not what it points to.
        remove = f"{MODIFY} -M".replace("ldapmodify", "ldapdelete")
        inside(part(engine, "ldap"), "bash", "-c", f"{remove} uid=ref,ou=people,dc=example,dc=org")
