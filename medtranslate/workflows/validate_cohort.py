"""Validate with synthetic scans that are kept, made here or on several machines, then scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medtranslate.data.cases import Case
from medtranslate.errors import DatasetError
from medtranslate.workflows.kept_evidence import EvidenceKeeper
from medtranslate.workflows.outputs import require_dicom
from medtranslate.workflows.prediction import Translator
from medtranslate.workflows.progress import NoProgress, Progress
from medtranslate.workflows.score_cohort import score_on_cluster
from medtranslate.workflows.scored_case import UnscoredCase
from medtranslate.workflows.translate import Translation, translate_cases
from medtranslate.workflows.translate_cohort import ModelChoice, translate_cohort
from medtranslate.workflows.validate import Validation, validate
from medtranslate.workflows.validation_choices import ValidationChoices

PREDICTIONS_FOLDER = "predictions"
"""Where the synthetic scans lie, in the folder of the scores."""


@dataclass(frozen=True)
class CohortValidation:
    """Scores of those who could be predicted, and what became of every source."""

    validation: Validation
    translation: Translation


def validate_cohort(
    model: Path,
    datasets: Sequence[Path],
    out: Path,
    *,
    choices: ValidationChoices,
    cluster: str | None = None,
    progress: Progress | None = None,
) -> CohortValidation:
    """Score a model on held-out people, as :func:`validate`.

    The synthetic scans are kept in ``out/predictions``: called again, only the missing ones are
    made. People whose scan cannot be made are told and not scored.

    Args:
        model: Run folder or its ``model/``.
        datasets: BIDS folders or tables; on a disk that every machine sees under the same path.
        out: Folder for the scans, the tables and the report.
        choices: What to do beside scoring.
        cluster: Where the scans are made and scored, see :func:`distribute`; in this process if
            None.
        progress: Told how far things are.

    Raises:
        DatasetError: If nobody was held out, no scan could be made, or DICOM is asked for and a
            source is none.
        ConfigError: If the cluster cannot be reached.
    """
    progress = progress or NoProgress()
    choice = ModelChoice(model, choices.uncertainty, tuple(choices.companions), choices.inference)
    made: list[Translation] = []

    def predict(translator: Translator, cases: Sequence[Case]) -> Mapping[str, Path]:
        if choices.dicom is not None:
            require_dicom(cases)
        folder = out / PREDICTIONS_FOLDER
        translation = (
            translate_cases(translator, cases, folder, keep=True, progress=progress)
            if cluster is None
            else translate_cohort(
                translator, choice, cases, folder, cluster=cluster, progress=progress
            )
        )
        made.append(translation)
        written = _list_written(translation)
        if not written:
            reasons = "\n  ".join(f"{scan.case}: {scan.error}" for scan in translation.failed)
            raise DatasetError(f"no held-out person could be translated:\n  {reasons}")
        return written

    def look_elsewhere(keeper: EvidenceKeeper, cases: Sequence[Case]) -> Mapping[str, UnscoredCase]:
        return score_on_cluster(
            choice,
            made[0].model_sha256,
            choices,
            cases,
            keeper,
            predictions=_list_written(made[0]),
            cluster=cluster or "",
            progress=progress,
        )

    validation = validate(
        model,
        datasets,
        out,
        choices=choices,
        predict=predict,
        look_elsewhere=None if cluster is None else look_elsewhere,
        progress=progress,
    )
    return CohortValidation(validation, made[0])


def _list_written(translation: Translation) -> dict[str, Path]:
    return {scan.case: scan.output for scan in translation.scans if scan.output is not None}
