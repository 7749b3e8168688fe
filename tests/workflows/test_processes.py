"""Processes that train together train as one does with their patches in one batch."""

import csv
import os
import subprocess
import sys

import numpy as np
import pytest

from medtranslate.checkpoint import load_model
from medtranslate.errors import ConfigError
from medtranslate.io.atomic import write_text
from medtranslate.settings import format_yaml
from medtranslate.workflows import training_cost
from medtranslate.workflows.processes import Processes, find_processes
from medtranslate.workflows.run import run_pipeline
from medtranslate.workflows.train import train

from ..conftest import free_port
from .two_processes import run_in_two

GENERATOR = {"channels": 8, "blocks": [1, 1]}
REGRESSION = {"name": "regression", "generator": GENERATOR}
CGAN = {
    "name": "cgan",
    "generator": GENERATOR,
    "adversary": {"start": 0.0, "discriminator": {"channels": 8, "num_layers": 2}},
}


def build(make_pipeline, method, **settings):
    training = {"patch_size": [16, 16, 16], "num_steps": 10, "num_validations": 2,
                "precision": "32-true"}  # fmt: skip
    return make_pipeline(method=method, train=training | settings)


def losses(run):
    with (run / "logs" / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["loss"]]
    names = [name for name in ("loss", "adversarial", "discriminator") if rows[0][name]]
    return np.array([[float(row[name]) for name in names] for row in rows])


def check_same_training(two, one):
    assert losses(two).shape == losses(one).shape
    np.testing.assert_allclose(losses(two), losses(one), rtol=0, atol=1e-4)
    first, second = load_model(two).weights, load_model(one).weights
    for name, weights in first.items():
        np.testing.assert_allclose(weights.numpy(), second[name].numpy(), atol=1e-3, err_msg=name)


@pytest.mark.parametrize(
    ("method", "sharding"),
    [
        pytest.param(REGRESSION, "none", id="regression-none"),
        pytest.param(CGAN, "full", id="cgan-full"),
        pytest.param(REGRESSION, "full", id="regression-full", marks=pytest.mark.slow),
        pytest.param(CGAN, "none", id="cgan-none", marks=pytest.mark.slow),
    ],
)
def test_two_processes_train_as_one_with_the_doubled_batch(
    method, sharding, cohort, make_pipeline, tmp_path
):
    half = build(make_pipeline, method, batch_size=1, sharding=sharding)
    codes = run_in_two(train, half, [cohort], tmp_path / "two")
    train(build(make_pipeline, method, batch_size=2), [cohort], tmp_path / "one")

    assert codes == [0, 0]
    check_same_training(tmp_path / "two", tmp_path / "one")


def train_where_memory_may_be_short(*arguments):
    training_cost._may_be_short = lambda *_: True  # of this process, which is a child
    train(*arguments)


def test_one_of_two_processes_measures_the_memory_and_neither_waits_for_ever(
    cohort, make_pipeline, tmp_path
):
    pipeline = build(make_pipeline, REGRESSION, num_steps=1)

    assert run_in_two(train_where_memory_may_be_short, pipeline, [cohort], tmp_path) == [0, 0]
    assert load_model(tmp_path).weights


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("sharding", ["none", "full"])
def test_torchrun_trains_from_the_command_line(sharding, cohort, make_pipeline, tmp_path):
    pipeline = build(make_pipeline, REGRESSION, batch_size=1)
    write_text(tmp_path / "toy.yaml", format_yaml(pipeline.model_dump(mode="json")))
    words = ["train", tmp_path / "toy.yaml", "--data", cohort, "--out", tmp_path / "two"]
    words += ["--set", f"train.sharding={sharding}"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, "--master-port", str(free_port()), "-m", "medtranslate", *map(str, words)],
        capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    train(build(make_pipeline, REGRESSION, batch_size=2), [cohort], tmp_path / "one")

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Model") == 1
    check_same_training(tmp_path / "two", tmp_path / "one")


def test_what_one_process_alone_can_do_is_refused(
    make_pipeline, make_progression, cohort, tmp_path, monkeypatch
):
    both = Processes(rank=0, count=2, count_here=2)
    timed = {"time_budget": "9s", "min_steps": 5, "patch_size": [16, 16, 16]}

    with pytest.raises(ConfigError, match="trains in one process"):
        both.check(make_progression())
    with pytest.raises(ConfigError, match="--dry-run"):
        both.check(make_pipeline(train=timed))
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "4"), ("LOCAL_WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    assert find_processes() == Processes(rank=1, count=4, count_here=2)
    assert find_processes().num_machines == 2
    with pytest.raises(ConfigError, match="use 'train', then 'validate'"):
        run_pipeline(make_pipeline(), [cohort], tmp_path / "run")
