"""Which analyses an evaluation makes, in the order of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from medtranslate.metrics.calibration import Calibration
from medtranslate.metrics.rules import resolve_rules
from medtranslate.workflows.analyses.alignment import AlignmentAnalysis
from medtranslate.workflows.analyses.base import AbstractAnalysis
from medtranslate.workflows.analyses.change import ChangeAnalysis
from medtranslate.workflows.analyses.consistency import ConsistencyAnalysis
from medtranslate.workflows.analyses.coverage import Coverage
from medtranslate.workflows.analyses.dose import DoseAnalysis
from medtranslate.workflows.analyses.downstream import DownstreamAnalysis, DownstreamTask
from medtranslate.workflows.analyses.familiarity import Familiarity
from medtranslate.workflows.analyses.lesions import LesionAudit
from medtranslate.workflows.analyses.regions import RegionAnalysis
from medtranslate.workflows.analyses.retranslation import Retranslation
from medtranslate.workflows.analyses.risk_coverage import RiskCoverage
from medtranslate.workflows.analyses.rules import RulesAnalysis
from medtranslate.workflows.analyses.sharpness import SharpnessAnalysis
from medtranslate.workflows.analyses.spread import SpreadAnalysis
from medtranslate.workflows.analyses.statistics import Statistics
from medtranslate.workflows.analyses.stress import StressAnalysis
from medtranslate.workflows.analyses.subgroups import Subgroups


def choose_analyses(
    *,
    protocols: Sequence[str],
    thorough: bool,
    participants: Mapping[str, Mapping[str, str]] | None = None,
    labels: bool = False,
    audit: Retranslation | None = None,
    calibration: Calibration | None = None,
    downstream: DownstreamTask | None = None,
    perceptual: Path | None = None,
    followed: bool = False,
) -> list[AbstractAnalysis]:
    """The analyses of one evaluation; new ones, for they keep what they have seen.

    Args:
        protocols: Names of the protocols and rules to score by; the default one makes the main
            tables in any case.
        thorough: Whether to look at regions, sharpness and, of CT, the dose surrogate, and to score
            scans moved a little; all that costs as much as scoring a case ten times.
        participants: What is known of each subject, for the subgroups; nothing if None.
        labels: Whether the cases come with labels; regions are then looked at in any case.
        audit: The model to try with degraded sources and with lesions, which costs about twenty
            predictions a case; None for no such trials.
        calibration: Makes intervals of the predictions' standard deviations; None if they have
            none.
        downstream: Segments real and synthetic scans, which costs one more prediction a case; None
            for no such comparison.
        perceptual: Weights of a feature network to compare the scans by; None for none.
        followed: Whether the cases follow people through time, so that change is scored.

    Raises:
        CheckpointError: If these weights cannot be used; says what to fetch.
        ConfigError: If a protocol is not known; lists those that are.
    """
    analyses: list[AbstractAnalysis] = [Statistics(), Subgroups(participants)]
    if followed:
        analyses[:0] = [ChangeAnalysis(), SpreadAnalysis(), ConsistencyAnalysis()]
    if rules := resolve_rules(protocols):
        analyses.append(RulesAnalysis(rules))
    if thorough or labels:
        analyses.append(RegionAnalysis())
    if thorough:
        analyses += [SharpnessAnalysis(), DoseAnalysis()]
    if perceptual is not None:
        # Scoring without it never waits for a deep-learning library.
        from medtranslate.workflows.analyses.perceptual import PerceptualAnalysis

        analyses.append(PerceptualAnalysis(perceptual))
    analyses.append(Familiarity())
    if calibration is not None:
        analyses += [Coverage(calibration), RiskCoverage()]
    if downstream is not None:
        analyses.append(DownstreamAnalysis(downstream))
    if thorough:
        analyses.append(AlignmentAnalysis())
    if audit is not None:
        analyses += [StressAnalysis(audit), LesionAudit(audit)]
    return analyses
