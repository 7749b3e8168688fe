"""Who takes part: datasets indexed, scans paired, people divided and the division guarded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medtranslate.data.cases import Case, find_cases
from medtranslate.data.index import index_datasets
from medtranslate.data.leakage import guard_split
from medtranslate.data.scans import DatasetIndex, Part
from medtranslate.data.split import Split, split_subjects
from medtranslate.pipeline import Pipeline


@dataclass(frozen=True)
class Cohort:
    """The people of a run.

    Attributes:
        cases: Every pair of scans, sorted by name.
        split: Which part each person belongs to.
        participants: What the datasets say of each subject, by subject key.
    """

    cases: tuple[Case, ...]
    split: Split
    participants: dict[str, dict[str, str]]

    def part(self, part: Part) -> list[Case]:
        """The cases of one part."""
        return self.split.cases(self.cases, part)


def assemble_cohort(pipeline: Pipeline, datasets: Sequence[Path]) -> Cohort:
    """Index the datasets, pair source and target, and divide the people.

    Raises:
        DatasetError: If nothing can be paired or anything would leak.
    """
    indexes = index_datasets(datasets)
    cases = find_cases(indexes, source=pipeline.source, target=pipeline.target, mask=pipeline.mask)
    participants = join_participants(indexes)
    split = split_subjects(cases, participants, pipeline.split)
    guard_split(split, cases)
    return Cohort(tuple(cases), split, participants)


def join_participants(indexes: Sequence[DatasetIndex]) -> dict[str, dict[str, str]]:
    """What the datasets say of each subject, by subject key."""
    return {
        subject: dict(values) for index in indexes for subject, values in index.participants.items()
    }
