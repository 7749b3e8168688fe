"""Every form of export, its refusals, and that it holds no pickle."""

from __future__ import annotations

import json

import pytest

from medtranslate.checkpoint import load_model
from medtranslate.errors import ConfigError
from medtranslate.workflows import prediction
from medtranslate.workflows.export.exporting import FORMS, export_model

NEEDS = {"onnx": ("onnx", "onnxruntime")}


@pytest.mark.parametrize("form", sorted(set(FORMS) - {"openvino"}))  # looked at in test_graphs
def test_a_form_is_written_without_pickle_and_tells_of_the_model(form, trained, tmp_path) -> None:
    for package in NEEDS.get(form, ()):
        pytest.importorskip(package, reason=f"the extra '{form}' is not installed")

    export = export_model(trained, form, tmp_path / "out")

    data = export.to_json()
    suffixes = {name.rpartition(".")[2] for name in data["files"]} - {"LICENSE"}
    assert suffixes <= {"json", "md", "safetensors", "onnx", "xml", "bin"}
    texts = "".join(path.read_text() for path in (tmp_path / "out").rglob("*.md"))
    assert "Research use only" in texts
    assert data["model_sha256"] == load_model(trained).sha256
    json.dumps(data, allow_nan=False)


def test_an_unknown_form_is_refused_with_those_there_are(trained, tmp_path) -> None:
    with pytest.raises(ConfigError, match="the forms are monai-bundle, onnx"):
        export_model(trained, "tensorrt", tmp_path / "out")


def test_a_folder_that_holds_something_is_left_alone(trained, tmp_path) -> None:
    (tmp_path / "mine.txt").write_text("mine")

    with pytest.raises(ConfigError, match="holds something already"):
        export_model(trained, "huggingface", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_progression_model_is_refused(trained, make_progression, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(prediction, "pipeline_from_json", lambda *_, **__: make_progression())

    with pytest.raises(ConfigError, match="simulates progression"):
        export_model(trained, "onnx", tmp_path / "out")
    assert not (tmp_path / "out").exists()
