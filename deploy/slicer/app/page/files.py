"""The person's files and those of their groups, in the panel."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from trame.widgets import html, vuetify3

from app.core import log
from app.core.errors import FileError, SlicerError
from app.core.kinds import FORMATS, Kind
from app.files.paths import free_name, list_folder, parse_relative, resolve_inside, target_of
from app.page.texts import human

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.scene import Scene
    from app.files.paths import Target

# The widgets are made at run time and have no types.
v3: Any = vuetify3
_ICONS = {
    Kind.FOLDER: "mdi-folder-outline",
    Kind.SCENE: "mdi-image-filter-hdr",
    Kind.SEGMENTATION: "mdi-shape-outline",
    Kind.VOLUME: "mdi-cube-scan",
    Kind.MODEL: "mdi-vector-triangle",
    Kind.OTHER: "mdi-file-outline",
}


class Files:
    """Shows one folder at a time, and the parts of the scene that can be saved into it.

    ``put(target, write)`` writes a file to a target, and raises FileError; ``say(text)`` shows a
    message on every page.
    """

    def __init__(
        self,
        scene: Scene,
        roots: dict[str, Path],
        *,
        put: Callable[[Target, Callable[[Path], None]], None],
        say: Callable[[str], None],
    ) -> None:
        """`build` makes the widgets."""
        self._scene = scene
        self._roots = roots
        self._put = put
        self._say = say
        self._root = next(iter(roots))
        self._folder = ""
        server: Any = scene.server
        self._state: Any = server.state
        self._state.update(
            {
                "hub_roots": list(roots),
                "hub_root": self._root,
                "hub_folder": "",
                "hub_entries": [],
                "hub_nodes": [],
                "hub_saving_as": "",
                "hub_upload": -1,
            }
        )
        for name, action in {
            "hub_browse": self._browse,
            "hub_open": self._open,
            "hub_save_node": self._save_node,
        }.items():
            server.trigger(name)(action)

    def refresh(self) -> None:
        """Lists the shown folder again."""
        self._browse(self._root, self._folder)

    def build(self) -> None:
        """The panel's drawer: saving, uploading, the parts of the scene, the folder."""
        with html.Div(classes="pa-3"):
            html.Div("Files", classes="text-subtitle-1 mb-2")
            v3.VSelect(
                v_if=("hub_roots.length > 1",),
                model_value=("hub_root",),
                items=("hub_roots",),
                update_modelValue=(self._browse, "[$event]"),
                density="compact",
                hide_details=True,
                label="Location",
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
        """One line for each part of the scene, with a button for each format to save it in."""
        v3.VListSubheader(
            "In the scene: save one part by itself", v_if=("hub_nodes.length",), classes="px-3"
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
        self._say(problem or "Uploaded")
        self.refresh()

    # The actions of the page's buttons. Only people who may change things get here.

    def _browse(self, root: str, folder: str = "") -> None:
        if root not in self._roots:
            return
        try:
            base = self._roots[root].resolve()
            path = resolve_inside(base, parse_relative(folder)) if folder else base
            entries = list_folder(base, path)
        except FileError as error:
            self._say(str(error))
            return
        self._root, self._folder = root, folder
        self._state.hub_root, self._state.hub_folder = root, folder
        self._state.hub_entries = [
            {
                "name": entry.name,
                "path": entry.path,
                "icon": _ICONS[entry.kind],
                "is_folder": entry.kind is Kind.FOLDER,
                "size": human(entry.size),
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
        """Saves one part of the scene into the shown folder, under its own name."""
        node = next((each for each in self._scene.list_nodes() if each.id == number), None)
        if node is None or ending not in FORMATS[node.kind]:
            return
        try:
            base = self._roots[self._root].resolve()
            folder = resolve_inside(base, parse_relative(self._folder)) if self._folder else base
            taken = [entry.name for entry in list_folder(base, folder)]
            name = free_name(node.name, ending, taken)
            relative = f"{self._folder}/{name}" if self._folder else name
            target = target_of(base, parse_relative(relative))
            self._put(target, functools.partial(self._scene.write_node, node))
        except SlicerError as error:
            self._say(str(error))
            return
        log.event("node.saved", name=name)
        self._say(f"Saved as {name}")
        self.refresh()

    def _up(self) -> None:
        self._browse(self._root, self._folder.rpartition("/")[0])

    def _open(self, path: str) -> None:
        try:
            real = resolve_inside(self._roots[self._root], parse_relative(path))
            if not real.exists():
                raise FileError(f"{real.name} is not there any more.")
            text = self._scene.open(real)
        except SlicerError as error:
            self._say(str(error))
            return
        log.event("file.opened", name=real.name)
        self._say(text)
        self._list_nodes()

    def _save_here(self, typed: str | None) -> None:
        """The name comes with the click, because the state with it may arrive later."""
        name = (typed or "").strip() or "scene"
        if not name.lower().endswith(".mrb"):
            name += ".mrb"
        relative = f"{self._folder}/{name}" if self._folder else name
        try:
            target = target_of(self._roots[self._root], parse_relative(relative))
            self._put(target, self._scene.write)
        except SlicerError as error:
            self._say(str(error))
            return
        log.event("scene.saved", name=target.name)
        self._say(f"Saved as {target.name}")
        self.refresh()

    def _trigger(self, function: Callable[..., None]) -> str:
        return self._scene.server.trigger_name(function)
