"""What lies around the brain: skull, marrow, fat, muscle, skin, eyes and air cavities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from medtranslate.phantom.contrast import Tissue
from medtranslate.phantom.fields import Texture


@dataclass(frozen=True)
class HeadShape:
    """Thickness of the shells around the brain, millimetres.

    Attributes:
        fluid: Between brain mask and skull.
        inner_table: Inner layer of compact bone.
        marrow: Spongy layer between the tables.
        outer_table: Outer layer of compact bone.
        muscle: Between skull and fat, where no large muscle lies.
        fat: Below the skin.
        skin: Outermost.
        cavity_scale: Size of sinuses and orbits relative to the typical one.
    """

    fluid: float = 1.0
    inner_table: float = 1.8
    marrow: float = 2.8
    outer_table: float = 2.0
    muscle: float = 1.5
    fat: float = 4.0
    skin: float = 1.8
    cavity_scale: float = 1.0


@dataclass(frozen=True)
class _Blob:
    """An ellipsoid in MNI space, mirrored to the other side if ``x`` is not 0; millimetres."""

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]

    def sides(self) -> Iterator[tuple[float, float, float]]:
        x, y, z = self.centre
        yield self.centre
        if x != 0:
            yield -x, y, z


_BULK_MM = (
    # face and jaw, muscles of the temple, of the neck
    (_Blob((0, 62, -72), (42, 34, 38)), 44.0),
    (_Blob((45, 30, -72), (28, 30, 34)), 20.0),
    (_Blob((62, 16, -22), (16, 24, 26)), 9.0),
    (_Blob((0, -76, -78), (50, 30, 30)), 26.0),
)
_ORBIT = _Blob((33, 52, -38), (17, 24, 17))
_EYE = _Blob((33, 62, -38), (12, 12, 12))
_LENS = _Blob((33, 73, -38), (4.5, 2.5, 4.5))
_NERVE = _Blob((25, 42, -36), (2.5, 14, 2.5))
_SINUSES = (
    _Blob((30, 52, -66), (13, 15, 15)),
    _Blob((9, 48, -44), (7, 20, 12)),
    _Blob((6, 58, -68), (4.5, 30, 14)),
    _Blob((8, 18, -46), (7, 10, 8)),
    _Blob((12, 80, -16), (11, 4.5, 10)),
)
_MASTOID = _Blob((56, -32, -46), (11, 13, 15))


def surround_brain(
    skull_distance: np.ndarray,
    points: np.ndarray,
    shape: HeadShape,
    texture: Texture,
    *,
    spacing_mm: float,
) -> np.ndarray:
    """Volume fractions of a head whose cranium is filled with fluid.

    Layers are painted from the skin inwards, each over what lies under it, with borders as wide as
    a voxel, so that fractions sum to 1.

    Args:
        skull_distance: Signed distance from the inner skull, millimetres, shape ``(i, j, k)``.
        points: Position of each voxel in MNI space, shape ``(3, i, j, k)``, millimetres.
        shape: Thickness of the layers.
        texture: Field that varies the thickness and scatters fat and muscle.
        spacing_mm: Voxel size, millimetres.

    Returns:
        Shape ``(len(Tissue), i, j, k)``, float64, 0 to 1.
    """
    noise = texture.at(points)
    outside = skull_distance - shape.fluid
    thin = np.exp(0.15 * noise)
    inner = shape.inner_table * thin
    marrow = inner + shape.marrow * thin * _cover(2.0 + 0.05 * points[2], 4.0)
    bone = marrow + shape.outer_table
    muscle = (
        bone
        + shape.muscle
        + sum((peak * _bump(blob, points) for blob, peak in _BULK_MM), np.zeros_like(outside))
    )
    fat = muscle + shape.fat * np.exp(0.2 * noise)
    fractions = np.zeros((len(Tissue), *outside.shape))
    fractions[Tissue.AIR] = 1.0
    for tissue, depth in (
        (Tissue.SKIN, fat + shape.skin),
        (Tissue.FAT, fat),
        (Tissue.MUSCLE, muscle),
    ):
        _paint(fractions, tissue, _cover(depth - outside, spacing_mm))
    streaks = _cover(noise - 0.7, 0.8) * _cover(muscle - bone - 8.0, 4.0)
    _paint(fractions, Tissue.FAT, streaks * fractions[Tissue.MUSCLE])
    _paint_face(fractions, points, shape, spacing_mm=spacing_mm)
    for tissue, depth in ((Tissue.BONE, bone), (Tissue.MARROW, marrow), (Tissue.BONE, inner)):
        _paint(fractions, tissue, _cover(depth - outside, spacing_mm))
    _paint_sinuses(fractions, points, shape, noise, outside, spacing_mm=spacing_mm)
    _paint(fractions, Tissue.CSF, _cover(-outside, spacing_mm))
    return fractions


def _paint_face(
    fractions: np.ndarray, points: np.ndarray, shape: HeadShape, *, spacing_mm: float
) -> None:
    """Orbits with bony walls, filled with fat, eyes and optic nerves, painted in place."""
    scale = shape.cavity_scale
    solid = 1.0 - fractions[Tissue.AIR]
    for tissue, blob, wall in (
        (Tissue.BONE, _ORBIT, 2.0),
        (Tissue.FAT, _ORBIT, 0.0),
        (Tissue.MUSCLE, _NERVE, 0.0),
        (Tissue.MUSCLE, _EYE, 1.0),
        (Tissue.EYE, _EYE, 0.0),
        (Tissue.SKIN, _LENS, 0.0),
    ):
        distance = _outside_blob(blob, points, scale) - wall
        _paint(fractions, tissue, solid * _cover(-distance, spacing_mm))


def _paint_sinuses(
    fractions: np.ndarray,
    points: np.ndarray,
    shape: HeadShape,
    noise: np.ndarray,
    outside: np.ndarray,
    *,
    spacing_mm: float,
) -> None:
    """Air cavities with bony walls and the cells of the mastoid, painted in place."""
    allowed = (1.0 - fractions[Tissue.AIR]) * _cover(outside - 2.0, spacing_mm)
    for blob in _SINUSES:
        distance = _outside_blob(blob, points, shape.cavity_scale)
        _paint(fractions, Tissue.BONE, allowed * _cover(2.0 - distance, spacing_mm))
    for blob in _SINUSES:
        distance = _outside_blob(blob, points, shape.cavity_scale)
        _paint(fractions, Tissue.SKIN, allowed * _cover(-distance, spacing_mm))
        _paint(fractions, Tissue.AIR, allowed * _cover(-1.5 - distance, spacing_mm))
    mastoid = allowed * _cover(-_outside_blob(_MASTOID, points, shape.cavity_scale), spacing_mm)
    _paint(fractions, Tissue.BONE, mastoid)
    _paint(fractions, Tissue.AIR, 0.8 * mastoid * _cover(np.sin(2.2 * noise * np.pi), 1.0))


def _paint(fractions: np.ndarray, tissue: Tissue, cover: np.ndarray) -> None:
    """Cover what is there by ``tissue``; in place."""
    fractions *= 1.0 - cover
    fractions[tissue] += cover


def _cover(depth: np.ndarray, width: float) -> np.ndarray:
    """Part of a voxel of ``width`` behind a border it lies ``depth`` inside of, 0 to 1."""
    return np.clip(0.5 + depth / width, 0.0, 1.0)


def _outside_blob(blob: _Blob, points: np.ndarray, scale: float) -> np.ndarray:
    """About the distance from the surface of the blob or its mirror image; inside negative."""
    radii = scale * np.array(blob.radii)
    column = (3,) + (1,) * (points.ndim - 1)
    distances = [
        np.sqrt((((points - np.reshape(centre, column)) / radii.reshape(column)) ** 2).sum(axis=0))
        for centre in blob.sides()
    ]
    nearest: np.ndarray = np.minimum(distances[0], distances[-1])
    return (nearest - 1.0) * float(radii.min())


def _bump(blob: _Blob, points: np.ndarray) -> np.ndarray:
    """Gaussian of height 1 with the blob's radii as standard deviations, mirrored likewise."""
    column = (3,) + (1,) * (points.ndim - 1)
    radii = np.reshape(blob.radii, column)
    total = np.zeros(points.shape[1:])
    for centre in blob.sides():
        total += np.exp(-0.5 * (((points - np.reshape(centre, column)) / radii) ** 2).sum(axis=0))
    return total
