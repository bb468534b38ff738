"""Where the log-in leads: to the hub's own pages, whatever it is told (row 16)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from itertools import cycle
from urllib.parse import urljoin, urlsplit

import httpx
from e2e.stack import PAGE, URL
from security.attacker import HUB_HOST, at_once

NEXTS = [
    "http://evil.example/",
    "https:evil.example",
    "//evil.example/",
    "///evil.example/",
    "////evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "/\\/evil.example",
    "/%5cevil.example",
    "/%2f%2fevil.example",
    "/%09/evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r\nLocation: http://evil.example",
    "/%0d%0aLocation:%20http://evil.example",
    "\t//evil.example",
    " //evil.example",
    "\x00//evil.example",
    "/\x00/evil.example",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java\tscript:alert(1)",
    "data:text/html,evil.example",
    "vbscript:evil",
    "/..//evil.example",
    "/.//evil.example",
    "/x/..//evil.example",
    "/%2e%2e//evil.example",
    "/;//evil.example",
    "//evil.example@localhost",
    "//localhost@evil.example",
    "http://localhost@evil.example",
    "http:///evil.example",
    "http:/\\evil.example",
    "?//evil.example",
    "#//evil.example",
    "@evil.example",
    ".evil.example",
    "evil.example",
    "/\u2028/evil.example",
    "/\uff0f/evil.example",
    "/／evil.example",
    "//evil。example",
    "/" + "a" * 5000,
    "",
]


def test_row_16_the_login_leads_nowhere_else(machines: Iterator[str]) -> None:
    """Forty-six ways to name another site end on the hub's own."""
    url = next(machines)
    # In turn: of one person's browsers 25 are logged in at a time.
    in_turn = zip(cycle(("alice", "bob", "carol")), NEXTS, strict=False)
    at_once(
        [lambda who=who, target=target: leads_home(url, who, target) for who, target in in_turn],
        most=8,  # else a slow directory is told to a few of them, as it should be
    )


def leads_home(url: str, who: str, target: str) -> None:
    """Check where the log-in leads to, before, during and after it."""
    answer = httpx.post(
        f"{url}/login",
        data={"username": who, "password": who, "next": target},
        headers={"Origin": URL, "Host": HUB_HOST},
        timeout=60,
    )
    assert answer.status_code == 303, target
    stays(answer.headers["location"], target)
    cookie = answer.headers["set-cookie"].partition(";")[0]
    headers = {**PAGE, "Host": HUB_HOST}
    answer = httpx.get(
        f"{url}/login", params={"next": target}, headers={**headers, "Cookie": cookie}, timeout=60
    )
    assert answer.status_code in {302, 303, 307}, target
    stays(answer.headers["location"], target)
    page = httpx.get(f"{url}/login", params={"next": target}, headers=headers, timeout=60)
    (field,) = re.findall(r'name="next" value="([^"]*)"', page.text)
    stays(unescape(field), target)


def stays(location: str, target: str) -> None:
    """Check that a browser that is sent there stays at the hub."""
    assert location.startswith("/"), target
    assert not location.startswith(("//", "/\\")), target
    assert not re.search(r"[\x00-\x20\\\x7f]", location), target
    assert urlsplit(urljoin(f"{URL}/login", location)).netloc == HUB_HOST, target
