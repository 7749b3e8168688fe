"""How much a score falls when two images that belong together lie a little apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from medtranslate.metrics.scoring import average_slices, score_slices
from medtranslate.metrics.similarity import bounding_box
from medtranslate.metrics.yardstick import Yardstick

MEASURES = ("psnr", "ssim")
"""The scores of a misregistration curve."""

MAX_SLICES = 16
"""At most so many slices, evenly spread, are scored for each displacement."""


@dataclass(frozen=True)
class Displacement:
    """How far an image is moved.

    Attributes:
        kind: ``shift`` or ``rotation``.
        size: Millimetres or degrees; 0 leaves the image alone.
    """

    kind: Literal["shift", "rotation"]
    size: float

    @property
    def words(self) -> str:
        """Such as ``0.5 mm`` or ``2°``."""
        return f"{self.size:g} mm" if self.kind == "shift" else f"{self.size:g}°"


DISPLACEMENTS = (
    Displacement("shift", 0.0),
    Displacement("shift", 0.5),
    Displacement("shift", 1.0),
    Displacement("shift", 2.0),
    Displacement("rotation", 1.0),
    Displacement("rotation", 2.0),
)
"""What a misregistration curve is made of, the undisturbed image first."""


@dataclass(frozen=True, eq=False)
class Motion:
    """A rigid motion of an image on its grid: where each voxel of the result comes from.

    Attributes:
        matrix: Shape ``(3, 3)``; index in the result to index in the original.
        offset: Shape ``(3,)``; added to it, in voxels.
    """

    matrix: np.ndarray
    offset: np.ndarray

    @classmethod
    def shift(cls, axis: int, distance_mm: float, *, spacing: tuple[float, float, float]) -> Motion:
        """Everything goes ``distance_mm`` towards growing indices of ``axis``.

        Args:
            axis: Array axis, 0 to 2.
            distance_mm: May be negative.
            spacing: Voxel size along each array axis, millimetres.
        """
        offset = np.zeros(3)
        offset[axis] = -distance_mm / spacing[axis]
        return cls(np.eye(3), offset)

    @classmethod
    def rotation(
        cls,
        axis: int,
        degrees: float,
        *,
        spacing: tuple[float, float, float],
        centre: np.ndarray,
    ) -> Motion:
        """Everything turns about the line along ``axis`` through ``centre``, rigid in millimetres.

        Args:
            axis: Array axis, 0 to 2.
            degrees: Right-handed in the array's axes: about axis 2, axis 0 turns towards axis 1.
            spacing: Voxel size along each array axis, millimetres.
            centre: Shape ``(3,)``; index that stays, fractions allowed.
        """
        backwards = Rotation.from_rotvec(-np.radians(degrees) * np.eye(3)[axis]).as_matrix()
        matrix = backwards * np.array(spacing) / np.array(spacing)[:, None]
        return cls(matrix, centre - matrix @ centre)

    def apply(self, voxels: np.ndarray, box: tuple[slice, ...] | None = None) -> np.ndarray:
        """The moved image, interpolated linearly; beyond its edge the nearest voxel goes on.

        Args:
            voxels: Shape ``(i, j, k)``.
            box: The part of the result to make, steps allowed; all of it if None.

        Returns:
            Shape of ``box``, float64.
        """
        part = box or (slice(None),) * 3
        ranges = [range(*cut.indices(n)) for cut, n in zip(part, voxels.shape, strict=True)]
        start = np.array([one.start for one in ranges])
        step = np.array([one.step for one in ranges])
        moved: np.ndarray = ndimage.affine_transform(
            voxels,
            self.matrix * step,
            offset=self.matrix @ start + self.offset,
            output_shape=tuple(len(one) for one in ranges),
            output=np.float64,
            order=1,
            mode="nearest",
        )
        return moved


def list_motions(
    displacement: Displacement, *, spacing: tuple[float, float, float], centre: np.ndarray
) -> Iterator[Motion]:
    """The displacement along or about each axis, to both sides; one that does nothing if it is 0.

    Args:
        displacement: How far.
        spacing: Voxel size along each array axis, millimetres.
        centre: Shape ``(3,)``; index through which the axes of rotation go.
    """
    if displacement.size == 0:
        yield Motion(np.eye(3), np.zeros(3))
        return
    for axis, sign in product(range(3), (1.0, -1.0)):
        if displacement.kind == "shift":
            yield Motion.shift(axis, sign * displacement.size, spacing=spacing)
        else:
            degrees = sign * displacement.size
            yield Motion.rotation(axis, degrees, spacing=spacing, centre=centre)


def score_displaced(
    yardstick: Yardstick, image: np.ndarray, *, spacing: tuple[float, float, float]
) -> dict[Displacement, dict[str, float]]:
    """Score an image against the reference after each of ``DISPLACEMENTS``.

    A score is the mean over the three axes and both directions. It is that of the protocol, on at
    most ``MAX_SLICES`` slices evenly spread between the first and the last that count; the mask
    stays where the reference is. Linear interpolation blurs a little, which is part of the fall.

    Args:
        yardstick: The reference, made ready.
        image: In scored units, slices first: a prediction, or the reference itself.
        spacing: Voxel size along the array's axes, slices first, millimetres.

    Returns:
        For each displacement the mean of each of ``MEASURES``.
    """
    box, cut = _thin_out(yardstick)
    centre = np.array(ndimage.center_of_mass(yardstick.mask))
    curve = {}
    for displacement in DISPLACEMENTS:
        scores = [
            average_slices(list(score_slices(cut, motion.apply(image, box))))
            for motion in list_motions(displacement, spacing=spacing, centre=centre)
        ]
        curve[displacement] = {
            name: float(np.mean([one[name] for one in scores])) for name in MEASURES
        }
    return curve


def _thin_out(yardstick: Yardstick) -> tuple[tuple[slice, ...], Yardstick]:
    """The box of the mask with the slices that are scored, and the yardstick cut to it.

    Rows and columns keep the reach of the SSIM window, so that no masked score changes.
    """
    counted = np.flatnonzero(yardstick.scored)
    first, last = int(counted[0]), int(counted[-1])
    step = -(-(last - first + 1) // MAX_SLICES)
    margin = yardstick.protocol.ssim_window.radius
    box = (slice(first, last + 1, step), *bounding_box(yardstick.mask, margin=margin)[1:])
    cut = replace(
        yardstick,
        reference=np.ascontiguousarray(yardstick.reference[box]),
        mask=np.ascontiguousarray(yardstick.mask[box]),
        scored=yardstick.scored[box[0]],
    )
    return box, cut
