"""What is left of the error when the most doubtful units are set aside."""

import numpy as np
import pytest

from medtranslate.metrics.risk_coverage import mean_of_kept

SHARES = (0.0, 0.05, 0.1, 0.3, 0.5, 0.9)


@pytest.fixture
def errors():
    return np.random.default_rng(0).exponential(size=1000)


def test_it_is_the_mean_of_what_a_sort_leaves(errors):
    doubt = np.random.default_rng(1).permutation(1000)

    found = mean_of_kept(errors, doubt, SHARES)

    order = np.argsort(-doubt)
    expected = [errors[order][round(1000 * share) :].mean() for share in SHARES]
    np.testing.assert_allclose(found, expected)


def test_a_doubt_that_ranks_perfectly_is_the_oracle(errors):
    oracle = mean_of_kept(errors, errors, SHARES)

    np.testing.assert_allclose(mean_of_kept(errors, np.log(errors), SHARES), oracle)
    assert (np.diff(oracle) < 0).all()


def test_no_order_beats_the_oracle_and_none_loses_to_its_reverse(errors):
    doubt = errors + np.random.default_rng(2).normal(size=1000)

    found = mean_of_kept(errors, doubt, SHARES)

    assert (mean_of_kept(errors, errors, SHARES) <= found + 1e-12).all()
    assert (found <= mean_of_kept(errors, -errors, SHARES) + 1e-12).all()


def test_in_random_order_the_error_stays(errors):
    np.testing.assert_allclose(
        mean_of_kept(errors, np.zeros(1000), SHARES), np.full(len(SHARES), errors.mean())
    )


def test_units_of_equal_doubt_go_in_random_order():
    """Of three equally doubtful errors 0, 3 and 6, one set aside leaves 3 on average."""
    errors, doubt = np.array([0.0, 6.0, 3.0, 1.0]), np.array([5.0, 5.0, 5.0, 2.0])

    np.testing.assert_allclose(mean_of_kept(errors, doubt, [0.25, 0.75]), [(6 + 1) / 3, 1.0])


def test_part_of_a_unit_is_not_set_aside():
    errors = np.array([1.0, 2.0, 9.0])

    np.testing.assert_allclose(mean_of_kept(errors, errors, [0.3, 1 / 3, 0.6]), [4.0, 1.5, 1.5])


def test_what_makes_no_curve_is_refused():
    with pytest.raises(ValueError, match="expected as many"):
        mean_of_kept(np.ones(3), np.ones(2), [0.0])
    with pytest.raises(ValueError, match="below 1"):
        mean_of_kept(np.ones(3), np.ones(3), [1.0])
