"""By what held-out people are scored: the rule, and what else is looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medtranslate.data.cases import Case
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.rules import resolve_rules
from medtranslate.pipeline import Pipeline
from medtranslate.provenance import hash_file
from medtranslate.workflows.analyses.base import AbstractAnalysis
from medtranslate.workflows.analyses.choose import choose_analyses
from medtranslate.workflows.analyses.downstream import DownstreamTask
from medtranslate.workflows.analyses.retranslation import retranslate_with
from medtranslate.workflows.prediction import Translator
from medtranslate.workflows.validation_choices import ValidationChoices


def make_protocol(pipeline: Pipeline) -> Protocol:
    """The default rule, with predictions scaled by what their sidecar records."""
    return Protocol(scale="sidecar", axis=pipeline.evaluation.axis)


def choose_scoring(
    translator: Translator,
    choices: ValidationChoices,
    cases: Sequence[Case],
    *,
    participants: Mapping[str, Mapping[str, str]] | None = None,
    downstream: DownstreamTask | None = None,
) -> list[AbstractAnalysis]:
    """What is looked at, by the choices and where they leave it to the pipeline by that.

    Args:
        translator: The model.
        choices: What to do beside scoring.
        cases: Whom to score.
        participants: What is known of each subject, for the subgroups.
        downstream: Segments real and synthetic scans; None for no such comparison.
    """
    by_name = {case.name: case for case in cases}
    return choose_analyses(
        protocols=choose_protocols(translator.pipeline, choices),
        thorough=True,
        participants=participants,
        audit=retranslate_with(translator, by_name) if _is_audit(translator, choices) else None,
        calibration=translator.calibration,
        perceptual=choices.perceptual,
        downstream=downstream,
    )


def choose_protocols(pipeline: Pipeline, choices: ValidationChoices) -> Sequence[str]:
    """Names of the rules to score by beside the default one."""
    return pipeline.evaluation.protocols if choices.protocols is None else choices.protocols


def _is_audit(translator: Translator, choices: ValidationChoices) -> bool:
    return translator.pipeline.evaluation.audit if choices.audit is None else choices.audit


def describe_scoring(translator: Translator, choices: ValidationChoices) -> dict[str, Any]:
    """All that the scores of a case depend on beside its own files, plain JSON data."""
    calibration = translator.calibration
    return {
        **describe_rules(translator.pipeline, choices, make_protocol(translator.pipeline)),
        "models": [one.model.sha256 for one in (translator, *translator.companions)],
        "calibration": None if calibration is None else calibration.to_json(),
        "audit": _is_audit(translator, choices),
        "inference": translator.inference.model_dump(mode="json"),
        "device": translator.processor.device.type,
    }


def describe_rules(
    pipeline: Pipeline, choices: ValidationChoices, protocol: Protocol
) -> dict[str, Any]:
    """Of that what does not depend on the kind of model."""
    perceptual = choices.perceptual
    return {
        "protocol": protocol.fingerprint,
        "protocols": [
            rule.fingerprint for rule in resolve_rules(choose_protocols(pipeline, choices))
        ],
        "perceptual": None if perceptual is None else hash_file(perceptual),
        "even_though_seen": choices.even_though_seen,
    }
