"""An exported graph computes what the network computes, or is not written."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from medtranslate.errors import CheckpointError
from medtranslate.inference.graph import Graph
from medtranslate.inference.onnx_graph import run_onnx
from medtranslate.workflows.export import graphs
from medtranslate.workflows.export.exporting import export_model
from medtranslate.workflows.export.graphs import compare_with_network
from medtranslate.workflows.prediction import load_translator


@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_the_graph_computes_the_network_and_its_difference_is_kept(form, trained, tmp_path) -> None:
    for package in {"onnx": ("onnx", "onnxruntime"), "openvino": ("openvino",)}[form]:
        pytest.importorskip(package, reason=f"the extra '{form}' is not installed")
    generator = load_translator(trained).generator.cpu()
    export_model(trained, form, tmp_path / "out")

    source = torch.from_numpy(np.random.default_rng(0).random((1, 2, 12, 8, 20), np.float32))
    if form == "onnx":
        found = run_onnx(tmp_path / "out" / "model.onnx", source)
    else:
        found = Graph(tmp_path / "out" / "model.xml", precision="fp32")(source)

    with torch.inference_mode():
        torch.testing.assert_close(found, generator(source), rtol=0, atol=1e-5)
    suffixes = {path.suffix for path in (tmp_path / "out").iterdir()}
    assert suffixes <= {".json", ".md", ".onnx", ".xml", ".bin"}
    told = json.loads((tmp_path / "out" / "graph.json").read_text())
    assert 0 <= told["check"]["max_difference"] < told["check"]["limit"]
    assert told["input"]["shape"][1] == source.shape[1]


def test_a_graph_that_is_off_is_not_written(trained, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(graphs, "write_onnx", lambda network, example, path: path.touch())
    generator = load_translator(trained).generator.cpu()
    monkeypatch.setattr(graphs, "run_onnx", lambda _, source: generator(source).detach() + 0.01)

    with pytest.raises(CheckpointError, match="off by 1.0e-02"):
        export_model(trained, "onnx", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_difference_is_the_largest_and_the_range_that_of_the_network(trained) -> None:
    generator = load_translator(trained).generator.cpu()
    probe = torch.rand(1, 2, 8, 8, 8)

    def run(source):
        found = generator(source).detach().clone()
        found[0, 0, 1, 2, 3] -= 0.25
        return found

    difference, span = compare_with_network(generator, run, probe)

    expected = generator(probe).detach()
    np.testing.assert_allclose(difference, 0.25, rtol=1e-5)
    np.testing.assert_allclose(span, float(expected.max() - expected.min()), rtol=1e-6)
