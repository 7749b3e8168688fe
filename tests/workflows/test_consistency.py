"""Two simulated steps against one, by models that say the same again and by those that do not."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from medtranslate.geometry import Geometry
from medtranslate.io import read_volume
from medtranslate.preprocess.native_motion import pull
from medtranslate.volume import Volume
from medtranslate.workflows.consistency import measure_consistency
from medtranslate.workflows.forecaster import NativeFuture

SHAPE = (20, 12, 10)
SPACING = 2.0
PLACE = Geometry(SHAPE, np.diag([-SPACING, 3.0, 1.5, 1.0]))


@dataclass
class Drifting:
    """Moves everything along the first axis; asked about a simulated scan, at another speed."""

    again: float
    monotone: bool = True
    swing: float = 0.0

    def __post_init__(self):
        self.pipeline = SimpleNamespace(is_monotone=self.monotone)
        self.seen = None

    def prepare_baseline(self, scan, region, *, name):
        self.seen = (read_volume(scan), None if region is None else read_volume(region))
        return SimpleNamespace(native=PLACE)

    def look_ahead(self, prepared, covariates):
        assert covariates == {"age": 60.0}
        return self.again

    def develop(self, voxels_a_year, prepared, today, region, *, years):
        field = np.zeros((3, *SHAPE), np.float32)
        field[0] = SPACING * voxels_a_year * years  # against the axis, which runs to the left
        chance = self.follow(voxels_a_year, prepared, PLACE, region, years=years)
        return NativeFuture(pull(today.voxels, field, PLACE), field, chance)

    def follow(self, voxels_a_year, prepared, onto, region, *, years):
        moved = np.roll(region.astype(np.float32), round(voxels_a_year * years), axis=0)
        if voxels_a_year > 1:
            moved *= 0.9
        if self.swing:
            moved[14:, :2, :2] = 0.1 * years + self.swing * (years == 1)
        return moved


def _measure(model):
    region = np.zeros(SHAPE, bool)
    region[4:9, 3:8, 2:6] = True
    voxels = np.random.default_rng(1).uniform(0, 1, SHAPE).astype(np.float32)
    today = Volume(voxels[None], PLACE)
    prepared = SimpleNamespace(native=PLACE)
    whole = model.develop(1.0, prepared, today, region, years=4.0)
    return (
        region,
        today,
        measure_consistency(
            model, 1.0, prepared, today, region, years=4.0, whole=whole, covariates={"age": 60.0}
        ),
    )


def test_a_model_that_says_the_same_again_is_consistent():
    _, _, found = _measure(Drifting(again=1.0))

    assert (found.composition.mean, found.composition.largest) == (0, 0)
    assert (found.again.mean, found.again.largest) == (0, 0)
    assert (found.again_dice, found.again_ml, found.reversals) == (1, 0, 0)


def test_another_answer_about_the_simulated_scan_is_told_apart():
    _, _, found = _measure(Drifting(again=2.0))

    assert found.composition.largest == 0
    assert found.again.mean == pytest.approx(2)  # two years at one voxel more
    assert found.again.largest == pytest.approx(2)
    assert found.again_dice == pytest.approx(3 / 5)
    assert found.again_ml == pytest.approx(-0.1 * 100 * 0.009)


def test_the_second_step_starts_from_the_simulated_scan_and_region():
    model = Drifting(again=1.0)

    region, today, _ = _measure(model)

    scan, mask = model.seen
    np.testing.assert_allclose(scan.voxels[2:], today.voxels[:-2], atol=1e-6)
    np.testing.assert_array_equal(mask.voxels > 0, np.roll(region, 2, axis=0))


@pytest.mark.parametrize(
    ("monotone", "swing", "expected"), [(True, 0.05, 0), (True, 0.3, 1), (False, 0.3, None)]
)
def test_turning_back_is_counted_where_it_is_declared_not_to(monotone, swing, expected):
    _, _, found = _measure(Drifting(again=1.0, monotone=monotone, swing=swing))

    assert found.reversals == expected


def test_a_region_that_is_gone_is_not_simulated_again():
    model = Drifting(again=1.0)
    today = Volume(np.ones((1, *SHAPE), np.float32), PLACE)
    prepared = SimpleNamespace(native=PLACE)
    none = np.zeros(SHAPE, bool)
    model.follow = lambda *_, years, **__: (none + 0.4).astype(np.float32)
    whole = NativeFuture(today.voxels, np.zeros((3, *SHAPE), np.float32), none + 0.6)

    found = measure_consistency(
        model, 1.0, prepared, today, none, years=1.0, whole=whole, covariates={}
    )

    assert found.again is None
    assert found.again_dice is None
