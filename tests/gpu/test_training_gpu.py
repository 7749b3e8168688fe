"""Training and prediction on an NVIDIA GPU, where there is one."""

import csv

import numpy as np
import pytest
import torch

from medtranslate.data.augmentation import AugmentationSettings, build_augmentation
from medtranslate.data.patches import PatchSampler, TrainingCase
from medtranslate.inference.settings import InferenceChoices
from medtranslate.pipeline import build_generator, build_method
from medtranslate.workflows import training_start
from medtranslate.workflows.compilation import MODES
from medtranslate.workflows.device import make_fabric
from medtranslate.workflows.prediction import load_translator
from medtranslate.workflows.sources import collect_cases
from medtranslate.workflows.train import train
from medtranslate.workflows.training_loop import TrainingLoop

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


def test_no_step_waits_for_the_gpu_between_two_readings(dataset, tmp_path, monkeypatch):
    """Torch itself refuses to wait, but where the loop reads and validates."""

    def wait_again(work):
        def call(*arguments, **named):
            torch.cuda.set_sync_debug_mode("default")
            try:
                return work(*arguments, **named)
            finally:
                torch.cuda.set_sync_debug_mode("error")

        return call

    advance = TrainingLoop._advance

    def watch(loop, *arguments):
        torch.cuda.set_sync_debug_mode("error")
        try:
            advance(loop, *arguments)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(TrainingLoop, "_read", wait_again(TrainingLoop._read))
    monkeypatch.setattr(TrainingLoop, "_advance", watch)
    # In a thread of its own batches may wait; the mode that refuses is that of the whole process.
    monkeypatch.setattr(training_start, "place_scans", lambda *_: torch.device("cpu"))
    training = {"patch_size": [16, 16, 16], "num_steps": 25, "num_validations": 1}

    train(build_pipeline(train=training), [dataset], tmp_path / "run")

    with (tmp_path / "run" / "logs" / "metrics.csv").open(newline="") as file:
        assert [row["step"] for row in csv.DictReader(file) if row["loss"]] == ["10", "20"]


def test_patches_cut_on_the_gpu_are_those_of_the_cpu():
    image = torch.rand(1, 40, 36, 32, generator=torch.Generator().manual_seed(0))
    case = TrainingCase(image, image.clone(), 1 - image, (image > 0.3).float())
    first = []
    for device in ("cpu", "cuda"):
        sampler = PatchSampler(
            [case], patch_size=(16, 16, 16), batch_size=2, seed=0, device=torch.device(device),
            augmentation=lambda: build_augmentation(AugmentationSettings()),
        )  # fmt: skip
        batches = sampler.batches(0)
        first.append([next(batches) for _ in range(4)])
        batches.close()

    for here, there in zip(*first, strict=True):
        assert {tensor.device.type for tensor in there.values()} == {"cuda"}
        for key in ("source", "target"):
            torch.testing.assert_close(there[key].cpu(), here[key], rtol=0, atol=1e-3)


@pytest.mark.parametrize("mode", MODES)
def test_a_compiled_generator_learns_what_the_plain_one_does(mode):
    pipeline = build_pipeline()
    fabric = make_fabric(pipeline)
    shown = torch.rand(1, 2, 16, 16, 16, device="cuda")
    batch = {"source": shown, "target": shown[:, :1].sqrt(), "mask": torch.ones_like(shown[:, :1])}
    losses = []
    for chosen in (None, mode):
        torch.manual_seed(0)
        method = build_method(pipeline, build_generator(pipeline), fabric)
        if chosen is not None:
            method.compile(chosen)
        losses.append([float(method.update(batch, progress=0.1)["loss"]) for _ in range(5)])

    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-2)


def test_the_gpu_predicts_in_float32_what_the_cpu_predicts(run, dataset):
    translator = load_translator(run, choices=InferenceChoices(engine="torch", precision="fp32"))
    prepared = translator.prepare(collect_cases(translator, [dataset])[0])
    assert translator.processor.device.type == "cuda"

    source = torch.rand((1, 2, 16, 16, 16), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        there = translator.generator(source.cuda()).cpu()
        here = translator.generator.cpu()(source)
    translator.processor.to_device(translator.generator)

    torch.testing.assert_close(there, here, rtol=0, atol=1e-3)
    assert bool(torch.isfinite(translator.predict_normalised(prepared)).all())
