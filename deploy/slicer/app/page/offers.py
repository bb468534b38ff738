"""The saved scenes of earlier sessions that a new session offers to open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trame.widgets import html, vuetify3

from app.core.errors import SlicerError
from app.files.bundles import describe
from app.page.texts import data_url, human

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from app.core.scene import Scene
    from app.files.autosaves import Offer

# The widgets are made at run time and have no types.
v3: Any = vuetify3


class Offers:
    """Shows the offers until the person chooses one, or none.

    ``say(text)`` tells it on every page; ``answered()`` notes that one of the offered scenes was
    chosen, or none, and raises FileError.
    """

    def __init__(
        self, scene: Scene, *, say: Callable[[str], None], answered: Callable[[], None]
    ) -> None:
        """`build` makes the widgets."""
        self._scene = scene
        self._say = say
        self._answered = answered
        self._offered: dict[str, Path] = {}
        self._state: Any = scene.server.state
        self._state.update({"hub_offers": []})

    def show(self, offers: list[Offer]) -> None:
        """Offers to open the scenes of earlier sessions."""
        self._offered = {offer.path.name: offer.path for offer in offers}
        self._state.hub_offers = [
            {
                "name": offer.path.name,
                "when": offer.saved_at.isoformat(),
                "what": f"{describe(offer.things)}{human(offer.size)}",
                "picture": data_url(offer.picture, "image/png") if offer.picture else "",
            }
            for offer in offers
        ]

    def build(self) -> None:
        """A banner with a line and a button for each offer."""
        with v3.VAlert(
            v_if=("hub_offers.length && hub_role !== 'view'",),
            type="info",
            variant="elevated",
            density="comfortable",
        ):
            with html.Div(
                v_for="offer in hub_offers",
                key=("offer.name",),
                classes="d-flex flex-wrap align-center mb-2",
                style="gap: 1rem;",
            ):
                html.Img(
                    v_if=("offer.picture",),
                    src=("offer.picture",),
                    alt="How it looked",
                    style="width: 10rem; max-width: 30vw; border-radius: 4px;",
                )
                with html.Div(style="flex: 1 1 12rem;"):
                    html.Div("Your scene of {{ new Date(offer.when).toLocaleString() }} was saved.")
                    html.Div("{{ offer.what }}", classes="text-caption")
                v3.VBtn("Open it", click=(self._restore, "[offer.name]"))
            v3.VBtn("Start empty", click=self._close_offers, variant="text")

    def _restore(self, name: str) -> None:
        path = self._offered.get(name)
        if path is None:
            return
        try:
            self._scene.open(path)
        except SlicerError as error:  # and the others are still there to choose from
            self._say(str(error))
            return
        self._close_offers()

    def _close_offers(self) -> None:
        """One was chosen, or none."""
        self._state.hub_offers = []
        self._offered = {}
        try:
            self._answered()
        except SlicerError as error:
            self._say(str(error))
