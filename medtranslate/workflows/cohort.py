"""Who takes part: datasets indexed, scans paired, people divided and the division guarded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medtranslate.data.cases import Case, find_cases
from medtranslate.data.index import index_datasets, read_description
from medtranslate.data.leakage import guard_split
from medtranslate.data.scans import DatasetIndex, Part
from medtranslate.data.split import Split, split_subjects
from medtranslate.data.untrue_headers import warn_of_untrue_headers
from medtranslate.data.visits import VisitPair, pair_visits
from medtranslate.pipeline import Pipeline


@dataclass(frozen=True)
class Cohort:
    """The people of a run.

    Attributes:
        cases: Every pair of scans, sorted by name.
        split: Which part each person belongs to.
        participants: What the datasets say of each subject, by subject key.
        pairs: The visits behind each case, by its name; empty unless visits are followed.
        descriptions: What each dataset says of itself, by its name; empty texts are absent.
    """

    cases: tuple[Case, ...]
    split: Split
    participants: dict[str, dict[str, str]]
    pairs: dict[str, VisitPair] = field(default_factory=dict)
    descriptions: dict[str, dict[str, str]] = field(default_factory=dict)

    def part(self, part: Part) -> list[Case]:
        """The cases of one part."""
        return self.split.cases(self.cases, part)


def assemble_cohort(pipeline: Pipeline, datasets: Sequence[Path]) -> Cohort:
    """Index the datasets, pair source and target, and divide the people.

    Raises:
        DatasetError: If nothing can be paired or anything would leak.
    """
    indexes = index_datasets(datasets)
    cases, pairs = pair_scans(pipeline, indexes)
    participants = join_participants(indexes)
    split = split_subjects(cases, participants, pipeline.split)
    guard_split(split, cases)
    warn_of_untrue_headers(cases)
    descriptions = {index.name: read_description(index.root) for index in indexes}
    return Cohort(tuple(cases), split, participants, pairs, descriptions)


def pair_scans(
    pipeline: Pipeline, indexes: Sequence[DatasetIndex]
) -> tuple[list[Case], dict[str, VisitPair]]:
    """The cases of a pipeline: contrasts of a visit, or visits of a person and what is behind them.

    Raises:
        DatasetError: If nothing can be paired.
    """
    if pipeline.visits is None:
        cases = find_cases(
            indexes, source=pipeline.source, target=pipeline.target, mask=pipeline.mask
        )
        return cases, {}
    found = pair_visits(indexes, contrast=pipeline.source, settings=pipeline.visits)
    return [case_of_pair(pair) for pair in found], {pair.name: pair for pair in found}


def case_of_pair(pair: VisitPair) -> Case:
    """A pair of visits as a case: the baseline goes in, the follow-up is to come out."""
    both = pair.baseline.labels is not None and pair.follow_up.labels is not None
    return Case(
        name=pair.name,
        dataset=pair.dataset,
        subject=pair.subject,
        session=pair.baseline.session,
        source=pair.baseline.scan,
        target=pair.follow_up.scan,
        label=pair.baseline.labels if both else None,
        later=pair.follow_up.labels if both else None,
    )


def join_participants(indexes: Sequence[DatasetIndex]) -> dict[str, dict[str, str]]:
    """What the datasets say of each subject, by subject key."""
    return {
        subject: dict(values) for index in indexes for subject, values in index.participants.items()
    }
