import numpy as np
import pytest

from medtranslate.data.covariates import ConditionCode
from medtranslate.errors import ConfigError

PEOPLE = [
    {"age": 20.0, "sex": "F"},
    {"age": 40.0, "sex": "M"},
    {"age": 60.0, "sex": None},
]


@pytest.fixture
def code():
    return ConditionCode.fit(("age", "sex"), PEOPLE)


def test_numbers_are_standardised_and_categories_are_one_hot(code):
    sd = np.std([20, 40, 60])

    np.testing.assert_allclose(code.encode({"age": 60, "sex": "M"}), [20 / sd, 0, 0, 1], rtol=1e-6)


def test_what_is_missing_is_said_to_be_missing(code):
    np.testing.assert_array_equal(code.encode({}), [0, 1, 0, 0])


def test_text_that_is_a_number_counts_as_one(code):
    np.testing.assert_array_equal(code.encode({"age": "40"}), [0, 0, 0, 0])


def test_json_gives_the_same_code(code):
    assert ConditionCode.from_json(code.to_json()) == code


def test_an_unknown_covariate_is_refused_with_the_known_ones(code):
    with pytest.raises(ConfigError, match="unknown covariate weight; known: age, sex"):
        code.encode({"weight": 70})


@pytest.mark.parametrize(
    ("values", "message"),
    [({"sex": "X"}, "sex=X: the model was trained on F, M"), ({"age": "old"}, "expected a number")],
)
def test_a_value_that_cannot_be_is_refused(code, values, message):
    with pytest.raises(ConfigError, match=message):
        code.encode(values)


def test_a_covariate_that_nobody_has_is_refused():
    with pytest.raises(ConfigError, match="nobody in training has a value"):
        ConditionCode.fit(("dose",), PEOPLE)


def test_a_number_that_never_varies_does_not_divide_by_zero():
    code = ConditionCode.fit(("age",), [{"age": 50.0}, {"age": 50.0}])

    np.testing.assert_array_equal(code.encode({"age": 51.0}), [1, 0])


def test_damaged_json_is_told():
    with pytest.raises(ValueError, match="levels"):
        ConditionCode.from_json({"age": {"mean": 1}})
