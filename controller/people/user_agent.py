"""What a browser calls itself, in the words that people use for it.

A User-Agent may say anything: people recognise their own browser by these words, and nothing is
decided by them. Libraries for this have thousands of rules for rare devices; here it is enough to
tell "Firefox on Windows" from "Safari on a Mac".
"""

from __future__ import annotations

import unicodedata

AGENT_MAX = 200
"""Characters of a User-Agent that are kept."""

_UNKNOWN_MAX = 40  # characters of one that is not known, as a page shows it

# Browsers whose User-Agent also names others come first.
_BROWSERS = (
    (("Edg/", "EdgA/", "EdgiOS/", "Edge/"), "Edge"),
    (("OPR/", "Opera"), "Opera"),
    (("SamsungBrowser/",), "Samsung Internet"),
    (("Vivaldi/",), "Vivaldi"),
    (("Firefox/", "FxiOS/"), "Firefox"),
    (("Chromium/",), "Chromium"),
    (("Chrome/", "CriOS/"), "Chrome"),
    (("Safari/",), "Safari"),
)

_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "an iPhone"),
    ("iPad", "an iPad"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Macintosh", "a Mac"),
    ("Linux", "Linux"),
)


def clean_agent(agent: str) -> str:
    """Return a User-Agent as it is kept: a short line of what can be seen."""
    seen = "".join(one for one in agent[: 4 * AGENT_MAX] if unicodedata.category(one)[0] != "C")
    return " ".join(seen.split())[:AGENT_MAX]


def agent_words(agent: str, *, script: bool) -> str:
    """Return the browser in plain words: ``Firefox on Windows``, ``Script`` for a program."""
    if script:
        return "Script"
    browser = next((name for marks, name in _BROWSERS if any(one in agent for one in marks)), "")
    system = next((name for mark, name in _SYSTEMS if mark in agent), "")
    if not browser:
        return agent[:_UNKNOWN_MAX] or "Unknown browser"
    return f"{browser} on {system}" if system else browser
