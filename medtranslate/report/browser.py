"""All scored slices of a case, small enough to leaf through inside the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw

from medtranslate.report.panels import SlicePicture, Window
from medtranslate.report.pictures import ERROR_MAP

MAX_FRAMES = 64
"""More slices than this are thinned evenly; the page stays below a few megabytes a case."""

_QUALITY = 82
_SOURCE_PERCENTILE = 99.5
_DEVIATION_MAP = "inferno"


@dataclass(frozen=True)
class SliceBrowser:
    """One case to leaf through.

    Attributes:
        titles: What the panels show, in order.
        indices: Slice of each frame, as the file counts.
        scores: Words for each frame, such as its PSNR.
        frames: Per panel, a JPEG as a ``data:`` address for each frame.
        size: Width and height of a panel with square pixels, in pixels.
        start: Number of the frame shown first.
    """

    titles: tuple[str, ...]
    indices: tuple[int, ...]
    scores: tuple[str, ...]
    frames: tuple[tuple[str, ...], ...]
    size: tuple[int, int]
    start: int

    def to_json(self) -> dict[str, Any]:
        """Plain data for the page's script."""
        return {
            "indices": list(self.indices),
            "scores": list(self.scores),
            "frames": [list(panel) for panel in self.frames],
        }


def thin_slices(indices: Sequence[int], keep: int) -> list[int]:
    """At most ``MAX_FRAMES`` of the slices, evenly spread, and ``keep`` among them."""
    if len(indices) <= MAX_FRAMES:
        return list(indices)
    spread = np.linspace(0, len(indices) - 1, MAX_FRAMES).round().astype(int)
    chosen = [indices[number] for number in spread]
    nearest = min(range(len(chosen)), key=lambda number: abs(chosen[number] - keep))
    chosen[nearest] = keep
    return chosen


def make_browser(
    pictures: Sequence[SlicePicture], window: Window, *, source_name: str, target_name: str
) -> SliceBrowser:
    """Draw every picture small, as JPEG, the synthetic ones with their mark burned in.

    Args:
        pictures: Slices of one case, all cut by the same box.
        window: Grey window of synthetic and real, and limit of the error.
        source_name: Contrast that went in, for the title.
        target_name: Contrast that came out.
    """
    panels: dict[str, tuple[str, ...]] = {}
    if all(one.source is not None for one in pictures):
        low, high = _source_window(pictures)
        panels[f"Source {source_name}".strip()] = tuple(
            _encode(_grey(one.source, low, high)) for one in pictures if one.source is not None
        )
    panels[f"Synthetic {target_name}".strip()] = tuple(
        _encode(_grey(one.prediction, window.low, window.high), mark="SYNTHETIC")
        for one in pictures
    )
    panels[f"Real {target_name}".strip()] = tuple(
        _encode(_grey(one.reference, window.low, window.high)) for one in pictures
    )
    panels[f"Synthetic \u2212 real, to \u00b1{window.error:g}"] = tuple(
        _encode(_error(one, window)) for one in pictures
    )
    if all(one.sd is not None for one in pictures):
        panels[f"Standard deviation, 0 to {window.error:g}"] = tuple(
            _encode(_deviation(one.sd, one.mask, window)) for one in pictures if one.sd is not None
        )
    rows, columns = pictures[0].reference.shape
    fullest = max(range(len(pictures)), key=lambda number: int(pictures[number].mask.sum()))
    return SliceBrowser(
        titles=tuple(panels),
        indices=tuple(one.index for one in pictures),
        scores=tuple(f"PSNR {one.psnr:.1f} dB" for one in pictures),
        frames=tuple(panels.values()),
        size=(columns, round(rows * pictures[0].aspect)),
        start=fullest,
    )


def _source_window(pictures: Sequence[SlicePicture]) -> tuple[float, float]:
    """One window for all slices of the source, from the voxels that were scored."""
    inside = np.concatenate([one.source[one.mask] for one in pictures if one.source is not None])
    low, high = np.percentile(inside, (100 - _SOURCE_PERCENTILE, _SOURCE_PERCENTILE))
    return min(float(low), 0.0), float(high)


def _grey(plane: np.ndarray, low: float, high: float) -> np.ndarray:
    width = high - low if high > low else 1.0
    return (255 * np.clip((plane - low) / width, 0, 1)).astype(np.uint8)


def _error(picture: SlicePicture, window: Window) -> np.ndarray:
    """Signed error in colour where it was scored, black elsewhere."""
    error = np.where(picture.mask, picture.prediction - picture.reference, 0.0)
    level = (255 * (np.clip(error / window.error, -1, 1) / 2 + 0.5)).astype(np.uint8)
    colours = (255 * colormaps[ERROR_MAP](np.arange(256))[:, :3]).astype(np.uint8)[level]
    colours[~picture.mask] = 0
    return colours


def _deviation(sd: np.ndarray, mask: np.ndarray, window: Window) -> np.ndarray:
    """Standard deviation on the scale of the errors' size, black outside the mask."""
    level = (255 * np.clip(sd / window.error, 0, 1)).astype(np.uint8)
    colours = (255 * colormaps[_DEVIATION_MAP](np.arange(256))[:, :3]).astype(np.uint8)[level]
    colours[~mask] = 0
    return colours


def _encode(pixels: np.ndarray, *, mark: str = "") -> str:
    image = Image.fromarray(pixels)
    if mark:
        ImageDraw.Draw(image).text((3, 2), mark, fill=235, stroke_width=1, stroke_fill=0)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
