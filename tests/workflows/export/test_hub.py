"""A folder for the Hub is a model folder with a header that the Hub reads."""

from __future__ import annotations

import shutil

import numpy as np

from medtranslate.io import read_volume
from medtranslate.settings import parse_yaml
from medtranslate.workflows.export.exporting import export_model
from medtranslate.workflows.export.hub import write_hub_folder
from medtranslate.workflows.prediction import load_translator
from medtranslate.workflows.translate import translate


def read_header(folder):
    """The YAML above the card."""
    _, header, card = (folder / "README.md").read_text().split("---\n", 2)
    return parse_yaml(header, where="README.md"), card


def test_the_folder_translates_as_the_model_does(trained, cohort, tmp_path) -> None:
    source = cohort / "sub-04" / "anat" / "sub-04_T1w.nii.gz"
    export_model(trained, "huggingface", tmp_path / "hub")

    translate(tmp_path / "hub", [source], tmp_path / "hub.nii.gz")
    translate(trained, [source], tmp_path / "model.nii.gz")

    np.testing.assert_array_equal(
        read_volume(tmp_path / "hub.nii.gz").voxels, read_volume(tmp_path / "model.nii.gz").voxels
    )


def test_the_header_tells_no_licence_and_no_scores_that_are_not_known(trained, tmp_path) -> None:
    export_model(trained, "huggingface", tmp_path / "hub")

    header, card = read_header(tmp_path / "hub")

    assert header["license"] == "unknown"
    assert header["pipeline_tag"] == "image-to-image"
    assert "model-index" not in header
    assert card.strip() == (trained / "model" / "MODEL_CARD.md").read_text().strip()


def test_known_scores_are_in_the_index(trained, tmp_path) -> None:
    model = shutil.copytree(trained / "model", tmp_path / "model")
    translator = load_translator(model)
    translator.model.provenance["scores"] = {"means": {"psnr": 30.5, "ssim": 0.9}}

    write_hub_folder(translator, tmp_path / "hub")

    header, _ = read_header(tmp_path / "hub")
    metrics = header["model-index"][0]["results"][0]["metrics"]
    assert metrics == [{"type": "psnr", "value": 30.5}, {"type": "ssim", "value": 0.9}]
