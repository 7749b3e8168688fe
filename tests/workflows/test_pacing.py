"""The speed of each training person, and what covariates say of it."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from medtranslate.preprocess.cache import PreparedArrays
from medtranslate.workflows.pacing import PacedPerson, find_speed, fit_speed

BLOCK = torch.ones(1, 4, 5, 5)


@dataclass(frozen=True)
class Shrinking:
    """A simulated region that loses a part of itself every year."""

    per_year: float

    def region_at(self, label, years, *, speed=1.0):
        return label[None] * np.exp(-self.per_year * years * speed)


def _person(*, true, said, years=2.0, condition=(), labelled=True):
    """Somebody whose region truly shrinks at one rate, and as the network says at another."""
    arrays = PreparedArrays(
        source=BLOCK, target=BLOCK, mask=BLOCK, seen=None, affine=np.eye(4), source_scale=None,
        target_scale=None, registration=None, fingerprint={},
        label=BLOCK if labelled else None, later=BLOCK * np.exp(-true * years),
    )  # fmt: skip
    return PacedPerson(Shrinking(said), arrays, years, np.array(condition, dtype=np.float32))


@pytest.mark.parametrize("true", [0.01, 0.05, 0.2])
def test_the_speed_is_that_at_which_volumes_agree(true):
    assert find_speed(_person(true=true, said=0.05)) == pytest.approx(true / 0.05, rel=0.01)


def test_a_change_against_the_simulated_one_is_slow_and_none_tells_nothing():
    assert find_speed(_person(true=-0.1, said=0.1)) == pytest.approx(1 / 8)
    assert find_speed(_person(true=0.1, said=0.0)) is None
    assert find_speed(_person(true=0.1, said=0.1, labelled=False)) is None


def test_a_covariate_that_drives_is_found_and_one_that_does_not_is_not():
    draw = np.random.default_rng(0)
    people = [
        _person(
            true=0.02 * np.exp(0.6 * drives + draw.normal(0, 0.1)),
            said=0.04,
            condition=(drives, draw.normal()),
        )
        for drives in [-1.0, 1.0] * 10
    ]

    drives, idle, constant = fit_speed(people)

    assert drives == pytest.approx(0.6, abs=0.05)
    assert abs(idle) < 0.1  # as much as one person differs from the next
    assert constant == pytest.approx(np.log(0.5), abs=0.05)


def test_nobody_labelled_gives_no_speed():
    assert fit_speed([_person(true=0.1, said=0.1, labelled=False)]) is None
