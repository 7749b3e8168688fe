"""The pipeline file: what fits together, what is refused, and what is written out."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from medtranslate.errors import ConfigError
from medtranslate.pipeline import METHODS, Pipeline, pipeline_from_json, read_pipeline

SMALLEST: dict[str, Any] = {
    "name": "job",
    "source": "T1w",
    "target": "T2w",
    "preprocess": {"mask": "nonzero"},
    "method": {"name": "regression"},
    "train": {"num_steps": 10, "patch_size": [32, 32, 32]},
}


def write(folder: Path, data: dict[str, Any]) -> Path:
    """A pipeline file with this content."""
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def change(**values: object) -> dict[str, Any]:
    """The smallest pipeline with ``part__key`` set to other values."""
    data = copy.deepcopy(SMALLEST)
    for name, value in values.items():
        *parents, last = name.split("__")
        node = data
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return data


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "job.yaml: no such file"),
        (b"\xff\xfe\x00", "job.yaml: cannot be read as text"),
        (bytes(1 << 21), "job.yaml: cannot be read as text .holds more than 1,048,576 bytes"),
    ],
)
def test_a_file_that_is_no_text_is_named(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "job.yaml").write_bytes(content)

    with pytest.raises(ConfigError, match=message):
        read_pipeline(tmp_path / "job.yaml")


def test_the_smallest_file_is_enough(tmp_path: Path) -> None:
    pipeline = read_pipeline(write(tmp_path, SMALLEST))

    assert pipeline.training.num_steps == 10
    assert pipeline.preprocess.mask == "nonzero"
    assert pipeline.method.name == "regression"


def test_an_override_wins_over_the_file(tmp_path: Path) -> None:
    pipeline = read_pipeline(write(tmp_path, SMALLEST), ["train.num_steps=7", "target=FLAIR"])

    assert (pipeline.training.num_steps, pipeline.target) == (7, "FLAIR")


def test_the_resolved_file_is_the_same_pipeline(tmp_path: Path) -> None:
    pipeline = read_pipeline(write(tmp_path, change(preprocess__spacing_mm=[1.0, 1.0, 3.0])))

    resolved = pipeline.model_dump(mode="json")

    assert pipeline_from_json(resolved, where="recorded") == pipeline
    assert read_pipeline(write(tmp_path, resolved)) == pipeline


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (change(target="T1w"), "source and target are both 'T1w'"),
        (change(preprocess__mask="given"), "preprocess.mask: given"),
        (change(mask="mask+desc-brain"), "preprocess.mask: given"),
        (change(train__time_budget="20m"), "either num_steps or time_budget"),
        (change(train__num_steps=None), "either num_steps or time_budget"),
        (change(train__patch_size=[33, 32, 32]), "multiples of"),
        (change(train__patch_size=[8, 32, 32]), "at least 16 voxels"),
        (change(method__name="magic"), "method"),
        (change(name="two words"), "name"),
        (change(name="a" * 81), "name"),
        (change(source="../T1w"), "not a contrast selector"),
        (change(target="Xray"), "not a contrast that is understood"),
        (change(evaluation__protocols=["monay"]), "'brasyn' or 'monai'.*got 'monay'"),
        (change(preproces__mask="otsu"), "did you mean 'preprocess'"),
        (change(evaluation__samples=10), "0 for none, or at least 19"),
        (change(train=None), "method regression is trained: give 'train'"),
        (
            change(evaluation__uncertainty=True, augmentation__flip_probability=0.0),
            "needs augmentation.flip_probability above 0",
        ),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, data: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_pipeline(write(tmp_path, data))


@pytest.mark.parametrize(("budget", "seconds"), [("90s", 90), ("20m", 1200), ("2h", 7200)])
def test_a_time_budget_is_in_seconds(budget: str, seconds: float) -> None:
    data = change(train__num_steps=None, train__time_budget=budget)

    pipeline = pipeline_from_json(data, where="test")

    assert pipeline.training.budget_seconds == seconds


def test_the_table_of_methods_is_that_of_the_schema() -> None:
    choices = Pipeline.model_json_schema()["properties"]["method"]["discriminator"]["mapping"]

    assert set(choices) == {*METHODS, "progression", "reaction_diffusion"}
