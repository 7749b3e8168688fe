"""Perceptual distance in an evaluation."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
import torch
from monai.networks.nets import resnet10
from safetensors.torch import save_file
from scipy import ndimage

from medtranslate.errors import CheckpointError
from medtranslate.geometry import Geometry
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoreboard import Scoreboard, ScoredPrediction
from medtranslate.metrics.scoring import score_against
from medtranslate.metrics.yardstick import make_yardstick
from medtranslate.volume import Volume
from medtranslate.workflows.analyses.choose import choose_analyses
from medtranslate.workflows.analyses.perceptual import PerceptualAnalysis
from medtranslate.workflows.scored_case import ScoredCase

SHAPE = (34, 36, 32)


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    network = resnet10(
        spatial_dims=3, n_input_channels=1, shortcut_type="B", bias_downsample=False,
        feed_forward=False,
    )  # fmt: skip
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


def test_every_method_has_its_distance_in_table_file_and_summary(weights):
    texture = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal(SHAPE), 1.5)
    mask = np.zeros(SHAPE, bool)
    mask[2:-2, 2:-2, 2:-2] = True
    real = np.where(mask, 500 + 900 * texture, 0).clip(0).astype(np.float32)
    geometry = Geometry(SHAPE, np.eye(4))
    volumes = {
        name: Volume(array[None], geometry, "T2w")
        for name, array in {
            "blurred": ndimage.gaussian_filter(real, 2.0),
            "perfect outside of the air": np.where(mask, real, 77.0).astype(np.float32),
        }.items()
    }
    reference = Volume(real[None], geometry, "T2w")
    case = ScoredCase("a", "a", reference, {n: (v, None) for n, v in volumes.items()}, mask)
    protocol = Protocol(interval_resamples=100)
    yardstick = make_yardstick(reference, mask, protocol)
    brought = {name: yardstick.bring(v.voxels, scale=None) for name, v in volumes.items()}
    analysis = PerceptualAnalysis(weights)

    analysis.add(case, yardstick, brought)

    rows = [ScoredPrediction("a", "a", n, score_against(yardstick, p)) for n, p in brought.items()]
    found = analysis.finish(Scoreboard(tuple(rows), "blurred", False, protocol))
    table = {
        row["method"]: float(row["distance"])
        for row in csv.DictReader(io.StringIO(found.files["perceptual.csv"]))
    }
    assert table["perfect outside of the air"] == 0.0
    assert table["blurred"] > 0.01
    assert found.summary["by_method"][0]["distance"]["mean"] == table["blurred"]
    assert found.summary["weights_sha256"][:12] in found.section.lead


def test_it_is_made_only_where_weights_are_given_and_refused_where_they_are_absent(tmp_path):
    names = [one.name for one in choose_analyses(protocols=(), thorough=True)]

    assert "perceptual" not in names
    with pytest.raises(CheckpointError, match="resnet_10_23dataset"):
        choose_analyses(protocols=(), thorough=False, perceptual=tmp_path / "absent.safetensors")
