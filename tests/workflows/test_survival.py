"""Whatever ends a training, the next call goes on, and every file left behind is whole."""

import csv
import json
import multiprocessing
import os
import random
import signal
import time
from collections import Counter

import numpy as np
import pytest
from safetensors.numpy import load_file

from medtranslate.checkpoint import load_model, load_newest_checkpoint
from medtranslate.errors import ConfigError
from medtranslate.io import read_volume, sidecar_path
from medtranslate.pipeline import Pipeline
from medtranslate.workflows.progress import NoProgress
from medtranslate.workflows.run import run_pipeline
from medtranslate.workflows.train import train
from medtranslate.workflows.translate import translate
from medtranslate.workflows.verify import verify

# Children are forked from a server that has imported the heavy libraries once.
FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(["medtranslate.workflows.run"])


def long_pipeline(make_pipeline) -> Pipeline:
    """Twelve steps with a checkpoint after each, so that much of the time goes into saving."""
    training = {"patch_size": [16, 16, 16], "num_steps": 12, "num_validations": 12,
                "precision": "32-true"}  # fmt: skip
    return make_pipeline(train=training)


def start(job, pipeline, cohort, out, **options):
    """A process that does, or goes on with, a job."""
    options["resume"] = True
    process = FORKING.Process(target=job, args=(pipeline, [cohort], out), kwargs=options)
    process.start()
    return process


def wait_until(condition):
    """Wait for another process; the test's own timeout ends it if that never comes."""
    while not condition():
        time.sleep(0.002)


def check_whole(folder) -> None:
    """Read every file under its final name strictly."""
    for path in folder.rglob("*"):
        if path.is_dir() or any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if path.suffix == ".json":
            json.loads(path.read_text("utf-8"))
        elif path.suffix == ".safetensors":
            load_file(path)
        elif path.name.endswith(".nii.gz"):
            read_volume(path)
            assert path.parent.name != "anat" or sidecar_path(path).is_file()
        elif path.suffix == ".csv" and "logs" not in path.parts:
            with path.open(newline="") as file:
                assert len({len(row) for row in csv.reader(file)}) == 1
        elif path.suffix == ".html":
            assert path.read_text("utf-8").rstrip().endswith("</html>")
    if (folder / "model").exists():
        load_model(folder)


def kill_again_and_again(job, pipeline, cohort, out, *, kills: int, longest: float) -> int:
    """Kill a job that goes on each time, until it is done or was killed often enough.

    Each time it may save once more before it is killed within ``longest`` seconds, so that most
    kills fall into steps and into saving; how often it was killed.
    """
    moments = random.Random(kills)
    for killed in range(kills):
        before = newest_name(out)
        process = start(job, pipeline, cohort, out)
        while newest_name(out) == before and process.exitcode is None:
            time.sleep(0.002)
        process.join(moments.uniform(0, longest))
        process.kill()
        process.join()
        check_whole(out)
        if process.exitcode == 0:
            return killed
        assert process.exitcode == -signal.SIGKILL
    return kills


class TellsStage(NoProgress):
    """Keeps the name of the stage that a job is in, in a file."""

    def __init__(self, path):
        self._path = path

    def stage(self, name, total):
        new = self._path.with_suffix(".new")
        new.write_text(name)
        new.replace(self._path)


def kill_in_stage(stage, pipeline, cohort, out, *, after: float) -> str:
    """Kill a run so many seconds after it began a stage; where that was, or "" if it was done."""
    told = out.with_suffix(".stage")
    told.write_text("")
    process = start(run_pipeline, pipeline, cohort, out, progress=TellsStage(told))
    wait_until(lambda: told.read_text() == stage or process.exitcode is not None)
    process.join(after)
    process.kill()
    process.join()
    check_whole(out)
    assert process.exitcode in (0, -signal.SIGKILL)
    return "" if process.exitcode == 0 else told.read_text()


def newest_name(out) -> str:
    return max((path.name for path in (out / "checkpoints").glob("step-*.json")), default="")


def finish(job, pipeline, cohort, out) -> None:
    process = start(job, pipeline, cohort, out)
    process.join()
    assert process.exitcode == 0


@pytest.fixture(scope="module")
def uninterrupted(cohort, make_pipeline, tmp_path_factory):
    """The run folder of a training that nobody stopped."""
    out = tmp_path_factory.mktemp("whole") / "run"
    finish(train, long_pipeline(make_pipeline), cohort, out)
    return out


def assert_same_weights(first, second) -> None:
    one, other = load_model(first).weights, load_model(second).weights
    assert one.keys() == other.keys()
    for name, weights in one.items():
        np.testing.assert_array_equal(weights.numpy(), other[name].numpy(), err_msg=name)


@pytest.mark.parametrize(
    "kills", [5, pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)
def test_killed_at_random_it_ends_with_the_same_weights(
    kills, uninterrupted, cohort, make_pipeline, tmp_path
):
    pipeline, killed = long_pipeline(make_pipeline), 0
    while killed < kills:
        out = tmp_path / f"after{killed}"
        killed += kill_again_and_again(
            train, pipeline, cohort, out, kills=kills - killed, longest=0.3
        )
        finish(train, pipeline, cohort, out)
        assert_same_weights(uninterrupted, out)
        assert list(out.rglob(".*")) == []
        assert verify(out).holds


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_whole_run_killed_in_every_stage_ends_with_the_same_scores(
    cohort, make_pipeline, tmp_path
):
    """The first kill of a stage falls where it begins, so that no stage is left out."""
    pipeline = long_pipeline(make_pipeline)
    finish(run_pipeline, pipeline, cohort, tmp_path / "whole")

    parts = tmp_path / "parts"
    kills = Counter(
        kill_in_stage(stage, pipeline, cohort, parts, after=longest * number / 3)
        for stage, longest in (("train", 0.3), ("translate", 0.3), ("score", 1.5))
        for number in range(4)
    )
    finish(run_pipeline, pipeline, cohort, parts)

    tables = [
        (tmp_path / name / "evaluation" / "slices.csv").read_text() for name in ("whole", "parts")
    ]
    assert tables[0] == tables[1]
    assert min(kills[stage] for stage in ("train", "translate", "score")) >= 1, kills
    assert kills.total() - kills[""] >= 8, kills
    assert verify(parts).holds


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_saves_and_goes_on_to_the_same_weights(
    number, uninterrupted, cohort, make_pipeline, tmp_path
):
    pipeline, out = long_pipeline(make_pipeline), tmp_path / "run"
    process = start(train, pipeline, cohort, out)
    wait_until((out / "checkpoints" / "step-000000002.json").exists)
    os.kill(process.pid, number)
    process.join()

    assert process.exitcode == 1, "StopRequested reached the end of the process"
    assert 2 <= load_newest_checkpoint(out / "checkpoints")[0] < 12
    train(pipeline, [cohort], out, resume=True)
    assert_same_weights(uninterrupted, out)
    assert verify(out).holds


def stop_halfway(number, trained, cohort, folder):
    """Translate until a scan is there, then send a signal; the folder where that came in time."""
    for attempt in range(20):
        out = folder / f"attempt{attempt}"
        process = FORKING.Process(target=translate, args=(trained, [cohort], out))
        process.start()
        while not any(out.glob("status/*.json")) and process.exitcode is None:
            time.sleep(0.002)
        os.kill(process.pid, number)
        process.join()
        if not (out / "manifest.json").exists():
            return out
    pytest.fail("each time all scans were there before the signal came")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_translation_that_was_stopped_is_finished_by_the_next_call_and_verifies(
    number, trained, cohort, tmp_path
):
    out = stop_halfway(number, trained, cohort, tmp_path)
    check_whole(out)

    result = translate(trained, [cohort], out)

    assert any(scan.kept for scan in result.scans)
    assert [check for check in verify(out).checks if not check.holds] == []
    assert list(out.rglob(".*.tmp")) == []


def test_a_second_run_into_the_folder_is_refused(cohort, make_pipeline, tmp_path):
    pipeline = long_pipeline(make_pipeline)
    process = start(train, pipeline, cohort, tmp_path / "run")
    try:
        wait_until((tmp_path / "run" / "pipeline.yaml").exists)
        with pytest.raises(ConfigError, match=f"process {process.pid} on .* is writing into"):
            train(pipeline, [cohort], tmp_path / "run", resume=True)
    finally:
        process.kill()
        process.join()
