"""Leave each person out in turn, train a progression model on the rest, score who was left out.

    python tests/benchmarks/progression_leave_one_out.py pipelines/progression_glioma.yaml \
        --data DATASET --out runs/glioma

Everybody else trains; nobody validates, so the last weights count. One run folder a fold; a fold
that was scored already is not run again. Where a region is labelled, ``plan`` is asked for the
margin around today's that covers 90 % of the simulated later one, and the part of the true later
region inside it goes to ``plan.csv``.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

from progression_margins import score_margin

from medtranslate.data.index import index_datasets
from medtranslate.data.visits import VisitPair
from medtranslate.io.atomic import write_json, write_text
from medtranslate.pipeline import Pipeline, read_pipeline
from medtranslate.report.tables import format_csv
from medtranslate.workflows.cohort import pair_scans
from medtranslate.workflows.train import train
from medtranslate.workflows.validate_progression import validate_progression


def main() -> None:
    arguments = _parse()
    pipeline = read_pipeline(arguments.pipeline, arguments.overrides)
    _, pairs = pair_scans(pipeline, index_datasets(arguments.data))
    everybody = sorted({pair.subject for pair in pairs.values()})
    for person in arguments.only or everybody:
        followed = [pair for pair in pairs.values() if pair.subject == person]
        out = arguments.out / person.replace("/", "_")
        if not (out / "fold.json").exists():
            _run_fold(_leave_out(arguments, person), followed, arguments.data, out)
        print(person, flush=True)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("pipeline", type=Path)
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--only", action="append", help="dataset/subject; may be repeated")
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def _leave_out(arguments: argparse.Namespace, person: str) -> Pipeline:
    split = f"split={json.dumps({'test_subjects': [person], 'val': 0})}"
    return read_pipeline(arguments.pipeline, [*arguments.overrides, split])


def _run_fold(pipeline: Pipeline, pairs: list[VisitPair], data: list[Path], out: Path) -> None:
    """Train and score one fold; ``fold.json`` is written last and says that it is whole."""
    started = time.monotonic()
    train(pipeline, data, out, resume=out.exists(), cache=out.parent / "cache")
    seconds = time.monotonic() - started
    validate_progression(out, data, out / "evaluation")
    if all(pair.baseline.labels and pair.follow_up.labels for pair in pairs):
        rows = [{"case": pair.name, **asdict(score_margin(out, pipeline, pair))} for pair in pairs]
        write_text(out / "plan.csv", format_csv(list(rows[0]), rows))
    write_json(out / "fold.json", {"train_seconds": round(seconds)})


if __name__ == "__main__":
    main()
