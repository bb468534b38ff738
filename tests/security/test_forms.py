"""Requests as a browser sends them for a foreign page's forms and links (row 17)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from e2e.stack import URL
from security.attacker import Person

from tests.support import asking

EVIL = "http://evil.example"

ORIGINS: dict[str, dict[str, str]] = {
    "no origin": {},
    "null": {"Origin": "null"},
    "evil": {"Origin": EVIL},
    "evil, cross-site": {"Origin": EVIL, "Sec-Fetch-Site": "cross-site"},
    "a beginning": {"Origin": f"{URL}.evil.example"},
    "another port": {"Origin": "http://localhost:1"},
    "another scheme": {"Origin": URL.replace("http:", "https:")},
    "an empty one": {"Origin": ""},
    "two": {"Origin": f"{URL} {EVIL}"},
    "a session": {"Origin": f"http://{'a' * 26}.localhost", "Sec-Fetch-Site": "same-site"},
    "ours, cross-site": {"Origin": URL, "Sec-Fetch-Site": "cross-site"},
    "ours, same-site": {"Origin": URL, "Sec-Fetch-Site": "same-site"},
    "ours, none": {"Origin": URL, "Sec-Fetch-Site": "none"},
    "ours, odd": {"Origin": URL, "Sec-Fetch-Site": "SAME-ORIGIN, cross-site"},
    "same-origin, no origin": {"Sec-Fetch-Site": "same-origin"},
    "no-cors": {"Origin": EVIL, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    "referer": {"Referer": f"{URL}/"},
    "text": {"Origin": EVIL, "Content-Type": "text/plain"},
    "text, no origin": {"Content-Type": "text/plain"},
}


def acts(session: dict[str, Any], csrf: str) -> dict[str, dict[str, str]]:
    """Return what can be made to happen by a form, and its fields."""
    page = f"/sessions/{session['id']}"
    return {
        "/launch": {"profile": "echo", "name": "forged", "csrf": csrf},
        f"{page}/stop": {"csrf": csrf},
        f"{page}/restart": {"csrf": csrf},
        f"{page}/share": {"user": "carol", "role": "control", "csrf": csrf},
        f"{page}/links": {"role": "control", "csrf": csrf},
        "/logout": {"csrf": csrf},
    }


def nothing_happened(alice: Person, session: dict[str, Any]) -> None:
    """Check that alice and her session are as they were."""
    found = alice.api.get("/api/v1/sessions").json()["items"]
    assert not [one for one in found if one["name"] == "forged"]
    assert alice.phase(session["id"]) == "ready"
    where = f"/api/v1/sessions/{session['id']}"
    assert alice.api.get(f"{where}/shares").json()["items"] == []
    assert alice.api.get(f"{where}/links").json()["items"] == []
    assert alice.browser.get("/").status_code == 200


@pytest.mark.parametrize("headers", ORIGINS.values(), ids=ORIGINS.keys())
def test_row_17_a_foreign_page_cannot_act(
    alice: Person, victim: dict[str, Any], headers: dict[str, str]
) -> None:
    """With her cookie and even her form's own mark, from elsewhere each act is refused."""
    cookie = {"Cookie": alice.cookie}
    for path, fields in acts(victim, alice.csrf()).items():
        answer = asking.post(URL + path, data=fields, headers=headers | cookie)
        assert answer.status_code == 403, path
    answer = asking.post(
        f"{URL}/api/v1/sessions",
        json={"profile": "echo", "name": "forged"},
        headers=headers | cookie,
    )
    assert answer.status_code == 403
    where = f"{URL}/api/v1/sessions/{victim['id']}"
    assert httpx.delete(where, headers=headers | cookie).status_code == 403
    login = {"username": "alice", "password": "alice", "next": "/"}
    answer = asking.post(f"{URL}/login", data=login, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    nothing_happened(alice, victim)


def test_row_17_a_form_is_for_one_login(alice: Person, bob: Person, victim: dict[str, Any]) -> None:
    """Without the mark of her own log-in, from the right page, each act is refused, too."""
    with Person("alice") as other:
        for mark in ("", "x", "0" * 64, bob.csrf(), other.csrf(), "ä" * 32):
            for path, fields in acts(victim, mark).items():
                answer = alice.browser.post(path, data=fields, headers={"Origin": URL})
                assert answer.status_code == 403, (mark, path)
    nothing_happened(alice, victim)


def test_row_17_nothing_happens_by_a_link(alice: Person, victim: dict[str, Any]) -> None:
    """What changes something is no GET; what shows a question first changes nothing."""
    for path in ("/launch", "/logout", f"/sessions/{victim['id']}/links"):
        assert alice.browser.get(path).status_code == 405, path
    for path in acts(victim, ""):
        alice.browser.get(path, params={"name": "forged", "user": "carol", "role": "control"})
        alice.browser.head(path)
        alice.browser.options(path, headers={"Access-Control-Request-Method": "POST"})
    preflight = alice.browser.options(
        "/api/v1/sessions",
        headers={"Origin": EVIL, "Access-Control-Request-Method": "POST"},
    )
    assert not [name for name in preflight.headers if name.startswith("access-control")]
    nothing_happened(alice, victim)
