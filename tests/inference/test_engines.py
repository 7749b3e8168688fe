"""The engine fits what was asked for, the volume and the machine, and is checked before use."""

from contextlib import nullcontext
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from medtranslate.inference import engines as module
from medtranslate.inference.engines import LIMITS, Engines, make_probe
from medtranslate.inference.settings import InferenceSettings
from medtranslate.networks.correction import CorrectionNetwork
from medtranslate.networks.generator import Generator
from medtranslate.networks.settings import GeneratorSettings

CPU = torch.device("cpu")
LARGE, SMALL = (100, 110, 120), (40, 40, 40)


def build_generator(**settings):
    torch.manual_seed(0)
    generator = Generator(GeneratorSettings(channels=8, blocks=(1, 1), **settings)).eval()
    for parameter in generator.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return generator


def build_engines(generator, folder, autocast=nullcontext):
    return Engines(
        generator.correct,
        lambda: CorrectionNetwork(generator).eval(),
        generator.predict_with,
        num_channels=2,
        num_exported_channels=4,
        divisor=generator.settings.divisor,
        autocast=autocast,
        folder=folder,
    )


def choose(engines, shape=SMALL, device=CPU, **settings):
    return engines.choose(shape, device, settings=InferenceSettings(**settings))


@pytest.fixture
def openvino():
    return pytest.importorskip("openvino", reason="the extra 'openvino' is not installed")


@pytest.mark.parametrize("dimensions", ["3d", "2.5d"])
@pytest.mark.parametrize(("precision", "limit"), [("fp32", 1e-5), ("bf16", 1e-2)])
def test_the_exported_generator_predicts_what_torch_predicts(
    dimensions, precision, limit, tmp_path, openvino
):
    generator = build_generator(dimensions=dimensions)
    engine = choose(build_engines(generator, tmp_path), engine="openvino", precision=precision)
    source = make_probe(2, 4, (5, 6, 3)) ** 2

    with torch.inference_mode():
        expected, (found, start) = generator(source), engine.run(source).split(1, dim=1)

    torch.testing.assert_close(start, generator.begin(source))
    span = float(expected.max() - expected.min())
    assert (engine.name, engine.precision) == ("openvino", precision)
    assert float((found - expected).abs().max()) < limit * span
    assert engine.difference is not None
    assert engine.difference < limit


def test_a_graph_that_computes_something_else_is_refused(tmp_path, openvino):
    generator, other = build_generator(), build_generator()
    torch.nn.init.normal_(other.head.weight, std=0.5)
    engines = build_engines(generator, tmp_path)
    engines._exported = lambda: CorrectionNetwork(other).eval()

    engine = choose(engines, engine="openvino")

    assert engine.name == "torch"
    assert "off by" in engine.why


class Contrast(nn.Module):
    """Takes the mean out of what a convolution gives, where bf16 has left little of the rest."""

    def __init__(self, *, level, convolutions):
        super().__init__()
        torch.manual_seed(0)
        self.level = level
        self.before = nn.Sequential(
            *[nn.Conv3d(1, 1, 1, bias=False) for _ in range(convolutions - 1)]
        )
        self.convolution = nn.Conv3d(1, 4, 1, bias=False)
        self.norm, self.last = nn.InstanceNorm3d(4), nn.Conv3d(4, 1, 1)
        for layer in self.before:
            nn.init.ones_(layer.weight)

    def forward(self, source):
        features = self.convolution(self.before(source + self.level))
        return self.last(functional.leaky_relu(self.norm(features), 0.1))


@pytest.mark.skipif(
    not torch.cpu._is_avx512_bf16_supported(), reason="the processor does not compute in bf16"
)
@pytest.mark.parametrize(
    ("level", "convolutions", "found", "exact_start"),
    [(0, 1, "bf16", False), (20, 1, "bf16", True), (20, 2, "fp32", False)],
)
def test_a_graph_that_is_off_in_bf16_is_computed_more_exactly(
    level, convolutions, found, exact_start, tmp_path, openvino
):
    network = Contrast(level=level, convolutions=convolutions).eval()
    engines = Engines(
        network, lambda: network, lambda run, source: run(source), num_channels=1,
        num_exported_channels=1, divisor=4, autocast=nullcontext, folder=tmp_path,
    )  # fmt: skip

    engine = choose(engines, engine="openvino")

    assert (engine.name, engine.precision, engine.exact_start) == ("openvino", found, exact_start)
    assert engine.difference < LIMITS[found]
    assert ("bf16 is off by" in engine.why) == (level > 0)
    assert engine.to_json().get("FirstConvolution") == ("fp32" if exact_start else None)


def test_a_network_that_cannot_be_exported_is_left_to_torch(tmp_path, openvino, monkeypatch):
    def refuse(*_):
        raise RuntimeError("no such operation\nand much more")

    monkeypatch.setattr(module, "export_graph", refuse)

    engine = choose(build_engines(build_generator(), tmp_path), engine="openvino")

    assert engine.name == "torch"
    assert engine.why.endswith("(no such operation)")


@pytest.mark.parametrize(
    ("installed", "shape", "device", "settings", "why"),
    [
        (True, LARGE, CPU, {"engine": "torch"}, "asked for"),
        (True, LARGE, torch.device("cuda"), {}, "on cuda"),
        (False, LARGE, CPU, {}, "not installed"),
        (True, SMALL, CPU, {}, "too small"),
    ],
)
def test_torch_computes_where_a_graph_is_not_wanted_possible_or_worth_it(
    installed, shape, device, settings, why, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "has_openvino", lambda: installed)

    engine = choose(build_engines(build_generator(), tmp_path), shape, device, **settings)

    assert engine.name == "torch"
    assert why in engine.why


def test_a_large_volume_is_worth_an_export_which_is_done_once(tmp_path, openvino):
    engines = build_engines(build_generator(), tmp_path)

    engine = choose(engines, LARGE)

    assert engine.name == "openvino"
    assert choose(engines, LARGE) is engine


@pytest.mark.parametrize(
    ("precision", "trained_in_bf16", "expected"),
    [
        ("auto", True, "bf16"),
        ("auto", False, "fp32"),
        ("bf16", False, "bf16"),
        ("fp32", True, "fp32"),
    ],
)
def test_torch_computes_in_the_precision_asked_for(precision, trained_in_bf16, expected, tmp_path):
    generator = build_generator()
    autocast = partial(torch.autocast, "cpu", torch.bfloat16, enabled=trained_in_bf16)
    engine = choose(
        build_engines(generator, tmp_path, autocast), engine="torch", precision=precision
    )
    source = make_probe(2, 4, (3, 3, 3))

    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=expected == "bf16"):
        wanted = generator(source)

    with torch.inference_mode():
        torch.testing.assert_close(engine.run(source)[:, :1], wanted, rtol=0, atol=0)
    assert engine.precision == expected
    assert engine.to_json() == {"Engine": "torch", "Precision": expected}
