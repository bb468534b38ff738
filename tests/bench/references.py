"""Two viewers of other makers to measure beside a session (``python -m bench.references``).

Both show the sample brain on two processors, in containers that are gone afterwards; their images
stay, so that the next run builds in seconds. They are made from the session image, which must be
there (``deploy/up``).

- ``stock_viewer``: trame-slicer's own viewer, unmodified. Without a graphics card its way to draw
  the brain takes 3 s a picture, so by default it is told to cast rays on the processor, as our
  sessions are: what differs is how hand and picture get to the other side.
- ``vnc_brain``: a desktop program in an X screen of 1280x800 by TigerVNC and noVNC. It draws
  coarser while the brain is turned, 15 times a second where it can.

Run as a program it looks whether both follow the hand, and keeps pictures of it.
"""

from __future__ import annotations

import http.client
import io
import secrets
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import click
from PIL import Image, ImageChops
from playwright.sync_api import Page

from tests.support.chromium import chromium

CPUS = 2
PORT = 8080
START_SECONDS = 120.0  # of a machine that is busy
_HERE = Path(__file__).parent
_POLL_SECONDS = 0.2


class Method(StrEnum):
    """How the stock viewer draws the brain: Slicer's names."""

    CPU_CASTS = "vtkMRMLCPURayCastVolumeRenderingDisplayNode"
    CARD = "vtkMRMLGPURayCastVolumeRenderingDisplayNode"  # its own default; 3 s without a card


class Box(NamedTuple):
    """A part of an element, in CSS pixels from its upper left corner."""

    x: int
    y: int
    width: int
    height: int


class View(NamedTuple):
    """Where a page shows a picture: an element, and which part of it if it is not all of it."""

    selector: str
    nth: int  # among the elements that the selector finds
    box: Box | None = None


class Views(NamedTuple):
    """What is read: the brain, which a drag turns, and a slice, which the wheel moves."""

    brain: View
    slice: View


class Reference(NamedTuple):
    """A viewer that runs: where it listens, its page's path there, and where the pictures are."""

    name: str
    host: str
    port: int
    path: str
    views: Views


_IMAGE = "img.image-display-area"
# Quad View, column by column: coronal, sagittal; brain, axial.
STOCK_VIEWS = Views(brain=View(_IMAGE, 2), slice=View(_IMAGE, 3))
_CANVAS = "#noVNC_container canvas"
VNC_VIEWS = Views(
    brain=View(_CANVAS, 0, Box(640, 0, 640, 400)), slice=View(_CANVAS, 0, Box(0, 0, 640, 400))
)


@contextmanager
def stock_viewer(method: Method = Method.CPU_CASTS) -> Generator[Reference]:
    """Run trame-slicer's own viewer. Raises ClickException if it does not come."""
    with _running("stock_viewer", {"METHOD": method}) as host:
        yield Reference("trame-slicer", host, PORT, "/", STOCK_VIEWS)


@contextmanager
def vnc_brain() -> Generator[Reference]:
    """Run a desktop program by VNC. Raises ClickException if it does not come.

    The page's window must be 1280x800 or larger, or the screen does not fit.
    """
    with _running("vnc_brain", {}) as host:
        path = "/vnc.html?autoconnect=true&resize=off"
        yield Reference("TigerVNC + noVNC", host, PORT, path, VNC_VIEWS)


@contextmanager
def _running(folder: str, environment: Mapping[str, str]) -> Generator[str]:
    """Build and run the image of a folder beside this file; give its address once it answers."""
    image = f"slicerhub-bench/{folder.replace('_', '-')}"
    _docker("build", "--quiet", "--tag", image, str(_HERE / folder))
    name = f"slicerhub-bench-{secrets.token_hex(4)}"
    named = [word for pair in environment.items() for word in ("--env", "=".join(pair))]
    try:
        _docker("run", "--detach", "--name", name, f"--cpus={CPUS}", "--memory=3g", *named, image)
        host = _docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", name)
        _wait_until_answered(host, name)
        yield host
    finally:
        _docker("rm", "--force", "--volumes", name)


def _wait_until_answered(host: str, name: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection(host, PORT, timeout=5)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            if _docker("inspect", "--format", "{{.State.Running}}", name) != "true":
                break
            time.sleep(_POLL_SECONDS)
        else:
            return
        finally:
            connection.close()
    said = subprocess.run(["docker", "logs", "--tail=20", name], check=False, capture_output=True)
    raise click.ClickException(f"{name} does not answer:\n{(said.stdout + said.stderr).decode()}")


def _docker(*words: str) -> str:
    """Run the engine's client and return what it says. Raises ClickException."""
    done = subprocess.run(["docker", *words], check=False, capture_output=True, text=True)
    if done.returncode:
        raise click.ClickException(f"docker {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip()


# --- a look at them ---

_SCREEN = {"width": 1280, "height": 800}
_DRAG = 62  # pixels
_STEP = 2
_MOVE_SECONDS = 1 / 60
_NOTCH = 100  # of the wheel, as browsers count
_SEEN = 16  # of 255: brighter than a background
_DRAWN = 0.05  # of the view's pixels that are brighter than that
_SETTLE_SECONDS = 3.0
_OTHER = 8  # of 255, by which a pixel must have changed to count


def place_of(page: Page, view: View) -> Box:
    """Return where a view is in the page."""
    found = page.locator(view.selector).nth(view.nth).bounding_box()
    if found is None:
        raise click.ClickException(f"The page shows no {view.selector}.")
    x, y = round(found["x"]), round(found["y"])
    if view.box is None:
        return Box(x, y, round(found["width"]), round(found["height"]))
    return Box(x + view.box.x, y + view.box.y, view.box.width, view.box.height)


def drag(page: Page, box: Box) -> None:
    """Draw the mouse over the middle of a view to the right, with its button held."""
    x, y = box.x + box.width // 2, box.y + box.height // 2
    page.mouse.move(x, y)
    page.mouse.down()
    for way in range(_STEP, _DRAG + 1, _STEP):
        page.mouse.move(x + way, y)
        time.sleep(_MOVE_SECONDS)
    page.mouse.up()


def notch(page: Page, box: Box) -> None:
    """Turn the wheel over a view by one."""
    page.mouse.move(box.x + box.width // 2, box.y + box.height // 2)
    page.mouse.wheel(0, _NOTCH)


def shot(page: Page, box: Box) -> Image.Image:
    """Return a view as it is on the screen, in grey."""
    clip = {name: float(number) for name, number in box._asdict().items()}
    png = page.screenshot(clip=clip)  # pyright: ignore[reportArgumentType] - the same four names
    return Image.open(io.BytesIO(png)).convert("L")


def share(picture: Image.Image, least: int) -> float:
    """Return how much of a picture is at least so bright, from 0 to 1."""
    return sum(picture.histogram()[least:]) / (picture.width * picture.height)


def wait_until_drawn(page: Page, views: Views) -> None:
    """Wait until both views show something."""
    page.locator(views.brain.selector).nth(views.brain.nth).wait_for()
    deadline = time.monotonic() + START_SECONDS
    while any(share(shot(page, place_of(page, view)), _SEEN * 4) < _DRAWN for view in views):
        if time.monotonic() > deadline:
            raise click.ClickException("The page does not show both views.")
        time.sleep(_POLL_SECONDS)
    time.sleep(_SETTLE_SECONDS)


def look(page: Page, reference: Reference, folder: Path) -> list[tuple[str, float]]:
    """Return what was done, and the share of the view's pixels that changed by it."""
    page.goto(f"http://{reference.host}:{reference.port}{reference.path}")
    wait_until_drawn(page, reference.views)
    found: list[tuple[str, float]] = []
    stem = "".join(letter if letter.isalnum() else "-" for letter in reference.name)
    page.screenshot(path=folder / f"{stem}-before.png")
    for act, view in ((drag, reference.views.brain), (notch, reference.views.slice)):
        box = place_of(page, view)
        before = shot(page, box)
        act(page, box)
        time.sleep(_SETTLE_SECONDS)
        difference = ImageChops.difference(before, shot(page, box))
        found.append((act.__name__, share(difference, _OTHER)))
    page.screenshot(path=folder / f"{stem}-after.png")
    return found


@click.command()
@click.option(
    "--folder",
    default=Path("/tmp"),  # noqa: S108 - it is for the person who calls
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Where the pictures go.",
)
def main(folder: Path) -> None:
    """Look whether both viewers follow the hand."""
    still: list[str] = []
    with ExitStack() as stack:
        references = [stack.enter_context(made()) for made in (stock_viewer, vnc_brain)]
        browser = stack.enter_context(chromium())
        for reference in references:
            page = browser.new_page(viewport=_SCREEN)  # pyright: ignore[reportArgumentType]
            for act, changed in look(page, reference, folder):
                click.echo(f"{reference.name}: {act} changed {changed:.1%} of the view")
                if changed < 0.01:
                    still.append(f"{reference.name} ({act})")
            page.close()
    if still:
        raise click.ClickException(f"No change: {', '.join(still)}")


if __name__ == "__main__":
    main()
