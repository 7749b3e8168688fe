"""Images moved by known amounts, against np.roll, quarter turns and an independent resampling."""

from __future__ import annotations

import math

import numpy as np
import pytest
import SimpleITK as sitk

from medtranslate.geometry import Geometry
from medtranslate.io import read_volume
from medtranslate.metrics.alignment import DISPLACEMENTS, Displacement, Motion, score_displaced
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoring import average_slices, score_against, score_slices
from medtranslate.metrics.yardstick import make_yardstick
from medtranslate.volume import Volume

SPACING = (0.9, 1.4, 3.1)
SHAPE = (12, 15, 10)


def blobs(seed=0, shape=SHAPE):
    """A smooth asymmetric image with an empty rim."""
    generator = np.random.default_rng(seed)
    image = np.zeros(shape)
    image[2:-2, 2:-2, 2:-2] = generator.uniform(0.2, 1.0, [n - 4 for n in shape])
    return image


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("voxels", [1, -2])
def test_a_shift_by_whole_voxels_is_a_roll(axis, voxels):
    image = blobs()

    moved = Motion.shift(axis, voxels * SPACING[axis], spacing=SPACING).apply(image)

    np.testing.assert_allclose(moved, np.roll(image, voxels, axis), atol=1e-12)


def test_a_shift_by_half_a_voxel_is_the_mean_of_two():
    image = blobs()

    moved = Motion.shift(1, 0.7, spacing=SPACING).apply(image)

    np.testing.assert_allclose(moved[:, 1:], (image[:, 1:] + image[:, :-1]) / 2, atol=1e-12)


def test_beyond_the_edge_the_nearest_voxel_goes_on():
    image = np.random.default_rng(1).uniform(size=SHAPE)

    moved = Motion.shift(0, 2 * SPACING[0], spacing=SPACING).apply(image)

    np.testing.assert_allclose(moved[:2], np.broadcast_to(image[0], (2, *SHAPE[1:])))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_quarter_turn_is_that_of_numpy(axis):
    """About axis 2, axis 0 turns towards axis 1; cyclic for the others."""
    image = np.random.default_rng(2).uniform(size=(9, 9, 9))
    plane = ((axis + 1) % 3, (axis + 2) % 3)

    motion = Motion.rotation(axis, 90.0, spacing=(2.0, 2.0, 2.0), centre=np.full(3, 4.0))

    np.testing.assert_allclose(motion.apply(image), np.rot90(image, axes=plane), atol=1e-9)


@pytest.mark.parametrize(("axis", "degrees"), [(0, 7.0), (1, -11.0), (2, 5.0)])
def test_a_rotation_is_rigid_in_millimetres_as_simpleitk_makes_it(axis, degrees):
    image = blobs(3)
    centre = np.array([5.0, 6.5, 4.0])
    itk = sitk.GetImageFromArray(np.ascontiguousarray(image.T))
    itk.SetSpacing(SPACING)
    angles = [0.0, 0.0, 0.0]
    angles[axis] = -math.radians(degrees)  # ITK asks where a point comes from
    transform = sitk.Euler3DTransform((centre * SPACING).tolist(), *angles)
    expected = sitk.GetArrayFromImage(sitk.Resample(itk, itk, transform, sitk.sitkLinear)).T

    moved = Motion.rotation(axis, degrees, spacing=SPACING, centre=centre).apply(image)

    np.testing.assert_allclose(moved[2:-2, 2:-2, 2:-2], expected[2:-2, 2:-2, 2:-2], atol=1e-6)
    assert np.abs(moved - image).max() > 0.05


def test_a_part_with_steps_is_that_part_of_the_whole():
    image = blobs(4)
    box = (slice(1, 11, 3), slice(2, 14), slice(0, 9, 2))
    motion = Motion.rotation(0, 10.0, spacing=SPACING, centre=np.array([5.0, 7.0, 4.0]))

    np.testing.assert_allclose(motion.apply(image, box), motion.apply(image)[box], atol=1e-12)


@pytest.fixture(scope="module")
def yardstick():
    reference = blobs(5, (24, 26, 20)).astype(np.float32)
    geometry = Geometry(reference.shape, np.diag([*SPACING, 1.0]))
    mask = np.zeros(reference.shape, bool)
    mask[3:-3, 3:-4, 3:-3] = True
    return make_yardstick(Volume(reference[None], geometry), mask, Protocol())


@pytest.fixture(scope="module")
def moved_reference(yardstick):
    """Slices are 2 mm apart, rows 1 mm, columns 2 mm."""
    return score_displaced(yardstick, yardstick.reference, spacing=(2.0, 1.0, 2.0))


SLICED = (SPACING[2], SPACING[0], SPACING[1])


def test_unmoved_the_scores_are_those_of_the_protocol(yardstick):
    """Fourteen slices count: no more than are scored, so that none is left out."""
    prediction = yardstick.reference * 0.8 + 0.05

    found = score_displaced(yardstick, prediction, spacing=SLICED)

    expected = score_against(yardstick, prediction).values
    assert yardstick.scored.sum() == 14
    for measure, value in found[DISPLACEMENTS[0]].items():
        np.testing.assert_allclose(value, expected[measure], rtol=1e-9)


def test_a_moved_score_is_the_mean_over_axes_and_sides(yardstick, moved_reference):
    """By hand with np.roll: 2 mm are one slice, two rows or one column."""
    expected = [
        score_against(yardstick, np.roll(yardstick.reference, sign * step, axis)).values["psnr"]
        for axis, step in ((0, 1), (1, 2), (2, 1))
        for sign in (1, -1)
    ]

    found = moved_reference[Displacement("shift", 2.0)]

    np.testing.assert_allclose(found["psnr"], np.mean(expected), rtol=1e-9)


def test_the_reference_itself_falls_the_farther_it_is_moved(moved_reference):
    assert moved_reference[DISPLACEMENTS[0]] == {"psnr": math.inf, "ssim": 1.0}
    for kind in ("shift", "rotation"):
        curve = [scores["psnr"] for one, scores in moved_reference.items() if one.kind == kind]
        assert curve == sorted(curve, reverse=True)
        assert curve[-1] < 40


def test_a_long_scan_is_scored_on_slices_spread_over_it():
    """The upper half is spoiled: half of the slices that are looked at must show it."""
    reference = np.random.default_rng(6).uniform(0.2, 1.0, (12, 12, 80)).astype(np.float32)
    geometry = Geometry(reference.shape, np.eye(4))
    yardstick = make_yardstick(
        Volume(reference[None], geometry), np.ones(reference.shape, bool), Protocol()
    )
    prediction = yardstick.reference.copy()
    prediction[:40] += 0.1
    prediction[40:] += 0.01

    found = score_displaced(yardstick, prediction, spacing=(1.0, 1.0, 1.0))

    np.testing.assert_allclose(found[DISPLACEMENTS[0]]["psnr"], (20 + 40) / 2, rtol=1e-6)


def test_a_perfect_brain_two_millimetres_off_scores_badly(shared_data):
    """The point of the curve. On a smoother brain others found 17.4 dB and 0.73."""
    volume = read_volume(next((shared_data / "cstar_stroke").rglob("*_T1w.nii.gz")))
    slab = Volume(volume.array[..., 60:72], Geometry((124, 160, 12), volume.geometry.affine))
    yardstick = make_yardstick(slab, slab.voxels > 0, Protocol())

    moved = Motion.shift(1, 2.0, spacing=(1.0, 1.0, 1.0)).apply(yardstick.reference)

    scores = average_slices(list(score_slices(yardstick, moved)))
    assert 12 < scores["psnr"] < 20
    assert 0.2 < scores["ssim"] < 0.8
