"""A model card says what is known of data, split, scores and limits, and what is not known."""

from __future__ import annotations

import json
import shutil

import pytest

from medtranslate.checkpoint import load_model
from medtranslate.workflows.cohort import assemble_cohort
from medtranslate.workflows.model_card import describe_data, write_scores

HEADINGS = ("Intended use", "Data", "Training", "Scores", "Limits", "Intensities",
            "Licence and contact", "Use")  # fmt: skip

SCORES = {
    "model": "toy",
    "n": 7,
    "intensity_unit": "HU",
    "protocol": {"name": "rule", "hash": "abc123"},
    "metrics": {
        "psnr": {"mean": 31.234, "interval": [30.0, 32.5]},
        "ssim": {"mean": 0.98765, "interval": None},
        "mae": {"mean": "infinite"},
    },
    "baselines": {"copy": {key: {"mean": 1.0} for key in ("psnr", "ssim", "mae")}},
}


@pytest.fixture
def model(trained, tmp_path):
    """A copy of the trained model's folder."""
    return shutil.copytree(trained / "model", tmp_path / "model")


def test_a_fresh_card_has_every_part_and_says_that_it_was_not_scored(trained) -> None:
    card = (trained / "model" / "MODEL_CARD.md").read_text()

    assert [line[3:] for line in card.splitlines() if line.startswith("## ")] == list(HEADINGS)
    assert "Not known: the model was not scored" in card
    assert "| train | 2 | 2 |" in card
    assert "| test | 2 | 2 |" in card
    assert load_model(trained).config["split"]["hash"][:12] in card
    assert "| voxel size foot-head (mm) | 2.9 | 2.9 |" in card


def test_data_are_told_with_name_and_licence_or_as_not_known(cohort, strangers, make_pipeline,
                                                             tmp_path) -> None:  # fmt: skip
    known = shutil.copytree(cohort, tmp_path / "known")
    told = {"Name": "A | B\n<b>", "License": "CC0", "DatasetDOI": "doi:10.1/x"}
    (known / "dataset_description.json").write_text(json.dumps(told))
    (strangers / "dataset_description.json").rename(tmp_path / "aside.json")
    try:
        found = assemble_cohort(make_pipeline(), [known, strangers])
    finally:
        (tmp_path / "aside.json").rename(strangers / "dataset_description.json")

    data = {one["dataset"]: one for one in describe_data(found)}

    assert data["known"]["License"] == "CC0"
    assert data["other"]["License"] == ""
    assert data["known"]["people"]["test"] == 2
    assert sum(data["other"]["pairs"].values()) == 2


def test_scores_enter_the_card_and_leave_the_model_as_it_was(model) -> None:
    before = load_model(model)

    write_scores(before, SCORES)

    card = (model / "MODEL_CARD.md").read_text()
    assert "| toy | 31.23 [30.00, 32.50] | 0.988 | infinite |" in card
    assert "| copy | 1.00 | 1.000 | 1.000 |" in card
    assert "Means over 7 people" in card
    assert "protocol rule abc123" in card
    assert "MAE [HU]" in card
    after = load_model(model)
    assert after.sha256 == before.sha256
    assert after.provenance["scores"]["means"] == {"psnr": 31.234, "ssim": 0.98765,
                                                   "mae": "infinite"}  # fmt: skip
    assert after.provenance["versions"] == before.provenance["versions"]


def test_a_text_of_a_dataset_cannot_break_the_table(model) -> None:
    loaded = load_model(model)
    loaded.provenance["data"][0] |= {"Name": "A | B\n<b>", "License": ""}

    write_scores(loaded, SCORES)

    card = (model / "MODEL_CARD.md").read_text()
    assert "| toy | A \\| B &lt;b&gt; | not known | not known | not known |" in card


def test_a_model_that_recorded_no_data_says_so(model) -> None:
    loaded = load_model(model)
    del loaded.provenance["data"]

    write_scores(loaded, SCORES)

    card = (model / "MODEL_CARD.md").read_text()
    assert "Datasets and their licences: not known." in card
    assert "| train | 2 | not known |" in card


def test_scores_do_not_take_out_of_the_card_that_training_ended_early(model) -> None:
    path = model / "provenance.json"
    stopped = {"step": 70, "num_skipped": 9, "weights_of_step": 60}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"stopped": stopped}))

    write_scores(load_model(model), SCORES)

    card = (model / "MODEL_CARD.md").read_text()
    assert "**Training ended early**, at step 70: 9 updates" in card
    assert "of step 60." in card
    assert "31.23" in card
