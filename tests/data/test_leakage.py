"""Nothing that would be trained on may be tested on, under whatever name or form."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from medtranslate.data.cases import Case, find_cases
from medtranslate.data.index import index_dataset
from medtranslate.data.leakage import find_twins, guard_split, hash_voxels
from medtranslate.data.split import Split, SplitSettings, split_subjects
from medtranslate.errors import DatasetError

Forge = Callable[[Path, Path], None]


def pair(root: Path) -> tuple[list[Case], Split]:
    cases = find_cases([index_dataset(root)], source="T1w", target="T2w")
    return cases, split_subjects(cases, {}, SplitSettings())


def copy_bytes(source: Path, copy: Path) -> None:
    copy.write_bytes(source.read_bytes())


def compress_again(source: Path, copy: Path) -> None:
    copy.write_bytes(gzip.compress(gzip.decompress(source.read_bytes()), compresslevel=1, mtime=7))


def change_header(source: Path, copy: Path) -> None:
    image = nibabel.load(source)
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    other = nibabel.Nifti1Image(np.asarray(image.dataobj), affine)
    other.set_qform(affine, 1)
    other.header.set_xyzt_units("mm")
    nibabel.save(other, copy)


def store_as_float(source: Path, copy: Path) -> None:
    image = nibabel.load(source)
    nibabel.save(nibabel.Nifti1Image(image.get_fdata(dtype=np.float32), image.affine), copy)


def turn_axes(source: Path, copy: Path) -> None:
    nibabel.save(nibabel.load(source).as_reoriented(np.array([[2, -1], [0, 1], [1, -1]])), copy)


def test_different_people_pass(cohort: Path) -> None:
    cases, split = pair(cohort)

    guard_split(split, cases)

    assert len(cases) == 6


@pytest.mark.parametrize(
    "forge", [copy_bytes, compress_again, change_header, store_as_float, turn_axes]
)
@pytest.mark.parametrize("contrast", ["T1w", "T2w"])
def test_one_scan_under_two_people_is_refused(cohort: Path, forge: Forge, contrast: str) -> None:
    scan, copy = (cohort / f"sub-p{n}" / "anat" / f"sub-p{n}_{contrast}.nii.gz" for n in (2, 5))
    forge(scan, copy)
    cases, split = pair(cohort)

    with pytest.raises(DatasetError, match="cohort/p2 and cohort/p5 have the same scan"):
        guard_split(split, cases)


def test_one_changed_voxel_is_another_scan(cohort: Path) -> None:
    scan, copy = (cohort / f"sub-p{n}" / "anat" / f"sub-p{n}_T1w.nii.gz" for n in (2, 5))
    image = nibabel.load(scan)
    voxels = np.asarray(image.dataobj).copy()
    voxels[7, 5, 4] += 1
    nibabel.save(nibabel.Nifti1Image(voxels, image.affine, image.header), copy)
    cases, split = pair(cohort)

    guard_split(split, cases)

    assert find_twins({scan: "a", copy: "b"}) == []


def test_equal_voxels_of_one_person_are_no_leak(cohort: Path) -> None:
    folder = cohort / "sub-p1" / "anat"
    copy_bytes(folder / "sub-p1_T1w.nii.gz", folder / "sub-p1_T2w.nii.gz")
    cases, split = pair(cohort)

    guard_split(split, cases)

    assert len({case.source for case in cases}) == 6


def test_one_file_linked_under_two_people_is_refused(cohort: Path) -> None:
    copy = cohort / "sub-p5" / "anat" / "sub-p5_T2w.nii.gz"
    copy.unlink()
    copy.symlink_to(cohort / "sub-p2" / "anat" / "sub-p2_T2w.nii.gz")
    cases, split = pair(cohort)

    with pytest.raises(DatasetError, match="cohort/p2 and cohort/p5 have the same scan"):
        guard_split(split, cases)


def test_a_split_of_other_people_is_refused_before_any_file_is_read(cohort: Path) -> None:
    cases, split = pair(cohort)
    for case in cases:
        case.source.write_bytes(b"")

    with pytest.raises(DatasetError, match="names people who are not in the data: cohort/p1"):
        guard_split(split, cases[1:])


def test_the_hash_is_of_values_not_of_their_order_or_type() -> None:
    generator = np.random.default_rng(0)
    voxels = generator.integers(-5, 900, (5, 6, 7)).astype(np.float32)

    assert hash_voxels(voxels) == hash_voxels(voxels[::-1].transpose(2, 0, 1).astype(np.float64))
    assert hash_voxels(np.array([0.0, 1.0])) == hash_voxels(np.array([-0.0, 1.0]))
    assert hash_voxels(voxels) != hash_voxels(voxels + 1)
