"""Seeds: how much the scores move when nothing but the seed of training changes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from medtranslate.metrics.scoreboard import Scoreboard
from medtranslate.metrics.statistics import json_number, mean_by_subject
from medtranslate.metrics.yardstick import Yardstick
from medtranslate.report.sections import Section, Table
from medtranslate.report.wording import format_value, unit_of
from medtranslate.workflows.analyses.base import AbstractAnalysis, Findings
from medtranslate.workflows.scored_case import ScoredCase

SEED_KEY = "seed"
"""Key of a case's context that names the seed of the model that predicted it."""

_MEASURES = ("psnr", "ssim", "mae")


class SeedSpread(AbstractAnalysis):
    """Compares the mean over people of each seed, and the seeds within each person."""

    name = "seeds"
    gathered = ("_seeds",)

    def __init__(self) -> None:
        self._seeds: dict[str, str] = {}

    def add(
        self, case: ScoredCase, yardstick: Yardstick, predictions: Mapping[str, np.ndarray]
    ) -> None:
        """Note by which seed's model a case was predicted."""
        if SEED_KEY in case.context:
            self._seeds[case.name] = case.context[SEED_KEY]

    def finish(self, board: Scoreboard) -> Findings | None:
        """The means of every seed and their spread; None with fewer than two seeds."""
        seeds = tuple(dict.fromkeys(self._seeds.values()))
        if len(seeds) < 2:
            return None
        people = {name: self._by_seed(board, name) for name in _MEASURES}
        if not set.intersection(*(set(one) for one in people["psnr"].values())):
            return None  # nobody was scored with every seed
        return Findings(
            section=Section(
                title="Spread over seeds",
                lead=f"The same training with {len(seeds)} seeds of weights, patches and "
                "augmentation. Every other number of this report takes the mean over the seeds of "
                "each person first, so a person counts once. A difference to another method that "
                "is no larger than the spread over seeds may be luck.",
                tables=(_tabulate(board, people, seeds),),
            ),
            summary={name: _to_json(by_seed) for name, by_seed in people.items()},
        )

    def _by_seed(self, board: Scoreboard, measure: str) -> dict[str, dict[str, float]]:
        """Seed to person to score of the model."""
        scores = {row.case: row.scores.values[measure] for row in board.of(board.model)}
        by_seed: dict[str, dict[str, float]] = {}
        for case, seed in self._seeds.items():
            by_seed.setdefault(seed, {})[case] = scores[case]
        return {seed: mean_by_subject(cases, board.subjects) for seed, cases in by_seed.items()}


def spread_of_means(by_seed: Mapping[str, Mapping[str, float]]) -> float:
    """Standard deviation (n - 1) over seeds of the mean over people.

    Example:
        >>> spread_of_means({"0": {"a": 1.0, "b": 3.0}, "1": {"a": 3.0, "b": 5.0}})
        1.4142135623730951
    """
    with np.errstate(invalid="ignore"):  # infinite scores have no spread: NaN
        return float(np.std([np.mean(list(one.values())) for one in by_seed.values()], ddof=1))


def spread_within_people(by_seed: Mapping[str, Mapping[str, float]]) -> float:
    """Standard deviation (n - 1) over seeds of each person, root mean square over people.

    Example:
        >>> spread_within_people({"0": {"a": 1.0, "b": 3.0}, "1": {"a": 3.0, "b": 1.0}})
        1.4142135623730951
    """
    people = set.intersection(*(set(one) for one in by_seed.values()))
    table = [[one[person] for one in by_seed.values()] for person in sorted(people)]
    with np.errstate(invalid="ignore"):
        return float(np.sqrt(np.mean(np.var(table, axis=1, ddof=1))))


def _tabulate(
    board: Scoreboard, people: Mapping[str, dict[str, dict[str, float]]], seeds: tuple[str, ...]
) -> Table:
    def cell(measure: str, value: float) -> str:
        return format_value(value, measure, is_ct=board.is_ct)

    rows = [
        (f"seed {seed}", *(cell(n, float(np.mean(list(people[n][seed].values())))) for n in people))
        for seed in seeds
    ]
    rows.append(("SD of these means", *(cell(n, spread_of_means(people[n])) for n in people)))
    rows.append(("SD within a person", *(cell(n, spread_within_people(people[n])) for n in people)))
    units = {name: unit_of(name, is_ct=board.is_ct) for name in people}
    heads = [f"{name.upper()} ({unit})" if unit else name.upper() for name, unit in units.items()]
    return Table(
        ("", *heads),
        tuple(rows),
        f"{board.model}: mean over people by seed; SD over seeds (n \u2212 1), within a person as "
        "root mean square over people.",
    )


def _to_json(by_seed: Mapping[str, Mapping[str, float]]) -> dict[str, object]:
    means = {seed: float(np.mean(list(one.values()))) for seed, one in by_seed.items()}
    return {
        "mean": {seed: json_number(mean) for seed, mean in means.items()},
        "sd_of_means": json_number(spread_of_means(by_seed)),
        "sd_within_people": json_number(spread_within_people(by_seed)),
        "people": {
            person: {
                seed: json_number(one[person]) for seed, one in by_seed.items() if person in one
            }
            for person in sorted({who for one in by_seed.values() for who in one})
        },
    }
