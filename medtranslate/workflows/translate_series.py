"""Translate DICOM series into DICOM series, with what belongs beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from medtranslate.data.cases import Case
from medtranslate.errors import DatasetError, MissingExtraError
from medtranslate.inference.settings import InferenceChoices
from medtranslate.manifest import load_signing_key, take_snapshot
from medtranslate.workflows.attempts import Failure, attempt
from medtranslate.workflows.ensemble import load_chosen_translator
from medtranslate.workflows.outputs import require_dicom
from medtranslate.workflows.prediction import Translator
from medtranslate.workflows.progress import NoProgress, Progress
from medtranslate.workflows.regions import read_regions
from medtranslate.workflows.sources import collect_cases
from medtranslate.workflows.translate import Translation, sign_translation
from medtranslate.workflows.translated_case import TranslatedScan, predict_case, tell_failed
from medtranslate.workflows.watermarking import with_watermark

try:
    from medtranslate.io.dicom.identity import Identity
    from medtranslate.io.dicom.reading import read_series
    from medtranslate.workflows.derived_folder import (
        DEVIATION,
        Predicted,
        plan_folder,
        write_folder,
    )
except ModuleNotFoundError as error:
    raise MissingExtraError(error.name or "pydicom", "dicom") from error


def translate_to_dicom(
    model: Path,
    sources: Sequence[Path],
    out: Path,
    *,
    identity: Identity = "pseudonym",
    regions: Mapping[str, Path] | None = None,
    mask: Path | None = None,
    uncertainty: bool = False,
    companions: Sequence[Path] = (),
    inference: InferenceChoices | None = None,
    watermark_key: Path | None = None,
    progress: Progress | None = None,
) -> Translation:
    """Make the synthetic DICOM series of each source series.

    One source that fails does not stop the others; a single one raises.

    Args:
        model: Run folder or its ``model/``.
        sources: DICOM series, or datasets of them.
        out: A folder; each series gets one in it, named by pseudonyms.
        identity: Whether patient and study are named as in the source.
        regions: Masks of the one source by name, written as a segmentation and as contours.
        mask: As :func:`medtranslate.workflows.translate.translate`, like all that follows.
        uncertainty: Also write the standard deviations, as a Parametric Map.
        companions: Further models.
        inference: What is asked for in place of the pipeline's inference settings.
        watermark_key: Key file of the watermark; none is put in if None.
        progress: Told how far things are.

    Raises:
        CheckpointError: If a model cannot be used.
        ConfigError: If there are companions without ``uncertainty``, or a key cannot be used.
        DatasetError: If a source is not DICOM, or regions are given for several.
    """
    progress = progress or NoProgress()
    translator = load_chosen_translator(
        model, uncertainty=uncertainty, companions=companions, inference=inference
    )
    translator = with_watermark(translator, watermark_key)
    cases = collect_cases(translator, sources, mask=mask)
    _check_sources(cases, regions or {})
    key, before = load_signing_key(), take_snapshot(out)
    progress.stage("translate", len(cases))
    scans: list[TranslatedScan] = []
    for number, case in enumerate(cases):
        progress.update(number, case.name)
        make = partial(
            translate_series, translator, case, out, identity=identity, regions=regions or {}
        )
        made = make() if len(cases) == 1 else attempt(make)
        scans.append(tell_failed(case, made.why) if isinstance(made, Failure) else made)
    progress.update(len(cases))
    translation = Translation(translator.model.sha256, tuple(scans))
    sign_translation(translator, cases, translation, out, since=before, key=key)
    return translation


def translate_series(
    translator: Translator,
    case: Case,
    out: Path,
    *,
    identity: Identity,
    regions: Mapping[str, Path],
) -> TranslatedScan:
    """Make one synthetic series; its folder appears in ``out`` when all of it is there.

    Raises:
        CheckpointError: If the model cannot be used for this series.
        DatasetError: If something that is not ours would be overwritten.
        GeometryError: If a region lies on another grid.
        VolumeReadError: If the source or a region cannot be used.
        VolumeWriteError: If the result cannot be written.
    """
    source = read_series(case.source)
    folder = plan_folder(source, translator.target_suffix, out)
    masks = read_regions(regions, source.volume.geometry)
    predicted = predict_case(translator, case)
    prediction = predicted.prediction
    series = write_folder(
        folder,
        translator,
        source,
        Predicted(prediction.volume, predicted.sidecar, sd=prediction.sd, regions=masks),
        identity=identity,
    )
    return TranslatedScan(
        case.name,
        case.source,
        folder,
        num_clipped=prediction.num_clipped + series.num_clipped,
        warnings=predicted.warnings,
        deviation=folder / DEVIATION if prediction.sd is not None else None,
    )


def _check_sources(cases: Sequence[Case], regions: Mapping[str, Path]) -> None:
    require_dicom(cases)
    if regions and len(cases) != 1:
        raise DatasetError(
            f"--region fits one source, but there are {len(cases)}; translate them in calls of"
            " their own"
        )
