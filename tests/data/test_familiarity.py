"""Ranges of training scans, and how far outside another lies."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from medtranslate.data.familiarity import (
    HISTOGRAM,
    TrainingRange,
    histogram_distance,
    measure_traits,
)
from medtranslate.geometry import Geometry


def traits(spacing=(1.0, 1.2, 3.0), *, shape=(10, 12, 14), seed=0, gain=1.0, filled=6):
    """A scan whose file axes run along (x, y, z)."""
    geometry = Geometry(shape, np.diag([*spacing, 1.0]))
    source = gain * np.random.default_rng(seed).gamma(4.0, 0.1, shape)
    mask = np.zeros(shape, bool)
    mask[:filled] = True
    return measure_traits(np.sort(source[mask]), native=geometry, grid=geometry)


@pytest.fixture
def people():
    """Four people; seeds and sizes differ a little."""
    return [
        traits((1.0, 1.2, 3.0), seed=0, filled=6),
        traits((1.1, 1.2, 3.5), seed=1, filled=7),
        traits((0.9, 1.2, 4.0), seed=2, filled=6),
        traits((1.0, 1.2, 3.0), seed=3, filled=5),
    ]


@pytest.fixture
def known(people):
    return TrainingRange.of(people)


def distances(known, scan):
    return {one.name: one.distance for one in known.compare(scan)}


def test_a_property_is_that_of_the_patient_and_not_of_the_file():
    """The same scan stored with permuted and flipped axes."""
    native = Geometry((10, 12, 14), np.diag([1.0, 1.2, 3.0, 1.0]))
    turned = np.array([[0, 0, -1.0, 9], [1.2, 0, 0, 0], [0, 3.0, 0, 0], [0, 0, 0, 1]])
    stored = Geometry((12, 14, 10), turned)
    source, mask = np.ones((10, 12, 14)), np.ones((10, 12, 14), bool)

    first = measure_traits(np.sort(source[mask]), native=native, grid=native).properties
    second = measure_traits(np.sort(source[mask]), native=stored, grid=native).properties

    assert first == pytest.approx(second)
    assert first == pytest.approx(
        {
            "voxel size left-right (mm)": 1.0,
            "voxel size back-front (mm)": 1.2,
            "voxel size foot-head (mm)": 3.0,
            "field of view left-right (mm)": 10.0,
            "field of view back-front (mm)": 14.4,
            "field of view foot-head (mm)": 42.0,
            "patient volume (ml)": 10 * 12 * 14 * 3.6 / 1000,
        }
    )


def test_intensities_outside_the_patient_do_not_count():
    grid = Geometry((4, 4, 4), np.eye(4))
    mask = np.zeros((4, 4, 4), bool)
    mask[1:] = True
    source = np.where(mask, 0.5, 9.0)

    found = measure_traits(np.sort(source[mask]), native=grid, grid=grid)

    np.testing.assert_array_equal(found.quantiles, np.full(100, 0.5))
    np.testing.assert_allclose(found.properties["patient volume (ml)"], 0.048)


def test_every_training_scan_is_inside(people, known):
    for scan in people:
        assert set(distances(known, scan).values()) == {0.0}
        assert not any(one.outside for one in known.compare(scan))


def test_a_single_training_scan_is_inside_its_own_range():
    alone = TrainingRange.of([traits()])

    assert set(distances(alone, traits()).values()) == {0.0}


def test_distance_counts_training_ranges_beyond_either_end(known):
    """Foot-head voxels of 3 to 4 mm were seen: 6 mm lies two ranges above, 2 mm one below."""
    name = "voxel size foot-head (mm)"

    found = [distances(known, traits((1.0, 1.2, size)))[name] for size in (2.0, 3.5, 4.5, 6.0)]

    np.testing.assert_allclose(found, [1.0, 0.0, 0.5, 2.0])


def test_a_property_that_never_varied_is_measured_in_twentieths_of_it(known):
    found = distances(known, traits((1.0, 1.5, 3.0)))["voxel size back-front (mm)"]

    np.testing.assert_allclose(found, 0.3 / 0.06)


@pytest.mark.parametrize(
    ("size", "outside"), [(4.3, False), (4.4, True), (2.7, False), (2.6, True)]
)
def test_it_is_outside_beyond_what_so_few_scans_leave_unseen(known, size, outside):
    """Of four scans the range may be short by a third at each end."""
    found = next(one for one in known.compare(traits((1.0, 1.2, size))) if "size foot" in one.name)

    assert found.outside is outside


def test_the_warning_says_what_was_found_and_what_was_known(known):
    found = next(one for one in known.compare(traits((1.0, 1.2, 6.0))) if one.outside)

    assert found.warning.startswith(
        "voxel size foot-head (mm) is 6, in the 4 training scans 3 to 4 (2.0 times that range"
    )


def test_the_histogram_distance_is_the_wasserstein_distance():
    first, second = (np.sort(np.random.default_rng(n).normal(n, 1 + n, 100)) for n in (0, 1))

    np.testing.assert_allclose(
        histogram_distance(first, second), wasserstein_distance(first, second)
    )


def test_the_histogram_is_known_up_to_the_farthest_left_out_scan(people, known):
    """By hand: each scan against the mean quantile function of the others."""
    quantiles = [scan.quantiles for scan in people]
    apart = [
        wasserstein_distance(one, np.mean([q for q in quantiles if q is not one], axis=0))
        for one in quantiles
    ]

    found = next(one for one in known.compare(traits(gain=1.5)) if one.name == HISTOGRAM)

    np.testing.assert_allclose(found.high, max(apart))
    mean = np.mean(quantiles, axis=0)
    value = wasserstein_distance(traits(gain=1.5).quantiles, mean)
    np.testing.assert_allclose(found.value, value)
    width = max(max(apart), 0.02 * mean[-1])
    np.testing.assert_allclose(found.distance, (value - max(apart)) / width)
    assert found.outside


def test_another_contrast_of_the_same_person_has_a_strange_histogram(known):
    scan = traits(seed=0)
    inverted = type(scan)(scan.properties, np.sort(1.0 - scan.quantiles))

    assert [one.name for one in known.compare(inverted) if one.outside] == [HISTOGRAM]


def test_the_ranges_survive_json(known):
    again = TrainingRange.from_json(json.loads(json.dumps(known.to_json())))

    scan = traits((1.5, 1.2, 6.0), gain=2.0)
    assert again.compare(scan) == known.compare(scan)


@pytest.mark.parametrize(
    "change",
    [
        {"ranges": {"spacing": [1, 2]}},
        {"ranges": None},
        {"ranges": {"voxel size left-right (mm)": 3}},
        {"quantiles": [0.0, 1.0]},
        {"num_scans": "four"},
        {"histogram_distance": None},
    ],
)
def test_damaged_ranges_are_refused(known, change):
    with pytest.raises(ValueError, match=".+"):
        TrainingRange.from_json(known.to_json() | change)
    data = known.to_json()
    del data[next(iter(change))]
    with pytest.raises(ValueError, match=next(iter(change))):
        TrainingRange.from_json(data)
