"""A network as an ONNX file computes what torch computes, at any shape."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from medtranslate.errors import MissingExtraError
from medtranslate.inference import onnx_graph
from medtranslate.inference.onnx_graph import run_onnx, write_onnx
from medtranslate.networks.generator import Generator
from medtranslate.networks.settings import GeneratorSettings

NEEDS = "the extra 'onnx' is not installed"


@pytest.mark.parametrize("dimensions", ["2.5d", "3d"])
def test_a_generator_is_the_same_at_another_shape(dimensions, tmp_path) -> None:
    pytest.importorskip("onnx", reason=NEEDS)
    pytest.importorskip("onnxruntime", reason=NEEDS)
    torch.manual_seed(0)
    settings = GeneratorSettings(dimensions=dimensions, channels=8, blocks=(1, 1))
    network = Generator(settings).eval()
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    size = settings.divisor

    write_onnx(network, torch.rand(1, 2, 2 * size, size, 3 * size), tmp_path / "model.onnx")

    source = torch.rand(1, 2, size, 3 * size, 2 * size)
    with torch.inference_mode():
        expected = network(source)
    assert expected.std() > 0.1
    torch.testing.assert_close(run_onnx(tmp_path / "model.onnx", source), expected, rtol=0,
                               atol=1e-5)  # fmt: skip


def test_what_onnx_cannot_express_is_an_error(tmp_path) -> None:
    pytest.importorskip("onnx", reason=NEEDS)

    class Strange(nn.Module):
        def forward(self, source):
            return torch.special.bessel_j0(source)

    with pytest.raises(RuntimeError, match="ONNX cannot express the network"):
        write_onnx(Strange().eval(), torch.rand(1, 1, 2, 2, 2), tmp_path / "model.onnx")


def test_an_absent_package_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(onnx_graph.importlib.util, "find_spec", lambda _: None)
    example, path = torch.rand(1, 1, 2, 2, 2), tmp_path / "model.onnx"

    with pytest.raises(MissingExtraError, match=r"onnx is not .*medtranslate\[onnx\]"):
        write_onnx(nn.Identity(), example, path)
    with pytest.raises(MissingExtraError, match=r"onnxruntime is not .*medtranslate\[onnx\]"):
        run_onnx(path, example)
