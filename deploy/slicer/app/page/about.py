"""The page's "About": what this program is made of, and what it is not for."""

from __future__ import annotations

from typing import Any

from trame.widgets import html, vuetify3
from trame_slicer.app.ui.about_dialog import AboutDialog

# The widgets are made at run time and have no types.
v3: Any = vuetify3


class LocalAboutDialog(AboutDialog):
    """Replaces the library's dialog, which loads pictures from four sites on the internet."""

    def create_dialog(self) -> None:
        """Builds it, closed."""
        name: Any = self.typed_state.name
        visible = name.is_about_visible
        with (
            v3.VDialog(v_model=(visible,), max_width=440),
            v3.VCard(title="3D Slicer in the browser"),
        ):
            with v3.VCardText():
                html.P(
                    "3D Slicer's core (slicer-core, VTK) with the trame-slicer viewer by Kitware."
                    " Free software; for research, not a medical device.",
                )
                html.P(
                    "Sample: ICBM 152 average brain, McConnell Brain Imaging Centre, Montreal"
                    " Neurological Institute, McGill University. See samples/SOURCES.txt.",
                    classes="mt-3",
                )
            with v3.VCardActions():
                v3.VSpacer()
                v3.VBtn("Close", click=lambda: self.set_visible(False))
