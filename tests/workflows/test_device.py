"""A batch is brought to where the method learns, and several processes agree."""

import json
import subprocess
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from monai.data import MetaTensor

from medtranslate.errors import ConfigError
from medtranslate.pipeline import build_generator
from medtranslate.workflows.device import (
    agree_on_most,
    choose_precision,
    choose_processor,
    make_fabric,
    send_batch,
)
from medtranslate.workflows.progress import NoProgress
from medtranslate.workflows.run import run_pipeline
from medtranslate.workflows.train import train


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_every_tensor_of_a_batch_is_sent_to_the_device(device):
    batch = {"source": torch.ones(1, 2, 4, 4, 4), "years": torch.ones(1)}

    sent = send_batch(SimpleNamespace(device=torch.device(device)), batch)

    assert {key: tensor.device.type for key, tensor in sent.items()} == dict.fromkeys(batch, device)
    assert {key: tensor.shape for key, tensor in sent.items()} == {
        key: tensor.shape for key, tensor in batch.items()
    }


def test_a_batch_is_of_plain_tensors(make_pipeline):
    image = MetaTensor(torch.rand(1, 1, 4, 4, 4))

    sent = send_batch(make_fabric(make_pipeline()), {"source": image})["source"]

    assert type(sent) is torch.Tensor
    torch.testing.assert_close(sent, image.as_tensor(), rtol=0, atol=0)


def test_one_process_agrees_with_itself(make_pipeline):
    assert agree_on_most(make_fabric(make_pipeline()), [15, 2.5]) == [15, 2.5]


@pytest.mark.parametrize("precision", ["auto", "bf16-mixed", "32-true"])
def test_a_model_predicts_where_and_as_it_was_trained(precision, make_pipeline):
    pipeline = make_pipeline(
        train={"patch_size": [16, 16, 16], "num_steps": 4, "precision": precision}
    )
    fabric, processor = make_fabric(pipeline), choose_processor(pipeline)
    layer = processor.to_device(torch.nn.Linear(4, 2))
    values = torch.rand(3, 4)

    with fabric.autocast():
        trained = layer(fabric.to_device(values))
    with processor.autocast():
        predicted = layer(processor.to_device(values))

    assert processor.device == fabric.device
    torch.testing.assert_close(predicted, trained, rtol=0, atol=0)


def test_predicting_does_not_wait_for_what_training_needs():
    look = (
        "import sys, medtranslate.workflows.translate, medtranslate.workflows.validate,"
        " medtranslate.workflows.simulate\n"
        "print(*{'torch._dynamo', 'lightning_fabric', 'torch.distributed.tensor'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", look], check=True, capture_output=True, text=True)

    assert done.stdout.split() == []


def thin_pipeline(make_pipeline, *, first=32, **train):
    """Features of its patches are ``first / 16`` voxels at the coarsest level."""
    return make_pipeline(
        method={"name": "regression", "generator": {"channels": 16, "blocks": [1, 1, 1, 1]}},
        train={"patch_size": [first, 32, 32], "num_steps": 4, **train},
    )


def fill_free_memory():
    """With what no sum survives, for whoever reads memory that nobody wrote."""
    return [torch.full((10**n,), float("nan")) for n in (3, 4, 5, 6)] * 10


@pytest.mark.parametrize("first", [16, 32, 48])
def test_gradients_are_those_of_float32_however_thin_the_patch(first, make_pipeline):
    pipeline = thin_pipeline(make_pipeline, first=first)
    torch.manual_seed(0)
    network, patch = build_generator(pipeline), torch.rand(1, 2, first, 32, 32)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)

    def differentiate(context):
        network.zero_grad()
        fill_free_memory()
        with context:
            result = network(patch)
        result.square().mean().backward()
        return {name: weights.grad.clone() for name, weights in network.named_parameters()}

    found = differentiate(make_fabric(pipeline).autocast())

    for name, expected in differentiate(nullcontext()).items():
        off = float((found[name] - expected).norm() / expected.norm())
        assert off < 0.1, f"{name} is off by {off:.2f}"


def test_bf16_is_not_taken_where_it_is_wrong(make_pipeline, cohort, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    asked = thin_pipeline(make_pipeline, precision="bf16-mixed")

    assert choose_processor(thin_pipeline(make_pipeline, first=48)).bf16
    assert not choose_processor(thin_pipeline(make_pipeline)).bf16
    for start in (train, run_pipeline):
        with pytest.raises(ConfigError, match=r"wrong gradients .* is 32.* at least 48"):
            start(asked, [cohort], tmp_path / "run")


@pytest.mark.parametrize(
    ("knows_bf16", "first", "told"),
    [
        (True, 48, "bf16: the processor computes in it"),
        (False, 48, "float32: the processor does not compute in bf16"),
        (True, 32, "float32: bf16 gradients are wrong for patches of 32 voxels along the first"),
    ],
)
def test_a_precision_says_why(knows_bf16, first, told, make_pipeline, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: knows_bf16)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    assert str(choose_precision(thin_pipeline(make_pipeline, first=first))).startswith(told)


class Listens(NoProgress):
    """Keeps what is told."""

    def __init__(self):
        self.told = []

    def tell(self, text):
        self.told.append(text)


def test_training_tells_and_records_where_and_how_it_computes(make_pipeline, cohort, tmp_path):
    listener = Listens()
    pipeline = make_pipeline(
        train={"patch_size": [16, 16, 16], "num_steps": 1, "num_validations": 1,
               "precision": "32-true"},
    )  # fmt: skip

    model = train(pipeline, [cohort], tmp_path / "run", progress=listener)

    assert "computes on cpu in float32: asked for" in listener.told
    provenance = json.loads((model / "provenance.json").read_text())
    assert (provenance["device"], provenance["precision"]) == ("cpu", "32-true")
