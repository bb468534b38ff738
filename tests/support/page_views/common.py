"""What the views of all pages share: the people who look, the moment, and names that do harm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from controller.web.render import Renderer, Viewer

Pages = Mapping[str, Callable[[Renderer], str]]
"""The states of a page, by a name fit for a file; each is rendered where it is needed."""

NOW = datetime(2026, 3, 5, 14, 5, tzinfo=UTC)
ALICE = Viewer(user="alice", display_name="Alice Example", csrf="c5rf")
CAROL = Viewer(user="carol", display_name="Carol Example", csrf="c5rf", admin=True)

HOSTILE = """<script>alert('x')</script>"'`{{ 7*7 }}</title></textarea>\u202e onload=alert(1)"""
LONG = "Wolfeschlegelsteinhausenbergerdorff" * 3
