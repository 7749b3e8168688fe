"""Tables of what ``progression_leave_one_out.py`` left: the model beside what it must beat.

    python tests/benchmarks/progression_tables.py runs/glioma

Prints Markdown. Values are means over people with a 95 % percentile bootstrap interval; of a few
people it says little, and of two it is their two values.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from medtranslate.metrics.change_baselines import CHANGE_BASELINES
from medtranslate.metrics.statistics import compare, summarise

Row = Mapping[str, str]
Scores = Mapping[str, Mapping[str, float]]
"""By method and person."""


class Measure(NamedTuple):
    """A column of a fold's tables: its title, its digits, and which way is good.

    1 if more is better, -1 if less is, 0 if neither.
    """

    column: str
    title: str
    digits: int
    good: int

    def goodness(self, value: float) -> float:
        """Turns a value into one of which more is better."""
        return self.good * value


MEASURES = (
    Measure("psnr", "PSNR, head (dB)", 2, 1),
    Measure("ssim", "SSIM, head", 3, 1),
    Measure("psnr_changed", "PSNR where the region changed (dB)", 2, 1),
    Measure("correlation", "correlation of the change", 3, 1),
    Measure("mae", "MAE of the change", 4, -1),
    Measure("dice", "Dice of the later region", 3, 1),
    Measure("changed_dice", "Dice of what changed", 3, 1),
    Measure("covered", "covered at equal volume", 3, 1),
    Measure("change_ml", "change of volume (ml)", 1, 0),
    Measure("error_ml", "its error (ml)", 1, 0),
    Measure("absolute_error_ml", "its error without sign (ml)", 1, -1),
    Measure("folded_percent", "folded voxels (%)", 4, -1),
)
BY_PERSON = tuple(m for m in MEASURES if m.column in ("psnr", "correlation", "dice", "covered"))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", type=Path)
    folds = sorted(path.parent for path in parser.parse_args().runs.glob("*/fold.json"))
    rows = [row for fold in folds for row in _read_change(fold)]
    scores = {m: table for m in MEASURES if (table := _tabulate(rows, m))}
    for table in (_tell_means(scores), _tell_gains(scores), _tell_people(scores)):
        print("\n".join(table), end="\n\n")
    print("\n".join(_tell_margins(folds)), end="\n\n")
    seconds = [json.loads((fold / "fold.json").read_text())["train_seconds"] for fold in folds]
    print("training, seconds a fold:", *seconds)


def _read_change(fold: Path) -> Iterator[Row]:
    """Each row of ``change.csv`` with the image scores of the same case and method."""
    evaluation = fold / "evaluation"
    model = _read(evaluation / "volumes.csv")
    baselines = {
        (row["case"], row["model"]): row for row in _read(evaluation / "baselines_volumes.csv")
    }
    for row in _read(evaluation / "change.csv"):
        image = baselines.get((row["case"], row["method"])) or next(
            one for one in model if one["case"] == row["case"]
        )
        error = row.get("error_ml", "")
        yield {**image, **row, "absolute_error_ml": error.lstrip("-")}


def _tabulate(rows: Sequence[Row], measure: Measure) -> dict[str, dict[str, float]]:
    """The measure by method and person; the mean over a person's pairs."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        if row.get(measure.column):
            method = row["method"] if row["method"] in CHANGE_BASELINES else "model"
            value = float(row[measure.column])
            found.setdefault(method, {}).setdefault(row["subject"], []).append(value)
    return {
        method: {person: float(np.mean(values)) for person, values in people.items()}
        for method, people in found.items()
    }


def _tell_means(scores: Mapping[Measure, Scores]) -> Iterator[str]:
    yield _line(["mean over people", "model", *CHANGE_BASELINES[:2], "people"])
    yield "| --- " * 5 + "|"
    for measure, table in scores.items():
        cells = [
            _describe_mean(list(table[method].values()), measure.digits) if method in table else "–"
            for method in ("model", *CHANGE_BASELINES[:2])
        ]
        yield _line([measure.title, *cells, str(len(table["model"]))])


def _tell_gains(scores: Mapping[Measure, Scores]) -> Iterator[str]:
    yield _line(["model minus", *CHANGE_BASELINES[:2]])
    yield "| --- " * 3 + "|"
    for measure, table in scores.items():
        if set(CHANGE_BASELINES[:2]) <= set(table) and measure.good:
            cells = []
            for method in CHANGE_BASELINES[:2]:
                gain = compare(table["model"], table[method], goodness=measure.goodness)
                told = _describe(gain.mean, gain.interval, measure.digits)
                cells.append(f"{told}, better for {gain.better} of {gain.n}")
            yield _line([measure.title, *cells])


def _tell_people(scores: Mapping[Measure, Scores]) -> Iterator[str]:
    """Model / no change / cohort-mean change for each person."""
    shown = {measure: scores[measure] for measure in BY_PERSON if measure in scores}
    yield _line(["left out", *(measure.title for measure in shown)])
    yield "| --- " * (len(shown) + 1) + "|"
    for person in sorted(next(iter(shown.values()))["model"]):
        cells = [
            " / ".join(
                f"{table[method][person]:.{measure.digits}f}"
                if person in table.get(method, {})
                else "–"
                for method in ("model", *CHANGE_BASELINES[:2])
            )
            for measure, table in shown.items()
        ]
        yield _line([person.partition("/")[2], *cells])


def _tell_margins(folds: Sequence[Path]) -> Iterator[str]:
    """The margins that were planned, and what they cover of the true later region."""
    rows = [
        row for fold in folds if (fold / "plan.csv").exists() for row in _read(fold / "plan.csv")
    ]
    if rows:
        columns = [name for name in rows[0] if name != "case"]
        yield _line(["case", *columns])
        yield "| --- " * (len(columns) + 1) + "|"
        for row in rows:
            yield _line([row["case"], *(f"{float(row[name]):.2f}" for name in columns)])
        covered = [float(row["covered"]) for row in rows]
        yield f"\ncovered, mean over people: {_describe_mean(covered, 3)}"


def _describe_mean(values: Sequence[float], digits: int) -> str:
    summary = summarise(values)
    return _describe(summary.mean, summary.interval, digits)


def _describe(mean: float, interval: tuple[float, float] | None, digits: int) -> str:
    if interval is None:
        return f"{mean:.{digits}f}"
    low, high = interval
    return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _read(path: Path) -> list[Row]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    main()
