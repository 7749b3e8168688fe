"""Processes that share the weights out keep a part each, and train as one does."""

import os
import signal

import pytest
import torch

from medtranslate.errors import ConfigError
from medtranslate.methods.sharding import gather
from medtranslate.pipeline import build_generator, build_method
from medtranslate.workflows.device import ALONE, make_fabric
from medtranslate.workflows.processes import find_processes
from medtranslate.workflows.progress import NoProgress
from medtranslate.workflows.run import run_pipeline
from medtranslate.workflows.train import train

from .test_processes import CGAN, REGRESSION, build, check_same_training
from .two_processes import run_in_two


class StopsAfter(NoProgress):
    """Asks its process to stop after a step."""

    def __init__(self, step):
        self._step = step

    def update(self, done, note=""):
        if note and done == self._step:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.parametrize(("first", "then"), [("full", "full"), ("full", "none"), ("none", "full")])
def test_sharded_or_not_it_goes_on_from_the_same_checkpoint(
    first, then, cohort, make_pipeline, tmp_path
):
    def pipeline(**settings):
        return build(make_pipeline, CGAN, num_steps=20, **settings)

    def run(sharding, **options):
        half = pipeline(batch_size=1, sharding=sharding)
        return run_in_two(train, half, [cohort], tmp_path / "two", **options)

    stopped = run(first, progress=StopsAfter(10))
    resumed = run(then, resume=True)
    train(pipeline(batch_size=2), [cohort], tmp_path / "one")

    assert 0 not in stopped
    assert resumed == [0, 0]
    check_same_training(tmp_path / "two", tmp_path / "one")


def start(pipeline):
    """A sharded method and a batch, in one of two processes."""
    torch.manual_seed(0)
    fabric = make_fabric(pipeline, find_processes())
    method = build_method(pipeline, build_generator(pipeline), fabric)
    source = torch.rand(1, 2, 16, 16, 16)
    target, mask = source[:, :1].sqrt(), torch.ones(1, 1, 16, 16, 16)
    return fabric, method, {"source": source, "target": target, "mask": mask}


def check_parts(pipeline):
    fabric, method, batch = start(pipeline)
    method.update(batch, progress=0.5)

    optimiser = method._learner._optimiser
    kept = {
        "average": list(method.generator.parameters()),
        "weights": list(optimiser.network.parameters()),
        "gradients": [weight.grad for weight in optimiser.network.parameters()],
        "moments": [entry["exp_avg"] for entry in optimiser._adamw.state.values()],
        "squares": [entry["exp_avg_sq"] for entry in optimiser._adamw.state.values()],
    }
    whole = sum(weight.numel() for weight in build_generator(pipeline).parameters())
    for name, tensors in kept.items():
        here = torch.tensor(sum(tensor.to_local().numel() for tensor in tensors))
        both = int(fabric.all_reduce(here, reduce_op="sum"))
        assert both == whole, f"{name}: the parts of both have {both} values, the network {whole}"


def check_left_out(pipeline):
    fabric, method, batch = start(pipeline)
    method.update(batch, progress=0.5)
    before = gather(method._learner._optimiser.network.state_dict())
    if fabric.global_rank == 0:
        batch["target"][0, 0, 3, 3, 3] = float("nan")
    method.update(batch, progress=0.5)

    after = gather(method._learner._optimiser.network.state_dict())
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    assert method.num_skipped == 1


def check_state(pipeline):
    _, method, batch = start(pipeline)
    for _ in range(3):
        method.update(batch, progress=0.5)
    state = method.state()
    other = start(pipeline)[1]
    other.load_state(state)

    assert type(state["generator"]["average"]["module.head.bias"]) is torch.Tensor
    torch.testing.assert_close(other.state(), state, rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("check", [check_parts, check_left_out, check_state])
def test_two_processes_hold_one_method(check, make_pipeline):
    pipeline = build(make_pipeline, REGRESSION, sharding="full")

    assert run_in_two(check, pipeline) == [0, 0]


def test_one_process_has_nobody_to_share_with(cohort, make_pipeline, make_progression, tmp_path):
    pipeline = build(make_pipeline, REGRESSION, sharding="full")

    with pytest.raises(ConfigError, match="shares the weights out among several processes"):
        ALONE.check(pipeline)
    with pytest.raises(ConfigError, match=r"Start 'medtranslate train' with torchrun, or"):
        run_pipeline(pipeline, [cohort], tmp_path / "run")
    with pytest.raises(ConfigError, match=r"train.sharding goes with methods that turn a contrast"):
        make_progression(train={"num_steps": 5, "patch_size": [16, 16, 16], "sharding": "full"})
