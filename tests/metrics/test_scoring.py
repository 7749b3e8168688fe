"""Scores of a case, against scikit-image and NumPy written out here, and against the oracle."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
from scipy import ndimage
from skimage.metrics import structural_similarity

from medtranslate.errors import GeometryError
from medtranslate.geometry import Geometry
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoring import MEASURES, SLICE_MEASURES, score_case
from medtranslate.volume import IntensityScale, Volume

NONE = Protocol(scale="none", data_range=1.0)
ORACLE_PAIRS = [
    ("omsC07", "T2w"),
    ("omsC26", "FLAIR"),
    pytest.param("omsC07", "FLAIR", marks=pytest.mark.slow),
    pytest.param("omsC26", "T2w", marks=pytest.mark.slow),
]


def skimage_ssim(x, y, data_range):
    return structural_similarity(
        x,
        y,
        data_range=data_range,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )


def independent_slice(reference, prediction, mask, *, data_range, background=0.0):
    """The five scores of one slice as the protocol words them."""
    error = prediction[mask] - reference[mask]
    inside = [np.where(mask, array, background) for array in (reference, prediction)]
    return {
        "psnr": 10 * np.log10(data_range**2 / np.mean(error**2)),
        "ssim": skimage_ssim(*inside, data_range)[1][mask].mean(),
        "mae": np.abs(error).mean(),
        "psnr_full": 10 * np.log10(data_range**2 / np.mean((prediction - reference) ** 2)),
        "ssim_full": skimage_ssim(reference, prediction, data_range)[0],
    }


def scaled(reference, prediction, mask, rule):
    """Both arrays in scored units, as float64."""
    x, y = reference.voxels.astype(np.float64), prediction.voxels.astype(np.float64)
    p = np.percentile(x[mask], 99.5)
    if rule == "shared":
        return x / p, y / p
    if rule == "each":
        return x / p, y / np.percentile(y[mask], 99.5)
    return x / p, (y - 12.0) / 800.0


@pytest.mark.parametrize("rule", ["shared", "each", "sidecar"])
@pytest.mark.parametrize(("axis", "voxel_axis"), [("axial", 2), ("coronal", 1), ("sagittal", 0)])
def test_every_slice_agrees_with_an_independent_computation(make_pair, rule, axis, voxel_axis):
    reference, prediction, mask = make_pair()

    found = score_case(
        reference,
        prediction,
        mask,
        protocol=Protocol(scale=rule, axis=axis),
        prediction_scale=IntensityScale(12.0, 800.0),
    )

    x, y = scaled(reference, prediction, mask, rule)
    assert len(found.slices) == x.shape[voxel_axis]
    for row in found.slices:
        plane = [np.take(array, row.index, axis=voxel_axis) for array in (x, y, mask)]
        assert row.mask_voxels == np.count_nonzero(plane[2])
        assert row.scored == (plane[2].mean() >= 0.01)
        if row.scored:
            expected = independent_slice(*plane, data_range=1.0)
            assert row.values == pytest.approx(expected, abs=1e-9)
        else:
            assert row.values == {}


def test_case_scores_are_means_over_scored_slices_and_scores_of_the_volume(make_pair):
    reference, prediction, mask = make_pair()

    found = score_case(reference, prediction, mask, protocol=Protocol())

    x, y = scaled(reference, prediction, mask, "shared")
    scored = [row.values for row in found.slices if row.scored]
    assert 0 < len(scored) < len(found.slices)
    for name in SLICE_MEASURES:
        assert found.values[name] == pytest.approx(np.mean([row[name] for row in scored]))
    error = (y - x)[mask]
    ssim = skimage_ssim(np.where(mask, x, 0), np.where(mask, y, 0), 1.0)[1][mask].mean()
    expected = {
        "psnr_volume": 10 * np.log10(1 / np.mean(error**2)),
        "ssim_volume": ssim,
        "mae_volume": np.abs(error).mean(),
        "me_volume": error.mean(),
    }
    assert {name: found.values[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    assert set(found.values) == set(MEASURES)


def test_ct_is_scored_in_hu_from_air_upwards_whatever_the_scale(make_pair):
    reference, prediction, mask = make_pair(unit="HU")

    found = score_case(reference, prediction, mask, protocol=Protocol(scale="shared"))

    x, y = reference.voxels.astype(np.float64), prediction.voxels.astype(np.float64)
    row = found.slices[11]
    plane = [array[:, :, 11] for array in (x + 1024, y + 1024, mask)]
    assert row.values == pytest.approx(independent_slice(*plane, data_range=4095.0), abs=1e-9)
    assert found.values["me_volume"] == pytest.approx((y - x)[mask].mean())


def test_ct_beyond_its_range_is_clipped_to_it(make_pair):
    reference, prediction, mask = make_pair(unit="HU")
    beyond = prediction.voxels.copy()
    beyond[mask] = 9000.0
    edge = np.where(mask, 3071.0, beyond).astype(np.float32)

    found, expected = (
        score_case(reference, Volume(array[None], reference.geometry), mask, protocol=Protocol())
        for array in (beyond, edge)
    )

    assert found.values == expected.values


def test_slices_are_counted_as_the_file_counts_them(make_pair):
    straight, _, mask = make_pair(orientation="RAS")
    flipped = Volume(
        straight.array[:, :, :, ::-1],
        Geometry(
            straight.geometry.shape,
            straight.geometry.affine
            @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 18], [0, 0, 0, 1.0]]),
        ),
        "T2w",
    )
    shifted = [Volume(v.array * 0.9 + 10, v.geometry) for v in (straight, flipped)]

    up = score_case(straight, shifted[0], mask, protocol=Protocol())
    down = score_case(flipped, shifted[1], mask[:, :, ::-1], protocol=Protocol())

    assert [row.index for row in down.slices] == list(range(19))
    assert [row.mask_voxels for row in down.slices] == [row.mask_voxels for row in up.slices[::-1]]
    assert down.slices[4].values == pytest.approx(up.slices[14].values)


def test_scores_do_not_depend_on_how_the_file_orders_its_axes(make_pair):
    reference, prediction, mask = make_pair(orientation="LAS")
    expected = score_case(reference, prediction, mask, protocol=Protocol(axis="coronal"))
    order = np.zeros((4, 4))
    order[[2, 0, 1, 3], [0, 1, 2, 3]] = 1.0  # the new axes are the old k, i, j
    geometry = Geometry((19, 26, 23), reference.geometry.affine @ order)
    turned = [
        Volume(volume.array.transpose(0, 3, 1, 2), geometry) for volume in (reference, prediction)
    ]

    found = score_case(*turned, mask.transpose(2, 0, 1), protocol=Protocol(axis="coronal"))

    assert found.values == pytest.approx(expected.values, abs=1e-9)
    assert [row.mask_voxels for row in found.slices] == [r.mask_voxels for r in expected.slices]


def test_identical_slices_are_infinite_and_counted(make_pair):
    reference, prediction, mask = make_pair()
    mixed = prediction.array.copy()
    mixed[..., 10] = reference.array[..., 10]

    found = score_case(reference, Volume(mixed, reference.geometry), mask, protocol=Protocol())

    assert found.slices[10].values["psnr"] == float("inf")
    assert found.slices[10].values["ssim"] == pytest.approx(1.0)
    assert found.num_identical == 1
    assert found.values["psnr"] == float("inf")
    assert np.isfinite(found.values["psnr_volume"])


def test_a_prediction_equal_to_its_reference_is_perfect(make_pair):
    reference, _, mask = make_pair()

    found = score_case(reference, reference, mask, protocol=Protocol())

    assert found.num_identical == found.num_scored > 0
    assert found.values["ssim_volume"] == pytest.approx(1.0)
    assert found.values["mae_volume"] == 0.0


def test_another_grid_is_refused_and_both_are_described(make_pair):
    reference, prediction, mask = make_pair()
    moved = reference.geometry.affine.copy()
    moved[:3, 3] += (0.0, 3.0, 4.0)
    elsewhere = Volume(prediction.array, Geometry(reference.geometry.shape, moved))

    with pytest.raises(GeometryError, match=r"26x23x19 voxels.*up to 5\.00 mm away.*Resample"):
        score_case(reference, elsewhere, mask, protocol=Protocol())


@pytest.mark.parametrize("shape", [(30, 8, 5), (4, 40, 9)])
def test_scans_thinner_than_the_window_are_scored(make_pair, shape):
    reference, prediction, mask = make_pair(shape=shape)

    found = score_case(reference, prediction, mask, protocol=Protocol())

    assert np.isfinite(list(found.values.values())).all()
    assert -1 <= found.values["ssim"] < 1


@pytest.mark.parametrize(("subject", "contrast"), ORACLE_PAIRS)
def test_scores_agree_with_the_oracle_on_real_scans(shared_data, subject, contrast):
    """The recipe of each pair stands in the oracle's own file."""
    path = shared_data.parent / "oracles" / "scoring_protocols.json"
    if not path.is_file():
        pytest.skip("the file of reference scores (../shared/oracles) is absent")
    results = json.loads(path.read_text())["results"]
    expected = next(
        one["medtranslate"]
        for one in results
        if (one["subject"], one["contrast"]) == (subject, contrast)
    )
    name = f"sub-{subject}_space-MNI_desc-brain_{contrast}.nii.gz"
    image = nibabel.load(shared_data / "open_ms_cross" / f"sub-{subject}" / "anat" / name)
    x = image.get_fdata()
    mask = x > 0
    reference = np.where(mask, x / np.percentile(x[mask], 99.5), 0)
    prediction = np.where(mask, 0.9 * ndimage.gaussian_filter(reference, 1.0), 0)
    geometry = Geometry(reference.shape, image.affine)

    found = score_case(
        Volume(reference[None], geometry), Volume(prediction[None], geometry), mask, protocol=NONE
    )

    row = found.slices[90]
    slice_90 = dict(expected.pop("slice_90"))
    assert (slice_90.pop("k"), slice_90.pop("scored")) == (row.index, row.scored)
    assert slice_90.pop("mask_voxels") == row.mask_voxels
    assert row.values == pytest.approx(slice_90, abs=1e-6)
    assert expected.pop("slices_scored") == found.num_scored
    assert {name: found.values[name] for name in expected} == pytest.approx(expected, abs=1e-6)
