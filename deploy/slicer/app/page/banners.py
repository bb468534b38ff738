"""Messages of the hub and the program: banners that stay, and a line that disappears."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trame.widgets import html, vuetify3

if TYPE_CHECKING:
    from app.people.notices import Notice

# The widgets are made at run time and have no types.
v3: Any = vuetify3


class Banners:
    """The hub's notice, the trouble with saving, and the line at the bottom."""

    def __init__(self, server: Any) -> None:  # noqa: ANN401 - trame has no types
        """The three build methods make the widgets."""
        self._state: Any = server.state
        self._state.update(
            {
                "hub_notice": "",
                "hub_notice_until": "",
                "hub_message": "",
                "hub_message_shown": False,
                "hub_trouble": "",
            }
        )

    def show_notice(self, notice: Notice) -> None:
        """A banner for everyone, with a clock and a Keep button if it has an end.

        An empty text removes it.
        """
        with self._state:
            self._state.hub_notice = notice.text
            self._state.hub_notice_until = notice.until.isoformat() if notice.until else ""

    def show_trouble(self, text: str) -> None:
        """A banner for everyone that stays; an empty text removes it and says so."""
        with self._state:
            self._state.hub_trouble = text
        if not text:
            self.say("Saving works again. Your scene is saved.")

    def say(self, text: str) -> None:
        """A line at the bottom of every page, for some seconds."""
        with self._state:
            self._state.hub_message = text
            self._state.hub_message_shown = True

    def build_notice(self) -> None:
        """The hub's notice, with its clock and its button."""
        with (
            v3.VAlert(
                v_if=("hub_notice",),
                type="warning",
                variant="elevated",
                density="comfortable",
            ),
            html.Div(classes="d-flex align-center", style="gap: 1rem;"),
        ):
            html.Span("{{ hub_notice }}")
            html.Span(
                v_if=("hub_notice_until",),
                # Not read out each second.
                raw_attrs=[
                    'role="timer"',
                    'aria-live="off"',
                    ':data-until="hub_notice_until"',
                ],
                style="font-variant-numeric: tabular-nums;",
            )
            v3.VBtn("Keep", v_if=("hub_notice_until && hub_role !== 'view'",), click=self._keep)

    def build_trouble(self) -> None:
        """Trouble with saving, for people who may change things."""
        with v3.VAlert(
            v_if=("hub_trouble && hub_role !== 'view'",),
            type="error",
            variant="elevated",
            density="comfortable",
        ):
            html.Span("{{ hub_trouble }}")

    def build_message(self) -> None:
        """The line at the bottom."""
        with v3.VSnackbar(v_model=("hub_message_shown",), timeout=5000, location="bottom"):
            html.Span("{{ hub_message }}")

    def _keep(self) -> None:
        """The click itself counts as input, which the gate has noted."""
        self._state.hub_notice = self._state.hub_notice_until = ""
