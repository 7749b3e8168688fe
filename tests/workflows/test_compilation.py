"""torch.compile is taken where it was measured to win, and nowhere else."""

from types import SimpleNamespace

import pytest
import torch
from lightning_fabric import Fabric

from medtranslate.pipeline import build_generator, build_method
from medtranslate.workflows.compilation import choose_compilation

from ..methods.waiting import CountsReads

LONG = {"time_budget": "20m", "patch_size": [16, 16, 16]}
GPU = SimpleNamespace(device=torch.device("cuda"), world_size=1)


def choose(pipeline, seconds, fabric=GPU):
    asked = []

    def measure(_, __, mode):
        asked.append(mode)
        if seconds[mode] is None:
            raise RuntimeError("the compiler failed")
        return seconds[mode]

    return choose_compilation(pipeline, fabric, measure=measure), asked


@pytest.mark.parametrize(
    ("plain", "fused", "graph", "expected"),
    [
        (1.0, 0.8, 0.9, "default"),
        (1.0, 0.8, 0.5, "reduce-overhead"),
        (1.0, 1.2, 0.97, None),
        (1.0, None, 0.7, "reduce-overhead"),
        (1.0, None, None, None),
    ],
)
def test_the_fastest_mode_is_taken_if_it_gains(make_pipeline, plain, fused, graph, expected):
    seconds = {None: plain, "default": fused, "reduce-overhead": graph}

    assert choose(make_pipeline(train=LONG), seconds)[0] == expected


@pytest.mark.parametrize(
    ("training", "fabric"),
    [
        (LONG | {"compile": "never"}, GPU),
        (LONG | {"time_budget": "9m"}, GPU),
        ({"num_steps": 4999, "patch_size": [16, 16, 16]}, GPU),
        (LONG, SimpleNamespace(device=torch.device("cpu"), world_size=1)),
        (LONG, SimpleNamespace(device=torch.device("cuda"), world_size=2)),
    ],
)
def test_where_it_cannot_pay_nothing_is_measured(make_pipeline, training, fabric):
    assert choose(make_pipeline(train=training), {}, fabric) == (None, [])


@pytest.mark.parametrize("name", ["regression", "cgan"])
def test_a_compiled_generator_is_called_in_updates_and_keeps_the_names_of_its_weights(
    name, make_pipeline, monkeypatch
):
    pipeline = make_pipeline(method={"name": name, "generator": {"channels": 8, "blocks": [1, 1]}})
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    batch = {
        key: torch.ones(1, channels, 16, 16, 16)
        for key, channels in (("source", 2), ("target", 1), ("mask", 1))
    }
    calls = []

    def compile_nothing(work, *, mode, dynamic):
        assert not dynamic

        def compiled(*arguments):
            calls.append(mode)
            return work(*arguments)

        return compiled

    monkeypatch.setattr(torch, "compile", compile_nothing)
    plain, compiled = (build_method(pipeline, build_generator(pipeline), fabric) for _ in "ab")
    compiled.compile("default")
    compiled.update(batch, progress=0.1)
    plain.update(batch, progress=0.1)
    compiled.translate(batch["source"])

    assert calls == ["default"]
    assert compiled.generator.state_dict().keys() == plain.generator.state_dict().keys()
    compiled.load_state(plain.state())
    with CountsReads() as reads:
        compiled.update(batch, progress=0.1)
    assert reads.count == 0
