"""Score held-out people on several machines, each person once, however often it is begun."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medtranslate.data.cases import Case
from medtranslate.errors import ConfigError, VolumeWriteError
from medtranslate.workflows.attempts import Failure
from medtranslate.workflows.distribution import distribute
from medtranslate.workflows.evidence import look_at
from medtranslate.workflows.kept_evidence import EvidenceKeeper, describe_code
from medtranslate.workflows.progress import NoProgress, Progress
from medtranslate.workflows.scored_case import UnscoredCase
from medtranslate.workflows.scoring_plan import choose_scoring, make_protocol
from medtranslate.workflows.translate_cohort import ModelChoice, load_once
from medtranslate.workflows.validate import predict_cases
from medtranslate.workflows.validation_choices import ValidationChoices


@dataclass(frozen=True)
class CaseToScore:
    """All that a worker needs to score one case.

    Attributes:
        choice: The model; paths must mean the same on every machine.
        model_sha256: Identifies the model that is meant.
        choices: What to do beside scoring.
        case: Whom.
        written: The synthetic scan.
        keeper: Writes what was seen.
        code: What the caller computes with, see :func:`describe_code`.
    """

    choice: ModelChoice
    model_sha256: str
    choices: ValidationChoices
    case: Case
    written: Path
    keeper: EvidenceKeeper
    code: Mapping[str, str]


def score_on_cluster(
    choice: ModelChoice,
    model_sha256: str,
    choices: ValidationChoices,
    cases: Sequence[Case],
    keeper: EvidenceKeeper,
    *,
    predictions: Mapping[str, Path],
    cluster: str,
    progress: Progress,
) -> dict[str, UnscoredCase]:
    """Have each case scored, and a status file written of it.

    Args:
        choice: How the workers load the model.
        model_sha256: Identifies the model that is meant.
        choices: What to do beside scoring.
        cases: Held-out people.
        keeper: Keeps what was seen of each.
        predictions: Synthetic scans by case name, on a disk that every machine sees.
        cluster: Where the work is done, see :func:`distribute`.
        progress: Told how far things are.

    Returns:
        By name the cases that could not be scored; of the others ``keeper`` has the evidence.

    Raises:
        ConfigError: If the cluster cannot be reached, or its workers have another disk.
        VolumeWriteError: If a worker or this process cannot write.
    """
    jobs = [
        CaseToScore(
            choice,
            model_sha256,
            choices,
            case,
            predictions[case.name],
            keeper.of(case.name),
            describe_code(),
        )
        for case in cases
    ]
    unscored = {}
    progress.stage("score", len(jobs))
    for done, (number, result) in enumerate(distribute(_score_one, jobs, cluster=cluster), 1):
        case = jobs[number].case
        if isinstance(result, VolumeWriteError):
            raise result
        if isinstance(result, Failure):
            unscored[case.name] = UnscoredCase(case.name, result.why)
        elif result is None:
            keeper.record(case.name)
        else:
            unscored[case.name] = result
        progress.update(done, case.name)
    return unscored


def _score_one(job: CaseToScore) -> UnscoredCase | VolumeWriteError | None:
    """Write what is seen of a case; why not is given back, and what keeps all from being written.

    Raises:
        ConfigError: If this process is of another version than who sent the job.
    """
    if (code := describe_code()) != job.code:
        differing = sorted(name for name in code if code[name] != job.code.get(name))
        raise ConfigError(
            f"the worker has another {', '.join(differing)} than this machine; install the same"
        )
    translator = load_once(job.choice, job.model_sha256)
    (made,) = predict_cases(
        translator,
        [job.case],
        predictions={job.case.name: job.written},
        refuse_seen=not job.choices.even_though_seen,
        progress=NoProgress(),
    )
    if isinstance(made, UnscoredCase):
        return made
    analyses = choose_scoring(translator, job.choices, [job.case])
    try:
        job.keeper.write(look_at(made, make_protocol(translator.pipeline), analyses))
    except VolumeWriteError as error:
        return error
    return None
