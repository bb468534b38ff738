"""trame-slicer's own viewer with the sample brain; runs in the image beside this file.

METHOD names the class of Slicer's volume rendering; without it the viewer keeps its own.
"""

from __future__ import annotations

import os
from importlib import import_module

BRAIN = "/opt/slicer/share/samples/MNI152-T1-brain.nii.gz"
PRESET = "MR-Default"
LAYOUT = "Quad View"  # the one that our sessions begin with
PORT = 8080


def main() -> None:
    """Show the brain until the container is stopped."""
    # By name: only the image has it. There is no public way to what is set here.
    viewer = import_module("trame_slicer.app.medical_viewer_app").MedicalViewerApp()
    core = viewer._slicer_app
    if method := os.environ.get("METHOD"):
        core.volume_rendering._logic.SetDefaultRenderingMethod(method)
    viewer._logic._layout_button_logic.data.current_layout_id = LAYOUT
    brain = core.io_manager.load_volumes([BRAIN])[0]
    core.display_manager.show_volume(brain, do_reset_views=True, vr_preset=PRESET)
    viewer.server.start(host="0.0.0.0", port=PORT, open_browser=False, timeout=0)  # noqa: S104 - of the container


if __name__ == "__main__":
    main()
