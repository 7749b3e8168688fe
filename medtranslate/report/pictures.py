"""Panels as PNG: grey for scans, a diverging map for errors, marks burned in."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from matplotlib import colormaps, get_data_path
from matplotlib.colors import to_hex
from PIL import Image, ImageDraw, ImageFont

from medtranslate.report.panels import SlicePicture, Window

_WIDTH_PIXELS = 480
_MAX_HEIGHT_PIXELS = 720
_MARK_PIXELS = 26
_COMPRESSION = 4
"""A third of the time of zlib's default, and pictures a few percent larger."""
ERROR_MAP = "berlin"
"""Diverging with a dark middle: no error is black, like the space around the patient."""
_MARK_COLOUR = "#f2f2f0"
_SYNTHETIC_COLOUR = "#ffd166"
_SOURCE_PERCENTILE = 99.5


@dataclass(frozen=True)
class Panel:
    """A picture for the report.

    Attributes:
        title: What it shows.
        uri: PNG as a ``data:`` address.
        alt: The same in words, for who cannot see it.
        width: Pixels.
        height: Pixels.
    """

    title: str
    uri: str
    alt: str
    width: int
    height: int


def draw_panels(
    picture: SlicePicture,
    window: Window,
    *,
    source_name: str,
    target_name: str,
    method: str,
    error_unit: str,
) -> tuple[Panel, ...]:
    """Source (if there is one), synthetic, real and error of one slice.

    Args:
        picture: The slice.
        window: Shared by all panels but the source, whose window is its own.
        source_name: Contrast that went in, for the title.
        target_name: Contrast that came out.
        method: Name of the model.
        error_unit: Unit of the error scale.
    """
    panels = []
    if picture.source is not None:
        inside = picture.source[picture.mask] if picture.mask.any() else picture.source
        low, high = np.percentile(inside, (100 - _SOURCE_PERCENTILE, _SOURCE_PERCENTILE))
        grey = _to_grey(picture.source, min(float(low), 0.0), float(high))
        panels.append(_panel(f"Source {source_name}".strip(), grey, picture))
    shown = {
        f"Synthetic {target_name}".strip(): picture.prediction,
        f"Real {target_name}".strip(): picture.reference,
    }
    for title, plane in shown.items():
        grey = _to_grey(plane, window.low, window.high)
        if plane is picture.prediction:
            detail = f", made by {method}"
            panels.append(_panel(title, grey, picture, mark="SYNTHETIC", detail=detail))
        else:
            panels.append(_panel(title, grey, picture))
    error = np.where(picture.mask, picture.prediction - picture.reference, 0.0)
    position = np.clip(error / window.error, -1, 1) / 2 + 0.5
    colours = colormaps[ERROR_MAP](position)[..., :3]
    colours[~picture.mask] = 0.0
    detail = f", from -{window.error:g} to {window.error:g} {error_unit}"
    panels.append(_panel("Synthetic \u2212 real", colours, picture, detail=detail))
    return tuple(panels)


def error_gradient(steps: int = 9) -> str:
    """The error map as the colour stops of a CSS gradient, negative first."""
    positions = np.linspace(0, 1, steps)
    return ", ".join(to_hex(colormaps[ERROR_MAP](position)) for position in positions)


def _to_grey(plane: np.ndarray, low: float, high: float) -> np.ndarray:
    width = high - low if high > low else 1.0
    grey = np.clip((plane.astype(np.float64) - low) / width, 0, 1)
    return np.repeat(grey[..., None], 3, axis=2)


def _panel(
    title: str, colours: np.ndarray, picture: SlicePicture, *, mark: str = "", detail: str = ""
) -> Panel:
    """Draw one panel with its marks; the sides are lettered in every one."""
    rows, columns = colours.shape[:2]
    width = _WIDTH_PIXELS
    height = round(width * rows * picture.aspect / columns)
    if height > _MAX_HEIGHT_PIXELS:
        width, height = round(width * _MAX_HEIGHT_PIXELS / height), _MAX_HEIGHT_PIXELS
    pixels = Image.fromarray(np.rint(255 * colours).astype(np.uint8))
    image = pixels.resize((width, height), Image.Resampling.LANCZOS)
    # A dark edge keeps marks legible on bright tissue.
    write = partial(ImageDraw.Draw(image).text, stroke_width=2, stroke_fill="black")
    for side, letter, anchor in zip((0.025, 0.975), picture.sides, ("lm", "rm"), strict=True):
        place = side * width, height / 2
        write(place, letter, fill=_MARK_COLOUR, font=_font(bold=False), anchor=anchor)
    if mark:
        place = width / 2, 0.98 * height
        write(place, mark, fill=_SYNTHETIC_COLOUR, font=_font(bold=True), anchor="mb")
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=_COMPRESSION)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    alt = f"{title}, slice {picture.index}{detail}"
    return Panel(title, f"data:image/png;base64,{data}", alt, width, height)


@cache
def _font(*, bold: bool) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib brings along."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(get_data_path(), "fonts", "ttf", name), _MARK_PIXELS)
