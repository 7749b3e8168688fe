"""Each thing that can be wrong with a scan is found, and sound scans are left in peace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medtranslate.data.findings import compare_scans, examine_scan, measure_overlap
from medtranslate.geometry import Geometry

WriteNifti = Callable[..., Path]


@pytest.fixture
def noise() -> np.ndarray:
    """A scan of 20 x 18 x 12 voxels: bright noise in an off-centre ball, 0 around it."""
    generator = np.random.default_rng(1)
    i, j, k = np.meshgrid(*[np.linspace(-1, 1, n) for n in (20, 18, 12)], indexing="ij")
    inside = (i - 0.1) ** 2 + j**2 + (k + 0.1) ** 2 < 0.6
    return (inside * generator.integers(100, 3000, inside.shape)).astype(np.int16)


def find(path: Path, *, suffix: str = "T1w") -> list[tuple[str, str]]:
    return [(r.severity, r.what) for r in examine_scan(path, suffix=suffix, kind="image").remarks]


def test_a_sound_oblique_scan_has_no_remark(write_nifti: WriteNifti, noise: np.ndarray) -> None:
    facts = examine_scan(write_nifti(noise), suffix="T1w", kind="image")

    assert facts.remarks == ()
    assert facts.voxels is not None
    assert (facts.voxels.minimum, facts.voxels.maximum) == (0.0, float(noise.max()))
    assert facts.voxels.num_values == len(np.unique(noise))
    np.testing.assert_allclose(facts.voxels.nonzero, np.mean(noise != 0))


def test_the_centre_is_where_the_scanned_voxels_are(
    write_nifti: WriteNifti, make_affine: Callable[..., np.ndarray]
) -> None:
    affine = make_affine("PIL", spacing=(1.5, 2.0, 3.0), degrees=(10.0, 5.0, -7.0))
    voxels = np.zeros((130, 20, 10), np.int16)
    voxels[40:61, 11:16, 2:5] = np.arange(315).reshape(21, 5, 3) + 900

    facts = examine_scan(write_nifti(voxels, affine=affine), suffix="T1w", kind="image")

    assert facts.voxels is not None
    expected = (affine @ [50.0, 13.0, 3.0, 1.0])[:3]
    np.testing.assert_allclose(facts.voxels.centre_mm, expected, atol=0.01)


def test_thin_slabs_of_one_millimetre_cubes_cannot_be_true(write_nifti: WriteNifti) -> None:
    voxels = np.random.default_rng(0).integers(0, 900, (256, 256, 24)).astype(np.int16)

    [(severity, what)] = find(write_nifti(voxels, affine=np.diag([-1.0, -1.0, 1.0, 1.0])))

    assert severity == "error"
    assert what.startswith("header cannot be true: 256×256×24 cubes of 1 mm at position 0, 0, 0")


@pytest.mark.parametrize(
    ("shape", "spacing", "expected"),
    [
        ((256, 256, 24), (0.9, 0.9, 5.0), []),
        ((192, 192, 160), (1.0, 1.0, 1.0), []),
        ((240, 240, 30), (0.8, 0.8, 0.8), ["warning"]),
        ((30, 240, 240), (1.0, 1.0, 1.0), ["error"]),
        ((40, 40, 40), (0.1, 0.1, 0.1), ["error"]),
        ((40, 40, 40), (90.0, 90.0, 90.0), ["error"]),
    ],
)
def test_only_impossible_voxel_sizes_are_found(
    write_nifti: WriteNifti,
    make_affine: Callable[..., np.ndarray],
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    expected: list[str],
) -> None:
    voxels = np.zeros(shape, np.int16)
    voxels[5:15, 5:15, 5:15] = np.arange(1000).reshape(10, 10, 10)

    remarks = find(write_nifti(voxels, affine=make_affine("LAS", spacing=spacing)))

    assert [severity for severity, _ in remarks] == expected


def test_sform_and_qform_that_differ_a_little_are_a_warning_and_much_an_error(
    write_nifti: WriteNifti, noise: np.ndarray, make_affine: Callable[..., np.ndarray]
) -> None:
    affine, near, far = (make_affine("RAS", origin=(x, 0.0, 0.0)) for x in (0.0, 0.5, 30.0))

    [little] = find(write_nifti(noise, sform=(affine, 1), qform=(near, 1)))
    [much] = find(write_nifti(noise, sform=(affine, 1), qform=(far, 1)))

    assert little[0] == "warning"
    assert much[0] == "error"
    assert "sform and qform" in little[1]
    assert "sform and qform" in much[1]


@pytest.mark.parametrize(
    ("change", "severity", "what"),
    [
        (
            lambda v: np.where(v == v.max(), np.nan, v).astype(np.float32),
            "error",
            "NaN or infinite",
        ),
        (lambda v: np.full_like(v, 7), "error", "every voxel is 7: there is no image"),
        (lambda v: (v > 0).astype(np.int16), "warning", "only 2 different values, like a mask"),
        (lambda v: np.minimum(v, 2000), "warning", "saturated"),
        (lambda v: (v // 12).astype(np.uint8), "note", "8-bit"),
    ],
)
def test_voxels_that_tell_no_or_half_a_story_are_found(
    write_nifti: WriteNifti,
    noise: np.ndarray,
    change: Callable[[np.ndarray], np.ndarray],
    severity: str,
    what: str,
) -> None:
    [remark] = find(write_nifti(change(noise)))

    assert remark[0] == severity
    assert what in remark[1]


@pytest.mark.parametrize(
    ("lowest", "expected"), [(-1000, []), (0, ["error"]), (-3024, ["note"]), (-1024, [])]
)
def test_a_ct_has_air_in_it(
    write_nifti: WriteNifti, noise: np.ndarray, lowest: int, expected: list[str]
) -> None:
    path = write_nifti(np.where(noise == 0, lowest, noise).astype(np.int16))

    assert [severity for severity, _ in find(path, suffix="CT")] == expected


def test_a_file_that_cannot_be_read_says_what_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "sub-1_T1w.nii.gz"
    path.write_bytes(b"")

    [remark] = examine_scan(path, suffix="T1w", kind="image").remarks

    assert remark.severity == "error"
    assert "is empty (0 bytes)" in remark.what
    assert str(tmp_path) not in remark.what
    assert remark.do.startswith("fetch the file again")


@pytest.mark.parametrize(("value", "what"), [(0.0, "mask is empty"), (0.5, "not whole numbers")])
def test_a_mask_that_is_none_is_found(write_nifti: WriteNifti, value: float, what: str) -> None:
    [remark] = examine_scan(
        write_nifti(np.full((24, 25, 26), value)), suffix="mask", kind="mask"
    ).remarks

    assert remark.severity == "error"
    assert what in remark.what


def test_scans_of_one_place_on_two_grids_fit(
    write_nifti: WriteNifti, noise: np.ndarray, make_affine: Callable[..., np.ndarray]
) -> None:
    affine = make_affine("LPS", spacing=(2.0, 2.0, 4.0))
    turned = affine @ np.diag([-1.0, 1.0, 1.0, 1.0])
    turned[:3, 3] = (affine @ [19.0, 0.0, 0.0, 1.0])[:3]
    paths = [
        write_nifti(noise, affine=affine, name="a.nii.gz"),
        write_nifti(np.sqrt(noise[::-1]).astype(np.float32), affine=turned, name="b.nii.gz"),
    ]

    facts = [examine_scan(path, suffix="T1w", kind="image") for path in paths]

    assert list(compare_scans(*facts)) == []


@pytest.mark.parametrize(
    ("shift_mm", "severity", "detail"),
    [(90.0, "error", "% of the smaller one"), (36.0, "warning", "mm"), (10.0, None, "")],
)
def test_scans_of_two_places_are_found(
    write_nifti: WriteNifti,
    noise: np.ndarray,
    make_affine: Callable[..., np.ndarray],
    shift_mm: float,
    severity: str | None,
    detail: str,
) -> None:
    spacing = (5.0, 5.0, 5.0)
    near = make_affine(spacing=spacing, origin=(0.0, 0.0, 0.0))
    far = make_affine(spacing=spacing, origin=(shift_mm, 0.0, 0.0))
    paths = [
        write_nifti(noise, affine=near, name="a.nii.gz"),
        write_nifti(noise // 2, affine=far, name="b.nii.gz"),
    ]

    facts = [examine_scan(path, suffix="T1w", kind="image") for path in paths]
    remarks = list(compare_scans(*facts))

    assert [remark.severity for remark in remarks] == ([severity] if severity else [])
    assert all(detail in remark.detail for remark in remarks)


def test_a_copy_under_another_contrast_is_found(write_nifti: WriteNifti, noise: np.ndarray) -> None:
    facts = [
        examine_scan(write_nifti(noise, name=name), suffix="T1w", kind="image")
        for name in ("a.nii.gz", "b.nii.gz")
    ]

    [remark] = compare_scans(*facts)

    assert remark.what == "two contrasts hold equal voxels: one is a copy"


def test_overlap_is_the_share_of_the_smaller_field_of_view(
    make_affine: Callable[..., np.ndarray],
) -> None:
    large = Geometry((40, 40, 40), make_affine(spacing=(2.0, 2.0, 2.0), origin=(0.0, 0.0, 0.0)))
    inside = Geometry((10, 10, 10), make_affine(spacing=(3.0, 3.0, 3.0), origin=(9.0, 9.0, 9.0)))
    # Field of view from -1 to 79 mm; this one from 69 to 99 mm along x: a third of it is inside.
    third = Geometry((10, 10, 5), make_affine(spacing=(3.0, 3.0, 3.0), origin=(70.5, 9.0, 9.0)))

    assert measure_overlap(large, inside) == measure_overlap(inside, large) == 1.0
    np.testing.assert_allclose(measure_overlap(large, third), 1 / 3, rtol=1e-9)
