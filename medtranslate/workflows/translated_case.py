"""One case translated, in steps of which those of several cases can go on side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from medtranslate.data.cases import Case
from medtranslate.data.familiarity import Departure
from medtranslate.io import write_volume
from medtranslate.networks.inputs import make_inputs
from medtranslate.preprocess.preparation import Prepared
from medtranslate.workflows.deviation import describe_deviation, deviation_path
from medtranslate.workflows.ensemble import describe_views
from medtranslate.workflows.marking import DESCRIPTION, describe_mark
from medtranslate.workflows.outputs import drop_stale_deviation
from medtranslate.workflows.prediction import GridPrediction, Prediction, Translator
from medtranslate.workflows.sidecars import describe_departures, describe_prediction
from medtranslate.workflows.watermarking import mark_prediction


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


@dataclass(frozen=True, eq=False)
class ReadyCase:
    """A case that only lacks the network's work.

    Attributes:
        prepared: The scan on the model grid.
        inputs: What the network is shown of it, from :func:`make_inputs`.
        departures: How it differs from the training scans.
    """

    prepared: Prepared
    inputs: Tensor
    departures: tuple[Departure, ...]

    def predict_by(self, translator: Translator) -> GridPrediction:
        """The network's work.

        Raises:
            CheckpointError: If the model predicts voxels that are not finite.
            MemoryShortageError: If not even small windows fit the memory.
        """
        return translator.predict_on_grid(self.prepared, self.inputs)


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


def make_ready(translator: Translator, case: Case) -> ReadyCase:
    """Load a case and do what needs no network.

    Raises:
        CheckpointError: If the model does not say what it was trained on.
        GeometryError: If grids do not fit together.
        VolumeReadError: If the source cannot be used.
    """
    prepared = translator.prepare(case)
    inputs = make_inputs(prepared.source, prepared.mask)
    return ReadyCase(prepared, inputs, translator.compare_with_training(prepared))


def finish_case(
    translator: Translator,
    case: Case,
    prepared: Prepared,
    departures: tuple[Departure, ...],
    found: GridPrediction,
) -> PredictedCase:
    """Bring a prediction back to the source's grid, mark it, and describe what came of it.

    Args:
        translator: What predicted.
        case: The scan.
        prepared: The same on the model grid.
        departures: How it differs from the training scans.
        found: The prediction.

    Raises:
        GeometryError: If it cannot be placed.
        VolumeReadError: If it is too small for the watermark that is asked for.
        VolumeWriteError: If it cannot carry that watermark.
    """
    prediction = translator.bring_back(found, prepared)
    prediction, watermark = mark_prediction(translator, prediction)
    sidecar = describe_prediction(translator, case, prepared, prediction) | watermark
    sidecar["ComparedWithTraining"] = describe_departures(departures)
    warnings = tuple(one.warning for one in departures if one.outside)
    return PredictedCase(prediction, sidecar, warnings)


def predict_case(translator: Translator, case: Case) -> PredictedCase:
    """Predict one case, all steps one after another.

    Raises:
        CheckpointError: If the model cannot be used for this scan, or does not say what it knows.
        VolumeReadError: If the source cannot be used.
        VolumeWriteError: If the prediction cannot carry the watermark that is asked for.
        GeometryError: If it cannot be placed.
    """
    ready = make_ready(translator, case)
    found = ready.predict_by(translator)
    return finish_case(translator, case, ready.prepared, ready.departures, found)


def translate_case(translator: Translator, case: Case, path: Path) -> TranslatedScan:
    """Make one synthetic scan and its sidecar, and its standard deviations if it has them.

    Raises:
        CheckpointError: If the model cannot be used for this scan, or does not say what it knows.
        VolumeReadError: If the source cannot be used.
        GeometryError: If it cannot be placed.
        VolumeWriteError: If the result cannot be written.
    """
    return write_predicted(translator, case, predict_case(translator, case), path)


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
