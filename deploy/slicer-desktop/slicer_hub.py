# ruff: noqa: INP001 - a script, not part of a package
"""Runs inside 3D Slicer (``Slicer --python-script``): saves the scene when the session asks for it.

The other end is `desktop.saving`. Qt's timer, because Slicer has one thread for everything; only
what Slicer's own Python has, of any version that a maker's archive of Slicer 5 carries.
"""

import json
import os
import site
from pathlib import Path

import qt
import slicer

_TALK = Path(os.environ["SLICERHUB_SAVE_DIR"])
_EVERY_MILLISECONDS = 500


def _look() -> None:
    request = _TALK / "request.json"
    if not request.exists():
        return
    order = json.loads(request.read_text())
    request.unlink()
    try:
        saved, message = bool(slicer.util.saveScene(order["path"])), "saveScene failed"
    except Exception as error:  # noqa: BLE001 - whatever Slicer says is told to the one who asked
        saved, message = False, str(error)
    draft = _TALK / "answer.part"
    draft.write_text(json.dumps({"id": order["id"], "saved": saved, "message": message}))
    draft.replace(_TALK / "answer.json")


# Extensions install their Python packages here: the program's own folder is read-only.
site.addsitedir(os.environ["PIP_TARGET"])

# An attribute of the application, or Python would drop the timer at the end of this file.
slicer.app.slicerhub_timer = qt.QTimer()
slicer.app.slicerhub_timer.timeout.connect(_look)
slicer.app.slicerhub_timer.start(_EVERY_MILLISECONDS)
