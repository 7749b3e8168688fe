"""What the reports of all folds say together: rules, coverage, lesions, misregistration, stress.

    python tests/benchmarks/leave_one_out_tables.py runs/loo

Reads the tables in ``fold-*/evaluation`` that ``leave_one_out.py`` left, with
``--set evaluation.audit=true --set evaluation.uncertainty=true``, and prints Markdown. Every value
is a mean over people (visits of a person first), with a 95 % percentile bootstrap interval.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

Row = Mapping[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    for tell in (
        _tell_gains,
        _tell_rules,
        _tell_coverage,
        _tell_lesions,
        _tell_shifts,
        _tell_stress,
    ):
        print("\n".join(tell(out)), end="\n\n")


def _tell_gains(out: Path) -> Iterator[str]:
    yield "| model minus | PSNR (dB) | SSIM | people above in both |"
    yield "| --- | --- | --- | --- |"
    model = {row["case"]: row for row in _read(out, "volumes.csv")}
    baselines = defaultdict(dict)
    for row in _read(out, "baselines_volumes.csv"):
        baselines[row["model"]][row["case"]] = row
    for name, rows in baselines.items():
        gains = {
            measure: [(c, float(model[c][measure]) - float(rows[c][measure])) for c in rows]
            for measure in ("psnr", "ssim")
        }
        by_person = [_by_person(values) for values in gains.values()]
        above = sum(all(one[person] > 0 for one in by_person) for person in by_person[0])
        psnr, ssim = (
            _mean(values, digits) for values, digits in zip(gains.values(), (2, 3), strict=True)
        )
        yield f"| {name} | {psnr} | {ssim} | {above} of {len(by_person[0])} |"


def _tell_rules(out: Path) -> Iterator[str]:
    yield from _tabulate(
        _read(out, "rules.csv"), ("rule", "hash"), column="measure", value="value", digits=3
    )


def _tell_coverage(out: Path) -> Iterator[str]:
    rows = _read(out, "coverage.csv")
    yield from _tabulate(rows, ("region",), column="nominal", value="coverage", digits=3)


def _tell_shifts(out: Path) -> Iterator[str]:
    rows = _read(out, "alignment.csv")
    yield from _tabulate(
        rows, ("image", "displacement", "size", "unit"), column="measure", value="value", digits=3
    )


def _tell_stress(out: Path) -> Iterator[str]:
    rows = [
        row | {"measure": measure, "value": row[measure]}
        for row in _read(out, "stress.csv")
        for measure in ("psnr", "ssim")
    ]
    head = ("damage", "strength")
    yield from _tabulate(rows, head, column="measure", value="value", digits=3)


def _tell_lesions(out: Path) -> Iterator[str]:
    """Shares of lesions, all people's together, because many have one or two."""
    yield "| case | kind | lesions | seen in the real scan | shown | contrast kept | invented |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    groups = defaultdict(list)
    for row in _read(out, "lesions.csv"):
        groups[row["case"], row["kind"]].append(row)
    for (case, kind), rows in sorted(groups.items(), key=lambda item: item[0][::-1]):
        counted = (
            rows if kind == "inserted" else [r for r in rows if r["visible_in_real"] == "true"]
        )
        kept = [float(row["retained"]) for row in counted]
        yield (
            f"| {case} | {kind} | {len(rows)} | {'–' if kind == 'inserted' else len(counted)} "
            f"| {_count(counted, 'shown')} | {np.mean(kept):.0%} "
            f"| {'–' if kind == 'inserted' else _count(counted, 'invented')} |"
            if counted
            else f"| {case} | {kind} | {len(rows)} | 0 | – | – | – |"
        )


def _count(rows: Iterable[Row], name: str) -> int:
    return sum(row[name] == "true" for row in rows)


def _tabulate(
    rows: list[Row], head: tuple[str, ...], *, column: str, value: str, digits: int
) -> Iterator[str]:
    """A row for each combination of ``head``, a column for each value of ``column``."""
    columns = list(dict.fromkeys(row[column] for row in rows))
    yield f"| {' | '.join((*head, *columns))} | people |"
    yield "| --- " * (len(head) + len(columns) + 1) + "|"
    cells = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row[value]:
            key = tuple(row[name] for name in head)
            cells[key][row[column]].append((row["case"], float(row[value])))
    for key, by_column in cells.items():
        told = (_mean(by_column[name], digits) if by_column[name] else "–" for name in columns)
        people = max(len(_by_person(values)) for values in by_column.values())
        yield f"| {' | '.join((*key, *told))} | {people} |"


def _mean(values: Iterable[tuple[str, float]], digits: int) -> str:
    people = np.array(list(_by_person(values).values()))
    if np.isinf(people).any():
        return "∞"
    generator = np.random.default_rng(0)
    draws = generator.choice(people, size=(10_000, len(people))).mean(axis=1)
    low, high = np.percentile(draws, (2.5, 97.5))
    return f"{people.mean():.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _by_person(values: Iterable[tuple[str, float]]) -> dict[str, float]:
    found = defaultdict(list)
    for case, value in values:
        found[re.sub(r"_ses-.*", "", case)].append(value)
    return {person: float(np.mean(each)) for person, each in found.items()}


def _read(out: Path, name: str) -> list[Row]:
    rows: list[Row] = []
    for path in sorted(out.glob(f"fold-*/evaluation/{name}")):
        with path.open(newline="", encoding="utf-8") as file:
            rows += csv.DictReader(file)
    return rows


if __name__ == "__main__":
    main()
