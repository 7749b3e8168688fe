"""Simulate the futures of many people, here or on several machines, each person once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from medtranslate.checkpoint import need_same_model
from medtranslate.data.cases import Case
from medtranslate.data.covariate_tables import read_covariates
from medtranslate.data.covariates import Covariates
from medtranslate.data.index import index_datasets
from medtranslate.data.latest_visits import find_latest_visits
from medtranslate.data.pseudonyms import hide_path
from medtranslate.errors import DatasetError
from medtranslate.io.atomic import atomic_folder, write_text
from medtranslate.io.content import hash_input
from medtranslate.io.locking import lock_folder
from medtranslate.manifest import load_signing_key, sign_outputs, take_snapshot
from medtranslate.manifest.status import STATUS_FOLDER, read_done, write_done, write_failed
from medtranslate.provenance import hash_json, software_versions
from medtranslate.report.tables import Cell, format_csv
from medtranslate.workflows.attempts import Failure, attempt
from medtranslate.workflows.distribution import distribute
from medtranslate.workflows.forecaster import Forecaster, load_forecaster
from medtranslate.workflows.marking import describe_made
from medtranslate.workflows.progress import NoProgress, Progress
from medtranslate.workflows.simulate import (
    TRAJECTORY_COLUMNS,
    FutureChoices,
    Today,
    write_futures,
)

TRAJECTORIES_FILE = "trajectories.csv"
"""The trajectories of everybody, in the folder that holds a folder a person."""


@dataclass(frozen=True)
class SimulatedPerson:
    """What became of one person.

    Attributes:
        case: Name of the person's latest visit.
        folder: What was written; None if it failed.
        rows: The trajectory table.
        warnings: What to know before trusting it.
        error: Why it failed; None if it did not.
        kept: Whether it was there already and still fits.
    """

    case: str
    folder: Path | None
    rows: tuple[Mapping[str, Cell], ...] = ()
    warnings: tuple[str, ...] = ()
    error: str | None = None
    kept: bool = False


@dataclass(frozen=True)
class CohortSimulation:
    """What became of everybody.

    Attributes:
        folder: Where it lies.
        model_sha256: Identifies the model.
        people: Sorted by case.
    """

    folder: Path
    model_sha256: str
    people: tuple[SimulatedPerson, ...]

    @property
    def failed(self) -> tuple[SimulatedPerson, ...]:
        """Those who could not be simulated."""
        return tuple(person for person in self.people if person.error is not None)


@dataclass(frozen=True)
class PersonToSimulate:
    """All that a worker needs to simulate one person.

    Attributes:
        model: The model folder; paths must mean the same on every machine.
        model_sha256: Identifies the model that is meant.
        case: The latest visit.
        covariates: What the tables say of the person.
        choices: What is simulated.
        folder: What is to be written.
    """

    model: Path
    model_sha256: str
    case: Case
    covariates: Covariates
    choices: FutureChoices
    folder: Path

    @property
    def made_from(self) -> str | None:
        """Hash of all that the result depends on; None if a file of it cannot be used."""
        files = (self.case.source, self.case.label)
        hashes = attempt(lambda: [None if path is None else hash_input(path) for path in files])
        if isinstance(hashes, Failure):  # told when the person is simulated
            return None
        return hash_json(
            {
                "model": self.model_sha256,
                "files": hashes,
                "covariates": dict(self.covariates),
                "times": {span.text: span.years for span in self.choices.times},
                "samples": self.choices.samples,
                "seed": self.choices.seed,
                "versions": software_versions(),
            }
        )


def simulate_cohort(
    model: Path,
    datasets: Sequence[Path],
    choices: FutureChoices,
    out: Path,
    *,
    cluster: str | None = None,
    progress: Progress | None = None,
) -> CohortSimulation:
    """Simulate everybody of the datasets from the latest visit.

    Covariates come from the participants and sessions tables, regions from the labels that the
    model's pipeline names. A person who fails, in whatever way, does not stop the others. What is
    there already and still fits model, files, covariates, choices and library versions is kept.

    Args:
        model: Run folder or its ``model/``.
        datasets: BIDS folders or tables; on a disk that every machine sees under the same path.
        choices: What is simulated.
        out: Gets a folder a person, as ``simulate`` writes it, the table of all trajectories, a
            status file a person, and the manifest.
        cluster: Where the work is done, see :func:`distribute`; in this process if None.
        progress: Told how far things are.

    Raises:
        CheckpointError: If the model cannot be used.
        ConfigError: If it is of another task, the tables lack a covariate that it knows, the
            cluster cannot be reached, or another run writes into ``out``.
        DatasetError: If nobody can be simulated from, or ``out`` holds something else.
    """
    forecaster = load_forecaster(model)
    jobs = _list_jobs(forecaster, model, datasets, choices, out)
    _check_folder(out)
    key, before = load_signing_key(), take_snapshot(out)
    with lock_folder(out):
        people = _simulate_missing(jobs, out, cluster, progress or NoProgress())
        made = [person for person in people if person.folder is not None]
        if made:
            _write_trajectories(out, made)
    if made:
        names = {person.case for person in made}
        record = describe_made(
            "medtranslate simulate",
            model_sha256=forecaster.model.sha256,
            pipeline=forecaster.pipeline.name,
            cases=[job.case for job in jobs if job.case.name in names],
        )
        sign_outputs(out, since=before, record=record, key=key)
    return CohortSimulation(out, forecaster.model.sha256, people)


def _list_jobs(
    forecaster: Forecaster,
    model: Path,
    datasets: Sequence[Path],
    choices: FutureChoices,
    out: Path,
) -> list[PersonToSimulate]:
    indexes = index_datasets(datasets)
    visits = forecaster.pipeline.visits
    cases = find_latest_visits(
        indexes,
        contrast=forecaster.pipeline.source,
        labels=None if visits is None else visits.labels,
    )
    look_up = read_covariates(indexes, tuple(forecaster.code.codes), where="--data")
    return [
        PersonToSimulate(
            model=model,
            model_sha256=forecaster.model.sha256,
            case=case,
            covariates=look_up(case.subject, case.session or ""),
            choices=choices,
            folder=out / case.name,
        )
        for case in cases
    ]


def _check_folder(out: Path) -> None:
    """Refuse a folder that something else was written into: folders of people are replaced."""
    if out.exists() and not out.is_dir():
        raise DatasetError(f"--out {out}: is a file; with --data give a folder")
    if out.exists() and any(out.iterdir()) and not (out / STATUS_FOLDER).is_dir():
        raise DatasetError(
            f"--out {out}: holds something else than simulations of a dataset; choose a folder of"
            " its own"
        )


def _simulate_missing(
    jobs: Sequence[PersonToSimulate], out: Path, cluster: str | None, progress: Progress
) -> tuple[SimulatedPerson, ...]:
    people = {job.case.name: _find_kept(out, job) for job in jobs}
    missing = [job for job in jobs if people[job.case.name] is None]
    done = len(jobs) - len(missing)
    progress.stage("simulate", len(jobs))
    progress.update(done, f"{done} there already" if done else "")
    for number, result in distribute(_simulate_one, missing, cluster=cluster):
        person = _record(out, missing[number], result)
        people[person.case] = person
        done += 1
        progress.update(done, person.case)
    return tuple(person for person in people.values() if person is not None)


def _find_kept(out: Path, job: PersonToSimulate) -> SimulatedPerson | None:
    """What was made of the same things before, if every file of it is as it was written."""
    record = read_done(out, job.case.name)
    made_from = None if record is None else job.made_from
    if record is None or made_from is None or record.get("made_from") != made_from:
        return None
    rows, warnings = tuple(record["trajectory"]), tuple(record["warnings"])
    return SimulatedPerson(job.case.name, job.folder, rows, warnings, kept=True)


def _record(out: Path, job: PersonToSimulate, result: dict[str, Any] | Failure) -> SimulatedPerson:
    """Write what became of a person into the folder of everybody."""
    name = job.case.name
    if isinstance(result, Failure):
        why = hide_path(result.why, job.case.source, called=name)
        if job.case.label is not None:
            why = hide_path(why, job.case.label, called=f"{name}'s region")
        write_failed(out, name, why)
        return SimulatedPerson(name, None, error=why)
    files = sorted(path for path in job.folder.rglob("*") if path.is_file())
    write_done(out, name, result, files=files)
    return SimulatedPerson(name, job.folder, tuple(result["trajectory"]), tuple(result["warnings"]))


def _simulate_one(job: PersonToSimulate) -> dict[str, Any]:
    """Simulate one person; the record that a later call finds it by, plain JSON data."""
    forecaster = _load_once(job.model, job.model_sha256)
    need_same_model(forecaster.model, job.model_sha256)
    today = Today(
        job.case.source,
        job.case.label,
        region_values=forecaster.pipeline.preprocess.region_values,
        covariates=job.covariates,
    )
    made_from = job.made_from
    with atomic_folder(job.folder) as folder:
        simulation = write_futures(forecaster, today, job.choices, folder, progress=NoProgress())
    return {
        "made_from": made_from,
        "trajectory": [dict(row) for row in simulation.rows],
        "warnings": list(simulation.warnings),
    }


@lru_cache(maxsize=1)
def _load_once(model: Path, model_sha256: str) -> Forecaster:
    """A worker simulates one person after another with the model it has loaded."""
    return load_forecaster(model)


def _write_trajectories(out: Path, people: Sequence[SimulatedPerson]) -> None:
    rows = [{"case": person.case, **row} for person in people for row in person.rows]
    write_text(out / TRAJECTORIES_FILE, format_csv(("case", *TRAJECTORY_COLUMNS), rows))
