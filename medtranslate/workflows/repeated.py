"""What each run of a cross-validation predicts of the people it held out, by the kind of model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence

from medtranslate.data.cases import Case
from medtranslate.data.visits import VisitPair
from medtranslate.metrics.protocol import Protocol
from medtranslate.pipeline import Pipeline
from medtranslate.report.details import EvaluationDetails
from medtranslate.workflows.analyses.base import AbstractAnalysis
from medtranslate.workflows.analyses.choose import choose_analyses
from medtranslate.workflows.ensemble import load_chosen_translator
from medtranslate.workflows.follow_ups import (
    choose_follow_up_analyses,
    describe_follow_ups,
    has_trend,
    make_follow_up_protocol,
    simulate_follow_ups,
)
from medtranslate.workflows.forecaster import load_forecaster
from medtranslate.workflows.prediction import Translator
from medtranslate.workflows.progress import Progress
from medtranslate.workflows.run import RunResult
from medtranslate.workflows.scored_case import ScoredCase, UnscoredCase
from medtranslate.workflows.scoring_plan import make_protocol
from medtranslate.workflows.validate import describe_evaluation, predict_cases

Participants = Mapping[str, Mapping[str, str]]


class AbstractRepeated(ABC):
    """What a cross-validation asks of a kind of model; it loads one model at a time."""

    @abstractmethod
    def describe(self, run: RunResult, *, command: str) -> EvaluationDetails:
        """What a report says of the model of a run."""

    @abstractmethod
    def make_protocol(self, pipeline: Pipeline) -> Protocol:
        """The rule that scores all runs."""

    @abstractmethod
    def choose_analyses(self, protocols: Sequence[str]) -> list[AbstractAnalysis]:
        """What to look at beside the scores; nothing that belongs to one model."""

    @abstractmethod
    def predict(self, run: RunResult, *, progress: Progress) -> Iterator[ScoredCase | UnscoredCase]:
        """The cases that a run held out, one at a time, to score."""


class RepeatedContrasts(AbstractRepeated):
    """Models that turn a contrast into another; their runs have written what they predict.

    Args:
        pipeline: The whole job.
        cases: Of everybody.
        participants: What is known of each subject, by subject key.
    """

    def __init__(
        self, pipeline: Pipeline, cases: Sequence[Case], participants: Participants
    ) -> None:
        self._uncertainty = pipeline.evaluation.uncertainty
        self._cases = cases
        self._participants = participants

    def describe(self, run: RunResult, *, command: str) -> EvaluationDetails:
        """What a report says of the model of a run."""
        return describe_evaluation(self._load(run), seen=(), command=command)

    def make_protocol(self, pipeline: Pipeline) -> Protocol:
        """The default rule, by the scales of sidecars."""
        return make_protocol(pipeline)

    def choose_analyses(self, protocols: Sequence[str]) -> list[AbstractAnalysis]:
        """Regions, sharpness, dose and alignment too."""
        return choose_analyses(protocols=protocols, thorough=True, participants=self._participants)

    def predict(self, run: RunResult, *, progress: Progress) -> Iterator[ScoredCase | UnscoredCase]:
        """The scans that a run has written."""
        scans = () if run.translation is None else run.translation.scans
        written = {scan.case: scan.output for scan in scans if scan.output is not None}
        return predict_cases(
            self._load(run),
            [case for case in self._cases if case.name in written],
            predictions=written,
            progress=progress,
        )

    def _load(self, run: RunResult) -> Translator:
        return load_chosen_translator(run.folder, uncertainty=self._uncertainty)


class RepeatedFollowUps(AbstractRepeated):
    """Models that follow people through time; follow-ups are simulated anew.

    Args:
        cases: Of everybody.
        pairs: The visits behind each case, by its name.
        participants: What is known of each subject, by subject key.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        pairs: Mapping[str, VisitPair],
        participants: Participants,
    ) -> None:
        self._cases = cases
        self._pairs = pairs
        self._participants = participants

    def describe(self, run: RunResult, *, command: str) -> EvaluationDetails:
        """What a report says of the model of a run."""
        return describe_follow_ups(load_forecaster(run.folder), command=command)

    def make_protocol(self, pipeline: Pipeline) -> Protocol:
        """The default rule, by one divisor."""
        return make_follow_up_protocol(pipeline)

    def choose_analyses(self, protocols: Sequence[str]) -> list[AbstractAnalysis]:
        """Change, its spread and its consistency too."""
        return choose_follow_up_analyses(protocols, participants=self._participants)

    def predict(self, run: RunResult, *, progress: Progress) -> Iterator[ScoredCase | UnscoredCase]:
        """Simulated follow-ups; baselines are the same whichever run held a person out."""
        tried = {*run.validation.scored, *dict(run.validation.unscored)}
        held_out = [case for case in self._cases if {case.subject, case.name} & tried]
        return simulate_follow_ups(
            load_forecaster(run.folder),
            held_out,
            self._pairs,
            trend=has_trend(self._cases, self._pairs),
            progress=progress,
        )
