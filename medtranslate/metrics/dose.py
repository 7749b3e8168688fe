"""A surrogate of dose for synthetic CT: how much water each beam believes it has crossed.

It is no dose: no scatter, no spectrum, no beam model, parallel rays, and curves of no particular
scanner. It says how far a beam's depth in water would move if the synthetic CT stood in for the
real one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from medtranslate.geometry import Geometry
from medtranslate.metrics.similarity import bounding_box

GANTRY_ANGLES = (0.0, 90.0, 180.0, 270.0)
"""Degrees, IEC 61217."""

_RAY_SPACING_MM = 3.0
PIXEL_MM = 1.5
"""Of pictures of an axial plane."""
_LONGEST_STEP_MM = 1.0
_NO_EDGE = "grid-constant"  # beyond the array lies vacuum, reached over half a voxel

_SLOPE_ELECTRONS = 0.7806 / 1524
_SLOPE_STOPPING = 0.6945 / 1524
_TOP_HU = 3071.0


@dataclass(frozen=True)
class HuCurve:
    """A quantity relative to water as a function of HU, linear between points.

    Attributes:
        name: Of the quantity, for tables.
        hu: Positions of the points, rising.
        relative: Quantity at the points, relative to water; constant beyond both ends.
        source: Where the points come from.

    Raises:
        ValueError: If there are fewer than two points, lengths differ, HU do not rise, or a value
            is negative.
    """

    name: str
    hu: tuple[float, ...]
    relative: tuple[float, ...]
    source: str

    def __post_init__(self) -> None:
        """Refuse what is no curve."""
        if len(self.hu) != len(self.relative) or len(self.hu) < 2:
            raise ValueError(f"{self.name}: expected two or more points, as many HU as values")
        if not (np.diff(self.hu) > 0).all():
            raise ValueError(f"{self.name}: HU must rise from point to point, got {self.hu}")
        if min(self.relative) < 0:
            raise ValueError(f"{self.name}: values relative to water cannot be negative")

    def __call__(self, hu: np.ndarray) -> np.ndarray:
        """The quantity relative to water, same shape as ``hu``."""
        values: np.ndarray = np.interp(hu, self.hu, self.relative)
        return values


_SOURCE = (
    "two straight lines through vacuum (-1000 HU), water (0 HU) and ICRU cortical bone (1524 HU), "
    "the second continued; HU of bone by the stoichiometric method of Schneider, Pedroni and "
    "Lomax, Phys. Med. Biol. 41:111, 1996, with k1 = 1.24e-3 and k2 = 3.06e-5"
)

ELECTRON_DENSITY = HuCurve(
    "relative electron density",
    (-1000.0, 0.0, _TOP_HU),
    (0.0, 1.0, 1.0 + _SLOPE_ELECTRONS * _TOP_HU),
    f"{_SOURCE}; cortical bone 1.781",
)
"""For photons: what they meet at therapy energies is nearly proportional to electron density."""

STOPPING_POWER = HuCurve(
    "relative stopping power",
    (-1000.0, 0.0, _TOP_HU),
    (0.0, 1.0, 1.0 + _SLOPE_STOPPING * _TOP_HU),
    f"{_SOURCE}; cortical bone 1.695 by Bethe's formula for protons of 150 MeV",
)
"""For protons: the thickness of water that stops them as much as 1 mm of tissue, in mm."""

CURVES = (ELECTRON_DENSITY, STOPPING_POWER)
"""Both quantities, by a curve of no particular scanner; replace them by your scanner's own."""


@dataclass(frozen=True, eq=False)
class Beam:
    """Parallel rays through a scan.

    Arrays sampled along it have the shape ``(depth, lateral, long)``: along the rays, across them
    in the axial plane, and along the patient. The point ``centre`` lies on one of the rays.

    Attributes:
        angle: Gantry angle in degrees.
        shape: Samples along ``(depth, lateral, long)``.
        matrix: Shape ``(3, 3)``; sample index to voxel index.
        offset: Shape ``(3,)``; voxel index of sample ``(0, 0, 0)``.
        step_mm: Distance of samples along a ray.
        centre: Sample nearest to the centroid of the body.
    """

    angle: float
    shape: tuple[int, int, int]
    matrix: np.ndarray
    offset: np.ndarray
    step_mm: float
    centre: tuple[int, int, int]

    def sample(self, volume: np.ndarray) -> np.ndarray:
        """Linear interpolation of a volume ``(i, j, k)`` at every sample; 0 outside it."""
        sampled: np.ndarray = ndimage.affine_transform(
            volume.astype(np.float32, copy=False),
            self.matrix,
            self.offset,
            output_shape=self.shape,
            order=1,
            mode=_NO_EDGE,
        )
        return sampled

    def accumulate(self, relative: np.ndarray) -> np.ndarray:
        """Water-equivalent depth: the integral of a relative quantity from the source on.

        Args:
            relative: Shape ``(i, j, k)``, relative to water, 0 outside the body.

        Returns:
            Shape ``(depth, lateral, long)``, in mm of water; each value is that at the far end of
            its sample, so the last one of a ray is that of the whole body.
        """
        along: np.ndarray = np.cumsum(self.sample(relative), axis=0, dtype=np.float64)
        return along * self.step_mm


def aim_beam(body: np.ndarray, geometry: Geometry, *, angle: float) -> Beam:
    """Parallel rays through a body at a gantry angle about the patient's long axis.

    IEC 61217 for a patient on the back, head first: at 0 degrees the rays enter from the front
    and run backward, at 90 degrees they enter on the patient's left, at 180 from the back, at 270
    on the right. Rays are 3 mm apart; samples along them as far as the finest spacing, at most
    1 mm.

    Args:
        body: Boolean, shape ``(i, j, k)``, not empty.
        geometry: Where its voxels lie.
        angle: Gantry angle in degrees.

    Raises:
        ValueError: If the body is empty.
    """
    box = bounding_box(body)
    turn = np.radians(angle)
    depth = np.array([np.sin(turn), -np.cos(turn), 0.0])
    lateral = np.array([np.cos(turn), np.sin(turn), 0.0])
    directions = np.column_stack([depth, lateral, [0.0, 0.0, 1.0]])
    steps = np.array([min(_LONGEST_STEP_MM, *geometry.spacing), _RAY_SPACING_MM, _RAY_SPACING_MM])
    linear, origin = geometry.affine[:3, :3], geometry.affine[:3, 3]
    centroid = linear @ np.array(ndimage.center_of_mass(body)) + origin
    ends = [(edge.start - 1, edge.stop) for edge in box]
    corners = linear @ np.array(np.meshgrid(*ends)).reshape(3, -1) + origin[:, None]
    reach = directions.T @ (corners - centroid[:, None])
    before = np.ceil(-reach.min(axis=1) / steps).astype(int)
    after = np.ceil(reach.max(axis=1) / steps).astype(int)
    d, u, w = (int(n) for n in before + after + 1)
    start = centroid - directions @ (before * steps)
    to_voxel = np.linalg.inv(linear)
    centre = (int(before[0]), int(before[1]), int(before[2]))
    return Beam(
        angle=angle,
        shape=(d, u, w),
        matrix=to_voxel @ (directions * steps),
        offset=to_voxel @ (start - origin),
        step_mm=float(steps[0]),
        centre=centre,
    )


def map_axially(sampled: np.ndarray, beam: Beam) -> np.ndarray:
    """What was sampled along a beam, as a picture of the axial plane through its centre.

    Args:
        sampled: Shape of the beam, such as a difference of depths; NaN where nothing shall show.
        beam: The rays.

    Returns:
        Shape ``(rows, columns)``, pixels of ``PIXEL_MM``: from front to back, and from the
        patient's right to the left; NaN where no ray goes.
    """
    depth, lateral = (
        np.array([np.sin(turn), -np.cos(turn)])
        for turn in np.radians([beam.angle, beam.angle + 90])
    )
    plane = sampled[:, :, beam.centre[2]]
    reach = np.hypot(beam.shape[0] * beam.step_mm, beam.shape[1] * _RAY_SPACING_MM) / 2
    steps = PIXEL_MM * np.arange(np.floor(reach / PIXEL_MM), -np.floor(reach / PIXEL_MM) - 1, -1)
    x, y = steps[None, :], steps[:, None]  # mm to the right and to the front of the centre
    place = [
        beam.centre[0] + (x * depth[0] + y * depth[1]) / beam.step_mm,
        beam.centre[1] + (x * lateral[0] + y * lateral[1]) / _RAY_SPACING_MM,
    ]
    picture: np.ndarray = ndimage.map_coordinates(plane, place, order=0, cval=np.nan)
    return picture


@dataclass(frozen=True)
class RangeErrors:
    """How far a beam's depth in water moves with the synthetic CT, in mm of water.

    Attributes:
        centroid_reference: Depth of the body's centroid in the real CT.
        centroid_error: Synthetic minus real there; positive: a beam planned on the synthetic CT
            is given more range than it needs.
        distal_error: Mean over the rays of synthetic minus real where they leave the body.
        distal_absolute: Mean absolute value of the same.
        distal_p95: Its 95th percentile over the rays.
        map_absolute: Mean absolute value of the difference map over the body.
    """

    centroid_reference: float
    centroid_error: float
    distal_error: float
    distal_absolute: float
    distal_p95: float
    map_absolute: float


def relate_to_water(hu: np.ndarray, body: np.ndarray, curve: HuCurve) -> np.ndarray:
    """A quantity relative to water inside a body, 0 outside it.

    Args:
        hu: Shape ``(i, j, k)``, in HU.
        body: Boolean, same shape; what lies outside, such as the couch, counts as vacuum.
        curve: HU to the quantity.

    Returns:
        Same shape, float32.
    """
    relative = np.zeros(hu.shape, dtype=np.float32)
    relative[body] = curve(hu[body])
    return relative


def range_errors(
    reference: np.ndarray, prediction: np.ndarray, body: np.ndarray, *, beam: Beam
) -> RangeErrors | None:
    """Errors of range along one beam; None if the body is so thin that no ray meets it.

    The difference map, ``beam.accumulate(prediction - reference)``, is the water-equivalent depth
    in the synthetic CT minus that in the real one.

    Args:
        reference: Shape ``(i, j, k)``, relative to water; see :func:`relate_to_water`.
        prediction: Same shape and quantity.
        body: Boolean, same shape.
        beam: The rays.
    """
    inside = beam.sample(body.astype(np.float32)) > 0.5
    rays = inside.any(axis=0)
    if not rays.any():
        return None
    difference = beam.accumulate(prediction - reference)
    distal = difference[-1][rays]
    return RangeErrors(
        centroid_reference=float(beam.accumulate(reference)[beam.centre]),
        centroid_error=float(difference[beam.centre]),
        distal_error=float(distal.mean()),
        distal_absolute=float(np.abs(distal).mean()),
        distal_p95=float(np.percentile(np.abs(distal), 95)),
        map_absolute=float(np.abs(difference[inside]).mean()),
    )
