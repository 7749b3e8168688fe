"""Compare runs on the same people, under the same protocol and split."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medtranslate.data.split import shorten
from medtranslate.errors import ConfigError, DatasetError
from medtranslate.io.atomic import write_json, write_text
from medtranslate.metrics.paired_tests import PairedTest, describe_power, examine_family
from medtranslate.metrics.scoring import MEASURES
from medtranslate.metrics.statistics import Bootstrap, json_number, pair_differences
from medtranslate.report.comparison import (
    RunValues,
    describe_comparison,
    make_people_section,
    make_runs_section,
)
from medtranslate.report.page import render_page
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
from medtranslate.report.tables import Cell, format_csv
from medtranslate.workflows.run_scores import RunScores, read_run_scores

_MASK_TOPIC = "Mask"


def compare_runs(folders: Sequence[Path], out: Path) -> dict[str, Any]:
    """Compare every later run with the first, person by person.

    Args:
        folders: Two or more run folders, or folders that ``validate`` or ``evaluate`` wrote.
        out: Folder for ``comparison.csv statistics.csv comparison.json comparison.html``.

    Returns:
        The content of ``comparison.json``.

    Raises:
        ConfigError: If fewer than two are given, two have one name, or protocols differ.
        DatasetError: If one holds no scores, or splits or people differ.
        VolumeWriteError: If ``out`` cannot be written to.
    """
    if len(folders) < 2:
        raise ConfigError("one run cannot be compared; give two or more")
    runs = [read_run_scores(folder) for folder in folders]
    _refuse_equal_names(runs)
    first = runs[0]
    for run in runs[1:]:
        _require_same_protocol(first, run)
        _require_same_split(first, run)
        _require_same_people(first, run)
    values = {run.name: run.values for run in runs}
    settings = first.bootstrap
    tests = _test_runs(values, settings)
    sentence = describe_power(len(first.people), family=len(tests), settings=settings)
    notes = _doubts(runs)
    command = shlex.join(["medtranslate", "compare", *values, "--out", out.name])
    data = _to_json(runs, tests, sentence, notes)
    page = _make_page(first, values, tests, sentence, notes, command)
    rows = paired_rows(tests, is_ct=first.is_ct, level=settings.level)
    write_text(out / "comparison.csv", _people_csv(values))
    write_text(out / "statistics.csv", format_csv(PAIRED_COLUMNS, rows))
    write_json(out / "comparison.json", data)
    write_text(out / "comparison.html", page)
    return data


def _refuse_equal_names(runs: Sequence[RunScores]) -> None:
    names = [run.name for run in runs]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"{names.count(name)} runs are called '{name}'; give each run once, or rename a "
                "folder, so that the table can tell them apart"
            )


def _require_same_protocol(first: RunScores, run: RunScores) -> None:
    if first.is_ct != run.is_ct:
        ct, other = (first, run) if first.is_ct else (run, first)
        raise ConfigError(
            f"{ct.name} was scored in HU and {other.name} was not; they have no common unit"
        )
    if first.protocol.fingerprint == run.protocol.fingerprint:
        return
    mine, theirs = (one.protocol.model_dump(mode="json") for one in (first, run))
    differing = [
        f"{key} ({mine[key]} and {theirs[key]})" for key in mine if mine[key] != theirs[key]
    ]
    raise ConfigError(
        f"{first.name} and {run.name} were scored by different protocols "
        f"({first.protocol.fingerprint} and {run.protocol.fingerprint}); they differ in "
        f"{', '.join(differing)}. Score both by one protocol first"
    )


def _require_same_split(first: RunScores, run: RunScores) -> None:
    if None in (first.split_hash, run.split_hash) or first.split_hash == run.split_hash:
        return
    who = ""
    if first.assignment is not None and run.assignment is not None:
        mine, theirs = first.assignment, run.assignment
        moved = [
            f"{person} ({mine.get(person, 'absent')} and {theirs.get(person, 'absent')})"
            for person in sorted({*mine, *theirs})
            if mine.get(person) != theirs.get(person)
        ]
        who = f". These people differ: {shorten(moved)}"
    raise DatasetError(
        f"{first.name} and {run.name} were trained on different splits ({first.split_hash} and "
        f"{run.split_hash}){who}. Train both with one split: split.file: {first.name}/split.json"
    )


def _require_same_people(first: RunScores, run: RunScores) -> None:
    for one, other in ((first, run), (run, first)):
        missing = sorted(one.people - other.people)
        if missing:
            raise DatasetError(
                f"{shorten(missing)} scored in {one.name}, but not in {other.name}; a paired "
                "comparison needs the same people. Score both runs on all of them"
            )


def _doubts(runs: Sequence[RunScores]) -> list[str]:
    """What the files cannot show, or what differs without being in the protocol."""
    notes = []
    unknown = [run.name for run in runs if run.split_hash is None]
    if unknown:
        notes.append(
            f"Nothing says on whom these were trained, so that could not be compared: "
            f"{', '.join(unknown)}."
        )
    if len({run.words.get(_MASK_TOPIC) for run in runs}) > 1:
        notes.append(
            "The masks do not come from the same place: "
            + "; ".join(f"{run.name}: {run.words.get(_MASK_TOPIC)}" for run in runs)
            + ". Part of a difference may be due to that."
        )
    return notes


def _test_runs(values: RunValues, settings: Bootstrap) -> dict[Comparison, PairedTest]:
    """Every later run minus the first, over people; one family."""
    first, *others = values
    differences = {
        Comparison(run, first, measure): list(
            pair_differences(values[run][measure], values[first][measure]).values()
        )
        for run in others
        for measure in TESTED_MEASURES
    }
    return examine_family(differences, settings=settings)


def _people_csv(values: RunValues) -> str:
    """One row a person and measure, one column a run; every measure."""
    rows: list[dict[str, Cell]] = [
        {
            "subject": person,
            "measure": measure,
            **{run: measures[measure][person] for run, measures in values.items()},
        }
        for measure in MEASURES
        for person in sorted(next(iter(values.values()))[measure])
    ]
    return format_csv(("subject", "measure", *values), rows)


def _to_json(
    runs: Sequence[RunScores],
    tests: Mapping[Comparison, PairedTest],
    sentence: str,
    notes: Sequence[str],
) -> dict[str, Any]:
    first = runs[0]
    return {
        "runs": [{"name": run.name, "split_hash": run.split_hash} for run in runs],
        "headline": describe_comparison(tests, is_ct=first.is_ct),
        "sentence": sentence,
        "notes": list(notes),
        "protocol": {"name": first.protocol.name, "hash": first.protocol.fingerprint},
        "intensity_unit": "HU" if first.is_ct else "scaled",
        "n": len(first.people),
        "tests": [{**vars(which), **test.to_json()} for which, test in tests.items()],
        "people": {
            person: {
                measure: {run.name: json_number(run.values[measure][person]) for run in runs}
                for measure in MEASURES
            }
            for person in sorted(first.people)
        },
    }


def _make_page(
    first: RunScores,
    values: RunValues,
    tests: Mapping[Comparison, PairedTest],
    sentence: str,
    notes: Sequence[str],
    command: str,
) -> str:
    settings, is_ct = first.bootstrap, first.is_ct
    statistics = Section(
        title="Statistics",
        lead=f"{sentence} {READING}",
        tables=make_paired_tables(tests, is_ct=is_ct, level=settings.level),
        notes=(
            f"Holm p: the sign-flip p corrected for all {len(tests)} tests of the table.",
            describe_intervals(settings),
        ),
    )
    return render_page(
        "comparison.html.j2",
        title=f"{', '.join(values)} on the same {len(first.people)} people",
        headline=describe_comparison(tests, is_ct=is_ct),
        cautions=[sentence, *notes],
        sections=[
            make_runs_section(values, settings=settings, is_ct=is_ct),
            statistics,
            make_people_section(values, is_ct=is_ct),
        ],
        protocol=first.protocol,
        words=first.words.items(),
        command=command,
    )
