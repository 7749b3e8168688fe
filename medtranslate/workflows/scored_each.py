"""Held-out people made ready to be scored, one at a time; what fails with one stops no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from medtranslate.data.cases import Case
from medtranslate.data.pseudonyms import hide_path
from medtranslate.workflows.attempts import Failure, attempt
from medtranslate.workflows.progress import Progress
from medtranslate.workflows.read_ahead import read_ahead
from medtranslate.workflows.scored_case import ScoredCase, UnscoredCase


def make_each(
    cases: Sequence[Case],
    make: Callable[[Case], ScoredCase],
    *,
    progress: Progress,
    num_before: int = 0,
) -> Iterator[ScoredCase | UnscoredCase]:
    """Prepare and predict every case, the next one while the one before it is scored.

    Args:
        cases: Held-out people.
        make: What there is to score of a case.
        progress: Told how far things are.
        num_before: Others that were scored before, for whoever looks at the progress.

    Yields:
        The case or, in its place, why it cannot be scored; in words without a file's name.
    """

    def try_one(case: Case) -> ScoredCase | UnscoredCase:
        made = attempt(partial(make, case))
        if isinstance(made, Failure):
            return hide_files(UnscoredCase(case.name, made.why), case)
        return made

    progress.stage("score", num_before + len(cases))
    progress.update(num_before, f"{num_before} scored before" if num_before else "")
    made_ahead = read_ahead(cases, try_one)
    for number, (case, made) in enumerate(zip(cases, made_ahead, strict=True), num_before):
        progress.update(number, case.name)
        yield made
    progress.update(num_before + len(cases))


def hide_files(unscored: UnscoredCase, case: Case, *, further: Iterable[Path] = ()) -> UnscoredCase:
    """Why a case is not scored, without the names of its files, which may say who it is of.

    Args:
        unscored: What is to be told.
        case: Whose own files are hidden.
        further: Others.
    """
    own = (case.source, case.target, case.mask, case.transform, case.label, case.later)
    why = unscored.why
    for path in (*own, *case.labels.values(), *further):
        why = why if path is None else hide_path(why, path, called=case.name)
    return replace(unscored, why=why.removeprefix(f"{case.name}: "))
