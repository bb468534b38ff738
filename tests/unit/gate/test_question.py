"""Traefik's question is whole and of one meaning, or it is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.errors import InvalidRequest
from controller.gate.question import Question, parse_direct, parse_forwarded
from controller.rules.credentials import CredentialReader, Credentials
from tests.support.samples import settings

ID = "a" * 26
READER = CredentialReader(settings())
WHOLE = {
    "x-forwarded-method": "GET",
    "x-forwarded-uri": f"/s/{ID}/?a=b",
    "x-forwarded-host": "localhost:8080",
    "x-forwarded-proto": "http",
}


def ask(headers: dict[str, str], *more: tuple[str, str]) -> Question:
    """Parse headers as they come from the wire."""
    raw = [*headers.items(), *more]
    return parse_forwarded(ID, [(name.encode(), value.encode()) for name, value in raw], READER)


def test_whole_question() -> None:
    """Everything that the verdict depends on is read."""
    more = {
        "cookie": "a=1; slicerhub-login=y",
        "authorization": "Bearer x",
        "origin": "http://localhost:8080",
    }
    assert ask(WHOLE | more) == Question(
        session_id=ID,
        method="GET",
        uri=f"/s/{ID}/?a=b",
        host="localhost:8080",
        credentials=Credentials(login="y", bearer="x", others="a=1"),
        origin="http://localhost:8080",
    )


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("value", [None, ""])
def test_missing(name: str, value: str | None) -> None:
    """A header that was stripped on the way is never guessed."""
    headers = {key: text for key, text in WHOLE.items() if key != name}
    if value is not None:
        headers[name] = value
    with pytest.raises(InvalidRequest, match=name):
        ask(headers)


SINGLE = ["authorization", "content-length", "host", "origin", "sec-websocket-key"]
MORE_SINGLE = ["sec-fetch-mode", "x-forwarded-for", "x-slicerhub-user"]


@pytest.mark.parametrize("name", [*WHOLE, *SINGLE, *MORE_SINGLE])
def test_doubled(name: str) -> None:
    """Of two headers of one name, where one has to decide, neither is believed."""
    value = WHOLE.get(name, "x")
    with pytest.raises(InvalidRequest, match="twice"):
        ask(WHOLE | {name: value}, (name, value))


def test_lists_in_two_lines() -> None:
    """A list may come in two lines: they mean what one line of both would."""
    more = (("accept", "application/json"), ("accept", "text/html"), ("accept-language", "de"))
    assert ask(WHOLE, *more, ("accept-language", "en")).navigation
    assert not ask(WHOLE, more[0], more[0]).navigation


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-forwarded-method", "get"),
        ("x-forwarded-method", "TRACE"),
        ("x-forwarded-method", "CONNECT"),
        ("x-forwarded-method", "GET, POST"),
        ("x-forwarded-uri", "s/x"),
        ("x-forwarded-uri", "http://evil.example/"),
        ("x-forwarded-uri", "/é"),
        ("x-forwarded-proto", "ftp"),
        ("x-forwarded-proto", "http, https"),
        ("cookie", "a" * 16_385),
        ("x-anything", "a" * 16_385),
    ],
)
def test_malformed(name: str, value: str) -> None:
    """What Traefik would not send is refused."""
    with pytest.raises(InvalidRequest):
        ask(WHOLE | {name: value})


def test_split_cookies_are_joined() -> None:
    """Cookies that came in several headers are all read."""
    found = ask(WHOLE, ("cookie", "a=1"), ("cookie", "slicerhub-login=x"), ("cookie", "b=2"))
    assert found.credentials == Credentials(login="x", others="a=1; b=2")


def test_asked_directly() -> None:
    """What comes to the controller itself is read like what Traefik asks about."""
    scope = {
        "method": "GET",
        "query_string": b"a=b",
        "headers": [(b"host", b"localhost:8080"), (b"cookie", b"slicerhub-login=y; a=1")],
    }
    assert parse_direct(ID, f"/s/{ID}/", scope, READER) == Question(
        session_id=ID,
        method="GET",
        uri=f"/s/{ID}/?a=b",
        host="localhost:8080",
        credentials=Credentials(login="y", others="a=1"),
    )


@pytest.mark.parametrize(
    ("headers", "navigation", "websocket"),
    [
        ({}, False, False),
        ({"accept": "text/html,*/*"}, True, False),
        ({"accept": "text/html", "sec-fetch-mode": "navigate"}, True, False),
        ({"accept": "text/html", "sec-fetch-mode": "cors"}, False, False),
        ({"accept": "text/html", "sec-fetch-mode": "no-cors"}, False, False),
        ({"accept": "application/json"}, False, False),
        ({"accept": "*/*", "sec-fetch-mode": "navigate"}, False, False),
        ({"sec-websocket-key": "x"}, False, True),
        ({"sec-fetch-mode": "websocket"}, False, True),
        ({"sec-websocket-key": "x", "accept": "text/html"}, False, True),
    ],
)
def test_kinds(headers: dict[str, str], *, navigation: bool, websocket: bool) -> None:
    """A person's page, a program's request and a WebSocket handshake are told apart."""
    found = ask(WHOLE | headers)
    assert (found.navigation, found.websocket) == (navigation, websocket)


@given(st.lists(st.tuples(st.sampled_from([*WHOLE, "cookie", "accept"]), st.binary())))
def test_any_headers(raw: list[tuple[str, bytes]]) -> None:
    """Whatever arrives is a whole question or refused: never a fault."""
    try:
        found = parse_forwarded(ID, [(name.encode(), value) for name, value in raw], READER)
    except InvalidRequest:
        return
    assert {name for name, _ in raw} >= WHOLE.keys()
    assert found.session_id == ID


@given(st.lists(st.tuples(st.text(), st.sampled_from(["", "Bearer x", "Bearer y"]))))
def test_read_again(pairs: list[tuple[str, str]]) -> None:
    """What was read before is read as if for the first time: nobody gets another's credentials."""
    for cookie, authorization in [*pairs, *pairs]:
        fresh = CredentialReader(settings()).read(cookie, authorization)
        assert READER.read(cookie, authorization) == fresh
