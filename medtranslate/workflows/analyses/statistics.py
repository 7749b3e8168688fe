"""Statistics: whether the model's distance from each baseline could be chance, over people."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from medtranslate.metrics.paired_tests import PairedTest, describe_power, examine_family
from medtranslate.metrics.scoreboard import Scoreboard
from medtranslate.metrics.statistics import pair_differences
from medtranslate.metrics.yardstick import Yardstick
from medtranslate.report.paired import (
    PAIRED_COLUMNS,
    READING,
    TESTED_MEASURES,
    Comparison,
    describe_intervals,
    make_paired_tables,
    paired_rows,
)
from medtranslate.report.sections import Section
from medtranslate.report.tables import format_csv
from medtranslate.workflows.analyses.base import AbstractAnalysis, Findings
from medtranslate.workflows.scored_case import ScoredCase


class Statistics(AbstractAnalysis):
    """Paired tests of the model against every baseline."""

    name = "statistics"

    def add(
        self, case: ScoredCase, yardstick: Yardstick, predictions: Mapping[str, np.ndarray]
    ) -> None:
        """Nothing: everything needed is on the scoreboard."""

    def finish(self, board: Scoreboard) -> Findings | None:
        """The tests of each baseline, corrected for the measures; None without baselines."""
        if not board.baselines:
            return None
        tests = _test_baselines(board)
        level = board.bootstrap.level
        n = len(set(board.subjects.values()))
        sentence = describe_power(n, family=len(TESTED_MEASURES), settings=board.bootstrap)
        section = Section(
            title="Statistics",
            lead=f"{sentence} {READING} Protocol {board.protocol.name}, fingerprint "
            f"{board.protocol.fingerprint}.",
            tables=make_paired_tables(tests, is_ct=board.is_ct, level=level),
            notes=(
                f"Holm p: the sign-flip p corrected for the {len(TESTED_MEASURES)} measures "
                "tested against one baseline. To be better than every baseline, the model must "
                "be so against each, and that needs no further correction.",
                describe_intervals(board.bootstrap),
            ),
        )
        rows = paired_rows(tests, is_ct=board.is_ct, level=level)
        summary = {
            "n": n,
            "sentence": sentence,
            "tests": [{**vars(which), **test.to_json()} for which, test in tests.items()],
        }
        return Findings(section, {"statistics.csv": format_csv(PAIRED_COLUMNS, rows)}, summary)


def _test_baselines(board: Scoreboard) -> dict[Comparison, PairedTest]:
    """Each baseline is a family of its own."""
    tests: dict[Comparison, PairedTest] = {}
    for baseline in board.baselines:
        differences = {
            Comparison(board.model, baseline, measure): list(
                pair_differences(
                    board.by_subject(board.model, measure), board.by_subject(baseline, measure)
                ).values()
            )
            for measure in TESTED_MEASURES
        }
        tests |= examine_family(differences, settings=board.bootstrap)
    return tests
