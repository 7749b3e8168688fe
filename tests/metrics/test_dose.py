"""Water-equivalent depth in slabs of known thickness."""

from __future__ import annotations

import math

import numpy as np
import pytest

from medtranslate.geometry import Geometry
from medtranslate.metrics.dose import (
    CURVES,
    ELECTRON_DENSITY,
    PIXEL_MM,
    STOPPING_POWER,
    HuCurve,
    aim_beam,
    map_axially,
    range_errors,
    relate_to_water,
)

SHAPE = (44, 31, 13)
SPACING = (1.5, 2.0, 4.0)
BODY = (slice(6, 38), slice(5, 25), slice(2, 11))  # 48 mm x 40 mm x 36 mm

BONE = {"H": 3.4, "C": 15.5, "N": 4.2, "O": 43.5, "Na": 0.1, "Mg": 0.2, "P": 10.3, "S": 0.3,
        "Ca": 22.5}  # fmt: skip
WATER = {"H": 11.19, "O": 88.81}
ELEMENTS = {  # atomic number, atomic weight, mean excitation energy in compounds (ICRU 49), eV
    "H": (1, 1.008, 19.2), "C": (6, 12.011, 81.0), "N": (7, 14.007, 82.0),
    "O": (8, 15.999, 106.0), "Na": (11, 22.990, 168.4), "Mg": (12, 24.305, 176.3),
    "P": (15, 30.974, 195.5), "S": (16, 32.06, 203.4), "Ca": (20, 40.078, 215.8),
}  # fmt: skip


def errors_of(reference_hu, prediction_hu, body, *, curve, beam):
    pair = [relate_to_water(hu, body, curve) for hu in (reference_hu, prediction_hu)]
    return range_errors(*pair, body, beam=beam)


def depth_difference(reference_hu, prediction_hu, body, *, curve, beam):
    real, synthetic = (relate_to_water(hu, body, curve) for hu in (reference_hu, prediction_hu))
    return beam.accumulate(synthetic - real)


@pytest.fixture
def make_body(make_affine):
    """Function that builds geometry, a box of water in it as HU, and its mask."""

    def build(orientation="LAS"):
        body = np.zeros(SHAPE, bool)
        body[BODY] = True
        geometry = Geometry(SHAPE, make_affine(orientation, spacing=SPACING))
        return geometry, np.where(body, 0.0, -1000.0), body

    return build


def test_a_slab_of_water_is_as_deep_as_it_is_thick(make_body):
    geometry, hu, body = make_body("LAS")

    for angle, thickness in ((0, 40.0), (90, 48.0), (180, 40.0), (270, 48.0)):
        beam = aim_beam(body, geometry, angle=angle)
        depth = beam.accumulate(relate_to_water(hu, body, ELECTRON_DENSITY))
        _, u, w = beam.centre
        assert depth[-1, u, w] == pytest.approx(thickness, abs=0.3)
        assert depth[beam.centre] == pytest.approx(thickness / 2, abs=0.8)


def test_a_body_cut_off_by_the_scan_counts_as_far_as_it_was_scanned(make_affine):
    """Voxels of 0.4 mm: samples are closer than 1 mm and a ray's length must not change."""
    shape = (50, 60, 12)
    geometry = Geometry(shape, make_affine("LAS", spacing=(0.4, 0.5, 3.0)))
    body = np.ones(shape, bool)

    for angle, thickness in ((0, 30.0), (90, 20.0)):
        beam = aim_beam(body, geometry, angle=angle)
        depth = beam.accumulate(body.astype(float))[(-1, *beam.centre[1:])]
        assert depth == pytest.approx(thickness, abs=0.05)


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "SAR", "PIR"])
def test_the_patient_s_axes_matter_and_the_file_s_do_not(make_affine, orientation):
    """A box of 30 x 60 x 20 mm along right, front and head, stored in any order."""
    size = {"R": 30.0, "L": 30.0, "A": 60.0, "P": 60.0, "S": 20.0, "I": 20.0}
    spacing = (1.0, 2.0, 2.5)
    body = np.zeros([int(size[a] / s) + 8 for a, s in zip(orientation, spacing, strict=True)], bool)
    body[tuple(slice(4, n - 4) for n in body.shape)] = True
    geometry = Geometry(body.shape, make_affine(orientation, spacing=spacing))

    front, side, oblique = (aim_beam(body, geometry, angle=angle) for angle in (0, 90, 30))

    water = body.astype(float)
    depths = [beam.accumulate(water)[(-1, *beam.centre[1:])] for beam in (front, side, oblique)]
    assert depths[0] == pytest.approx(60.0, abs=0.5)
    assert depths[1] == pytest.approx(30.0, abs=0.5)
    assert depths[2] == pytest.approx(30.0 / math.sin(math.radians(30)), abs=0.7)


def test_a_turned_scan_of_the_same_body_has_the_same_depths(make_affine):
    """A cylinder along the long axis of the patient, in a grid turned about that axis."""
    shape, spacing, radius = (60, 70, 8), (1.2, 1.0, 5.0), 25.0
    for degrees in (0.0, 25.0):
        affine = make_affine("RAS", spacing=spacing, degrees=(0.0, 0.0, degrees))
        geometry = Geometry(shape, affine)
        index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")).reshape(3, -1)
        world = affine[:3, :3] @ index + affine[:3, 3:]
        centre = world.mean(axis=1)
        x, y = world[0] - centre[0], world[1] - centre[1]
        body = ((x**2 + y**2 < radius**2) & (abs(world[2] - centre[2]) < 14)).reshape(shape)
        hu = np.where(y > 0, 1000.0, 0.0).reshape(shape)  # the front half is dense

        front, back = (
            aim_beam(body, geometry, angle=angle).accumulate(np.where(body, 1 + hu / 1000, 0.0))
            for angle in (0, 180)
        )

        beam = aim_beam(body, geometry, angle=0)
        other = aim_beam(body, geometry, angle=180)
        assert front[(-1, *beam.centre[1:])] == pytest.approx(3 * radius, abs=1.5)
        assert front[beam.centre] == pytest.approx(2 * radius, abs=2.5)
        assert back[other.centre] == pytest.approx(radius, abs=2.5)


@pytest.mark.parametrize(("angle", "side"), [(0, "A"), (90, "L"), (180, "P"), (270, "R")])
def test_beams_enter_where_the_standard_says(make_body, angle, side):
    """IEC 61217, on the back, head first: bone on the side of entry lies before the centre."""
    geometry, _, body = make_body("LAS")  # i runs to the left, j to the front
    bone = np.zeros(SHAPE)
    edge = {"A": np.s_[:, 21:25], "P": np.s_[:, 5:9], "L": np.s_[34:38], "R": np.s_[6:10]}
    bone[edge[side]] = 1.0
    beam = aim_beam(body, geometry, angle=angle)

    depth = beam.accumulate(np.where(body, bone, 0.0))

    thickness = 8.0 if side in "AP" else 6.0
    assert depth[beam.centre] == pytest.approx(thickness, abs=0.3)


def test_bone_counts_more_than_water_by_the_curve_s_factor(make_body):
    geometry, hu, body = make_body()
    bone = hu.copy()
    bone[:, 10:15][body[:, 10:15]] = 1524.0  # 10 mm along a beam from the front
    beam = aim_beam(body, geometry, angle=0)

    for curve, factor in ((ELECTRON_DENSITY, 1.7806), (STOPPING_POWER, 1.6945)):
        errors = errors_of(hu, bone, body, curve=curve, beam=beam)
        expected = 10.0 * (factor - 1)
        assert errors.distal_error == pytest.approx(expected, rel=0.08)
        assert errors.distal_absolute == pytest.approx(abs(errors.distal_error))


def test_too_much_is_positive_too_little_negative(make_body):
    geometry, hu, body = make_body()
    beam = aim_beam(body, geometry, angle=90)
    dense, light = np.where(body, 100.0, hu), np.where(body, -100.0, hu)

    more = errors_of(hu, dense, body, curve=STOPPING_POWER, beam=beam)
    less = errors_of(hu, light, body, curve=STOPPING_POWER, beam=beam)

    assert more.centroid_error > 0 > less.centroid_error
    assert less.centroid_error == pytest.approx(-0.1 * less.centroid_reference)
    assert less.distal_error == pytest.approx(-0.1 * 48.0, rel=0.08)
    assert less.distal_absolute == pytest.approx(-less.distal_error)
    assert less.distal_p95 >= less.distal_absolute
    assert less.map_absolute == pytest.approx(less.distal_absolute / 2, rel=0.1)


def test_an_equal_ct_has_no_error_whatever_lies_outside_the_body(make_body):
    geometry, hu, body = make_body()
    couch = np.where(body, hu, 700.0)
    beam = aim_beam(body, geometry, angle=35)

    difference = depth_difference(hu, couch, body, curve=ELECTRON_DENSITY, beam=beam)

    np.testing.assert_array_equal(difference, 0.0)


def test_a_difference_appears_behind_its_cause(make_body):
    geometry, hu, body = make_body()
    dense = hu.copy()
    dense[:, 14:16][body[:, 14:16]] = 500.0  # half-way along a beam from the front
    beam = aim_beam(body, geometry, angle=0)

    difference = depth_difference(hu, dense, body, curve=ELECTRON_DENSITY, beam=beam)

    d, u, w = beam.centre
    np.testing.assert_allclose(difference[: d - 5, u, w], 0.0, atol=1e-6)
    assert difference[d + 5, u, w] == pytest.approx(4.0 * (ELECTRON_DENSITY(500.0) - 1), rel=0.02)


def test_a_body_between_the_rays_has_no_range(make_affine):
    speck = np.zeros((9, 9, 3), bool)
    speck[3, 3, 1] = speck[5, 5, 1] = True  # on both sides of the ray through the middle
    geometry = Geometry(speck.shape, make_affine("RAS", spacing=(0.2, 0.2, 0.2)))
    beam = aim_beam(speck, geometry, angle=90)

    none = errors_of(
        np.zeros(speck.shape), np.zeros(speck.shape), speck, curve=STOPPING_POWER, beam=beam
    )

    assert none is None


def sums(density, weights):
    """Electrons, attenuation and mean logarithm of the excitation energy, per volume."""
    electrons = attenuation = logarithm = 0.0
    for element, percent in weights.items():
        z, a, excitation = ELEMENTS[element]
        amount = density * percent / 100 / a
        electrons += amount * z
        attenuation += amount * (z + 1.24e-3 * z**2.86 + 3.06e-5 * z**4.62)
        logarithm += amount * z * math.log(excitation)
    return electrons, attenuation, logarithm / electrons


def test_the_curves_pass_through_bone_by_schneider_s_method():
    """Cortical bone of the ICRU, 1.92 g/cm3; stopping by Bethe's formula at 150 MeV."""
    bone, water = sums(1.92, BONE), sums(1.0, WATER)
    hu = 1000 * (bone[1] / water[1] - 1)
    electrons = bone[0] / water[0]
    gamma = 1 + 150 / 938.272
    beta2 = 1 - 1 / gamma**2
    kinetic = math.log(2 * 510998.95 * beta2 * gamma**2) - beta2
    stopping = electrons * (kinetic - bone[2]) / (kinetic - water[2])

    assert ELECTRON_DENSITY(hu) == pytest.approx(electrons, abs=2e-3)
    assert STOPPING_POWER(hu) == pytest.approx(stopping, abs=2e-3)


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_the_curves_know_vacuum_and_water_and_only_rise(curve):
    np.testing.assert_allclose(curve(np.array([-1024.0, -1000.0, -500.0, 0.0])), [0, 0, 0.5, 1])
    assert (np.diff(curve(np.linspace(-1000, 3071, 200))) > 0).all()


@pytest.mark.parametrize(
    ("hu", "relative", "problem"),
    [
        ((0.0,), (1.0,), "two or more points"),
        ((-1000.0, 0.0), (0.0,), "two or more points"),
        ((0.0, 0.0), (0.0, 1.0), "must rise"),
        ((-1000.0, 0.0), (-0.1, 1.0), "cannot be negative"),
    ],
)
def test_what_is_no_curve_is_refused(hu, relative, problem):
    with pytest.raises(ValueError, match=problem):
        HuCurve("mine", hu, relative, "a measurement")


def test_an_empty_body_is_refused(make_body):
    geometry, _, body = make_body()
    with pytest.raises(ValueError, match="mask is empty"):
        aim_beam(np.zeros_like(body), geometry, angle=0)


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0, 180.0, 270.0])
def test_the_axial_picture_shows_the_patient_however_the_beam_comes(make_affine, angle):
    """A body whose front right quarter alone is marked, on a grid that runs another way."""
    shape = (40, 44, 20)
    geometry = Geometry(shape, make_affine("LPS", spacing=(2.0, 2.0, 3.0)))
    body = np.zeros(shape, bool)
    body[5:35, 6:38, 3:17] = True
    marked = np.zeros(shape, np.float32)
    marked[25:34, 7:16] = 1.0  # i runs to the left, j to the back: this is left and front
    beam = aim_beam(body, geometry, angle=angle)

    picture = map_axially(beam.sample(marked), beam)

    found = np.nan_to_num(picture) > 0.5
    rows, columns = np.nonzero(found)
    middle = (np.array(picture.shape) - 1) / 2
    # The mark's centre lies 19 mm to the left of the body's centre and 21 mm in front of it.
    assert (columns.mean() - middle[1]) * PIXEL_MM == pytest.approx(19.0, abs=1.5)
    assert (rows.mean() - middle[0]) * PIXEL_MM == pytest.approx(-21.0, abs=1.5)
    assert found.sum() * PIXEL_MM**2 == pytest.approx(18.0 * 18.0, rel=0.3)
