from dataclasses import dataclass

import numpy as np
import pytest
import torch

from medtranslate.checkpoint import load_model
from medtranslate.data.split import Split
from medtranslate.errors import ConfigError, DatasetError
from medtranslate.preprocess.cache import PreparedArrays
from medtranslate.workflows.cohort import assemble_cohort
from medtranslate.workflows.train import train
from medtranslate.workflows.training_loop import rate_weights
from medtranslate.workflows.training_progression import (
    CONDITIONS_KEY,
    INTERVALS_KEY,
    explain_region,
)

from .conftest import StopsAt


def test_visits_of_a_person_are_cases_with_labels_on_one_side_of_the_split(
    make_progression, visited
):
    cohort = assemble_cohort(make_progression(), [visited])
    case = cohort.cases[0]
    pair = cohort.pairs[case.name]

    assert len(cohort.cases) == 10
    assert (case.source, case.target) == (pair.baseline.scan, pair.follow_up.scan)
    assert (case.label, case.later) == (pair.baseline.labels, pair.follow_up.labels)
    assert {c.subject.partition("/")[2] for c in cohort.part("test")} == {"09", "10"}


def test_the_model_records_what_it_was_told_and_over_which_times(foreseeing):
    config = load_model(foreseeing).config

    assert set(config[CONDITIONS_KEY]) == {"dose", "shoe"}
    assert config[CONDITIONS_KEY]["dose"]["mean"] == pytest.approx(0.5)
    shortest, longest = config[INTERVALS_KEY]
    assert 300 / 365.25 <= shortest < longest <= 700 / 365.25
    assert Split.from_json(config["split"], where="model").subjects("test")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"visits": None}, "needs a 'visits' section"),
        ({"target": "T2w"}, "must be the same"),
        ({"preprocess": {}}, "set preprocess.target_intensity to"),
        ({"preprocess": {"target_intensity": {"name": "shared"}, "mask": "given"}}, "mask"),
        ({"visits": {}}, "growing_region needs visits.labels"),
        ({"method": {"name": "regression"}}, "goes with method"),
        (
            {
                "visits": {},
                "method": {"name": "progression"},
                "preprocess": {
                    "target_intensity": {"name": "shared"},
                    "further_regions": {"inner": [2]},
                },
            },
            "further_regions are values of visits.labels",
        ),
    ],
)
def test_pipelines_that_do_not_fit_together_are_refused(make_progression, changes, message):
    with pytest.raises(ConfigError, match=message):
        make_progression(**changes)


def test_a_further_region_that_nobody_has_is_refused(visited, make_progression, tmp_path):
    preprocess = make_progression().preprocess.model_dump(mode="json")
    pipeline = make_progression(preprocess=preprocess | {"further_regions": {"inner": [77]}})

    with pytest.raises(DatasetError, match=r"no training person has a voxel of 'inner' \(77\)"):
        train(pipeline, [visited], tmp_path / "run")


def test_resuming_equals_not_stopping(visited, make_progression, tmp_path):
    short = {
        "patch_size": [24, 24, 20], "num_steps": 6, "num_validations": 3, "precision": "32-true",
    }  # fmt: skip
    pipeline = make_progression(train=short)
    train(pipeline, [visited], tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(pipeline, [visited], tmp_path / "parts", progress=StopsAt(3))

    train(pipeline, [visited], tmp_path / "parts", resume=True)

    whole, parts = (load_model(tmp_path / name).weights for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    for name, weights in whole.items():
        np.testing.assert_array_equal(weights.numpy(), parts[name].numpy(), err_msg=name)


def test_weights_are_chosen_by_the_region_where_regions_are_labelled():
    plain = {"psnr": 20.0, "ssim": 0.9, "mae": 0.1}

    assert rate_weights(plain) == pytest.approx(29.0)
    assert rate_weights(plain | {"region": 0.1}) == pytest.approx(0.1)
    assert rate_weights(plain | {"region": 0.2}) > rate_weights(plain | {"region": 0.1, "psnr": 30})


@dataclass(frozen=True)
class Saying:
    """A model that says what the later region is."""

    region: torch.Tensor

    def region_at(self, label, years):
        return self.region[None]


def test_a_region_is_explained_by_the_share_of_its_squared_change():
    label, later = torch.zeros(1, 4, 4, 4), torch.zeros(1, 4, 4, 4)
    later[:, :2] = 1
    arrays = PreparedArrays(
        source=label, target=later, mask=label, seen=None, affine=np.eye(4), source_scale=None,
        target_scale=None, registration=None, fingerprint={}, label=label, later=later,
    )  # fmt: skip

    explained = [
        explain_region(Saying(said), arrays, 1.0)["region"]
        for said in (label, 0.5 * later, later, later + 2 * (1 - later))
    ]

    assert explained == pytest.approx([0, 0.75, 1, -3])
