"""A drawn picture of a view, and what is sent of it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image

from app.stream.flow import Level

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.core.pixels import Pixels

FORMAT = "image/jpeg"
# Of a picture at rest. Colours are kept for each pixel (4:4:4), and the table of this quality
# changes a grey by 1 of 255 in the mean: nothing that a screen shows.
_FINAL_QUALITY = 95
_EVERY_PIXEL = 0  # Pillow's words for how many pixels share a colour
_FOUR_PIXELS = 2
FINAL = Level(1.0, _FINAL_QUALITY, 1.0)


class Picture:
    """A view's pixels and how they came to be.

    ``inputs``: of each page the number of the last input in it and when that arrived; ``began``
    and ``drawn``: when drawing began and was done. Times are of one monotonic clock, in seconds.
    """

    def __init__(
        self,
        view: str,
        pixels: Pixels,
        *,
        final: bool,
        inputs: Mapping[int, tuple[int, float]],
        began: float,
        drawn: float,
    ) -> None:
        """Keeps them; nothing is encoded before `encode`."""
        self.view = view
        self.pixels = pixels
        self.final = final
        self.inputs = inputs
        self.began = began
        self.drawn = drawn
        self._encoded: dict[Level, bytes] = {}

    def looks_like(self, other: Picture) -> bool:
        """Whether every pixel is the same."""
        return self.pixels == other.pixels

    def encode(self, level: Level) -> bytes:
        """The picture as a file, made once for each level. May run in any thread."""
        if level not in self._encoded:
            self._encoded[level] = encoded(self.pixels, level)
        return self._encoded[level]


def encoded(pixels: Pixels, level: Level) -> bytes:
    """JPEG of the pixels; colours of every pixel at the final level."""
    image = Image.frombuffer("RGB", (pixels.width, pixels.height), pixels.rgb, "raw", "RGB", 0, 1)
    if level.scale < 1:
        size = (max(1, round(part * level.scale)) for part in image.size)
        image = image.resize(tuple(size), Image.Resampling.BILINEAR, reducing_gap=1.0)
    content = io.BytesIO()
    sampling = _EVERY_PIXEL if level is FINAL else _FOUR_PIXELS
    image.save(content, "JPEG", quality=level.quality, subsampling=sampling)
    return content.getvalue()
