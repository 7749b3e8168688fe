"""Values of 16 bits: within half a step, and counted where they are not."""

import numpy as np
import pytest

from medtranslate.io.dicom.stored import store_arbitrary, store_hounsfield


@pytest.mark.parametrize("low", [0.0, 3.7, -812.3])
@pytest.mark.parametrize("high", [1e-3, 4.0, 977.77, 3.1e7])
def test_arbitrary_values_come_back_within_half_a_step(low, high):
    values = np.random.default_rng(1).uniform(low, low + high, size=(9, 8, 7))

    stored = store_arbitrary(values)

    assert stored.num_clipped == 0
    assert np.abs(stored.restore() - values).max() <= stored.slope / 2 * (1 + 2e-4)
    assert stored.array.max() >= 65535 * (values.max() - min(low, 0)) / (high + abs(low)) - 1
    assert float(f"{stored.slope:.8e}") == stored.slope


def test_a_constant_volume_can_be_stored():
    np.testing.assert_array_equal(store_arbitrary(np.zeros((2, 2, 2))).restore(), 0)


def test_hounsfield_values_outside_are_clipped_and_counted():
    stored = store_hounsfield(np.array([-1025.0, -1024.4, 64511.0, 64512.0, 0.5]))

    assert stored.num_clipped == 2
    np.testing.assert_array_equal(stored.restore(), [-1024, -1024, 64511, 64511, 0])
