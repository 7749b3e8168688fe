import numpy as np
import pytest

from medtranslate.networks.quantiles import quantiles_of_sorted

LEVELS = np.linspace(0, 1, 1001)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("decimals", [1, 9])
@pytest.mark.parametrize("size", [1, 2, 3, 700, 1001, 50_021])
def test_quantiles_of_sorted_values_are_numpys_to_the_bit(size, decimals, dtype):
    values = np.random.default_rng(size).normal(size=size).round(decimals).astype(dtype)

    found = quantiles_of_sorted(np.sort(values), LEVELS)

    np.testing.assert_array_equal(found, np.quantile(values, LEVELS))
    assert found.dtype == np.float64
