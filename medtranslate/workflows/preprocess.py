"""Preprocess: datasets and a pipeline in, prepared volumes with their fingerprints out."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medtranslate.data.cases import Case
from medtranslate.data.index import index_datasets
from medtranslate.errors import DatasetError
from medtranslate.geometry import Geometry
from medtranslate.io import write_volume
from medtranslate.io.atomic import write_json
from medtranslate.io.content import hash_input
from medtranslate.io.locking import lock_folder
from medtranslate.manifest import load_signing_key, sign_outputs, take_snapshot
from medtranslate.manifest.status import read_done, write_done, write_failed
from medtranslate.pipeline import Pipeline
from medtranslate.preprocess.cache import PreparedArrays, load_or_prepare
from medtranslate.preprocess.preparation import hash_settings, used_versions
from medtranslate.preprocess.settings import PreprocessSettings
from medtranslate.provenance import describe_run, hash_file, hash_json
from medtranslate.volume import Volume
from medtranslate.workflows.attempts import Failure, attempt
from medtranslate.workflows.cohort import pair_scans
from medtranslate.workflows.distribution import distribute
from medtranslate.workflows.progress import NoProgress, Progress

_LOGGER = logging.getLogger(__name__)

RECORD_FILE = "preprocessing.json"
"""What was prepared from what; in a run folder and in what ``preprocess`` writes."""


@dataclass(frozen=True)
class PreprocessingResult:
    """What :func:`preprocess_dataset` did.

    Attributes:
        record: Path of ``preprocessing.json``.
        cases: Names of the prepared cases, sorted.
        worse: Names of those whose registration made the pair worse.
        failed: Names of those that could not be prepared, and why.
        kept: Names of those that were there already and still fit.
    """

    record: Path
    cases: tuple[str, ...]
    worse: tuple[str, ...]
    failed: Mapping[str, str] = field(default_factory=dict)
    kept: tuple[str, ...] = ()


@dataclass(frozen=True)
class CaseToPrepare:
    """All that a worker needs to prepare one case."""

    settings: PreprocessSettings
    case: Case
    out: Path
    cache: Path | None


def preprocess_dataset(
    pipeline: Pipeline,
    datasets: Sequence[Path],
    out: Path,
    *,
    cache: Path | None = None,
    cluster: str | None = None,
    progress: Progress | None = None,
) -> PreprocessingResult:
    """Prepare every case as the pipeline says, and write volumes and ``preprocessing.json``.

    A case that fails, in whatever way, does not stop the others. What is there already and still
    fits its inputs, the settings and the library versions is kept.

    Args:
        pipeline: Which contrasts and which steps.
        datasets: BIDS folders or CSV tables.
        out: Gets ``NAME_source.nii.gz``, ``NAME_target.nii.gz``, ``NAME_mask.nii.gz``, all
            normalised on the model grid, the record, a status file a case, and the manifest.
        cache: Folder of prepared scans; none is kept if None.
        cluster: Where the work is done, see :func:`distribute`.
        progress: Told how far things are.

    Raises:
        ConfigError: If the cluster cannot be reached, or another run writes into ``out``.
        DatasetError: If nothing can be paired, or no case could be prepared.
        VolumeWriteError: If the record cannot be written.
    """
    progress = progress or NoProgress()
    cases, _ = pair_scans(pipeline, index_datasets(datasets))
    key = load_signing_key()
    with lock_folder(out):
        before = take_snapshot(out)
        result = _prepare_all(pipeline.preprocess, cases, out, cache, cluster, progress)
        record = describe_run("medtranslate preprocess", pipeline=pipeline.name)
        sign_outputs(out, since=before, record=record, key=key)
    return result


def _prepare_all(
    settings: PreprocessSettings,
    cases: Sequence[Case],
    out: Path,
    cache: Path | None,
    cluster: str | None,
    progress: Progress,
) -> PreprocessingResult:
    keys = {case.name: _made_from(settings, case) for case in cases}
    records = {case.name: _find_kept(out, case.name, keys[case.name]) for case in cases}
    kept = tuple(name for name, record in records.items() if record is not None)
    missing = [CaseToPrepare(settings, case, out, cache) for case in cases if case.name not in kept]
    progress.stage("prepare", len(cases))
    progress.update(len(kept))
    failed: dict[str, str] = {}
    for number, result in distribute(_prepare_one, missing, cluster=cluster):
        name = missing[number].case.name
        if isinstance(result, Failure):
            failed[name] = result.why
            write_failed(out, name, result.why)
        else:
            records[name] = result
            files = [out / written["file"] for written in result["written"].values()]
            write_done(out, name, {"made_from": keys[name], "case": result}, files=files)
        progress.update(len(failed) + sum(record is not None for record in records.values()), name)
    done = {name: record for name, record in records.items() if record is not None}
    if not done:
        reasons = "\n  ".join(f"{name}: {why}" for name, why in failed.items())
        raise DatasetError(f"no case could be prepared:\n  {reasons}")
    write_json(out / RECORD_FILE, describe_preprocessing(settings, done))
    worse = tuple(name for name, record in done.items() if _got_worse(record))
    return PreprocessingResult(out / RECORD_FILE, tuple(done), worse, failed, kept)


def _made_from(settings: PreprocessSettings, case: Case) -> str | None:
    """Hash of all that a prepared case depends on; None if a file of it cannot be used."""
    files = (case.source, case.target, case.mask, case.transform, case.label, case.later)
    hashes = attempt(lambda: [None if path is None else hash_input(path) for path in files])
    if isinstance(hashes, Failure):  # told when the case is prepared
        return None
    return hash_json(
        {"files": hashes, "settings": hash_settings(settings), "versions": used_versions()}
    )


def _find_kept(out: Path, name: str, made_from: str | None) -> dict[str, Any] | None:
    """The record of a case whose files are there as they were written, from the same inputs."""
    record = read_done(out, name)
    if record is None or made_from is None or record.get("made_from") != made_from:
        return None
    case: dict[str, Any] = record["case"]
    return case


def _prepare_one(job: CaseToPrepare) -> dict[str, Any]:
    arrays = _load_or_prepare(job.settings, job.case, job.cache)
    return describe_case(arrays) | {"written": _write_images(job.out, job.case.name, arrays)}


def _load_or_prepare(
    settings: PreprocessSettings, case: Case, cache: Path | None
) -> PreparedArrays:
    return load_or_prepare(
        settings,
        name=case.name,
        source=case.source,
        target=case.target,
        mask=case.mask,
        transform=case.transform,
        label=case.label,
        later=case.later,
        cache=cache,
    )


def prepare_cases(
    pipeline: Pipeline, cases: Sequence[Case], *, cache: Path | None, progress: Progress
) -> Iterator[tuple[Case, PreparedArrays]]:
    """Prepare one case after another, from the cache where they are there already."""
    progress.stage("prepare", len(cases))
    for number, case in enumerate(cases):
        progress.update(number, case.name)
        arrays = _load_or_prepare(pipeline.preprocess, case, cache)
        if arrays.registration is not None and arrays.registration.worse:
            _LOGGER.warning("%s: registration made the pair worse; it was left alone", case.name)
        yield case, arrays
    progress.update(len(cases))


# Plain data for JSON, here and below.
def describe_preprocessing(
    settings: PreprocessSettings, records: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The content of ``preprocessing.json``: settings, and one record a case by name."""
    return {
        "settings": settings.model_dump(mode="json"),
        "cases": {name: dict(record) for name, record in records.items()},
    }


def describe_case(arrays: PreparedArrays) -> dict[str, Any]:
    """One case's record: its fingerprint, scales and registration.

    Where its files lay is left out, as folders may be called after people; ``verify`` finds them
    by their content.
    """
    return {
        **arrays.fingerprint,
        "source_scale": arrays.source_scale.to_json(),
        "target_scale": None if arrays.target_scale is None else arrays.target_scale.to_json(),
        "registration": None if arrays.registration is None else arrays.registration.to_json(),
    }


def _write_images(out: Path, name: str, arrays: PreparedArrays) -> dict[str, dict[str, str]]:
    """Write each image of a case; its file name in ``out`` and the file's SHA-256 by role."""
    written = {}
    for role, image in arrays.tensors().items():
        i, j, k = image.shape[1:]
        volume = Volume(image.numpy(), Geometry((i, j, k), arrays.affine), unit="normalised")
        path = out / f"{name}_{role}.nii.gz"
        write_volume(path, volume, description="medtranslate preprocessed")
        written[role] = {"file": path.name, "sha256": hash_file(path)}
    return written


def _got_worse(record: Mapping[str, Any]) -> bool:
    return record["registration"] is not None and bool(record["registration"]["worse"])
