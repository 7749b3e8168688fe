"""Training and prediction on an NVIDIA GPU, where there is one."""

import csv

import numpy as np
import pytest
import torch

from medtranslate.inference.settings import InferenceChoices
from medtranslate.workflows.prediction import load_translator
from medtranslate.workflows.sources import collect_cases
from medtranslate.workflows.train import train

from ..workflows.conftest import build_pipeline, write_dataset

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no NVIDIA GPU here"),
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(
        tmp_path_factory.mktemp("data") / "toy", {f"{n:02d}": n for n in range(1, 6)}
    )


@pytest.fixture(scope="module")
def run(dataset, tmp_path_factory):
    """The run folder of a model trained on the GPU in bf16."""
    training = {"patch_size": [16, 16, 16], "num_steps": 200, "num_validations": 2}
    out = tmp_path_factory.mktemp("run") / "run"
    train(build_pipeline(train=training), [dataset], out)
    return out


def test_the_loss_falls_and_no_update_is_left_out(run):
    with (run / "logs" / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["loss"]]

    losses = [float(row["loss"]) for row in rows]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    assert rows[-1]["num_skipped"] == "0"


def test_the_gpu_predicts_in_float32_what_the_cpu_predicts(run, dataset):
    translator = load_translator(run, choices=InferenceChoices(engine="torch", precision="fp32"))
    prepared = translator.prepare(collect_cases(translator, [dataset])[0])
    assert translator.fabric.device.type == "cuda"

    source = torch.rand((1, 2, 16, 16, 16), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        there = translator.generator(source.cuda()).cpu()
        here = translator.generator.cpu()(source)
    translator.fabric.to_device(translator.generator)

    torch.testing.assert_close(there, here, rtol=0, atol=1e-3)
    assert bool(torch.isfinite(translator.predict_normalised(prepared)).all())
