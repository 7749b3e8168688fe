"""A full disk costs nothing that was there, and is told as what it is."""

import shutil
import subprocess

import numpy as np
import pytest
import torch

from medtranslate.checkpoint import load_model, load_newest_checkpoint, save_checkpoint
from medtranslate.errors import VolumeWriteError
from medtranslate.io.atomic import append_text
from medtranslate.workflows.progress import NoProgress
from medtranslate.workflows.train import train

FULL = r"the disk is full \(at least [\d,]+ bytes needed, [\d,]+ bytes free\)"


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 4 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounting = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk])
    if mounting.returncode:
        pytest.skip("a small disk can be mounted by root only")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def fill(disk):
    """A file that leaves no byte on the disk."""
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(disk).free))
    return ballast


def test_a_checkpoint_that_does_not_fit_leaves_those_before(small_disk):
    for step in (1, 2):
        save_checkpoint(small_disk, step, {"weights": torch.full((200_000,), float(step))})

    with pytest.raises(VolumeWriteError, match=FULL) as caught:
        save_checkpoint(small_disk, 3, {"weights": torch.full((900_000,), 3.0)})

    assert "3,600," in str(caught.value), "four bytes a weight"
    assert load_newest_checkpoint(small_disk)[0] == 2
    assert [path.name for path in small_disk.iterdir() if "tmp" in path.name] == []


def test_a_row_that_does_not_fit_leaves_the_table_whole(small_disk):
    table = small_disk / "metrics.csv"
    table.write_text("step,loss\n")
    fill(small_disk)

    with pytest.raises(VolumeWriteError, match=f"{FULL}; what it held before is whole"):
        append_text(table, "1," + "2" * 10_000 + "\n")

    assert table.read_text() == "step,loss\n"


class _FillsAt(NoProgress):
    """Fills the disk when the training has taken a number of steps."""

    def __init__(self, disk, step):
        self._disk, self._step, self._training = disk, step, False
        self.ballast = None

    def stage(self, name, total):
        self._training = name == "train"

    def update(self, done, note=""):
        if self._training and done == self._step:
            self.ballast = fill(self._disk)


def test_a_training_that_filled_the_disk_goes_on_to_the_same_weights(
    small_disk, cohort, make_pipeline, tmp_path
):
    training = {"patch_size": [16, 16, 16], "num_steps": 6, "num_validations": 3,
                "precision": "32-true"}  # fmt: skip
    pipeline = make_pipeline(train=training)
    train(pipeline, [cohort], tmp_path / "whole", cache=tmp_path / "cache")
    filling = _FillsAt(small_disk, 3)

    with pytest.raises(VolumeWriteError, match=FULL):
        train(pipeline, [cohort], small_disk / "run", cache=tmp_path / "cache", progress=filling)
    assert list((small_disk / "run").rglob(".*")) == []
    filling.ballast.unlink()
    train(pipeline, [cohort], small_disk / "run", cache=tmp_path / "cache", resume=True)

    whole, parts = (load_model(run).weights for run in (tmp_path / "whole", small_disk / "run"))
    for name, weights in whole.items():
        np.testing.assert_array_equal(weights.numpy(), parts[name].numpy(), err_msg=name)
