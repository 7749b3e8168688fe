"""Tiny BIDS datasets, written through nibabel alone."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

AFFINE = np.array(
    [[-2.0, 0.0, 0.0, 11.0], [0.0, 3.0, 0.0, -17.0], [0.0, 0.0, 4.5, -9.0], [0.0, 0.0, 0.0, 1.0]]
)
SHAPE = (14, 12, 9)


def draw_voxels(name: str, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """An off-centre blob of noise, another for each name; int16."""
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    i, j, k = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    inside = (i - 0.1) ** 2 + (j + 0.1) ** 2 + k**2 < 0.7
    return (inside * generator.integers(100, 1000, shape)).astype(np.int16)


def save_nifti(path: Path, voxels: np.ndarray, affine: np.ndarray) -> Path:
    """Write voxels with equal sform and qform in millimetres."""
    image = nibabel.Nifti1Image(voxels, affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    image.header.set_xyzt_units("mm")
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, path)
    return path


@pytest.fixture
def add_scans() -> Callable[..., list[Path]]:
    """Function that puts scans into a BIDS folder by their names; all on one grid."""

    def add(
        root: Path,
        *names: str,
        voxels: np.ndarray | None = None,
        affine: np.ndarray = AFFINE,
        below: str = "",
    ) -> list[Path]:
        paths = []
        for name in names:
            folders = re.match(r"(sub-\w+?)(?:_(ses-\w+?))?_", name)
            parts = [part for part in (folders.groups() if folders else ()) if part]
            array = draw_voxels(name) if voxels is None else voxels
            if voxels is None and name.endswith("_mask"):
                array = (array > 0).astype(np.uint8)
            place = root / below / "/".join(parts) / "anat" / f"{name}.nii.gz"
            paths.append(save_nifti(place, array, affine))
        return paths

    return add


@pytest.fixture
def cohort(tmp_path: Path, add_scans: Callable[..., list[Path]]) -> Path:
    """Six people with T1w and T2w, and what a real dataset has beside them."""
    root = tmp_path / "cohort"
    for number in range(1, 7):
        add_scans(root, f"sub-p{number}_T1w", f"sub-p{number}_T2w")
    add_scans(root, "sub-p1_ce-gadolinium_T1w")
    lines = [
        "participant_id\tsex\tage",
        *(f"sub-p{n}\t{'FM'[n % 2]}\t{30 + n}" for n in range(1, 7)),
    ]
    (root / "participants.tsv").write_text("\n".join(lines) + "\n")
    return root
