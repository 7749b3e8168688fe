"""One case translated: from its files to the synthetic scan and its sidecar."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medtranslate.data.cases import Case
from medtranslate.io import sidecar_path, write_volume
from medtranslate.workflows.deviation import describe_deviation, deviation_path
from medtranslate.workflows.ensemble import describe_views
from medtranslate.workflows.marking import DESCRIPTION, describe_mark
from medtranslate.workflows.outputs import drop_stale_deviation
from medtranslate.workflows.prediction import Prediction, Translator
from medtranslate.workflows.sidecars import describe_departures, describe_prediction
from medtranslate.workflows.watermarking import mark_prediction

_AT_ONCE: AbstractContextManager[object] = nullcontext()


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

    @property
    def files(self) -> tuple[Path, ...]:
        """What was written as NIfTI: volumes and their sidecars."""
        volumes = [path for path in (self.output, self.deviation) if path is not None]
        return tuple(file for path in volumes for file in (path, sidecar_path(path)))


def tell_failed(case: Case, why: str) -> TranslatedScan:
    """What became of a source that could not be translated."""
    return TranslatedScan(case.name, case.source, None, error=why)


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


def predict_case(
    translator: Translator, case: Case, *, turn: AbstractContextManager[object] = _AT_ONCE
) -> PredictedCase:
    """Predict one case, bring it back to the source's grid, mark it, and describe what came of it.

    Args:
        translator: The model.
        case: The scan.
        turn: Held while the network computes.

    Raises:
        CheckpointError: If the model cannot be used for this scan, or does not say what it knows.
        VolumeReadError: If the source cannot be used.
        VolumeWriteError: If the prediction cannot carry the watermark that is asked for.
        GeometryError: If it cannot be placed.
    """
    prepared = translator.prepare(case)
    departures = translator.compare_with_training(prepared)
    inputs = translator.show(prepared)
    with turn:
        found = translator.predict_on_grid(prepared, inputs)
    prediction, watermark = mark_prediction(translator, translator.bring_back(found, prepared))
    sidecar = describe_prediction(translator, case, prepared, prediction) | watermark
    sidecar["ComparedWithTraining"] = describe_departures(departures)
    warnings = tuple(one.warning for one in departures if one.outside)
    return PredictedCase(prediction, sidecar, warnings)


def translate_case(
    translator: Translator,
    case: Case,
    path: Path,
    *,
    turn: AbstractContextManager[object] = _AT_ONCE,
) -> TranslatedScan:
    """Make one synthetic scan and its sidecar, and its standard deviations if it has them.

    Args:
        translator: The model.
        case: The scan.
        path: Where the synthetic one goes.
        turn: Held while the network computes.

    Raises:
        CheckpointError: If the model cannot be used for this scan, or does not say what it knows.
        VolumeReadError: If the source cannot be used.
        GeometryError: If it cannot be placed.
        VolumeWriteError: If the result cannot be written.
    """
    return write_predicted(translator, case, predict_case(translator, case, turn=turn), path)


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
    if plan.why:
        region += f" ({plan.why})"
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
