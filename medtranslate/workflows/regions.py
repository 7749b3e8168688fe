"""Regions that a person gives beside a scan: masks on its grid, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform

from medtranslate.errors import ConfigError, GeometryError
from medtranslate.geometry import Geometry
from medtranslate.io import read_header, read_mask

_MAX_NAME = 64


def parse_regions(texts: Sequence[str]) -> dict[str, Path]:
    """Names and files of ``--region NAME=FILE``.

    Raises:
        ConfigError: If a text is not of this form, or a name is given twice or is too long.

    Example:
        >>> parse_regions(["GTV=gtv.nii.gz"])["GTV"].name
        'gtv.nii.gz'
    """
    regions: dict[str, Path] = {}
    for text in texts:
        name, separator, file = text.partition("=")
        if not (separator and name and file):
            raise ConfigError(f"--region {text}: expected NAME=FILE, such as GTV=gtv.nii.gz")
        if name in regions or len(name) > _MAX_NAME or "\\" in name:
            raise ConfigError(
                f"--region {name}: expected a name of at most {_MAX_NAME} characters without a"
                " backslash, each given once"
            )
        regions[name] = Path(file)
    return regions


def read_regions(regions: Mapping[str, Path], grid: Geometry) -> dict[str, np.ndarray]:
    """Read masks and bring their voxels into the order of a grid; nothing is resampled.

    Args:
        regions: Files by name.
        grid: Where they must lie; their axes may run in another order or sense.

    Returns:
        Boolean, of the grid's shape, by name.

    Raises:
        GeometryError: If one lies elsewhere.
        VolumeReadError: If one cannot be read, or is empty.
    """
    return {name: _read_onto(path, name, grid) for name, path in regions.items()}


def _read_onto(path: Path, name: str, grid: Geometry) -> np.ndarray:
    mask, own = read_mask(path), read_header(path).geometry
    turn = ornt_transform(io_orientation(own.affine), io_orientation(grid.affine))
    turned: np.ndarray = np.ascontiguousarray(apply_orientation(mask, turn))
    affine = own.affine @ inv_ornt_aff(turn, own.shape)
    shape = turned.shape
    if not Geometry((shape[0], shape[1], shape[2]), affine).matches(grid):
        raise GeometryError(
            f"--region {name}: lies on another grid than the source ({own.describe()}; source"
            f" {grid.describe()}). Resample it onto the source's grid, nearest neighbour"
        )
    return turned
