"""The futures of everybody, here and on worker processes: each person once, whatever fails."""

import csv
import json
import os
import shutil
import signal

import numpy as np
import pytest
import SimpleITK as sitk

from medtranslate.cli.output import ExitCode
from medtranslate.cli.simulating import SimulateRequest
from medtranslate.cli.summaries_ahead import show_cohort_simulation
from medtranslate.data.cases import Case
from medtranslate.data.durations import parse_durations
from medtranslate.errors import ConfigError, DatasetError
from medtranslate.io import read_volume
from medtranslate.workflows import simulate_cohort as module
from medtranslate.workflows.progress import NoProgress
from medtranslate.workflows.simulate import FutureChoices, simulate, write_futures
from medtranslate.workflows.simulate_cohort import PersonToSimulate, simulate_cohort
from medtranslate.workflows.verify_marks import check_manifest

HALF_YEAR = FutureChoices(parse_durations("6m"), samples=2)
PEOPLE = ("01", "02", "03")


@pytest.fixture
def dataset(visited, tmp_path):
    """Three of the people."""
    folder = tmp_path / "visits"
    folder.mkdir()
    for person in PEOPLE:
        shutil.copytree(visited / f"sub-{person}", folder / f"sub-{person}")
    rows = (visited / "participants.tsv").read_text().splitlines()
    (folder / "participants.tsv").write_text("\n".join(rows[: len(PEOPLE) + 1]) + "\n")
    shutil.copy(visited / "dataset_description.json", folder)
    return folder


def files_of(dataset, person, session=2):
    stem = dataset / f"sub-{person}" / f"ses-{session}" / "anat" / f"sub-{person}_ses-{session}"
    return (
        stem.with_name(f"{stem.name}_T1w.nii.gz"),
        stem.with_name(f"{stem.name}_label-tumor_mask.nii.gz"),
    )


def read_table(path, delimiter=","):
    return list(csv.DictReader(path.read_text().splitlines(), delimiter=delimiter))


def states(out):
    return {
        path.stem: json.loads(path.read_text())["state"]
        for path in sorted((out / "status").iterdir())
    }


def test_everybody_is_simulated_as_alone_from_the_latest_visit_and_the_tables(
    foreseeing, dataset, tmp_path
):
    result = simulate_cohort(foreseeing, [dataset], HALF_YEAR, tmp_path / "many")
    scan, mask = files_of(dataset, "02")
    rows = read_table(dataset / "participants.tsv", delimiter="\t")
    told = {name: rows[1][name] for name in ("dose", "shoe")}
    alone = simulate(
        foreseeing, scan, HALF_YEAR.times, tmp_path / "one",
        region=mask, covariates=told, samples=2,
    )  # fmt: skip

    person = result.people[1]
    assert [one.case for one in result.people] == [f"visits_{p}_ses-2" for p in PEOPLE]
    assert person.rows == alone.rows
    np.testing.assert_array_equal(
        read_volume(person.folder / "6m" / "scan.nii.gz").voxels,
        read_volume(tmp_path / "one" / "6m" / "scan.nii.gz").voxels,
    )
    told = json.loads((person.folder / "simulation.json").read_text())["Covariates"]
    assert told == {name: float(rows[1][name]) for name in ("dose", "shoe")}
    table = read_table(tmp_path / "many" / "trajectories.csv")
    assert [row["case"] for row in table] == [one.case for one in result.people for _ in "ab"]
    assert all(check.holds for check in check_manifest(tmp_path / "many", signer=None))


def test_called_again_it_does_the_rest_alone(foreseeing, dataset, tmp_path):
    out = tmp_path / "out"
    first = simulate_cohort(foreseeing, [dataset], HALF_YEAR, out)
    (first.people[0].folder / "6m" / "scan.nii.gz").unlink()
    table = dataset / "participants.tsv"
    table.write_text(table.read_text().replace("sub-02\t0", "sub-02\t1"))

    again = simulate_cohort(foreseeing, [dataset], HALF_YEAR, out)
    other = simulate_cohort(foreseeing, [dataset], FutureChoices(HALF_YEAR.times, samples=3), out)

    assert [person.kept for person in again.people] == [False, False, True]
    assert again.people[2].rows == first.people[2].rows
    assert again.people[0].rows == first.people[0].rows
    assert again.people[1].rows != first.people[1].rows
    assert not any(person.kept for person in other.people)


def test_changed_voxels_beside_a_header_are_noticed(tmp_path):
    scan = tmp_path / "scan.mhd"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((3, 4, 5), np.int16)), str(scan))
    person = PersonToSimulate(
        tmp_path, "0", Case("a", "d", "a", None, source=scan), {}, HALF_YEAR, tmp_path / "out"
    )
    before = person.made_from

    (tmp_path / "scan.raw").write_bytes(bytes([1]) * 120)

    assert before != person.made_from
    scan.unlink()
    assert person.made_from is None


def test_who_fails_is_told_with_exit_code_3_and_the_others_are_simulated(
    foreseeing, dataset, tmp_path
):
    files_of(dataset, "02")[0].write_bytes(b"no scan")
    files_of(dataset, "03")[1].unlink()
    ask = SimulateRequest(
        model=foreseeing, baseline=None, datasets=(dataset,), at="6m", out=tmp_path / "out",
        covariates=(), history=(), samples=0, region=None, seed=0, cluster=None,
    )  # fmt: skip

    outcome = ask.perform(NoProgress())

    assert outcome.code is ExitCode.PARTLY
    errors = [person["error"] for person in outcome.data["people"]]
    assert errors[0] is None
    assert "visits_02_ses-2" in errors[1]
    assert "grows a labelled region" in errors[2]
    assert list(states(tmp_path / "out").values()) == ["done", "failed", "failed"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "manifest.json", "status", "trajectories.csv", "visits_01_ses-2"
    ]  # fmt: skip


def test_a_defect_that_one_person_meets_does_not_stop_the_others(
    foreseeing, dataset, tmp_path, monkeypatch
):
    def write_but_one(forecaster, today, *arguments, **options):
        if "sub-02" in str(today.scan):
            raise KeyError("John Doe")
        return write_futures(forecaster, today, *arguments, **options)

    monkeypatch.setattr(module, "write_futures", write_but_one)

    result = simulate_cohort(foreseeing, [dataset], HALF_YEAR, tmp_path / "out")

    assert show_cohort_simulation(result).code is ExitCode.PARTLY
    assert [person.error is None for person in result.people] == [True, False, True]
    assert list(states(tmp_path / "out").values()) == ["done", "failed", "done"]
    text = (tmp_path / "out" / "status" / "visits_02_ses-2.json").read_text()
    assert "unexpected KeyError in medtranslate/workflows/simulate_cohort.py" in text
    assert "Doe" not in text


def test_if_everybody_fails_the_exit_code_is_2(foreseeing, dataset, tmp_path):
    for person in PEOPLE:
        files_of(dataset, person)[0].write_bytes(b"no scan")
    ask = SimulateRequest(
        model=foreseeing, baseline=None, datasets=(dataset,), at="6m", out=tmp_path / "out",
        covariates=(), history=(), samples=0, region=None, seed=0, cluster=None,
    )  # fmt: skip

    assert ask.perform(NoProgress()).code is ExitCode.USER_INPUT


def test_what_is_not_meant_is_refused(foreseeing, dataset, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(DatasetError, match="holds something else"):
        simulate_cohort(foreseeing, [dataset], HALF_YEAR, tmp_path / "full")
    (dataset / "participants.tsv").write_text("participant_id\tdose\nsub-01\t1\n")
    with pytest.raises(ConfigError, match="--data: no participants or sessions table .* 'shoe'"):
        simulate_cohort(foreseeing, [dataset], HALF_YEAR, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({}, "give one BASELINE scan, or everybody"),
        ({"baseline": "b.nii.gz", "datasets": ("d",)}, "give one BASELINE scan, or everybody"),
        ({"baseline": "b.nii.gz", "cluster": "local:1"}, "--cluster is for many people"),
        ({"datasets": ("d",), "covariates": ("a=1",)}, "--covariate: for one BASELINE"),
        ({"datasets": ("d",), "region": "m.nii.gz"}, "--region: for one BASELINE"),
    ],
)
def test_options_that_do_not_go_together_are_refused(changes, match, tmp_path):
    nothing = {
        "model": tmp_path, "baseline": None, "datasets": (), "at": "6m", "out": tmp_path,
        "covariates": (), "history": (), "samples": 0, "region": None, "seed": 0, "cluster": None,
    }  # fmt: skip

    with pytest.raises(ConfigError, match=match):
        SimulateRequest(**(nothing | changes)).perform(NoProgress())


class _Kills(NoProgress):
    """Kills a worker when the first person is there."""

    def __init__(self, pid):
        self._pid = pid

    def update(self, done, note=""):
        if done and self._pid:
            os.kill(self._pid, signal.SIGKILL)
            self._pid = None


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_worker_process_killed_in_the_middle_costs_nobody(
    foreseeing, dataset, tmp_path, two_workers
):
    here = simulate_cohort(foreseeing, [dataset], HALF_YEAR, tmp_path / "here")
    there = simulate_cohort(
        foreseeing, [dataset], HALF_YEAR, tmp_path / "there",
        cluster=two_workers.scheduler_address, progress=_Kills(two_workers.workers[0].pid),
    )  # fmt: skip

    assert there.failed == ()
    assert [person.rows for person in there.people] == [person.rows for person in here.people]
    assert set(states(tmp_path / "there").values()) == {"done"}
    assert list((tmp_path / "there").rglob(".*")) == []


class _StopsAfterOne(NoProgress):
    """Is asked to stop when one person is there."""

    def update(self, done, note=""):
        if done == 1:
            raise KeyboardInterrupt


def test_who_was_simulated_before_a_stop_is_kept_and_signed(foreseeing, dataset, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        simulate_cohort(
            foreseeing, [dataset], HALF_YEAR, tmp_path / "out", progress=_StopsAfterOne()
        )
    (tmp_path / "out" / "theirs.txt").write_text("put there by somebody")
    result = simulate_cohort(foreseeing, [dataset], HALF_YEAR, tmp_path / "out")

    assert [person.kept for person in result.people] == [True, False, False]
    broken = [
        check.case for check in check_manifest(tmp_path / "out", signer=None) if not check.holds
    ]
    assert broken == ["theirs.txt"]
