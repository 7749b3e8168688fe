from __future__ import annotations

import math

import numpy as np
import pytest

from medtranslate.methods.reaction_diffusion import (
    OUTLINE_DENSITY,
    GrowthModel,
    GrowthRates,
    fit_rates,
    pool_rates,
    seen,
    start_density,
)
from medtranslate.metrics.regions import dice
from medtranslate.phantom.growth import grow, make_domain

SPACING = (2.0, 2.0, 3.0)
TYPICAL = GrowthRates(15.0, 8.0)


def tissue() -> np.ndarray:
    """White matter with a grey rim and a barrier of fluid on one side."""
    relative = np.full((36, 32, 22), 1.0)
    relative[:, :6] = 0.2
    relative[26:28] = 0.0
    return relative


def grown(rates: GrowthRates, *times: float) -> list[np.ndarray]:
    """True regions: a seed grown for two years to begin with, then for each of ``times``."""
    relative = tissue()
    domain = make_domain(relative, spacing=SPACING)
    seed = np.zeros(relative.shape)
    seed[18, 16, 11] = 1.0
    pace = {"diffusivity": rates.diffusivity, "proliferation": rates.proliferation}
    start = grow(seed, domain, years=0.8, **pace)
    return [grow(start, domain, years=years, **pace) >= OUTLINE_DENSITY for years in times]


def test_the_outline_of_the_start_is_the_regions() -> None:
    (region,) = grown(TYPICAL, 0.0)

    density = start_density(region, TYPICAL, spacing=SPACING)

    np.testing.assert_array_equal(density >= OUTLINE_DENSITY, region)
    np.testing.assert_array_equal(seen(density) >= 0.5, region)
    along = density[18:, 16, 11]
    assert (np.diff(along) < 0).all()
    tail = density[35, 16, 11] / density[34, 16, 11]
    np.testing.assert_allclose(tail, math.exp(-2.0 / TYPICAL.width_mm), rtol=0.1)


@pytest.mark.parametrize("truth", [GrowthRates(8.0, 5.0), GrowthRates(25.0, 14.0)])
def test_two_visits_tell_the_speed_and_what_comes_next(truth: GrowthRates) -> None:
    first, second, third = grown(truth, 0.0, 0.25, 0.5)

    rates = fit_rates(first, second, tissue(), years=0.25, spacing=SPACING, typical=TYPICAL)
    chance = GrowthModel(second, tissue(), SPACING, rates).predict(0.25)

    np.testing.assert_allclose(rates.speed, truth.speed, rtol=0.3)
    assert dice(chance >= 0.5, third) > 0.9
    assert dice(chance >= 0.5, third) > dice(second, third)
    assert not chance[26:28].any()


def test_a_region_that_shrinks_gets_the_slowest_growth() -> None:
    first, second = grown(TYPICAL, 0.0, 0.3)

    rates = fit_rates(second, first, tissue(), years=0.3, spacing=SPACING, typical=TYPICAL)

    assert rates.speed < 0.3 * TYPICAL.speed


def test_time_only_ever_adds_and_no_time_gives_the_region() -> None:
    (region,) = grown(TYPICAL, 0.0)
    model = GrowthModel(region, tissue(), SPACING, GrowthRates(15.0, 8.0, spread=0.3))

    maps = [model.predict(years) for years in (0.0, 0.2, 0.4)]

    np.testing.assert_array_equal(maps[0], region)
    assert [m.max() <= 1.0 for m in maps] == [True] * 3
    assert (maps[1] >= maps[0]).all()
    assert (maps[2] - maps[1]).min() > -1e-6
    assert maps[2].sum() > 1.3 * maps[1].sum()


def test_unsure_rates_make_a_wider_border() -> None:
    (region,) = grown(TYPICAL, 0.0)
    sure, unsure = (
        GrowthModel(region, tissue(), SPACING, GrowthRates(15.0, 8.0, spread)).predict(0.4)
        for spread in (0.0, 0.5)
    )

    between = [np.count_nonzero((m > 0.1) & (m < 0.9)) for m in (sure, unsure)]
    assert between[1] > 1.5 * between[0]


def test_a_cohorts_rates_are_geometric_means() -> None:
    pooled = pool_rates([GrowthRates(10.0, 2.0), GrowthRates(40.0, 8.0)])

    np.testing.assert_allclose([pooled.diffusivity, pooled.proliferation], [20.0, 4.0])
    np.testing.assert_allclose(pooled.spread, np.std(np.log([1.0, 4.0]), ddof=1))
    np.testing.assert_allclose(pool_rates([TYPICAL]).speed, TYPICAL.speed)
    assert pool_rates([TYPICAL]).spread == 0.0
    with pytest.raises(ValueError, match="fit at least one"):
        pool_rates([])


def test_what_means_nothing_is_refused() -> None:
    (region,) = grown(TYPICAL, 0.0)
    with pytest.raises(ValueError, match="must be above 0"):
        GrowthRates(0.0, 1.0)
    with pytest.raises(ValueError, match="region is empty"):
        start_density(region & False, TYPICAL, spacing=SPACING)
    with pytest.raises(ValueError, match="time between"):
        fit_rates(region, region, tissue(), years=0.0, spacing=SPACING, typical=TYPICAL)
    with pytest.raises(ValueError, match="different shapes"):
        fit_rates(region, region[1:], tissue(), years=1.0, spacing=SPACING, typical=TYPICAL)
    with pytest.raises(ValueError, match="region has shape"):
        GrowthModel(region[1:], tissue(), SPACING, TYPICAL)
