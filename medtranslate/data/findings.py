"""What can be wrong with one scan, or with two that belong together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from medtranslate.data.leakage import sort_voxels
from medtranslate.data.scans import Kind
from medtranslate.errors import GeometryError, VolumeReadError
from medtranslate.geometry import Geometry
from medtranslate.io import ScanHeader, read_header, read_mask, read_volume
from medtranslate.provenance import hash_bytes
from medtranslate.volume import CT_RANGE_HU, Volume

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""Worst first."""

_THIN_SLAB_MM = 60.0
_LONGEST_BODY_MM = 2500.0
_SMALLEST_HEAD_MM = 20.0
_AIR_HU = -300.0
_SATURATED_SHARE = 0.005
_PILED_UP = 5
_MIN_OVERLAP = 0.5
_MAX_DISTANCE_MM = 30.0
_CENTRE_SAMPLES = 60


@dataclass(frozen=True)
class Remark:
    """Something about one scan or pair: what is wrong, and what to do.

    Equal remarks about several scans are told once; ``detail`` is what differs from scan to scan.
    """

    severity: Severity
    what: str
    do: str
    detail: str = field(default="", compare=False)


@dataclass(frozen=True)
class VoxelFacts:
    """What the voxels of an image say.

    Attributes:
        minimum: Smallest value.
        maximum: Largest value.
        nonzero: Share of voxels that are not 0.
        num_values: Number of different values.
        saturated: Share of the voxels above the minimum that have the maximum; 0 unless the
            maximum is far more frequent than the value below it.
        centre_mm: World position, RAS+ mm, of the centre of what is scanned; None without contrast.
        sha256: Of the sorted values; equal for every copy, whatever its header or axis order.
    """

    minimum: float
    maximum: float
    nonzero: float
    num_values: int
    saturated: float
    centre_mm: tuple[float, float, float] | None
    sha256: str


@dataclass(frozen=True)
class ScanFacts:
    """One file, looked at.

    Attributes:
        path: The file.
        header: What it says about itself; None if that cannot be read.
        voxels: What its voxels say; None for masks and where they cannot be read.
        remarks: What is wrong or odd.
    """

    path: Path
    header: ScanHeader | None
    voxels: VoxelFacts | None
    remarks: tuple[Remark, ...]

    @property
    def geometry(self) -> Geometry | None:
        """Where its voxels lie; None if the header cannot be read."""
        return None if self.header is None else self.header.geometry


def examine_scan(path: Path, *, suffix: str | None, kind: Kind) -> ScanFacts:
    """Read one file and say what is wrong with it.

    Args:
        path: The file.
        suffix: What it shows, such as ``T1w``; None if unknown.
        kind: Image, mask or segmentation.
    """
    try:
        header = read_header(path)
    except (VolumeReadError, GeometryError) as error:
        return ScanFacts(path, None, None, (_refused(path, error),))
    remarks = [*_examine_warnings(header), *examine_grid(header)]
    voxels = None
    try:
        if kind == "image":
            voxels = _examine_voxels(read_volume(path, modality=suffix))
            remarks += _examine_values(voxels, header, suffix=suffix)
        else:
            read_mask(path)
    except VolumeReadError as error:
        remarks.append(_refused(path, error))
    except GeometryError as error:
        # It tells what the header's warnings told, and worse.
        remarks = [_refused(path, error), *examine_grid(header)]
    return ScanFacts(path, header, voxels, tuple(remarks))


def _refused(path: Path, error: Exception) -> Remark:
    """An error of the reader as a remark; the reader's text ends with what to do."""
    text = str(error).removeprefix(f"{path}: ")
    what, separator, do = text.rpartition(". ")
    if not separator:
        what, do = text, "replace the file, or take it out of the dataset"
    return Remark("error", what, do[:1].lower() + do[1:])


def _examine_warnings(header: ScanHeader) -> Iterator[Remark]:
    for text in header.warnings:
        severity: Severity = "warning" if "form" in text else "note"
        yield Remark(severity, text, "check in a viewer that the scan lies where it should")


def examine_grid(header: ScanHeader) -> Iterator[Remark]:
    """What is odd about where a scan says that its voxels lie; an error: it cannot be true."""
    geometry = header.geometry
    extent = [n * s for n, s in zip(geometry.shape, geometry.spacing, strict=True)]
    shape = "×".join(str(n) for n in geometry.shape)
    cubes = np.ptp(geometry.spacing) < 1e-3 * max(geometry.spacing)
    slab = min(extent) < _THIN_SLAB_MM and max(geometry.shape) >= 4 * min(geometry.shape)
    if cubes and slab:
        default = abs(geometry.spacing[0] - 1.0) < 1e-3
        origin = " at position 0, 0, 0" if np.allclose(geometry.affine[:3, 3], 0) else ""
        size = "×".join(f"{length:.0f}" for length in extent)
        what = f"{shape} cubes of {geometry.spacing[0]:.3g} mm{origin} would be a slab of {size} mm"
        if default:
            yield Remark(
                "error",
                f"header cannot be true: {what}; 1 mm is what programs write when they do not know",
                "find the true voxel size (DICOM, the dataset's paper) and write it into the "
                "header, or leave the scans out: distances, resampling and registration are wrong",
            )
        else:
            yield Remark("warning", f"{what}: is it so thin?", "compare with the scan protocol")
    if max(extent) > _LONGEST_BODY_MM or max(extent) < _SMALLEST_HEAD_MM:
        yield Remark(
            "error",
            f"{shape} voxels span {' × '.join(f'{length:.3g}' for length in extent)} mm, "
            "which is no person",
            "correct the voxel size or its unit in the header",
        )


def _examine_voxels(volume: Volume) -> VoxelFacts:
    values = sort_voxels(volume.voxels)
    num_values = 1 + int(np.count_nonzero(np.diff(values)))
    low, high = float(values[0]), float(values[-1])
    above = values.size - int(np.searchsorted(values, values[0], side="right"))
    top = values.size - int(np.searchsorted(values, values[-1], side="left"))
    below_top = int(np.count_nonzero(values == values[-top - 1])) if top < values.size else 0
    piled_up = above > 0 and top >= _PILED_UP * below_top
    return VoxelFacts(
        minimum=low,
        maximum=high,
        nonzero=float(np.count_nonzero(values) / values.size),
        num_values=num_values,
        saturated=top / above if piled_up else 0.0,
        centre_mm=_find_centre(volume, values),
        sha256=hash_bytes(values.tobytes()),
    )


def _find_centre(volume: Volume, values: np.ndarray) -> tuple[float, float, float] | None:
    """Centre of the voxels above a tenth of the range between lowest and almost highest value."""
    low, high = float(values[0]), float(values[int(0.995 * (values.size - 1))])
    if high <= low:
        return None
    threshold = max(low, 0.0) + 0.1 * (high - max(low, 0.0))
    if volume.unit == "HU":
        threshold = _AIR_HU
    steps = [max(1, n // _CENTRE_SAMPLES) for n in volume.geometry.shape]
    sampled = volume.voxels[:: steps[0], :: steps[1], :: steps[2]]
    indices = np.argwhere(sampled > threshold)
    if not len(indices):
        return None
    centre = indices.mean(axis=0) * steps
    i, j, k, _ = volume.geometry.affine @ [*centre, 1.0]
    return float(i), float(j), float(k)


def _examine_values(
    facts: VoxelFacts, header: ScanHeader, *, suffix: str | None
) -> Iterator[Remark]:
    if facts.num_values == 1:
        yield Remark(
            "error",
            f"every voxel is {facts.minimum:g}: there is no image in it",
            "replace the file, or take it out of the dataset",
        )
        return
    if facts.num_values <= 8:
        yield Remark(
            "warning",
            f"holds only {facts.num_values} different values, like a mask, not like a scan",
            "check that it is what its name says",
        )
        return
    if suffix in ("CT", "CBCT"):
        yield from _examine_hounsfield(facts)
    elif facts.saturated > _SATURATED_SHARE:
        yield Remark(
            "warning",
            "saturated: many voxels share the largest value, so bright tissue is cut off",
            "learn from and score bright tissue with care",
            f"{100 * facts.saturated:.1f} % at {facts.maximum:g}",
        )
    if header.dtype == "uint8":
        yield Remark(
            "note",
            "8-bit: at most 256 grey levels",
            "nothing; errors below one grey level mean nothing",
        )


def _examine_hounsfield(facts: VoxelFacts) -> Iterator[Remark]:
    if facts.minimum > _AIR_HU:
        yield Remark(
            "error",
            "a CT without air, which is about -1000 HU: it is not in HU",
            "convert it to HU (rescale slope and intercept of the DICOM series)",
            f"smallest value {facts.minimum:g}",
        )
    elif facts.minimum < CT_RANGE_HU[0]:
        yield Remark(
            "note",
            f"CT values below {CT_RANGE_HU[0]:g}, padding outside the scanner's field of view",
            f"nothing; they count as {CT_RANGE_HU[0]:g} HU",
            f"down to {facts.minimum:g}",
        )


def compare_scans(first: ScanFacts, second: ScanFacts) -> Iterator[Remark]:
    """Say whether two images of one visit can be of the same place; grids may differ."""
    if first.geometry is None or second.geometry is None:
        return
    overlap = measure_overlap(first.geometry, second.geometry)
    if overlap < _MIN_OVERLAP:
        yield Remark(
            "error",
            "the fields of view of two scans of one visit hardly overlap",
            "check that both show the same place and their headers are right; then register them",
            f"{100 * overlap:.0f} % of the smaller one",
        )
        return
    if first.voxels is None or second.voxels is None:
        return
    if first.voxels.sha256 == second.voxels.sha256 and first.voxels.num_values > 1:
        yield Remark(
            "error", "two contrasts hold equal voxels: one is a copy", "find the right file"
        )
        return
    if first.voxels.centre_mm is None or second.voxels.centre_mm is None:
        return
    distance = float(np.linalg.norm(np.subtract(first.voxels.centre_mm, second.voxels.centre_mm)))
    if distance > _MAX_DISTANCE_MM:
        yield Remark(
            "warning",
            "the middles of what two scans of one visit show lie far apart",
            "look at both in one viewer; if they do not fit, set preprocess.align: rigid",
            f"{distance:.0f} mm",
        )


def measure_overlap(first: Geometry, second: Geometry) -> float:
    """Share, 0..1, of the smaller field of view that lies inside the larger one."""
    volumes = [float(np.prod(g.spacing) * np.prod(g.shape)) for g in (first, second)]
    small, large = (first, second) if volumes[0] <= volumes[1] else (second, first)
    # Voxel borders lie half a voxel outside the centres.
    axes = [(np.arange(15) + 0.5) / 15 * n - 0.5 for n in small.shape]
    points = np.stack(np.meshgrid(*axes, indexing="ij")).reshape(3, -1)
    world = small.affine @ np.vstack([points, np.ones(points.shape[1])])
    inside = (np.linalg.inv(large.affine) @ world)[:3]
    upper = np.array(large.shape)[:, np.newaxis] - 0.5
    return float(np.mean(np.all((inside >= -0.5) & (inside <= upper), axis=0)))
