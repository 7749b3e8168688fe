"""Many scans on several machines: each once, whatever dies."""

import json
import os
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest

from medtranslate.errors import DatasetError
from medtranslate.io import read_volume
from medtranslate.workflows import translate_cohort as module
from medtranslate.workflows.distribution import distribute
from medtranslate.workflows.progress import NoProgress
from medtranslate.workflows.translate import translate
from medtranslate.workflows.translate_cohort import ModelChoice, translate_on_cluster


@pytest.fixture
def in_this_process(monkeypatch):
    """The work of the cluster is done here."""
    monkeypatch.setattr(
        module, "distribute", lambda job, items, *, cluster: distribute(job, items, cluster=None)
    )


def check_same_scans(first, second) -> None:
    paths = sorted(path.relative_to(first) for path in first.rglob("*.nii.gz"))
    assert len(paths) == 5
    for path in paths:
        np.testing.assert_array_equal(
            read_volume(first / path).voxels, read_volume(second / path).voxels
        )


def test_it_makes_what_translate_makes_and_only_once(trained, cohort, tmp_path, in_this_process):
    translate(trained, [cohort], tmp_path / "plain")
    choice = ModelChoice(trained)
    arguments = {"cluster": "local:1"}

    first = translate_on_cluster(choice, [cohort], tmp_path / "many", **arguments)
    scan = first.scans[2].output
    scan.unlink()
    again = translate_on_cluster(choice, [cohort], tmp_path / "many", **arguments)

    check_same_scans(tmp_path / "plain", tmp_path / "many")
    assert [scan.kept for scan in again.scans] == [True, True, False, True, True]
    status = json.loads((tmp_path / "many" / "status" / f"{first.scans[2].case}.json").read_text())
    assert tmp_path / "many" / status["record"]["output"] == scan
    assert status["state"] == "done"


def test_a_scan_that_fails_is_told_and_the_others_are_made(
    trained, cohort, tmp_path, in_this_process
):
    dataset = tmp_path / "toy"
    shutil.copytree(cohort, dataset)
    (dataset / "sub-02" / "anat" / "sub-02_T1w.nii.gz").write_bytes(b"no scan")

    result = translate_on_cluster(ModelChoice(trained), [dataset], tmp_path / "out", cluster="x")

    assert [scan.source.name for scan in result.failed] == ["sub-02_T1w.nii.gz"]
    states = [json.loads(p.read_text())["state"] for p in (tmp_path / "out" / "status").iterdir()]
    assert sorted(states) == ["done"] * 4 + ["failed"]


def test_one_file_is_no_folder(trained, cohort, tmp_path):
    with pytest.raises(DatasetError, match="with --cluster give a folder"):
        translate_on_cluster(
            ModelChoice(trained), [cohort], tmp_path / "a.nii.gz", cluster="local:1"
        )


def test_a_worker_with_another_watermark_key_makes_nothing(
    trained, cohort, tmp_path, in_this_process, monkeypatch
):
    paths = [tmp_path / "a.key", tmp_path / "b.key"]
    for path, digit in zip(paths, "ab", strict=True):
        path.write_text(64 * digit)
        path.chmod(0o600)
    choice = ModelChoice(trained, watermark_key=paths[0])
    monkeypatch.setattr(
        module, "load_once", lambda choice, _: replace(choice, watermark_key=paths[1]).load()
    )

    result = translate_on_cluster(choice, [cohort], tmp_path / "out", cluster="x")

    assert len(result.failed) == 5
    assert all("another watermark key" in scan.error for scan in result.failed)


class _Kills(NoProgress):
    """Kills a worker when the first scan is there."""

    def __init__(self, pid):
        self._pid = pid

    def update(self, done, note=""):
        if done and self._pid:
            os.kill(self._pid, signal.SIGKILL)
            self._pid = None


@pytest.mark.slow
def test_a_worker_process_killed_in_the_middle_costs_no_scan(
    trained, cohort, tmp_path, two_workers
):
    translate(trained, [cohort], tmp_path / "plain")
    result = translate_on_cluster(
        ModelChoice(trained), [cohort], tmp_path / "many",
        cluster=two_workers.scheduler_address, progress=_Kills(two_workers.workers[0].pid),
    )  # fmt: skip

    assert result.failed == ()
    check_same_scans(tmp_path / "plain", tmp_path / "many")
