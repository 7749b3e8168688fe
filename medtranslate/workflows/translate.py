"""Translate: a model and scans in, synthetic scans with their sidecars out."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from medtranslate.data.cases import Case
from medtranslate.data.pseudonyms import hide_path
from medtranslate.errors import MedTranslateError
from medtranslate.inference.settings import InferenceChoices
from medtranslate.io import (
    read_volume,
    sidecar_path,
)
from medtranslate.io.documents import read_document
from medtranslate.io.locking import lock_folder
from medtranslate.manifest import (
    Recorded,
    Snapshot,
    load_signing_key,
    read_recorded,
    sign_outputs,
    take_snapshot,
)
from medtranslate.manifest.status import read_done, write_done, write_failed
from medtranslate.provenance import hash_volume
from medtranslate.watermark import describe_watermark, recorded_identity
from medtranslate.workflows.attempts import Failure, attempt, tell_failure
from medtranslate.workflows.chains import plan_chains, work_in_chains
from medtranslate.workflows.deviation import deviation_path
from medtranslate.workflows.ensemble import describe_views, load_chosen_translator
from medtranslate.workflows.marking import describe_made
from medtranslate.workflows.origin import Origin
from medtranslate.workflows.outputs import (
    describe_dataset,
    is_scan_file,
    plan_outputs,
)
from medtranslate.workflows.prediction import Translator
from medtranslate.workflows.progress import NoProgress, Progress
from medtranslate.workflows.sources import collect_cases
from medtranslate.workflows.translated_case import TranslatedScan, tell_failed, translate_case
from medtranslate.workflows.watermarking import with_watermark


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

    One source that fails, in whatever way, does not stop the others; a single one raises. In a
    folder, what this very model made of the sources as they are now is kept, and a status file says
    what became of each.

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
        recorded = read_recorded(out) if keep else None
        scans = [find_kept_scan(translator, *job, recorded=recorded) for job in jobs]
        progress.stage("translate", len(jobs))
        folder = out if in_folder else None
        for scan in _translate_missing(translator, jobs, scans, folder, progress):
            if folder is not None:
                record_scan(folder, scan)
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
    folder: Path | None,
    progress: Progress,
) -> Iterator[TranslatedScan]:
    """Those that are there already, then the others as they are made and put into ``scans``."""
    yield from (kept := [scan for scan in scans if scan is not None])
    progress.update(len(kept), f"{len(kept)} there already" if kept else "")
    missing = [number for number, scan in enumerate(scans) if scan is None]
    way = partial(_translate_only, folder=folder) if len(jobs) == 1 else _translate_each
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
    elif not (scan.kept and read_done(out, scan.case)):
        record = {"output": scan.output.relative_to(out).as_posix()}
        write_done(out, scan.case, record, files=scan.files)


def _translate_only(
    translator: Translator, jobs: Sequence[Job], *, folder: Path | None
) -> Iterator[TranslatedScan]:
    """The only scan there is; what goes wrong with it is told in the folder, and raised."""
    for case, path in jobs:
        try:
            made = translate_case(translator, case, path)
        except Exception as error:
            if folder is not None:
                record_scan(folder, tell_failed(case, tell_failure(error)))
            raise
        yield made


def _translate_each(translator: Translator, jobs: Sequence[Job]) -> Iterator[TranslatedScan]:
    """In order, several at a time; what goes wrong with one is told in its place."""
    chains = plan_chains(translator, [case for case, _ in jobs])
    turn = threading.Lock() if chains.in_turn else nullcontext()

    def work(own: Translator, job: Job) -> TranslatedScan:
        made = attempt(partial(translate_case, own, *job, turn=turn))
        return tell_failed(job[0], made.why) if isinstance(made, Failure) else made

    return work_in_chains(work, translator, jobs, chains=chains)


def find_kept_scan(
    translator: Translator, case: Case, path: Path, *, recorded: Recorded | None
) -> TranslatedScan | None:
    """The synthetic scan that this model made from this source before; None if there is none.

    It must be as a signed record says it was written: what is kept will be signed again.
    """
    if recorded is None or attempt(partial(_is_made_by, translator, case, path)) is not True:
        return None
    beside = deviation_path(path) if translator.calibration is not None else None
    scan = TranslatedScan(case.name, case.source, path, kept=True, deviation=beside)
    return scan if attempt(partial(recorded.holds, *scan.files)) is True else None


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
