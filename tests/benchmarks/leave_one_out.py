"""Leave people out in turn, train on the rest, score those left out; one run folder a fold.

    python tests/benchmarks/leave_one_out.py pipelines/t1w_to_t2w.yaml --out runs/loo \
        --data ../shared/data/open_ms_cross --data ../shared/data/tcga_lgg \
        --fold open_ms_cross/omsC07 --fold open_ms_cross/omsC26,tcga_lgg/tcgaFG6692 \
        --val open_ms_cross/omsC26 --val open_ms_cross/omsC07 --set train.time_budget=4m

Each ``--fold`` names the people left out together. The validation person of a fold is the first of
the ``--val`` people who is not left out. A fold whose evaluation is there already is not run again.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

from medtranslate.pipeline import Pipeline, read_pipeline
from medtranslate.workflows.run import run_pipeline


def main() -> None:
    arguments = _parse()
    for number, fold in enumerate(arguments.fold):
        left_out = fold.split(",")
        val = next(person for person in arguments.val if person not in left_out)
        out = arguments.out / f"fold-{number + 1}"
        if not (out / "evaluation" / "summary.json").exists():
            pipeline = _pipeline_of_fold(arguments, left_out, val)
            run_pipeline(pipeline, arguments.data, out, cache=arguments.out / "cache", resume=True)
        print(f"fold {number + 1}: {fold}", flush=True)
    print(_table(arguments.out, len(arguments.fold)))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("pipeline", type=Path)
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--fold", action="append", required=True)
    parser.add_argument("--val", action="append", required=True)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def _pipeline_of_fold(arguments: argparse.Namespace, test: list[str], val: str) -> Pipeline:
    split = f"split={json.dumps({'test_subjects': test, 'val_subjects': [val]})}"
    return read_pipeline(arguments.pipeline, [*arguments.overrides, split])


def _table(out: Path, num_folds: int) -> str:
    """A Markdown table: a row a case, the model beside the baselines."""
    lines: list[str] = []
    for fold in range(1, num_folds + 1):
        folder = out / f"fold-{fold}" / "evaluation"
        scores: dict[str, dict[str, str]] = {}
        for row in _read(folder / "volumes.csv"):
            scores.setdefault(row["case"], {})["model"] = _describe(row)
        for row in _read(folder / "baselines_volumes.csv"):
            scores[row["case"]][row["model"]] = _describe(row)
        for case, columns in scores.items():
            if not lines:
                lines = [
                    f"| left out | {' | '.join(columns)} |",
                    "| --- " * (len(columns) + 1) + "|",
                ]
            lines.append(f"| {case} | {' | '.join(columns.values())} |")
    return "\n".join(lines)


def _describe(row: dict[str, str]) -> str:
    return f"{float(row['psnr']):.2f} / {float(row['ssim']):.3f}"


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    main()
