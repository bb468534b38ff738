"""A word in the bar for how quickly pictures follow the hand; the page's script fills it in."""

from __future__ import annotations

from trame.widgets import html


def build_felt() -> None:
    """Empty and hidden until something was felt; static/stream.js knows it by its id."""
    html.Span(
        classes="text-caption mr-4",
        style="opacity: .8; cursor: default; white-space: nowrap;",
        # The library drops attributes that it does not know.
        raw_attrs=['id="slicerhub-felt"', "hidden"],
    )
