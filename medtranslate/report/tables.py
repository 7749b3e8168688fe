"""The CSV and JSON files beside the report."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from medtranslate.io.atomic import write_json, write_text
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoreboard import Scoreboard, ScoredPrediction
from medtranslate.metrics.scoring import MEASURES, SLICE_MEASURES

SLICE_COLUMNS = ("case", "axis", "slice", "mask_voxels", "scored", *SLICE_MEASURES)
VOLUME_COLUMNS = ("case", *MEASURES, "slices_scored", "slices_identical")

Cell = str | int | float


def slice_rows(rows: Iterable[ScoredPrediction], protocol: Protocol) -> list[dict[str, Cell]]:
    """One row per slice; a slice that is not scored has empty scores, so no mean can count it."""
    return [
        {
            "case": row.case,
            "axis": protocol.axis,
            "slice": one.index,
            "mask_voxels": one.mask_voxels,
            "scored": "true" if one.scored else "false",
            **one.values,
        }
        for row in rows
        for one in row.scores.slices
    ]


def volume_rows(rows: Iterable[ScoredPrediction]) -> list[dict[str, Cell]]:
    """One row per case: means over its scored slices, then the scores of the whole volume."""
    return [
        {
            "case": row.case,
            **row.scores.values,
            "slices_scored": row.scores.num_scored,
            "slices_identical": row.scores.num_identical,
        }
        for row in rows
    ]


def format_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Cell]]) -> str:
    r"""Rows as CSV text; a missing value is an empty cell, numbers keep every digit.

    Example:
        >>> format_csv(("a", "b"), [{"a": 1, "b": float("inf")}, {"a": 2}])
        'a,b\n1,inf\n2,\n'
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_tables(
    out: Path, board: Scoreboard, *, summary: Mapping[str, Any], protocol: Mapping[str, Any]
) -> None:
    """Write ``slices.csv volumes.csv summary.json protocol.json`` and the baselines' tables.

    Args:
        out: Folder, made if absent.
        board: What was scored.
        summary: Plain data for ``summary.json``.
        protocol: Plain data for ``protocol.json``.

    Raises:
        VolumeWriteError: If the folder cannot be written to.
    """
    model = board.of(board.model)
    write_text(out / "slices.csv", format_csv(SLICE_COLUMNS, slice_rows(model, board.protocol)))
    write_text(out / "volumes.csv", format_csv(VOLUME_COLUMNS, volume_rows(model)))
    slices: list[dict[str, Cell]] = []
    volumes: list[dict[str, Cell]] = []
    for method in board.baselines:
        rows = board.of(method)
        slices += [{"model": method, **row} for row in slice_rows(rows, board.protocol)]
        volumes += [{"model": method, **row} for row in volume_rows(rows)]
    if board.baselines:
        write_text(out / "baselines_slices.csv", format_csv(("model", *SLICE_COLUMNS), slices))
        write_text(out / "baselines_volumes.csv", format_csv(("model", *VOLUME_COLUMNS), volumes))
    write_json(out / "protocol.json", protocol)
    write_json(out / "summary.json", summary)
