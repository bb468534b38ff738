"""Runs in the place of 3D Slicer inside the desktop's image, with what Slicer runs at its start.

It has Slicer's `slicer.util.saveScene` and Qt's timer as far as `slicer_hub.py` needs them, ends as
Slicer does, by its own handling of SIGTERM, and writes down whether the screen was still there.
"""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FILES = Path("/home/slicer/files")


class Timer:
    """Qt's, of which there is one."""

    def __init__(self) -> None:
        """Nothing is called yet."""
        self.calls: list[Callable[[], None]] = []
        self.timeout = SimpleNamespace(connect=self.calls.append)

    def start(self, milliseconds: int) -> None:
        """The loop below is its clock."""
        self.milliseconds = milliseconds


def save_scene(path: str) -> bool:
    """Writes a file, unless it is told to fail."""
    if (FILES / "refuse").exists():
        raise OSError("the stand-in refuses")
    Path(path).write_text("a scene")
    return True


def end(*_: object) -> None:
    """Takes a moment, as a large program does, and then looks whether the screen is there."""
    time.sleep(0.5)
    seen = subprocess.run(["xprop", "-root"], capture_output=True, check=False)
    (FILES / "ended").write_text("with its screen" if seen.returncode == 0 else "too late")
    sys.exit(0)


def main() -> None:
    """A window, the script, and the timer for ever."""
    settings = Path(os.environ["XDG_CONFIG_HOME"]) / "settings"
    settings.write_text(settings.read_text() + "+" if settings.exists() else "first")
    signal.signal(signal.SIGTERM, end)
    subprocess.Popen(["xterm"], start_new_session=True)
    app = SimpleNamespace()
    qt, slicer = ModuleType("qt"), ModuleType("slicer")
    vars(qt)["QTimer"] = Timer
    vars(slicer).update(app=app, util=SimpleNamespace(saveScene=save_scene))
    sys.modules.update(qt=qt, slicer=slicer)
    runpy.run_path("/opt/desktop/share/slicer_hub.py")
    timer: Timer = vars(app)["slicerhub_timer"]
    while True:
        time.sleep(timer.milliseconds / 1000)
        for call in timer.calls:
            call()


if __name__ == "__main__":
    main()
