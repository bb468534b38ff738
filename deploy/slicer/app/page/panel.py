"""What the page shows beyond the viewer itself: files, who is here, and what the hub has to say.

trame keeps one state for all pages. What differs from page to page (who am I, may I change
anything) is sent to that page alone, after it got the common state. Values the hub's part of the
page uses start with ``hub_``.
"""

from __future__ import annotations

import base64
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from trame.widgets import client, html, vuetify3
from trame_slicer.app.ui import ControlButton, MedicalViewerUI, viewer_layout
from trame_slicer.app.ui.about_dialog import AboutDialog

from app.core import log
from app.core.errors import FileError, SlicerError
from app.core.kinds import FORMATS, Kind
from app.core.lean import lean_page
from app.files.bundles import describe
from app.files.paths import free_name, list_folder, parse_relative, place_of, resolve_inside
from app.people.activity import viewing_sentence

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.scene import Scene
    from app.files.autosaves import Offer
    from app.files.paths import Place
    from app.people.activity import Activity, Client
    from app.people.notices import Notice

# The widgets are made at run time and have no types.
v3: Any = vuetify3
_TOOL = "FilesPanel"
_LAYOUT = "Quad View"
_STATIC = Path(__file__).with_name("static")
_SERVED = "__slicerhub_page"
# Needed before the library's own scripts run.
EARLY_SCRIPTS = (f"{_SERVED}/door.js", f"{_SERVED}/socket.js")
_ICONS = {
    Kind.FOLDER: "mdi-folder-outline",
    Kind.SCENE: "mdi-image-filter-hdr",
    Kind.SEGMENTATION: "mdi-shape-outline",
    Kind.VOLUME: "mdi-cube-scan",
    Kind.MODEL: "mdi-vector-triangle",
    Kind.OTHER: "mdi-file-outline",
}
# What changes without anybody on the page having done something.
_TOLD_TO_ALL = (
    "hub_people",
    "hub_viewing",
    "hub_asking",
    "hub_notice",
    "hub_notice_until",
    "hub_trouble",
)
_ROLES = {"owner": "owner", "control": "can control", "view": "viewing"}


class Panel:
    """Builds the page and keeps its ``hub_`` values right.

    ``share_url``: the hub's page where the owner lets people in, empty if there is none.
    ``put(place, write)`` has a file written and puts it there; ``answered()`` notes that one of the
    offered scenes was chosen, or none. Both raise FileError.
    """

    def __init__(
        self,
        scene: Scene,
        roots: dict[str, Path],
        activity: Activity,
        *,
        share_url: str,
        put: Callable[[Place, Callable[[Path], None]], None],
        answered: Callable[[], None],
    ) -> None:
        """Builds the page's widgets and the first values."""
        self._scene = scene
        self._roots = roots
        self._activity = activity
        self._put = put
        self._answered = answered
        self._offered: dict[str, Path] = {}
        self._root = next(iter(roots))
        self._folder = ""
        server: Any = scene.server
        server.enable_module({"serve": {_SERVED: str(_STATIC)}, "scripts": [f"{_SERVED}/page.js"]})
        self._state: Any = server.state
        self._state.update(
            {
                "trame__title": "3D Slicer",
                "trame__favicon": _data_url((_STATIC / "icon.svg").read_bytes(), "image/svg+xml"),
                "hub_role": "",
                "hub_user": "",
                "hub_people": [],
                "hub_viewing": viewing_sentence([]),
                "hub_share": share_url,
                "hub_asking": [],
                "hub_notice": "",
                "hub_notice_until": "",
                "hub_message": "",
                "hub_message_shown": False,
                "hub_trouble": "",
                "hub_offers": [],
                "hub_roots": list(roots),
                "hub_root": self._root,
                "hub_folder": "",
                "hub_entries": [],
                "hub_nodes": [],
                "hub_saving_as": "",
                "hub_upload": -1,
                "hub_working": False,
            }
        )
        for name, action in {
            "hub_browse": self._browse,
            "hub_open": self._open,
            "hub_save_node": self._save_node,
            "hub_dismiss": self._dismiss,
        }.items():
            server.trigger(name)(action)
        self._build(MedicalViewerUI)
        # After the libraries' own, which come with the widgets.
        server.enable_module({"scripts": [f"{_SERVED}/mends.js"], "vue_use": ["slicerhubMends"]})
        scene.logic._layout_button_logic.data.current_layout_id = _LAYOUT  # noqa: SLF001

    def greeting(self, client: Client) -> dict[str, object]:
        """What this client's page is told once it is there.

        Who it is, which is for this page alone; and what all pages are told, as it is now: a page
        drops what was said between its asking for the common state and its taking it in.
        """
        own = {"hub_role": client.visitor.role.value, "hub_user": client.visitor.user}
        return own | {name: self._state[name] for name in _TOLD_TO_ALL}

    def show_people(self) -> None:
        """After somebody came or went."""
        people: dict[str, str] = {}
        for each in self._activity.clients:
            people[each.visitor.user] = _ROLES.get(each.visitor.role.value, "")
        looking = {
            each.visitor.user for each in self._activity.clients if not each.visitor.role.may_change
        }
        with self._state:
            self._state.hub_people = [
                {"user": user, "role": role} for user, role in sorted(people.items())
            ]
            self._state.hub_viewing = viewing_sentence(self._activity.clients)
            self._state.hub_asking = [user for user in self._state.hub_asking if user in looking]

    def show_asking(self, user: str) -> None:
        """Tells those with control that this person would like it, too; once until dismissed."""
        here = {each.visitor.user for each in self._activity.clients}
        if user in here and user not in self._state.hub_asking:
            log.event("control.asked", user=user)
            with self._state:
                self._state.hub_asking = [*self._state.hub_asking, user]

    def show_notice(self, notice: Notice) -> None:
        """A banner for everyone, with a clock and a Keep button if it has an end.

        An empty text takes it away.
        """
        with self._state:
            self._state.hub_notice = notice.text
            self._state.hub_notice_until = notice.until.isoformat() if notice.until else ""

    def show_trouble(self, text: str) -> None:
        """A banner for everyone that stays; an empty text takes it away and says so."""
        with self._state:
            self._state.hub_trouble = text
        if not text:
            self.say("Your scene is saved again.")

    def offer(self, offers: list[Offer]) -> None:
        """Offers to open what was open at the end of a session before."""
        self._offered = {offer.path.name: offer.path for offer in offers}
        self._state.hub_offers = [
            {
                "name": offer.path.name,
                "when": offer.saved_at.isoformat(),
                "what": f"{describe(offer.things)}{_human(offer.size)}",
                "picture": _data_url(offer.picture, "image/png") if offer.picture else "",
            }
            for offer in offers
        ]

    def say(self, text: str) -> None:
        """A line at the bottom of every page, for some seconds."""
        with self._state:
            self._state.hub_message = text
            self._state.hub_message_shown = True

    def redraw(self, area: str) -> None:
        """Sends the present picture of a view again, changing nothing."""
        manager = self._scene.core.view_manager
        for view in manager.filter_visible_views(manager.get_views()):
            if area.endswith(view.get_singleton_tag()):
                view.schedule_render()

    # What the page's buttons do. Only those who may change things get this far.

    def _browse(self, root: str, folder: str = "") -> None:
        if root not in self._roots:
            return
        try:
            base = self._roots[root].resolve()
            path = resolve_inside(base, parse_relative(folder)) if folder else base
            entries = list_folder(base, path)
        except FileError as error:
            self.say(str(error))
            return
        self._root, self._folder = root, folder
        self._state.hub_root, self._state.hub_folder = root, folder
        self._state.hub_entries = [
            {
                "name": entry.name,
                "path": entry.path,
                "icon": _ICONS[entry.kind],
                "is_folder": entry.kind is Kind.FOLDER,
                "size": _human(entry.size),
                "url": f"files/{quote(root)}/{quote(entry.path)}",
            }
            for entry in entries
        ]

        self._list_nodes()

    def _list_nodes(self) -> None:
        self._state.hub_nodes = [
            {
                "id": node.id,
                "name": node.name,
                "icon": _ICONS[node.kind],
                "endings": FORMATS[node.kind],
            }
            for node in self._scene.list_nodes()
        ]

    def _save_node(self, number: str, ending: str) -> None:
        """Saves one thing into the folder that is shown, under its own name."""
        node = next((each for each in self._scene.list_nodes() if each.id == number), None)
        if node is None or ending not in FORMATS[node.kind]:
            return
        try:
            base = self._roots[self._root].resolve()
            folder = resolve_inside(base, parse_relative(self._folder)) if self._folder else base
            taken = [entry.name for entry in list_folder(base, folder)]
            name = free_name(node.name, ending, taken)
            relative = f"{self._folder}/{name}" if self._folder else name
            place = place_of(base, parse_relative(relative))
            self._put(place, functools.partial(self._scene.write_node, node))
        except SlicerError as error:
            self.say(str(error))
            return
        log.event("node.saved", name=name)
        self.say(f"Saved as {name}")
        self._refresh()

    def _dismiss(self, user: str) -> None:
        self._state.hub_asking = [each for each in self._state.hub_asking if each != user]

    def _up(self) -> None:
        self._browse(self._root, self._folder.rpartition("/")[0])

    def _refresh(self) -> None:
        self._browse(self._root, self._folder)

    def _open(self, path: str) -> None:
        try:
            real = resolve_inside(self._roots[self._root], parse_relative(path))
            if not real.exists():
                raise FileError(f"{real.name} is not there any more.")
            text = self._scene.open(real)
        except SlicerError as error:
            self.say(str(error))
            return
        log.event("file.opened", name=real.name)
        self.say(text)
        self._list_nodes()

    def _save_here(self, typed: str | None) -> None:
        """The name comes with the press: the state that has it may still be on its way."""
        name = (typed or "").strip() or "scene"
        if not name.lower().endswith(".mrb"):
            name += ".mrb"
        relative = f"{self._folder}/{name}" if self._folder else name
        try:
            place = place_of(self._roots[self._root], parse_relative(relative))
            self._put(place, self._scene.write)
        except SlicerError as error:
            self.say(str(error))
            return
        log.event("scene.saved", name=place.name)
        self.say(f"Saved as {place.name}")
        self._refresh()

    def _restore(self, name: str) -> None:
        path = self._offered.get(name)
        if path is None:
            return
        try:
            self._scene.open(path)
        except SlicerError as error:  # and the others are still there to choose from
            self.say(str(error))
            return
        self._close_offers()

    def _close_offers(self) -> None:
        """One was chosen, or none."""
        self._state.hub_offers = []
        self._offered = {}
        try:
            self._answered()
        except SlicerError as error:
            self.say(str(error))

    def _keep(self) -> None:
        """Reaching this is input already: the gate has noted it."""
        self._state.hub_notice = self._state.hub_notice_until = ""

    def _toggle(self, data: Any) -> None:  # noqa: ANN401 - trame's typed state
        shown = not (data.is_drawer_visible and data.active_tool == _TOOL)
        data.is_drawer_visible = shown
        data.active_tool = _TOOL if shown else None
        if shown:
            self._refresh()

    # The page.

    def _build(self, ui_type: Any) -> None:  # noqa: ANN401
        # The library's own dialog loads its pictures from four places on the internet.
        viewer_layout.AboutDialog = _AboutDialog
        with lean_page():
            ui: Any = ui_type(self._scene.server, self._scene.logic.layout_manager)
            self._scene.logic.set_ui(ui)
        layout = ui.layout
        layout.title.set_text("3D Slicer")
        layout.footer.hide()
        # Files go over HTTP into the volume, with progress; these two send them through memory.
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
                self._build_files()
            with layout.appbar, v3.Template(v_slot_append=True):
                self._build_people()
            self._build_banners()

    def _build_files(self) -> None:
        with html.Div(classes="pa-3"):
            html.Div("Files", classes="text-subtitle-1 mb-2")
            v3.VSelect(
                v_if=("hub_roots.length > 1",),
                model_value=("hub_root",),
                items=("hub_roots",),
                update_modelValue=(self._browse, "[$event]"),
                density="compact",
                hide_details=True,
                label="Place",
                classes="mb-2",
            )
            with html.Div(classes="d-flex align-center mb-2", style="gap: .5rem;"):
                v3.VTextField(
                    v_model=("hub_saving_as",),
                    label="Save scene as",
                    placeholder="scene.mrb",
                    density="compact",
                    hide_details=True,
                )
                v3.VBtn(
                    "Save",
                    click=f"trigger('{self._trigger(self._save_here)}', [hub_saving_as])",
                    color="primary",
                )
            with html.Div(classes="d-flex align-center", style="gap: .5rem;"):
                with v3.VBtn(
                    "Upload files",
                    prepend_icon="mdi-upload",
                    size="small",
                    variant="tonal",
                    click="window.slicerhub.pick('hub-files')",
                    disabled=("hub_upload >= 0",),
                ):
                    pass
                with v3.VBtn(
                    "Upload folder",
                    prepend_icon="mdi-folder-upload",
                    size="small",
                    variant="tonal",
                    click="window.slicerhub.pick('hub-folder')",
                    disabled=("hub_upload >= 0",),
                ):
                    pass
            for name, raw in (("hub-files", "multiple"), ("hub-folder", "webkitdirectory")):
                html.Input(
                    id=name,
                    type="file",
                    raw_attrs=[raw],
                    style="display: none;",
                    change=(
                        "window.slicerhub.upload($event.target, hub_root, hub_folder,"
                        " (percent) => { hub_upload = percent; },"
                        f" (text) => trigger('{self._trigger(self._uploaded)}', [text]))"
                    ),
                )
            v3.VProgressLinear(
                v_if=("hub_upload >= 0",),
                model_value=("hub_upload",),
                height=6,
                classes="mt-2",
                color="primary",
            )
        self._build_nodes()
        v3.VListSubheader("In your folder", classes="px-3")
        with v3.VList(density="compact", nav=True):
            v3.VListItem(
                v_if=("hub_folder",),
                title=("hub_folder",),
                prepend_icon="mdi-arrow-up",
                click=self._up,
            )
            html.Div(
                "Nothing here yet. Upload something, or save your scene.",
                v_if=("!hub_entries.length",),
                classes="pa-3 text-medium-emphasis",
            )
            with (
                v3.VListItem(
                    v_for="entry in hub_entries",
                    key=("entry.path",),
                    title=("entry.name",),
                    subtitle=("entry.is_folder ? '' : entry.size",),
                    prepend_icon=("entry.icon",),
                    click=(
                        f"entry.is_folder ? trigger('{self._trigger(self._browse)}',"
                        f" [hub_root, entry.path])"
                        f" : trigger('{self._trigger(self._open)}', [entry.path])"
                    ),
                ),
                v3.Template(v_slot_append=True),
            ):
                v3.VBtn(
                    v_if=("entry.is_folder",),
                    icon="mdi-layers-outline",
                    size="x-small",
                    variant="text",
                    title="Open all images in this folder (DICOM)",
                    click=(
                        "$event.stopPropagation();"
                        f" trigger('{self._trigger(self._open)}', [entry.path])"
                    ),
                )
                v3.VBtn(
                    v_if=("!entry.is_folder",),
                    icon="mdi-download",
                    size="x-small",
                    variant="text",
                    title="Download",
                    href=("entry.url",),
                    click="$event.stopPropagation()",
                )

    def _build_nodes(self) -> None:
        """One line for each thing in the scene, with a button for each format it is saved as."""
        v3.VListSubheader(
            "Open now: save one by itself", v_if=("hub_nodes.length",), classes="px-3"
        )
        with (
            v3.VList(v_if=("hub_nodes.length",), density="compact", nav=True),
            v3.VListItem(
                v_for="node in hub_nodes",
                key=("node.id",),
                title=("node.name",),
                prepend_icon=("node.icon",),
            ),
            v3.Template(v_slot_append=True),
        ):
            v3.VBtn(
                "{{ ending }}",
                v_for="ending in node.endings",
                key=("ending",),
                size="x-small",
                variant="tonal",
                classes="ml-1 text-none",
                raw_attrs=[':aria-label="`Save ${node.name} as ${ending}`"'],
                click=f"trigger('{self._trigger(self._save_node)}', [node.id, ending])",
            )

    def _uploaded(self, problem: str) -> None:
        self.say(problem or "Uploaded")
        self._refresh()

    def _build_people(self) -> None:
        with html.Div(classes="d-flex align-center mr-2", style="gap: .5rem;"):
            v3.VChip(
                "{{ hub_viewing }}",
                v_if=("hub_role === 'view'",),
                color="warning",
                size="small",
                prepend_icon="mdi-eye-outline",
            )
            v3.VBtn(
                "{{ hub_asking.includes(hub_user) ? 'Asked for control' : 'Ask for control' }}",
                v_if=("hub_role === 'view'",),
                size="small",
                variant="tonal",
                prepend_icon="mdi-hand-back-right-outline",
                disabled=("hub_asking.includes(hub_user)",),
                click="window.slicerhub.ask()",
            )
            v3.VChip(
                "{{ person.user }} · {{ person.role }}",
                v_for="person in hub_people.length > 1 ? hub_people : []",
                key=("person.user",),
                size="small",
                variant=("person.user === hub_user ? 'flat' : 'tonal'",),
            )

    def _build_banners(self) -> None:
        """Above everything, at the bottom: they never cover the tools."""
        with html.Div(
            style="position: fixed; bottom: 1rem; left: 5vw; right: 5vw; margin: 0 auto;"
            " width: fit-content; z-index: 2400; display: grid; gap: .5rem; max-width: 44rem;",
            raw_attrs=['role="status"'],  # the library drops attributes that it does not know
        ):
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
            with (
                v3.VAlert(
                    v_for="user in hub_role !== 'view' ? hub_asking : []",
                    key=("user",),
                    type="info",
                    variant="elevated",
                    density="comfortable",
                ),
                html.Div(classes="d-flex align-center", style="gap: 1rem;"),
            ):
                html.Span("{{ user }} asks for control.")
                v3.VBtn(
                    "Give control …",
                    v_if=("hub_role === 'owner' && hub_share",),
                    href=("hub_share",),
                    raw_attrs=['target="_blank"'],
                )
                v3.VBtn("Dismiss", click=(self._dismiss, "[user]"), variant="text")
            with v3.VAlert(
                v_if=("hub_trouble && hub_role !== 'view'",),
                type="error",
                variant="elevated",
                density="comfortable",
            ):
                html.Span("{{ hub_trouble }}")
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
                        html.Div(
                            "Your scene of {{ new Date(offer.when).toLocaleString() }} was saved."
                        )
                        html.Div("{{ offer.what }}", classes="text-caption")
                    v3.VBtn("Open it", click=(self._restore, "[offer.name]"))
                v3.VBtn("Start empty", click=self._close_offers, variant="text")
        with v3.VSnackbar(v_model=("hub_message_shown",), timeout=5000, location="bottom"):
            html.Span("{{ hub_message }}")
        client.Style(":focus-visible { outline: 2px solid #6ab0ff; outline-offset: 2px; }")

    def _trigger(self, function: Callable[..., None]) -> str:
        return self._scene.server.trigger_name(function)


class _AboutDialog(AboutDialog):
    def create_dialog(self) -> None:
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


def _data_url(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _human(size: int) -> str:
    amount = float(size)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:  # noqa: PLR2004
            return f"{amount:.0f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"
