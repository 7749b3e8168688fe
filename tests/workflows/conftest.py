"""A tiny cohort, a pipeline for it and a model trained on it for a moment."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from medtranslate.geometry import Geometry
from medtranslate.io import write_volume
from medtranslate.metrics.calibration import Calibration
from medtranslate.pipeline import Pipeline, pipeline_from_json
from medtranslate.volume import Volume
from medtranslate.workflows import scoring_plan
from medtranslate.workflows.analyses.base import AbstractAnalysis
from medtranslate.workflows.analyses.coverage import Coverage
from medtranslate.workflows.analyses.risk_coverage import RiskCoverage
from medtranslate.workflows.progress import NoProgress
from medtranslate.workflows.train import train

if TYPE_CHECKING:
    from distributed import LocalCluster

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

    monkeypatch.setattr(scoring_plan, "choose_analyses", choose)


def write_visits(folder: Path, people: int) -> Path:
    """People with a bright ball that grows by 2 mm a year if their dose is 1, not if it is 0."""
    affine = orthogonal(OBLIQUE)
    place = Geometry(SHAPE, affine)
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij")).reshape(3, -1)
    world = affine[:3, :3] @ (index - (np.array(SHAPE) - 1)[:, None] / 2)
    rows = ["participant_id\tdose\tshoe"]
    for number in range(1, people + 1):
        draw = np.random.default_rng(number)
        dose, first, days = number % 2, 6 + 2 * draw.random(), int(draw.integers(300, 700))
        rows.append(f"sub-{number:02d}\t{dose}\t{draw.integers(36, 46)}")
        person = folder / f"sub-{number:02d}"
        for session, years in ((1, 0.0), (2, days / 365.25)):
            radius = first + 2 * dose * years
            distance = np.linalg.norm(world - [[3.0], [-2.0], [4.0]], axis=0).reshape(SHAPE)
            ball = 1 / (1 + np.exp(distance - radius))
            head = np.linalg.norm(world / [[20], [23], [26]], axis=0).reshape(SHAPE) < 1
            voxels = head * (300 + 600 * ball + draw.normal(0, 4, SHAPE))
            stem = f"sub-{number:02d}_ses-{session}"
            anat = person / f"ses-{session}" / "anat"
            write_volume(
                anat / f"{stem}_T1w.nii.gz", Volume(voxels.astype(np.float32)[None], place)
            )
            mask = (distance <= radius).astype(np.uint8)
            write_volume(
                anat / f"{stem}_label-tumor_mask.nii.gz",
                Volume(mask[None], place, None, "label"),
            )
        (person / f"sub-{number:02d}_sessions.tsv").write_text(
            f"session_id\tdays_since_baseline\nses-1\t0\nses-2\t{days}\n"
        )
    (folder / "participants.tsv").write_text("\n".join(rows) + "\n")
    description = {"Name": folder.name, "BIDSVersion": "1.9.0", "DatasetType": "raw"}
    (folder / "dataset_description.json").write_text(json.dumps(description))
    return folder


def build_progression_pipeline(**changes: Any) -> Pipeline:  # Any: as in build_pipeline
    """A progression pipeline for :func:`write_visits` that trains for some seconds."""
    data: dict[str, Any] = {
        "name": "visits",
        "source": "T1w",
        "target": "T1w",
        "visits": {"covariates": ["dose", "shoe"], "labels": "mask+label-tumor"},
        "split": {"val": 0, "test_subjects": ["09", "10"]},
        "preprocess": {"crop_margin_mm": 2.0, "target_intensity": {"name": "shared"}},
        "augmentation": {"affine_probability": 0, "deformation_probability": 0},
        "method": {
            "name": "progression",
            "generator": {"channels": 8, "levels": 2, "growing_region": True},
            "optimiser": {"learning_rate": 3e-3, "ema_decay": 0.9},
            "adversary": {"weight": 0},
        },
        "train": {
            "patch_size": [24, 24, 20],
            "num_steps": 30,
            "num_validations": 1,
            "precision": "32-true",
        },
    }
    return pipeline_from_json(data | changes, where="test")


@pytest.fixture(scope="session")
def visited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten people with two visits each."""
    return write_visits(tmp_path_factory.mktemp("data") / "visits", 10)


@pytest.fixture(scope="session")
def make_progression() -> Callable[..., Pipeline]:
    """`build_progression_pipeline`."""
    return build_progression_pipeline


@pytest.fixture(scope="session")
def foreseeing(visited: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a progression model trained on the visits."""
    run = tmp_path_factory.mktemp("run") / "progression"
    train(build_progression_pipeline(), [visited], run)
    return run


class StopsAt(NoProgress):
    """Interrupts the training once it has taken a number of steps."""

    def __init__(self, step):
        self._step = step
        self._training = False

    def stage(self, name, total):
        self._training = name == "train"

    def update(self, done, note=""):
        if self._training and done == self._step:
            raise KeyboardInterrupt


@pytest.fixture
def two_workers() -> Iterator[LocalCluster]:
    """A scheduler and two worker processes on this machine."""
    distributed = pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        dashboard_address=None,
        host="127.0.0.1",
        scheduler_kwargs={"dashboard_address": ":0"},
    ) as started:
        yield started
