"""The loop asks the device rarely, and nothing that happened in between is lost."""

import csv
import itertools
import os
import re
import signal

import pytest
import torch
from lightning_fabric import Fabric

from medtranslate.data.augmentation import AugmentationSettings, build_augmentation
from medtranslate.data.patches import PatchSampler, TrainingCase
from medtranslate.methods.regression import Regression, RegressionSettings
from medtranslate.methods.training import TrainingSettings
from medtranslate.networks.generator import Generator
from medtranslate.networks.settings import GeneratorSettings
from medtranslate.workflows import training_loop
from medtranslate.workflows.interruption import StopRequested
from medtranslate.workflows.progress import NoProgress
from medtranslate.workflows.training_loop import TrainingLoop

from ..methods.waiting import CountsReads

GENERATOR = GeneratorSettings(channels=8, blocks=(1, 1))


class DiesAfter(NoProgress):
    """Ends the program without a word when a step is over, and notes what is told."""

    def __init__(self, step=0):
        self._left = step
        self.heard = []

    def update(self, done, note=""):
        self._left -= 1
        if not self._left:
            raise ZeroDivisionError

    def tell(self, text):
        self.heard.append(text)


class Clock:
    """Stands in for the time module: a second goes by between two looks at it."""

    def __init__(self):
        self._now = 0.0

    def monotonic(self):
        self._now += 1.0
        return self._now


class Notes(NoProgress):
    """Notes how often a value had been read when each step was over."""

    def __init__(self, reads):
        self._reads = reads
        self.seen = []

    def update(self, done, note=""):
        self.seen.append(self._reads.count)


def nobody_validates(_):
    return {}, None


def build_loop(
    folder, *, progress=None, bad=(), read_every=1, validate=nobody_validates, **settings
):
    """A loop over 25 steps of which those in ``bad`` have no finite loss."""
    torch.manual_seed(0)
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    method = Regression(
        Generator(GENERATOR), RegressionSettings(name="regression", generator=GENERATOR), fabric
    )
    image = torch.rand(1, 20, 20, 20, generator=torch.Generator().manual_seed(1))
    case = TrainingCase(image, image, 0.5 * image, torch.ones_like(image), "person")
    sampler = PatchSampler(
        [case], patch_size=(16, 16, 16), batch_size=1, seed=0,
        augmentation=lambda: build_augmentation(AugmentationSettings()),
    )  # fmt: skip
    drawn = itertools.count()

    def spoil(batch):
        if next(drawn) in bad:
            batch["target"][0, 0, 3, 3, 3] = float("nan")
        return batch

    return TrainingLoop(
        method, sampler,
        settings=TrainingSettings(**{"num_steps": 25, "num_validations": 1} | settings),
        validate=validate, folder=folder, progress=progress or NoProgress(),
        send=spoil, read_every=read_every,
    )  # fmt: skip


@pytest.mark.parametrize(("sharding", "ended"), [("none", []), ("full", [True])])
def test_who_shares_weights_ends_a_validation_before_it_stops(sharding, ended, tmp_path):
    seen = []

    def validate(method):
        os.kill(os.getpid(), signal.SIGTERM)
        seen.append(True)
        return {}, None

    with pytest.raises(StopRequested, match="saved after step 0"):
        build_loop(tmp_path, validate=validate, sharding=sharding).run(resume=False)

    assert seen == ended


def saved_at(folder):
    return sorted(int(path.stem[5:]) for path in (folder / "checkpoints").glob("*.json"))


@pytest.mark.parametrize(
    ("length", "place"),
    [
        ({"num_steps": 10}, "step 6 of 10"),
        ({"num_steps": None, "time_budget": "26s"}, r"step 6, after 0\.283 min of 26s"),
    ],
)
def test_what_a_kill_between_validations_leaves_leads_to_the_same_weights(
    length, place, tmp_path, monkeypatch
):
    """Each step takes two seconds of this clock, and the validations one."""
    settings = length | {"checkpoint_every": "4s"}
    monkeypatch.setattr(training_loop, "time", Clock())
    whole = build_loop(tmp_path / "whole", **settings).run(resume=False)
    with pytest.raises(ZeroDivisionError):
        build_loop(tmp_path / "parts", progress=DiesAfter(8), **settings).run(resume=False)
    assert saved_at(tmp_path / "parts") == [4, 6]

    listener = DiesAfter()
    parts = build_loop(tmp_path / "parts", progress=listener, **settings).run(resume=True)

    torch.testing.assert_close(parts.weights, whole.weights, rtol=0, atol=0)
    assert [re.sub(f"goes on from {place}", "", text) for text in listener.heard] == [""]
    steps = [row["step"] for row in read_table(tmp_path / "parts" / "logs" / "metrics.csv")]
    assert steps == [row["step"] for row in read_table(tmp_path / "whole" / "logs" / "metrics.csv")]


def test_a_short_training_saves_nothing_between_its_validations(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(training_loop, "save_checkpoint", lambda _, step, __: saved.append(step))

    build_loop(tmp_path).run(resume=False)

    assert saved == [0, 25]


def test_waiting_for_a_batch_counts_as_time(tmp_path, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(training_loop, "time", clock)
    loop = build_loop(tmp_path, num_steps=None, time_budget="30s")
    sampler = loop._sampler

    def batches(first_step):
        for step in itertools.count(first_step):
            for _ in range(10):
                clock.monotonic()
            yield sampler.draw(step)

    monkeypatch.setattr(sampler, "batches", batches)

    loop.run(resume=False)

    assert loop._state.step == 3


def read_table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_between_two_readings_no_step_waits_for_the_device(tmp_path, monkeypatch):
    asked = []
    with CountsReads() as reads:
        notes = Notes(reads)
        loop = build_loop(tmp_path, progress=notes, read_every=10)
        read = loop._unread.read
        monkeypatch.setattr(loop._unread, "read", lambda: asked.append(len(notes.seen)) or read())
        loop.run(resume=False)

    assert len(notes.seen) == 25
    assert len(set(notes.seen)) == 1, "values are read in validations alone"
    assert asked == [0, 9, 19, 25], "before a validation, and after every tenth step"


def test_asking_rarely_gives_the_same_weights_log_and_skipped_batches(tmp_path):
    weights = {
        every: build_loop(tmp_path / str(every), bad=(0, 4, 17), read_every=every)
        .run(resume=False)
        .weights
        for every in (1, 10)
    }

    torch.testing.assert_close(weights[1], weights[10], rtol=0, atol=0)
    often, rarely = (tmp_path / str(every) / "logs" for every in (1, 10))
    skipped = read_table(rarely / "skipped.csv")
    assert [row["step"] for row in skipped] == ["0", "4", "17"]
    assert all(row["batch"].startswith("person at ") for row in skipped)
    assert skipped == read_table(often / "skipped.csv")
    rows = [
        [row | {"seconds": ""} for row in read_table(logs / "metrics.csv")]
        for logs in (often, rarely)
    ]
    assert rows[0] == rows[1]
    assert [row["num_skipped"] for row in rows[1]] == ["2", "3"]


@pytest.mark.parametrize("every", [1, 10])
def test_too_many_skipped_updates_end_it_and_the_one_too_many_is_named(every, tmp_path):
    loop = build_loop(tmp_path, bad=(1, 3, 6), read_every=every, max_skipped=2)

    learned = loop.run(resume=False)

    assert learned.divergence.to_json() == {"step": 6, "num_skipped": 3, "weights_of_step": 0}
    told = r"stopped at step 6: 3 updates .* the last from person at \d"
    assert re.search(told, learned.divergence.told)
    assert all(torch.isfinite(weights).all() for weights in learned.weights.values())
    assert len(read_table(tmp_path / "logs" / "skipped.csv")) == 3


@pytest.mark.parametrize(("psnrs", "helped"), [([20, 19], False), ([20, 21], True), ([], True)])
def test_a_training_that_did_not_help_says_so(psnrs, helped, tmp_path, caplog):
    scores = iter(psnrs)

    def validate(_):
        return ({"psnr": next(scores), "ssim": 0.5} if psnrs else {}), None

    build_loop(tmp_path, validate=validate).run(resume=False)

    assert ("the training did not help" in caplog.text) == (not helped)
