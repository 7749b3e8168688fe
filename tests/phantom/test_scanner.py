from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from medtranslate.phantom.contrast import Tissue
from medtranslate.phantom.person import Anatomy
from medtranslate.phantom.scanner import CONTRASTS, scan
from medtranslate.volume import Volume


@pytest.fixture(scope="module")
def volumes(first: Anatomy) -> dict[str, Volume]:
    """What the scanners make of the person."""
    return scan(first, np.random.default_rng(11))


def mean(volumes: dict[str, Volume], contrast: str, anatomy: Anatomy, tissue: Tissue) -> float:
    """Mean stored value over voxels that hold little else than one tissue."""
    here = anatomy.fractions[tissue] > 0.85
    assert here.sum() >= 5
    return float(volumes[contrast].voxels[here].mean())


def test_every_contrast_is_made_on_the_same_grid_as_whole_numbers(
    volumes: dict[str, Volume], first: Anatomy
) -> None:
    assert tuple(volumes) == CONTRASTS
    for name, volume in volumes.items():
        assert volume.geometry is first.geometry
        assert volume.array.dtype == np.int16
        assert volume.unit == ("HU" if name == "CT" else "arbitrary")
        assert volume.modality == name


def test_mr_shows_the_contrasts_that_physics_gives(
    volumes: dict[str, Volume], first: Anatomy
) -> None:
    def ratio(contrast: str, tissue: Tissue) -> float:
        white = mean(volumes, contrast, first, Tissue.WHITE_MATTER)
        return mean(volumes, contrast, first, tissue) / white

    assert 0.6 < ratio("T1w", Tissue.GREY_MATTER) < 0.95
    assert ratio("T1w", Tissue.CSF) < 0.6
    assert ratio("T2w", Tissue.CSF) > 2.5
    assert ratio("T2w", Tissue.GREY_MATTER) > 1.2
    assert ratio("FLAIR", Tissue.CSF) < 0.15
    assert ratio("FLAIR", Tissue.GREY_MATTER) > 1.1


def test_lesions_are_dark_in_t1w_and_bright_in_t2w_and_flair(
    volumes: dict[str, Volume], first: Anatomy
) -> None:
    lesion = first.lesion > 0.6
    white = first.fractions[Tissue.WHITE_MATTER] > 0.9

    for contrast, low, high in (("T1w", 0.4, 0.95), ("T2w", 1.3, 4.0), ("FLAIR", 1.2, 3.0)):
        voxels = volumes[contrast].voxels
        assert low < voxels[lesion].mean() / voxels[white].mean() < high


def test_bone_fat_and_air_have_their_ct_numbers(volumes: dict[str, Volume], first: Anatomy) -> None:
    ct = volumes["CT"].voxels
    far = ndimage.distance_transform_edt(first.fractions[Tissue.AIR] > 0.5) > 3

    assert ct[first.fractions[Tissue.BONE] > 0.6].min() > 300
    np.testing.assert_allclose(np.median(ct[far & (ct > -1024)]), -1000.0, atol=3.0)
    np.testing.assert_allclose(mean(volumes, "CT", first, Tissue.FAT), -95.0, atol=40.0)
    np.testing.assert_allclose(mean(volumes, "CT", first, Tissue.WHITE_MATTER), 29.0, atol=4.0)


def test_ct_is_minus_1024_outside_the_reconstructed_circle_and_above_inside(
    volumes: dict[str, Volume],
) -> None:
    ct = volumes["CT"].voxels
    padded = ct == -1024

    assert ct.min() == -1024
    assert ct.max() <= 3071
    assert padded[[0, 0, -1, -1], [0, -1, 0, -1]].all()
    assert not padded[ct.shape[0] // 2, :, :].any()
    np.testing.assert_array_equal(padded, np.repeat(padded[..., :1], ct.shape[2], axis=2))


def test_mr_keeps_noise_near_the_head_and_nothing_far_from_it(
    volumes: dict[str, Volume], first: Anatomy
) -> None:
    outside = ndimage.distance_transform_edt(
        ndimage.binary_fill_holes(first.fractions[Tissue.AIR] < 0.5) == 0
    )

    for contrast in ("T1w", "T2w", "FLAIR"):
        voxels = volumes[contrast].voxels
        assert voxels.min() == 0
        assert voxels[outside > 2.5].max() == 0
        assert voxels[outside == 2.0].mean() > 0.5


def test_t2w_is_no_function_of_t1w(volumes: dict[str, Volume], first: Anatomy) -> None:
    here = first.fractions[Tissue.WHITE_MATTER] > 0.97
    t1w, t2w = (volumes[name].voxels[here].astype(float) for name in ("T1w", "T2w"))
    t1_texture, t2_texture = first.relaxation[0][here], first.relaxation[1][here]

    def correlation(one: np.ndarray, other: np.ndarray) -> float:
        return float(np.corrcoef(one, other)[0, 1])

    # Each image follows its own relaxation time: long T1 is dark in T1w, long T2 bright in T2w.
    assert correlation(t1w, t1_texture) < -0.4
    assert correlation(t2w, t2_texture) > 0.5
    assert abs(correlation(t1w, t2w)) < 0.5


def test_the_same_generator_gives_the_same_scan_and_another_a_different_one(
    volumes: dict[str, Volume], first: Anatomy
) -> None:
    again, other = (scan(first, np.random.default_rng(seed)) for seed in (11, 12))

    for name, volume in volumes.items():
        np.testing.assert_array_equal(again[name].array, volume.array)
        assert (other[name].array != volume.array).mean() > 0.2
