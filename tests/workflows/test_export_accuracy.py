"""Neither graphs nor windows cost accuracy on real targets: a small model on the sample data."""

from pathlib import Path

import numpy as np
import pytest
import torch

from medtranslate.data.cases import find_cases
from medtranslate.data.index import index_datasets
from medtranslate.inference.engines import LIMITS
from medtranslate.inference.settings import InferenceChoices
from medtranslate.networks.inputs import make_inputs
from medtranslate.pipeline import read_pipeline
from medtranslate.preprocess.loading import voxels_of
from medtranslate.workflows.held_out import read_split
from medtranslate.workflows.prediction import load_translator
from medtranslate.workflows.train import train

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "sample_data"
MOST_DB = {"fp32": 0.005, "bf16": 0.05}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    overrides = [
        "train.time_budget=null", "train.num_steps=40", "train.num_validations=1",
        "train.patch_size=[48,48,48]", "train.precision=32-true", "method.adversary.weight=0",
        "method.generator.norm=none", "inference.window=null",
        "split.val_subjects=[phantom02]", "split.test_subjects=[phantom01,phantom08]",
    ]  # fmt: skip
    out = tmp_path_factory.mktemp("export") / "run"
    train(read_pipeline(ROOT / "pipelines" / "demo.yaml", overrides), [DATA], out)
    return out


def predict_held_out(run, **choices):
    """Each held-out person's target, mask, prediction and starting map on the model grid."""
    translator = load_translator(run, choices=InferenceChoices(**choices))
    pipeline, held_out = translator.pipeline, read_split(translator.model).subjects("test")
    cases = find_cases(index_datasets([DATA]), source=pipeline.source, target=pipeline.target)
    found = {}
    for case in cases:
        if case.subject in held_out:
            prepared = translator.prepare(case, with_target=True)
            engine = translator.choose_engine(prepared)
            assert (engine.name, engine.precision) == (choices["engine"], choices["precision"])
            prediction = translator.predict_normalised(prepared)
            inputs = make_inputs(prepared.source, prepared.mask)
            with torch.inference_mode():
                start = translator.generator.begin(inputs[None])[0]
            images = (prepared.target, prepared.mask, prediction, start)
            found[case.name] = [voxels_of(image).astype(np.float64) for image in images]
    return found


def psnr(target, mask, prediction):
    return -10 * np.log10(((target - prediction)[mask > 0] ** 2).mean())


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_graph_predicts_real_targets_as_well_as_torch_in_float32(run, precision, capsys):
    pytest.importorskip("openvino", reason="the extra 'openvino' is not installed")
    expected = predict_held_out(run, engine="torch", precision="fp32")
    found = predict_held_out(run, engine="openvino", precision=precision)

    assert len(found) == 2
    for name, (target, mask, prediction, start) in found.items():
        plain = expected[name][2]
        difference = np.abs(prediction - plain).max() / np.ptp(plain)
        change = psnr(target, mask, prediction) - psnr(target, mask, plain)
        with capsys.disabled():
            print(f"\n{name} {precision}: largest difference {difference:.1e} of the range,"
                  f" {psnr(target, mask, plain):.2f} dB {change:+.4f} dB")  # fmt: skip
        correction = (plain - start)[mask > 0].std() / np.ptp(plain)
        assert correction > 10 * LIMITS["fp32"], "the model has learned something"
        assert difference < LIMITS[precision]
        assert abs(change) < MOST_DB[precision]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_windows_predict_real_targets_as_well_as_the_whole_volume(run, capsys):
    plain = {"engine": "torch", "precision": "fp32"}
    expected = predict_held_out(run, **plain)
    found = predict_held_out(run, memory_gb=1e-6, **plain)

    assert len(found) == 2
    for name, (target, mask, prediction, _) in found.items():
        whole = expected[name][2]
        difference = np.abs(prediction - whole)[mask > 0] / np.ptp(whole)
        change = psnr(target, mask, prediction) - psnr(target, mask, whole)
        with capsys.disabled():
            print(f"\n{name} windows of 48: largest difference {difference.max():.1e} of the range,"
                  f" mean {difference.mean():.1e}, {change:+.4f} dB")  # fmt: skip
        assert 0 < difference.max() < 0.005
        assert abs(change) < 0.005
