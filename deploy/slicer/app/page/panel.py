"""What the page shows besides the viewer: files, people, and messages of the hub.

trame keeps one state for all pages. What differs from page to page (who am I, may I change
anything) is sent to that page alone, after it got the common state. Values the hub's part of the
page uses start with ``hub_``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from trame.widgets import client, html, vuetify3
from trame_slicer.app.ui import ControlButton, MedicalViewerUI, viewer_layout

from app.core.lean import lean_page
from app.page.about import LocalAboutDialog
from app.page.banners import Banners
from app.page.felt import build_felt
from app.page.files import Files
from app.page.offers import Offers
from app.page.people import People
from app.page.texts import data_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.scene import Scene
    from app.files.paths import Target
    from app.people.activity import Activity, Client

# The widgets are made at run time and have no types.
v3: Any = vuetify3
_TOOL = "FilesPanel"
_LAYOUT = "Quad View"
_STATIC = Path(__file__).with_name("static")
_SERVED = "__slicerhub_page"
# Needed before the library's own scripts run.
EARLY_SCRIPTS = tuple(f"{_SERVED}/{name}.js" for name in ("door", "socket", "stream"))
# State that changes without an action on the page.
_TOLD_TO_ALL = (
    "hub_people",
    "hub_viewing",
    "hub_asking",
    "hub_notice",
    "hub_notice_until",
    "hub_trouble",
)


class Panel:
    """Builds the page from its parts: people, banners, offers and files.

    ``share_url``: the hub's page where the owner lets people in, empty if there is none.
    ``put(target, write)`` writes a file to a target; ``answered()`` notes that one of the offered
    scenes was chosen, or none. Both raise FileError.
    """

    def __init__(
        self,
        scene: Scene,
        roots: dict[str, Path],
        activity: Activity,
        *,
        share_url: str,
        put: Callable[[Target, Callable[[Path], None]], None],
        answered: Callable[[], None],
    ) -> None:
        """Builds the page's widgets and the first values."""
        self._scene = scene
        server: Any = scene.server
        server.enable_module({"serve": {_SERVED: str(_STATIC)}, "scripts": [f"{_SERVED}/page.js"]})
        self._state: Any = server.state
        self._state.update(
            {
                "trame__title": "3D Slicer",
                "trame__favicon": data_url((_STATIC / "icon.svg").read_bytes(), "image/svg+xml"),
                "hub_working": False,
            }
        )
        self.people = People(server, activity, share_url=share_url)
        self.banners = Banners(server)
        self.offers = Offers(scene, say=self.banners.say, answered=answered)
        self._files = Files(scene, roots, put=put, say=self.banners.say)
        self._build(MedicalViewerUI)
        # After the libraries' own, which come with the widgets.
        server.enable_module({"scripts": [f"{_SERVED}/mends.js"], "vue_use": ["slicerhubMends"]})
        scene.logic._layout_button_logic.data.current_layout_id = _LAYOUT  # noqa: SLF001

    def greeting(self, client: Client) -> dict[str, object]:
        """The state that this client's page gets once it is there.

        It contains the person, which is for this page alone, and the present state of all pages,
        because a page misses changes while it loads the common state.
        """
        own = {"hub_role": client.visitor.role.value, "hub_user": client.visitor.user}
        return own | {name: self._state[name] for name in _TOLD_TO_ALL}

    def _toggle(self, data: Any) -> None:  # noqa: ANN401 - trame's typed state
        shown = not (data.is_drawer_visible and data.active_tool == _TOOL)
        data.is_drawer_visible = shown
        data.active_tool = _TOOL if shown else None
        if shown:
            self._files.refresh()

    # The page.

    def _build(self, ui_type: Any) -> None:  # noqa: ANN401
        viewer_layout.AboutDialog = LocalAboutDialog
        with lean_page():
            ui: Any = ui_type(self._scene.server, self._scene.logic.layout_manager)
            self._scene.logic.set_ui(ui)
        layout = ui.layout
        layout.title.set_text("3D Slicer")
        layout.footer.hide()
        # Files are uploaded to the volume by HTTP, with progress; these two use memory.
        ui.load_volume_items_buttons.v_if = ("false",)
        ui.download_scene_button.v_if = ("false",)
        with layout:
            with layout.toolbar:
                ControlButton(
                    icon="mdi-folder-open-outline",
                    name="Files",
                    click=lambda: self._toggle(ui.data),
                    active=(f"{ui.name.active_tool} === '{_TOOL}'",),
                )
            with layout.drawer, html.Div(v_if=(f"{ui.name.active_tool} === '{_TOOL}'",)):
                self._files.build()
            with layout.appbar, v3.Template(v_slot_append=True):
                build_felt()
                self.people.build()
            self._build_banners()

    def _build_banners(self) -> None:
        """Above everything, at the bottom: they never cover the tools."""
        with html.Div(
            style="position: fixed; bottom: 1rem; left: 5vw; right: 5vw; margin: 0 auto;"
            " width: fit-content; z-index: 2400; display: grid; gap: .5rem; max-width: 44rem;",
            # The library drops attributes that it does not know. The second is for door.js.
            raw_attrs=['role="status"', ':data-role="hub_role"'],
        ):
            self.banners.build_notice()
            self.people.build_asking()
            self.banners.build_trouble()
            self.offers.build()
        self.banners.build_message()
        client.Style(":focus-visible { outline: 2px solid #6ab0ff; outline-offset: 2px; }")
