"""What training costs is known before it starts."""

import pytest
import torch

from medtranslate.errors import MemoryShortageError
from medtranslate.workflows import training_cost as module
from medtranslate.workflows.device import make_fabric
from medtranslate.workflows.processes import Processes
from medtranslate.workflows.train import train
from medtranslate.workflows.training_cost import (
    estimate_training_memory,
    measure_training,
    need_training_memory,
    time_updates,
)


def test_memory_grows_with_the_voxels_and_holds_what_the_backward_pass_needs(make_pipeline):
    def estimate(patch, batch_size):
        training = {"patch_size": patch, "batch_size": batch_size, "num_steps": 1,
                    "precision": "32-true"}  # fmt: skip
        pipeline = make_pipeline(train=training)
        return estimate_training_memory(pipeline, make_fabric(pipeline))

    one, two, large = estimate([64] * 3, 1), estimate([64] * 3, 2), estimate([128] * 3, 1)

    # The source, its maps and the difference from the target alone: 6 float32 a voxel.
    assert one > 24 * 64**3
    assert 1.8 * one < two < 2.05 * one
    assert 7 * one < large < 8.2 * one


def test_a_training_that_cannot_fit_is_refused_in_bytes_before_it_starts(
    cohort, make_pipeline, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "free_bytes", lambda device: 1_234_567)

    with pytest.raises(MemoryShortageError, match=r"needs about [\d,]+ bytes.*1,234,567 bytes are"):
        train(make_pipeline(), [cohort], tmp_path / "run")


def test_measuring_leaves_the_random_numbers_as_they_were(make_pipeline):
    state = torch.get_rng_state()

    cost = measure_training(make_pipeline())

    assert torch.equal(torch.get_rng_state(), state)
    assert cost.seconds > 0
    assert cost.num_bytes > 16**3


def test_what_holds_an_update_up_is_not_what_it_costs(make_pipeline, monkeypatch):
    """Updates take one to five seconds, and longer once each because something else runs."""
    seconds = iter([1, 12, 13, 4, 15, 11, 2, 3, 14, 5])
    monkeypatch.setattr(module, "_time", lambda update, device: next(seconds))
    pipeline = make_pipeline()

    assert time_updates(pipeline, make_fabric(pipeline)) == 3


def test_a_progression_that_cannot_fit_is_refused_before_it_starts(
    visited, make_progression, tmp_path, monkeypatch
):
    pipeline = make_progression()
    # Source, target, mask, region today and later, nearness: more than 6 float32 a voxel.
    assert estimate_training_memory(pipeline, make_fabric(pipeline)) > 24 * 24 * 24 * 20
    monkeypatch.setattr(module, "free_bytes", lambda device: 234_567)

    with pytest.raises(MemoryShortageError, match=r"needs about [\d,]+ bytes.*234,567 bytes are"):
        train(pipeline, [visited], tmp_path / "run")


def test_processes_that_share_a_memory_need_it_all_together(make_pipeline, monkeypatch):
    pipeline = make_pipeline()
    fabric = make_fabric(pipeline)
    alone = estimate_training_memory(pipeline, fabric)
    monkeypatch.setattr(module, "free_bytes", lambda device: 2 * alone)

    need_training_memory(pipeline, fabric, Processes(count=4, count_here=2))
    with pytest.raises(MemoryShortageError, match=f"needs about {3 * alone:,} bytes"):
        need_training_memory(pipeline, fabric, Processes(count=3, count_here=3))
