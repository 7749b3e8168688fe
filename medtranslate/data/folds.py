"""Folds of a cross-validation: every person is held out exactly once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medtranslate.data.cases import Case
from medtranslate.data.split import (
    SplitSettings,
    group_by_column,
    rank_by_seed,
    read_split_column,
)
from medtranslate.errors import DatasetError


def draw_folds(
    cases: Sequence[Case],
    participants: Mapping[str, Mapping[str, str]],
    settings: SplitSettings,
    *,
    count: int,
) -> list[tuple[str, ...]]:
    """Deal the people of ``cases`` to folds of equal size, give or take one.

    With ``stratify_by``, the people of each value are dealt evenly as well.

    Args:
        cases: What is to be divided; only their subjects count.
        participants: What is known of each subject, by subject key.
        settings: Seed and column to stratify by.
        count: Folds, at least 2.

    Returns:
        The people whom each fold holds out, sorted.

    Raises:
        DatasetError: If there are fewer people than folds, or the table divides them already.
    """
    subjects = sorted({case.subject for case in cases})
    if len(subjects) < count:
        raise DatasetError(
            f"split.folds: {count} folds are asked for, but there are {len(subjects)} people. Lower"
            " it, or add people"
        )
    if read_split_column(subjects, participants) is not None:
        raise DatasetError(
            "split.folds: the 'split' column of the participants table divides everybody already. "
            "Remove the column, or leave split.folds out"
        )
    groups = group_by_column(subjects, participants, settings.stratify_by)
    dealt = [
        subject
        for value in sorted(groups)
        for subject in sorted(groups[value], key=lambda name: rank_by_seed(name, settings.seed))
    ]
    return [tuple(sorted(dealt[number::count])) for number in range(count)]
