"""Which browser it is, in plain words, whatever it calls itself."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.people.user_agent import AGENT_MAX, agent_words, clean_agent

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
SAFARI = "Safari/537.36"


GECKO = "Gecko/20100101 Firefox/140.0"
APPLE = "AppleWebKit/605.1.15 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (f"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) {GECKO}", "Firefox on Linux"),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) {GECKO}", "Firefox on Windows"),
        (f"Mozilla/5.0 (Windows NT 10.0) {WEBKIT} Chrome/140.0.0.0 {SAFARI}", "Chrome on Windows"),
        (
            f"Mozilla/5.0 (Windows NT 10.0) {WEBKIT} Chrome/140.0.0.0 {SAFARI} Edg/140.0.0.0",
            "Edge on Windows",
        ),
        (
            f"Mozilla/5.0 (X11; CrOS x86_64) {WEBKIT} Chrome/140.0.0.0 {SAFARI}",
            "Chrome on ChromeOS",
        ),
        (
            f"Mozilla/5.0 (Linux; Android 10; K) {WEBKIT} Chrome/140.0.0.0 {SAFARI}",
            "Chrome on Android",
        ),
        (
            f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {APPLE} Version/18.0 {SAFARI}",
            "Safari on a Mac",
        ),
        (
            f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0) {APPLE} CriOS/140.0 {SAFARI}",
            "Chrome on an iPhone",
        ),
        ("Opera/9.80 (SunOS)", "Opera"),
        (
            "Lynx/2.9.0dev.12 libwww-FM/2.14 SSL-MM/1.4.1",
            "Lynx/2.9.0dev.12 libwww-FM/2.14 SSL-MM/1",
        ),
        ("", "Unknown browser"),
    ],
)
def test_browsers(agent: str, words: str) -> None:
    """People recognise the browser that they use."""
    assert agent_words(agent, script=False) == words
    assert agent_words(agent, script=True) == "Script"


@given(st.text(max_size=2000))
def test_anything(agent: str) -> None:
    """Whatever is sent, one short line is kept, and cleaning it twice changes nothing."""
    kept = clean_agent(agent)
    assert len(kept) <= AGENT_MAX
    assert kept == " ".join(kept.split())
    assert not [one for one in kept if unicodedata.category(one)[0] == "C"]
    assert clean_agent(kept) == kept
    assert 0 < len(agent_words(kept, script=False)) <= AGENT_MAX
