"""Patch and network are as large as the time allows, and a run that goes on keeps its sizes."""

import math

import pytest

from medtranslate.errors import ConfigError, MemoryShortageError
from medtranslate.io.atomic import write_text
from medtranslate.settings import format_yaml
from medtranslate.workflows.sizing import fit_to_machine, list_smaller
from medtranslate.workflows.training_cost import TrainingCost


class Machine:
    """Needs a time and a memory that grow with patch and channels."""

    def __init__(self, seconds, *, bytes_a_voxel=0, free=1e9):
        self._seconds, self._bytes, self._free = seconds, bytes_a_voxel, free
        self.num_measured = 0

    def __call__(self, pipeline):
        self.num_measured += 1
        voxels = math.prod(pipeline.train.patch_size)
        if voxels * self._bytes > self._free:
            raise MemoryShortageError("too large")
        channels = pipeline.method.generator.channels
        return TrainingCost(self._seconds * voxels * channels / (64**3 * 16), 1_000_000, 0.3)


@pytest.fixture
def pipeline(make_pipeline):
    return make_pipeline(
        method={"name": "regression", "generator": {"channels": 16}},
        train={"time_budget": "1000s", "min_steps": 900, "patch_size": [64, 80, 64]},
    )


def sizes(pipeline):
    return pipeline.train.patch_size, pipeline.method.generator.channels


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.5, ((64, 80, 64), 16)),
        (1.0, ((64, 64, 64), 16)),
        (1.6, ((64, 64, 64), 8)),
        (16.0, ((32, 32, 32), 8)),
    ],
)
def test_sizes_follow_from_what_an_update_takes(pipeline, seconds, expected):
    machine = Machine(seconds)

    sizing = fit_to_machine(pipeline, measure=machine)

    assert sizes(sizing.pipeline) == expected
    assert sizing.num_steps >= 900
    assert machine.num_measured <= 3
    assert ("asked for patches of 64x80x64" in sizing.describe()) is (seconds > 0.5)


def test_each_candidate_is_smaller_than_the_one_before(pipeline):
    works = [math.prod(p) * c for p, c in map(sizes, list_smaller(pipeline))]

    assert works == sorted(works, reverse=True)
    assert works[-1] == 32**3 * 8


def test_a_machine_that_is_too_slow_for_anything_is_told(pipeline):
    with pytest.raises(ConfigError, match=r"too short on this machine.*32x32x32.*allows 360"):
        fit_to_machine(pipeline, measure=Machine(40.0))


def test_what_does_not_fit_the_memory_is_made_smaller(pipeline):
    machine = Machine(0.1, bytes_a_voxel=4000)

    assert sizes(fit_to_machine(pipeline, measure=machine).pipeline) == ((48, 64, 64), 8)


def test_without_a_least_number_of_updates_nothing_changes(make_pipeline):
    pipeline = make_pipeline()

    sizing = fit_to_machine(pipeline, measure=Machine(1e6))

    assert sizing.pipeline == pipeline
    assert sizing.num_steps == pipeline.train.num_steps


def test_a_run_that_goes_on_keeps_its_sizes_and_another_pipeline_does_not(
    pipeline, make_pipeline, tmp_path
):
    chosen = fit_to_machine(pipeline, measure=Machine(1.0)).pipeline
    write_text(tmp_path / "pipeline.yaml", format_yaml(chosen.model_dump(mode="json")))
    other = pipeline.model_copy(update={"target": "FLAIR"})

    assert fit_to_machine(pipeline, run=tmp_path, measure=Machine(0.1)).pipeline == chosen
    assert fit_to_machine(other, run=tmp_path, measure=Machine(0.1)).pipeline == other


def test_what_was_chosen_is_described_in_one_line(pipeline):
    told = fit_to_machine(pipeline, measure=Machine(1.0)).describe()

    assert told.startswith("patches of 64x64x64 voxels, 16 channels; asked for")
    assert "about 900 updates in 16.7 min" in told
