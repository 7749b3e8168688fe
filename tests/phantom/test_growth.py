from __future__ import annotations

import math

import numpy as np
import pytest

from medtranslate.phantom.growth import (
    GREY_DIFFUSIVITY,
    GrowthDomain,
    grow,
    make_domain,
    relative_diffusivity,
)


def line(length_mm: float, voxels: int) -> tuple[GrowthDomain, np.ndarray]:
    """A domain along the first axis, and the middles of its voxels."""
    step = length_mm / voxels
    domain = make_domain(np.ones((voxels, 1, 1)), spacing=(step, 1.0, 1.0))
    return domain, (np.arange(voxels) + 0.5) * step


def order(steps: list[float], errors: list[float]) -> float:
    """Slope of the logarithm of the error over that of the step."""
    return float(np.polyfit(np.log(steps), np.log(errors), 1)[0])


@pytest.fixture
def brain() -> tuple[np.ndarray, np.ndarray]:
    """White matter with a grey rim, fluid in a corner, and a seed; anisotropic on purpose."""
    relative = np.full((9, 8, 7), 1.0)
    relative[:2] = GREY_DIFFUSIVITY
    relative[6:, 5:] = 0.0
    seed = np.zeros(relative.shape)
    seed[4, 3, 3] = 0.8
    return relative, seed


def test_white_matter_carries_cells_five_times_as_fast_as_grey() -> None:
    grey, white = np.array([0.0, 1.0, 0.5, 0.2]), np.array([1.0, 0.0, 0.5, 0.2])

    np.testing.assert_allclose(relative_diffusivity(grey, white), [1.0, 0.2, 0.6, 0.0])


def test_the_operator_is_that_of_differences_worked_out_by_hand() -> None:
    relative = np.array([1.0, 0.2, 0.0]).reshape(3, 1, 1)

    domain = make_domain(relative, spacing=(2.0, 1.0, 1.0))

    through = 2 * 1.0 * 0.2 / 1.2 / 4.0
    np.testing.assert_allclose(
        domain.spreading.toarray(), [[-through, through], [through, -through]]
    )
    assert domain.inside.ravel().tolist() == [True, True, False]


def test_diffusion_alone_loses_nothing_and_stays_inside(
    brain: tuple[np.ndarray, np.ndarray],
) -> None:
    relative, seed = brain
    domain = make_domain(relative, spacing=(1.0, 1.5, 2.0))

    later = grow(seed, domain, diffusivity=3.0, proliferation=0.0, years=4.0)

    np.testing.assert_allclose(later.sum(), seed.sum(), rtol=1e-12)
    assert not later[relative == 0].any()
    assert later[relative > 0].min() > 0
    assert later.max() < 0.1


def test_after_long_diffusion_everything_is_level(brain: tuple[np.ndarray, np.ndarray]) -> None:
    relative, seed = brain
    domain = make_domain(relative, spacing=(1.0, 1.5, 2.0))

    later = grow(seed, domain, diffusivity=30.0, proliferation=0.0, years=60.0)

    level = seed.sum() / np.count_nonzero(relative)
    np.testing.assert_allclose(later[relative > 0], level, rtol=1e-6)


def test_growth_alone_is_the_logistic_curve() -> None:
    domain, _ = line(4.0, 4)
    density = np.full((4, 1, 1), 0.05)

    later = grow(density, domain, diffusivity=0.0, proliferation=3.0, years=1.5)

    expected = 1.0 / (1.0 + (1.0 / 0.05 - 1.0) * math.exp(-4.5))
    np.testing.assert_allclose(later, expected, rtol=1e-12)


@pytest.mark.parametrize(("diffusivity", "proliferation"), [(0.5, 40.0), (80.0, 1.0), (20.0, 20.0)])
def test_the_density_stays_between_0_and_1_and_never_falls(
    brain: tuple[np.ndarray, np.ndarray], diffusivity: float, proliferation: float
) -> None:
    relative, _ = brain
    seed = np.random.default_rng(3).integers(0, 2, relative.shape) * (relative > 0) * 1.0
    domain = make_domain(relative, spacing=(0.7, 1.0, 1.3))
    total = seed.sum()

    for _ in range(4):
        seed = grow(seed, domain, diffusivity=diffusivity, proliferation=proliferation, years=0.05)
        assert 0.0 <= seed.min() <= seed.max() <= 1.0
        assert seed.sum() >= total - 1e-9
        total = seed.sum()


def test_the_error_falls_with_the_square_of_the_voxel_size() -> None:
    years, length, speed = 0.4, 10.0, 2.0
    decay = math.exp(-speed * (math.pi / length) ** 2 * years)
    steps, errors = [], []
    for voxels in (8, 16, 32, 64):
        domain, middle = line(length, voxels)
        start = 0.5 + 0.4 * np.cos(math.pi * middle / length).reshape(-1, 1, 1)
        found = grow(
            start, domain, diffusivity=speed, proliferation=0.0, years=years, longest_step=2e-3
        )
        exact = 0.5 + 0.4 * decay * np.cos(math.pi * middle / length)
        steps.append(length / voxels)
        errors.append(float(np.abs(found.ravel() - exact).max()))

    np.testing.assert_allclose(order(steps, errors), 2.0, atol=0.1)


def test_the_error_falls_with_the_square_of_the_time_step() -> None:
    domain, middle = line(10.0, 20)
    start = np.exp(-((middle - 5.0) ** 2) / 4.0).reshape(-1, 1, 1)
    years = 0.64

    def solve(step: float) -> np.ndarray:
        return grow(
            start, domain, diffusivity=1.0, proliferation=1.5, years=years, longest_step=step
        )

    steps = [0.08, 0.04, 0.02, 0.01]
    reference = solve(0.00125)
    errors = [float(np.abs(solve(step) - reference).max()) for step in steps]

    np.testing.assert_allclose(order(steps, errors), 2.0, atol=0.15)


def test_the_front_moves_at_the_speed_of_fisher_and_kolmogorov() -> None:
    diffusivity, rate = 2.0, 8.0
    domain, middle = line(160.0, 1280)
    state = (middle < 3.0).reshape(-1, 1, 1) * 1.0
    places = []
    for _ in range(3):
        state = grow(state, domain, diffusivity=diffusivity, proliferation=rate, years=5.0)
        places.append(float(np.interp(-0.5, -state.ravel(), middle)))

    # Bramson: the front lags behind by 3/2 ln(t) sqrt(D / rho).
    lag = 1.5 * math.sqrt(diffusivity / rate) * math.log(15.0 / 10.0)
    expected = 2 * math.sqrt(diffusivity * rate) * 5.0 - lag
    np.testing.assert_allclose(places[2] - places[1], expected, rtol=0.01)


def test_no_time_changes_nothing(brain: tuple[np.ndarray, np.ndarray]) -> None:
    relative, seed = brain
    domain = make_domain(relative, spacing=(1.0, 1.0, 1.0))

    same = grow(seed, domain, diffusivity=5.0, proliferation=5.0, years=0.0)

    np.testing.assert_array_equal(same, seed)
    assert same is not seed


@pytest.mark.parametrize("name", ["diffusivity", "proliferation", "years"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_numbers_that_mean_nothing_are_refused(name: str, value: float) -> None:
    domain, _ = line(4.0, 4)
    numbers = {"diffusivity": 1.0, "proliferation": 1.0, "years": 1.0, name: value}

    with pytest.raises(ValueError, match=f"{name} is {value}"):
        grow(np.zeros((4, 1, 1)), domain, **numbers)


def test_a_negative_diffusivity_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 0 or more"):
        make_domain(np.full((2, 2, 2), -1.0), spacing=(1.0, 1.0, 1.0))
