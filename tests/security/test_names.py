"""Names and passwords that mean more than they say, to the directory or the hub (rows 22-24)."""

from __future__ import annotations

import math
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager

from docker import DockerClient
from e2e.stack import URL
from security.attacker import (
    COOKIE,
    LIMIT,
    SECRETS,
    Person,
    at_once,
    directory_log,
    log_in_by_form,
    someone,
    try_login,
)

from tests.support import asking
from tests.support.waits import until

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
        assert asking.get(f"{URL}/api/v1/me", headers=headers).json()["user"] == "alice"
        begun = asking.post(
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
