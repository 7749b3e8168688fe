"""Translate many scans on several machines, each scan once, however often it is begun."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from medtranslate.checkpoint import need_same_model
from medtranslate.data.cases import Case
from medtranslate.errors import ConfigError, DatasetError
from medtranslate.inference.settings import InferenceChoices
from medtranslate.io.locking import lock_folder
from medtranslate.manifest import load_signing_key, read_recorded, take_snapshot
from medtranslate.workflows.attempts import Failure
from medtranslate.workflows.distribution import distribute
from medtranslate.workflows.ensemble import load_chosen_translator
from medtranslate.workflows.outputs import describe_dataset, is_scan_file, plan_outputs
from medtranslate.workflows.prediction import Translator
from medtranslate.workflows.progress import NoProgress, Progress
from medtranslate.workflows.sources import collect_cases
from medtranslate.workflows.translate import (
    Translation,
    find_kept_scan,
    record_scan,
    sign_translation,
)
from medtranslate.workflows.translated_case import TranslatedScan, tell_failed, translate_case
from medtranslate.workflows.watermarking import with_watermark


@dataclass(frozen=True)
class ModelChoice:
    """Which model predicts, and how; see :func:`translate`."""

    model: Path
    uncertainty: bool | None = None
    companions: tuple[Path, ...] = ()
    inference: InferenceChoices = field(default_factory=InferenceChoices)
    watermark_key: Path | None = None

    def load(self) -> Translator:
        """The model, ready to predict."""
        translator = load_chosen_translator(
            self.model,
            uncertainty=self.uncertainty,
            companions=self.companions,
            inference=self.inference,
        )
        return with_watermark(translator, self.watermark_key)


@dataclass(frozen=True)
class ScanToTranslate:
    """All that a worker needs to make one synthetic scan.

    Attributes:
        choice: The model; paths must mean the same on every machine.
        model_sha256: Identifies the model that is meant.
        watermark: Identifies the key of the watermark that is meant; None for no watermark.
        case: The scan.
        path: Where the synthetic one goes.
    """

    choice: ModelChoice
    model_sha256: str
    watermark: str | None
    case: Case
    path: Path


def translate_on_cluster(
    choice: ModelChoice,
    sources: Sequence[Path],
    out: Path,
    *,
    cluster: str,
    progress: Progress | None = None,
) -> Translation:
    """Make the synthetic scan of each source; as :func:`translate`, on several machines.

    Args:
        choice: The model.
        sources: Scans, or datasets; on a disk that every machine sees under the same path.
        out: Folder that becomes a BIDS derivative dataset.
        cluster: Where the work is done, see :func:`distribute`.
        progress: Told how far things are.

    Raises:
        CheckpointError: If a model cannot be used.
        ConfigError: If the cluster cannot be reached, or another run writes into ``out``.
        DatasetError: If a source is not there, or ``out`` would overwrite something not ours.
    """
    translator = choice.load()
    cases = collect_cases(translator, sources)
    key, before = load_signing_key(), take_snapshot(out)
    translation = translate_cohort(
        translator, choice, cases, out, cluster=cluster, progress=progress or NoProgress()
    )
    sign_translation(translator, cases, translation, out, since=before, key=key)
    return translation


def translate_cohort(
    translator: Translator,
    choice: ModelChoice,
    cases: Sequence[Case],
    out: Path,
    *,
    cluster: str,
    progress: Progress,
) -> Translation:
    """Make the synthetic scans that are not there yet, and a status file for each.

    Args:
        translator: The model that ``choice`` loads.
        choice: How the workers load it.
        cases: What to translate.
        out: Folder that becomes a BIDS derivative dataset.
        cluster: Where the work is done, see :func:`distribute`.
        progress: Told how far things are.

    Raises:
        ConfigError: If the cluster cannot be reached, or another run writes into ``out``.
        DatasetError: If ``out`` would overwrite something not ours.
    """
    if is_scan_file(out):
        raise DatasetError(f"--out {out.name} is one file; with --cluster give a folder")
    has_deviation = translator.calibration is not None
    paths = plan_outputs(cases, translator.pipeline.target, out, with_deviation=has_deviation)
    model = translator.model.sha256
    watermark = translator.watermark_identity
    with lock_folder(out):
        recorded = read_recorded(out)
        scans = {
            case.name: find_kept_scan(translator, case, path, recorded=recorded)
            for case, path in zip(cases, paths, strict=True)
        }
        for scan in scans.values():
            if scan is not None:
                record_scan(out, scan)
        missing = [
            ScanToTranslate(choice, model, watermark, case, path)
            for case, path in zip(cases, paths, strict=True)
            if scans[case.name] is None
        ]
        done = len(cases) - len(missing)
        progress.stage("translate", len(cases))
        progress.update(done, f"{done} there already" if done else "")
        for number, result in distribute(_translate_one, missing, cluster=cluster):
            scan = _record(out, missing[number].case, result)
            scans[scan.case] = scan
            done += 1
            progress.update(done, scan.case)
        finished = tuple(scan for scan in scans.values() if scan is not None)
        if any(scan.output for scan in finished):
            describe_dataset(out, target=translator.pipeline.target)
    return Translation(model, finished)


def _record(out: Path, case: Case, result: TranslatedScan | Failure) -> TranslatedScan:
    if isinstance(result, Failure):
        result = tell_failed(case, result.why)
    record_scan(out, result)
    return result


def _translate_one(scan: ScanToTranslate) -> TranslatedScan:
    translator = load_once(scan.choice, scan.model_sha256)
    if translator.watermark_identity != scan.watermark:
        raise ConfigError(
            "the worker finds another watermark key than was asked for; do all machines see the"
            " same settings folder?"
        )
    return translate_case(translator, scan.case, scan.path)


def load_once(choice: ModelChoice, model_sha256: str) -> Translator:
    """The model that is meant; a worker does one scan after another with the one it has loaded.

    Raises:
        CheckpointError: If it cannot be used, or is another on this machine.
    """
    translator = _load_last(choice, model_sha256)
    need_same_model(translator.model, model_sha256)
    return translator


@lru_cache(maxsize=1)
def _load_last(choice: ModelChoice, model_sha256: str) -> Translator:
    return choice.load()
