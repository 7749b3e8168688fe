"""Copy brain_tumor_progression with headers that are nearer to the truth, and nothing else changed.

    python tests/benchmarks/glioma_headers.py ../shared/data/brain_tumor_progression OUT

The headers say 1 mm cubes. The slices are taken as 0.9 mm in plane and 6 mm apart: an estimate, the
same for everybody, since the true voxels of each scan are not known any more.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from medtranslate.io import is_scan, read_volume, write_volume

SPACING_MM = (0.9, 0.9, 6.0)


def correct_header(path: Path, out: Path) -> None:
    """Write the scan's voxels with axes of ``SPACING_MM`` in the directions it had."""
    volume = read_volume(path)
    affine = volume.geometry.affine @ np.diag([*SPACING_MM, 1.0])
    affine[:3, :3] /= np.asarray(volume.geometry.spacing)
    write_volume(out, replace(volume, geometry=replace(volume.geometry, affine=affine)))


def main(dataset: Path, out: Path) -> None:
    for path in sorted(path for path in dataset.rglob("*") if path.is_file()):
        copy = out / path.relative_to(dataset)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if is_scan(path):
            correct_header(path, copy)
        else:
            shutil.copyfile(path, copy)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
