"""A tiny cohort, a pipeline for it and a model trained on it for a moment."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from medtranslate.geometry import Geometry
from medtranslate.io import write_volume
from medtranslate.metrics.calibration import Calibration
from medtranslate.pipeline import Pipeline, pipeline_from_json
from medtranslate.volume import Volume
from medtranslate.workflows import validate as validate_module
from medtranslate.workflows.analyses.base import AbstractAnalysis
from medtranslate.workflows.analyses.coverage import Coverage
from medtranslate.workflows.analyses.risk_coverage import RiskCoverage
from medtranslate.workflows.train import train

SHAPE = (22, 26, 18)
OBLIQUE = np.array(
    [
        [-1.9, 0.2, 0.1, 20.0],
        [0.2, 1.9, -0.3, -17.0],
        [0.1, 0.2, 2.9, 4.0],
        [0.0, 0.0, 0.0, 1.0],
    ]
)


def orthogonal(affine: np.ndarray) -> np.ndarray:
    """The nearest affine whose voxel axes stand at right angles."""
    left, _, right = np.linalg.svd(affine[:3, :3] / [1.9, 1.9, 2.9])
    result = affine.copy()
    result[:3, :3] = left @ right * [1.9, 1.9, 2.9]
    return result


def write_person(dataset: Path, subject: str, *, seed: int, target: str = "T2w") -> None:
    """A skull-stripped person whose target is a blurred, inverted source on an oblique grid."""
    noise = np.random.default_rng(seed).normal(size=SHAPE)
    source = np.clip(500 + 900 * gaussian_filter(noise, 1.2), 40, None)
    inverted = np.clip(1100 - gaussian_filter(source, 1.0), 40, None)
    inside = np.zeros(SHAPE, bool)
    inside[3:19, 4:21, 2:15] = True
    inside[3:6, 4:7, :] = False
    for contrast, voxels in (("T1w", source), (target, inverted)):
        path = dataset / f"sub-{subject}" / "anat" / f"sub-{subject}_{contrast}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        stored = np.where(inside, np.rint(voxels), 0).astype(np.float32)
        write_volume(path, Volume(stored[None], Geometry(SHAPE, orthogonal(OBLIQUE))))


def write_dataset(folder: Path, subjects: dict[str, int]) -> Path:
    """A BIDS dataset of people, by label and seed."""
    for subject, seed in subjects.items():
        write_person(folder, subject, seed=seed)
    description = {"Name": folder.name, "BIDSVersion": "1.9.0", "DatasetType": "raw"}
    (folder / "dataset_description.json").write_text(json.dumps(description))
    return folder


def build_pipeline(**changes: Any) -> Pipeline:  # Any: whatever the pipeline file holds
    """A pipeline that trains for a moment; sections are replaced by keyword."""
    data: dict[str, Any] = {
        "name": "toy",
        "source": "T1w",
        "target": "T2w",
        "split": {"val_subjects": ["03"], "test_subjects": ["04", "05"]},
        "preprocess": {"crop_margin_mm": 2.0},
        "method": {"name": "regression", "generator": {"channels": 8, "blocks": [1, 1]}},
        "train": {
            "patch_size": [16, 16, 16],
            "num_steps": 4,
            "num_validations": 1,
            "precision": "32-true",
        },
    }
    return pipeline_from_json(data | changes, where="test")


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five people, T1w and T2w, skull-stripped, on an oblique anisotropic grid."""
    folder = tmp_path_factory.mktemp("data") / "toy"
    return write_dataset(folder, {f"{n:02d}": n for n in range(1, 6)})


@pytest.fixture(scope="session")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people whom no model knows."""
    return write_dataset(tmp_path_factory.mktemp("data") / "other", {"x1": 31, "x2": 32})


@pytest.fixture(scope="session")
def make_pipeline() -> Callable[..., Pipeline]:
    """`build_pipeline`."""
    return build_pipeline


@pytest.fixture(scope="session")
def trained(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a model trained on the cohort for a moment; 04 and 05 are held out."""
    run = tmp_path_factory.mktemp("run") / "run"
    train(build_pipeline(), [cohort], run)
    return run


@pytest.fixture
def only_coverage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Validation looks at coverage alone: the other analyses have tests of their own."""

    def choose(*, calibration: Calibration, **_: object) -> list[AbstractAnalysis]:
        return [Coverage(calibration), RiskCoverage()]

    monkeypatch.setattr(validate_module, "choose_analyses", choose)
