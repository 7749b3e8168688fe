"""A model, alone or with others, made ready to say how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from medtranslate.errors import CheckpointError, ConfigError
from medtranslate.inference.settings import InferenceChoices
from medtranslate.pipeline import Pipeline
from medtranslate.workflows.calibration import read_calibration
from medtranslate.workflows.prediction import Translator, load_translator

_SHARED = ("source", "target", "mask", "preprocess")
"""What models that predict together must agree in: what they are shown and what they predict."""


def load_chosen_translator(
    model: Path,
    *,
    uncertainty: bool | None,
    companions: Sequence[Path] = (),
    inference: InferenceChoices | None = None,
) -> Translator:
    """Load a model, on request with its uncertainty and further models.

    Args:
        model: Run folder or its ``model/``.
        uncertainty: Whether predictions shall have a standard deviation; what the model's pipeline
            says (``evaluation.uncertainty``) if None.
        companions: Further models of the same pipeline, such as other folds or seeds.
        inference: What is asked for in place of the pipeline's inference settings.

    Raises:
        CheckpointError: If a model cannot be used, was never calibrated, or is of another kind.
        ConfigError: If companions are given without ``uncertainty``.
    """
    inference = inference or InferenceChoices()
    translator = load_translator(model, choices=inference)
    if uncertainty is None:
        uncertainty = translator.pipeline.evaluation.uncertainty
    if companions and not uncertainty:
        raise ConfigError("--with adds models to an ensemble; give it together with --uncertainty")
    if not uncertainty:
        return translator
    return add_uncertainty(
        translator, [load_translator(path, choices=inference) for path in companions]
    )


def add_uncertainty(translator: Translator, companions: Sequence[Translator] = ()) -> Translator:
    """The same model, whose predictions are means with a standard deviation.

    Args:
        translator: Gives the calibration, the scale of stored values and the baselines.
        companions: Further models of the same pipeline.

    Raises:
        CheckpointError: If the model was never calibrated, or a companion is given twice, or
            predicts something else or from something else.
    """
    calibration = read_calibration(translator.model)
    known = {translator.model.sha256: translator}
    for companion in companions:
        _require_same_job(translator, companion)
        if (twin := known.get(companion.model.sha256)) is not None:
            raise CheckpointError(
                f"{companion.model.folder}: is the same model as {twin.model.folder}; an ensemble"
                " needs models that were trained apart. Give each once"
            )
        known[companion.model.sha256] = companion
    return replace(translator, calibration=calibration, companions=tuple(companions))


def describe_views(translator: Translator) -> list[dict[str, Any]]:
    """The predictions that one of its predictions is the mean of; empty for a plain one."""
    if translator.calibration is None:
        return []
    return [
        {"ModelSha256": one.model.sha256, "Mirrored": mirrored}
        for one in (translator, *translator.companions)
        for mirrored in ((False, True) if one.pipeline.is_mirrored else (False,))
    ]


def _require_same_job(translator: Translator, companion: Translator) -> None:
    mine, theirs = _job(translator.pipeline), _job(companion.pipeline)
    different = [key for key in _SHARED if mine[key] != theirs[key]]
    if different:
        told = "; ".join(f"{key} {mine[key]} and {theirs[key]}" for key in different)
        raise CheckpointError(
            f"{companion.model.folder}: cannot predict together with {translator.model.folder}:"
            f" their pipelines differ in {told}. Models of an ensemble share source, target, mask"
            " and preprocess"
        )


def _job(pipeline: Pipeline) -> dict[str, Any]:
    return pipeline.model_dump(mode="json", include=set(_SHARED))
