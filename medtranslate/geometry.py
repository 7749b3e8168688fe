"""Where the voxels of a volume lie in the patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medtranslate.errors import GeometryError

_AXIS_LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))


@dataclass(frozen=True, eq=False)
class Geometry:
    """Where the voxels of a volume lie in the patient.

    Attributes:
        shape: Voxels along ``(i, j, k)``.
        affine: Shape ``(4, 4)``; voxel index to world position, RAS+, millimetres.

    Raises:
        GeometryError: If the shape is not three positive numbers, or the affine is not a finite,
            invertible map whose axes stand at right angles.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise GeometryError(f"shape is {self.shape}, expected three positive numbers")
        if self.affine.shape != (4, 4):
            raise GeometryError(f"affine has shape {self.affine.shape}, expected (4, 4)")
        if not np.isfinite(self.affine).all():
            raise GeometryError("affine holds NaN or infinite values")
        if not np.allclose(self.affine[3], (0, 0, 0, 1)):
            raise GeometryError(f"last row of the affine is {self.affine[3]}, expected 0 0 0 1")
        spacing = np.linalg.norm(self.affine[:3, :3], axis=0)
        if spacing.min() <= 1e-6:
            raise GeometryError("affine is singular: a voxel axis has no length")
        cosines = self.affine[:3, :3] / spacing
        if abs(np.linalg.det(cosines)) < 1e-3:
            raise GeometryError("affine is singular: two voxel axes are parallel")
        shear = np.abs(cosines.T @ cosines - np.eye(3)).max()
        if shear > 1e-2:
            degrees = np.degrees(np.arccos(min(shear, 1.0)))
            raise GeometryError(
                f"affine is sheared: voxel axes are {degrees:.1f} degrees"
                " apart, expected 90. Resample the volume onto an orthogonal grid first"
            )

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance between voxel centres along ``(i, j, k)``, in millimetres."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(i), float(j), float(k)

    @property
    def orientation(self) -> str:
        """Direction in which each voxel axis runs, as three letters, for example ``"RAS"``."""
        letters = [""] * 3
        cosines = self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)
        remaining = np.abs(cosines)
        for _ in range(3):
            world, voxel = np.unravel_index(np.argmax(remaining), (3, 3))
            letters[voxel] = _AXIS_LETTERS[world][int(cosines[world, voxel] > 0)]
            remaining[world, :] = -1
            remaining[:, voxel] = -1
        return "".join(letters)

    def matches(self, other: Geometry, *, tolerance_mm: float = 1e-2) -> bool:
        """Whether both grids put every voxel in the same place, within ``tolerance_mm``."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape])).reshape(3, -1)
        corners = np.vstack([corners, np.ones(8)])
        distance = np.abs((self.affine - other.affine) @ corners)[:3]
        return bool(distance.max() <= tolerance_mm)

    def describe(self) -> str:
        """Shape, spacing and orientation in one line, for messages."""
        shape = "x".join(str(n) for n in self.shape)
        spacing = "x".join(f"{s:.3g}" for s in self.spacing)
        return f"{shape} voxels of {spacing} mm, {self.orientation}"
