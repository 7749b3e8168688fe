"""Outlines of a mask, slice by slice, as closed polygons without holes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from skimage.measure import approximate_polygon, find_contours, label

_HALF = 0.5


def outline(mask: np.ndarray) -> list[np.ndarray]:
    """Closed polygons that hold the voxel centres of a mask, and no others.

    Each connected part becomes one polygon; its holes are joined to it by a channel without width,
    because programs differ in what they make of a contour inside another.

    Args:
        mask: Boolean, shape ``(i, j)``.

    Returns:
        A polygon for each part: shape ``(n, 2)``, index coordinates ``(i, j)``, at least three
        points, the first not repeated at the end.

    Example:
        >>> outline(np.array([[False, True], [False, False]]))[0].tolist()
        [[0.5, 1.0], [0.0, 0.5], [-0.5, 1.0], [0.0, 1.5]]
    """
    parts = label(mask, connectivity=1)
    return [_outline_part(parts == number) for number in range(1, int(parts.max()) + 1)]


def _outline_part(part: np.ndarray) -> np.ndarray:
    """One polygon of one connected part."""
    loops = list(_loops(part))
    outer = max(range(len(loops)), key=lambda number: abs(_area(loops[number])))
    polygon = loops.pop(outer)
    for hole in loops:
        polygon = _join(polygon, hole)
    return polygon


def _loops(part: np.ndarray) -> Iterator[np.ndarray]:
    """The borders of a part, without points on the straight between their neighbours."""
    padded = np.pad(part.astype(np.float64), 1)
    for loop in find_contours(padded, _HALF, fully_connected="low"):
        yield approximate_polygon(loop - 1, tolerance=0)[:-1]


def _area(loop: np.ndarray) -> float:
    """Area with a sign that says in which sense the loop runs."""
    following = np.roll(loop, -1, axis=0)
    return float(np.sum(loop[:, 0] * following[:, 1] - loop[:, 1] * following[:, 0]) / 2)


def _join(outer: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Go along the outer loop, across to the hole, once around it, and back.

    Borders of a hole run in the other sense than the outer one, so it is outside by every rule.
    """
    distance = np.linalg.norm(outer[:, None] - hole[None], axis=2)
    here, there = np.unravel_index(int(np.argmin(distance)), distance.shape)
    around = np.roll(hole, -int(there), axis=0)
    return np.concatenate([outer[: here + 1], around, around[:1], outer[here:]])
