"""Preprocess: datasets and a pipeline in, prepared volumes with their fingerprints out."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medtranslate.data.cases import Case, find_cases
from medtranslate.data.index import index_datasets
from medtranslate.geometry import Geometry
from medtranslate.io import write_volume
from medtranslate.io.atomic import write_json
from medtranslate.pipeline import Pipeline
from medtranslate.preprocess.cache import PreparedArrays, load_or_prepare
from medtranslate.preprocess.settings import PreprocessSettings
from medtranslate.provenance import hash_file
from medtranslate.volume import Volume
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
    """

    record: Path
    cases: tuple[str, ...]
    worse: tuple[str, ...]


def preprocess_dataset(
    pipeline: Pipeline,
    datasets: Sequence[Path],
    out: Path,
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> PreprocessingResult:
    """Prepare every case as the pipeline says, and write volumes and ``preprocessing.json``.

    Args:
        pipeline: Which contrasts and which steps.
        datasets: BIDS folders or CSV tables.
        out: Gets ``NAME_source.nii.gz``, ``NAME_target.nii.gz``, ``NAME_mask.nii.gz``, all
            normalised on the model grid, and the record.
        cache: Folder of prepared scans; none is kept if None.
        progress: Told how far things are.

    Raises:
        DatasetError: If nothing can be paired.
        VolumeReadError: If a scan cannot be used.
        GeometryError: If grids do not fit together.
        VolumeWriteError: If something cannot be written.
    """
    progress = progress or NoProgress()
    cases = find_cases(
        index_datasets(datasets),
        source=pipeline.source,
        target=pipeline.target,
        mask=pipeline.mask,
    )
    records: dict[str, dict[str, Any]] = {}  # plain data for JSON
    for case, arrays in prepare_cases(pipeline, cases, cache=cache, progress=progress):
        written = _write_images(out, case.name, arrays)
        records[case.name] = describe_case(arrays) | {"written": written}
    write_json(out / RECORD_FILE, describe_preprocessing(pipeline.preprocess, records))
    worse = tuple(name for name, record in records.items() if _got_worse(record))
    return PreprocessingResult(out / RECORD_FILE, tuple(records), worse)


def prepare_cases(
    pipeline: Pipeline, cases: Sequence[Case], *, cache: Path | None, progress: Progress
) -> Iterator[tuple[Case, PreparedArrays]]:
    """Prepare one case after another, from the cache where they are there already."""
    progress.stage("prepare", len(cases))
    for number, case in enumerate(cases):
        progress.update(number, case.name)
        arrays = load_or_prepare(
            pipeline.preprocess,
            name=case.name,
            source=case.source,
            target=case.target,
            mask=case.mask,
            transform=case.transform,
            cache=cache,
        )
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
