"""Translate: a model and scans in, synthetic scans with their sidecars out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from medtranslate.data.ahead import work_ahead
from medtranslate.data.cases import Case
from medtranslate.data.pseudonyms import hide_path
from medtranslate.errors import MedTranslateError
from medtranslate.inference.settings import InferenceChoices
from medtranslate.io import (
    read_volume,
    sidecar_path,
    write_volume,
)
from medtranslate.io.documents import read_document
from medtranslate.io.locking import lock_folder
from medtranslate.manifest import Snapshot, load_signing_key, sign_outputs, take_snapshot
from medtranslate.preprocess.preparation import Prepared
from medtranslate.provenance import hash_volume
from medtranslate.watermark import describe_watermark, recorded_identity
from medtranslate.workflows.deviation import describe_deviation, deviation_path
from medtranslate.workflows.ensemble import describe_views, load_chosen_translator
from medtranslate.workflows.marking import DESCRIPTION, describe_made, describe_mark
from medtranslate.workflows.origin import Origin
from medtranslate.workflows.outputs import (
    describe_dataset,
    drop_stale_deviation,
    is_scan_file,
    plan_outputs,
)
from medtranslate.workflows.prediction import Prediction, Translator
from medtranslate.workflows.progress import NoProgress, Progress
from medtranslate.workflows.sidecars import describe_departures, describe_prediction
from medtranslate.workflows.sources import collect_cases
from medtranslate.workflows.status import write_done, write_failed
from medtranslate.workflows.watermarking import mark_prediction, with_watermark


@dataclass(frozen=True)
class TranslatedScan:
    """What became of one source.

    Attributes:
        case: Its name.
        source: The scan that went in.
        output: The synthetic scan; None if it failed.
        error: Why it failed; None if it did not.
        num_clipped: CT voxels that were set to the ends of the CT range.
        kept: Whether it was there already and still fits the model.
        warnings: How the source differs from the training scans; empty if kept.
        deviation: The standard deviations of the prediction; None if not asked for.
        how: How it was computed and why so; empty if kept.
    """

    case: str
    source: Path
    output: Path | None
    error: str | None = None
    num_clipped: int = 0
    kept: bool = False
    warnings: tuple[str, ...] = ()
    deviation: Path | None = None
    how: str = ""


@dataclass(frozen=True)
class Translation:
    """What became of every source.

    Attributes:
        model_sha256: Identifies the model.
        scans: In the order given.
    """

    model_sha256: str
    scans: tuple[TranslatedScan, ...]

    @property
    def failed(self) -> tuple[TranslatedScan, ...]:
        """The scans that could not be translated."""
        return tuple(scan for scan in self.scans if scan.error is not None)

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "model_sha256": self.model_sha256,
            "scans": [
                {
                    "source": str(scan.source),
                    "output": None if scan.output is None else str(scan.output),
                    "deviation": None if scan.deviation is None else str(scan.deviation),
                    "error": scan.error,
                    "clipped_voxels": scan.num_clipped,
                    "warnings": list(scan.warnings),
                }
                for scan in self.scans
            ],
        }


def translate(
    model: Path,
    sources: Sequence[Path],
    out: Path,
    *,
    mask: Path | None = None,
    uncertainty: bool = False,
    companions: Sequence[Path] = (),
    inference: InferenceChoices | None = None,
    watermark_key: Path | None = None,
    progress: Progress | None = None,
) -> Translation:
    """Make the synthetic scan of each source.

    One source that fails does not stop the others; a single one raises. In a folder, what this very
    model made of the sources as they are now is kept, and a status file says what became of each.

    Args:
        model: Run folder or its ``model/``.
        sources: Scans, or datasets of which every scan of the model's source contrast is taken.
        out: A file for one source, else a folder that becomes a BIDS derivative dataset with a
            signed manifest.
        mask: Mask of the one source, for models whose pipeline says ``preprocess.mask: given``.
        uncertainty: Predict several times: write the mean, and the standard deviations beside it.
        companions: Further models that predict too, see :func:`load_chosen_translator`.
        inference: What is asked for in place of the pipeline's inference settings.
        watermark_key: Key file of the watermark; none is put in if None.
        progress: Told how far things are.

    Raises:
        CheckpointError: If a model cannot be used.
        ConfigError: If there are companions without ``uncertainty``, no key can sign or mark, or
            another run writes into ``out``.
        DatasetError: If a source is not there, or ``out`` would overwrite something not ours.
    """
    translator = load_chosen_translator(
        model, uncertainty=uncertainty, companions=companions, inference=inference
    )
    translator = with_watermark(translator, watermark_key)
    cases = collect_cases(translator, sources, mask=mask)
    if is_scan_file(out):
        return translate_cases(translator, cases, out, progress=progress)
    key, before = load_signing_key(), take_snapshot(out)
    translation = translate_cases(translator, cases, out, keep=True, progress=progress)
    sign_translation(translator, cases, translation, out, since=before, key=key)
    return translation


def sign_translation(
    translator: Translator,
    cases: Sequence[Case],
    translation: Translation,
    out: Path,
    *,
    since: Snapshot,
    key: Ed25519PrivateKey,
) -> None:
    """Write the signed manifest of a folder of synthetic scans; nothing if none was made."""
    made = {scan.case for scan in translation.scans if scan.output}
    if made:
        record = describe_made(
            "medtranslate translate",
            model_sha256=translator.model.sha256,
            pipeline=translator.pipeline.name,
            cases=[case for case in cases if case.name in made],
        )
        if translator.watermark is not None:
            record["watermark"] = describe_watermark(translator.watermark)
        sign_outputs(out, since=since, record=record, key=key)


def translate_cases(
    translator: Translator,
    cases: Sequence[Case],
    out: Path,
    *,
    keep: bool = False,
    origin: Origin | None = None,
    progress: Progress | None = None,
) -> Translation:
    """Make the synthetic scan of each case; see :func:`translate`.

    Args:
        translator: The model.
        cases: What to translate; targets are not looked at.
        out: File or folder.
        keep: Leave outputs alone that this very model made from these very sources.
        origin: The BIDS dataset of the cases, for the description of the folder.
        progress: Told how far things are.
    """
    progress = progress or NoProgress()
    paths = plan_outputs(
        cases,
        translator.pipeline.target,
        out,
        with_deviation=translator.calibration is not None,
    )
    in_folder = not is_scan_file(out)
    with lock_folder(out) if in_folder else nullcontext():
        jobs = list(zip(cases, paths, strict=True))
        scans = [find_kept_scan(translator, *job) if keep else None for job in jobs]
        progress.stage("translate", len(jobs))
        for scan in _translate_missing(translator, jobs, scans, progress):
            if in_folder:
                record_scan(out, scan)
        finished = tuple(scan for scan in scans if scan is not None)
        if in_folder and any(scan.output for scan in finished):
            describe_dataset(out, target=translator.pipeline.target, origin=origin)
    return Translation(translator.model.sha256, finished)


Job = tuple[Case, Path]
"""A scan, and where the synthetic one goes."""


def _translate_missing(
    translator: Translator,
    jobs: Sequence[Job],
    scans: list[TranslatedScan | None],
    progress: Progress,
) -> Iterator[TranslatedScan]:
    """Those that are there already, then the others as they are made and put into ``scans``."""
    yield from (kept := [scan for scan in scans if scan is not None])
    progress.update(len(kept), f"{len(kept)} there already" if kept else "")
    missing = [number for number, scan in enumerate(scans) if scan is None]
    way = _translate_only if len(jobs) == 1 else _translate_each
    made = way(translator, [jobs[number] for number in missing])
    for done, (number, scan) in enumerate(zip(missing, made, strict=True), len(kept) + 1):
        scans[number] = scan
        progress.update(done, scan.case)
        yield scan


def record_scan(out: Path, scan: TranslatedScan) -> None:
    """Write what became of a scan into the folder of the synthetic ones.

    Raises:
        VolumeWriteError: If the folder cannot be written to.
    """
    if scan.output is None:
        hidden = hide_path(scan.error or "", scan.source, called=scan.case)
        write_failed(out, scan.case, hidden)
    else:
        write_done(out, scan.case, {"output": scan.output.relative_to(out).as_posix()})


def _translate_only(translator: Translator, jobs: Sequence[Job]) -> Iterator[TranslatedScan]:
    """The only scan there is; what is wrong with it is raised."""
    for case, path in jobs:
        yield translate_prepared(translator, case, translator.prepare(case), path)


def _translate_each(translator: Translator, jobs: Sequence[Job]) -> Iterator[TranslatedScan]:
    """In order; while one is predicted, the next is prepared and the one before is written."""
    ahead = work_ahead(translator.prepare, [case for case, _ in jobs], depth=1)
    with closing(ahead), ThreadPoolExecutor(1, thread_name_prefix="write") as writer:
        before: Callable[[], TranslatedScan] | None = None
        for (case, path), prepared in zip(jobs, ahead, strict=True):
            now = _predict_and_submit(translator, case, path, prepared, writer)
            if before is not None:
                yield before()
            before = now
        if before is not None:
            yield before()


def _predict_and_submit(
    translator: Translator,
    case: Case,
    path: Path,
    prepared: Future[Prepared],
    writer: ThreadPoolExecutor,
) -> Callable[[], TranslatedScan]:
    """Predict and have the result written; waits for that and gives what became of the scan."""

    def fail(error: MedTranslateError) -> TranslatedScan:
        return TranslatedScan(case.name, case.source, None, error=str(error))

    try:
        predicted = predict_case(translator, case, prepared.result())
    except MedTranslateError as error:
        failed = fail(error)
        return lambda: failed
    written = writer.submit(write_predicted, translator, case, predicted, path)

    def wait() -> TranslatedScan:
        try:
            return written.result()
        except MedTranslateError as error:
            return fail(error)

    return wait


@dataclass(frozen=True, eq=False)
class PredictedCase:
    """A prediction that is not written yet.

    Attributes:
        prediction: On the source's own grid.
        sidecar: Plain data that describes it.
        warnings: How the source differs from the training scans.
    """

    prediction: Prediction
    sidecar: Mapping[str, Any]
    warnings: tuple[str, ...]


def predict_case(translator: Translator, case: Case, prepared: Prepared) -> PredictedCase:
    """Predict one case and describe what came of it.

    Raises:
        CheckpointError: If the model cannot be used for this scan, or does not say what it knows.
        VolumeReadError: If the source cannot be used.
        VolumeWriteError: If the prediction cannot carry the watermark that is asked for.
        GeometryError: If it cannot be placed.
    """
    departures = translator.compare_with_training(prepared)
    prediction, watermark = mark_prediction(translator, translator.predict(prepared))
    sidecar = describe_prediction(translator, case, prepared, prediction) | watermark
    sidecar["ComparedWithTraining"] = describe_departures(departures)
    warnings = tuple(one.warning for one in departures if one.outside)
    return PredictedCase(prediction, sidecar, warnings)


def translate_prepared(
    translator: Translator, case: Case, prepared: Prepared, path: Path
) -> TranslatedScan:
    """Make one synthetic scan and its sidecar, and its standard deviations if it has them.

    Raises:
        CheckpointError: If the model cannot be used for this scan, or does not say what it knows.
        VolumeReadError: If the source cannot be used.
        GeometryError: If it cannot be placed.
        VolumeWriteError: If the result cannot be written.
    """
    return write_predicted(translator, case, predict_case(translator, case, prepared), path)


def write_predicted(
    translator: Translator, case: Case, predicted: PredictedCase, path: Path
) -> TranslatedScan:
    """Write what was predicted and its sidecar, and the standard deviations if it has them.

    Raises:
        VolumeWriteError: If the result cannot be written.
    """
    prediction, sidecar = predicted.prediction, dict(predicted.sidecar)
    deviation = _write_deviation(translator, prediction, path, sidecar)
    if deviation is None:
        drop_stale_deviation(path)
    else:
        sidecar |= {"MeanOf": describe_views(translator), "StandardDeviation": deviation.name}
    write_volume(
        path,
        prediction.volume,
        sidecar=sidecar,
        description=DESCRIPTION,
        mark=_describe_mark(translator),
    )
    return TranslatedScan(
        case.name,
        case.source,
        path,
        num_clipped=prediction.num_clipped,
        warnings=predicted.warnings,
        deviation=deviation,
        how=_describe_computation(translator, prediction),
    )


def _describe_computation(translator: Translator, prediction: Prediction) -> str:
    """One line: whole volume or windows, engine, precision, and why."""
    plan, engine = prediction.plan, prediction.engine
    sizes = "" if plan.window is None else "x".join(map(str, plan.window))
    region = f"windows of {sizes} voxels" if sizes else "whole volume at once"
    if plan.reduced:
        region += " (planned larger; the memory did not suffice)"
    if translator.windows_matter(plan):
        region += " (of which each is normalised by itself: the whole volume would differ)"
    return f"{region}, {engine.name} in {engine.precision}: {engine.why}"


def _write_deviation(
    translator: Translator, prediction: Prediction, path: Path, sidecar: Mapping[str, Any]
) -> Path | None:
    if prediction.sd is None or translator.calibration is None:
        return None
    beside = deviation_path(path)
    described = describe_deviation(
        sidecar, translator.calibration, views=describe_views(translator), prediction=path
    )
    write_volume(
        beside,
        prediction.sd,
        sidecar=described,
        description=DESCRIPTION,
        mark=_describe_mark(translator),
    )
    return beside


def _describe_mark(translator: Translator) -> dict[str, Any]:
    return describe_mark(model_sha256=translator.model.sha256, pipeline=translator.pipeline.name)


def find_kept_scan(translator: Translator, case: Case, path: Path) -> TranslatedScan | None:
    """The synthetic scan that this model made from this source before; None if there is none."""
    if not _is_made_by(translator, case, path):
        return None
    beside = deviation_path(path) if translator.calibration is not None else None
    return TranslatedScan(case.name, case.source, path, kept=True, deviation=beside)


def _is_made_by(translator: Translator, case: Case, path: Path) -> bool:
    """Whether this model made the scan, and what lies beside it, from the source as it is now."""
    try:
        data = read_document(sidecar_path(path))
        if not path.is_file() or data.get("ModelSha256") != translator.model.sha256:
            return False
        views = describe_views(translator)
        if data.get("MeanOf", []) != views or (views and not deviation_path(path).is_file()):
            return False
        if recorded_identity(data) != translator.watermark_identity:
            return False
        if not translator.choices.are_met_by(data["Inference"]):
            return False
        source = read_volume(case.source)
    except (OSError, ValueError, KeyError, AttributeError, MedTranslateError):
        return False
    found = hash_volume(source.voxels, source.geometry.affine)
    return bool(data.get("SourceSha256") == found)
