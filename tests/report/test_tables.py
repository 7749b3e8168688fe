"""The files beside the report."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from medtranslate.metrics.scoreboard import Scoreboard
from medtranslate.report.tables import format_csv, slice_rows, write_tables

SLICE_COLUMNS = "case,axis,slice,mask_voxels,scored,psnr,ssim,mae,psnr_full,ssim_full"


@pytest.fixture
def folder(tmp_path, make_board):
    board = make_board()
    write_tables(tmp_path, board, summary=board.to_json(), protocol={"name": "medtranslate"})
    return tmp_path


def test_slices_csv_has_the_promised_columns_and_one_row_a_slice(folder):
    lines = (folder / "slices.csv").read_text().splitlines()

    assert lines[0] == SLICE_COLUMNS
    assert len(lines) == 1 + 4 * 12


def test_the_plain_mean_of_a_column_is_the_mean_over_scored_slices(folder):
    slices = pd.read_csv(folder / "slices.csv")
    volumes = pd.read_csv(folder / "volumes.csv").set_index("case")

    plain = slices.groupby("case")["psnr"].mean()

    assert slices.loc[~slices["scored"], "psnr"].isna().all()
    np.testing.assert_allclose(plain, volumes.loc[plain.index, "psnr"])


def test_volumes_csv_starts_with_means_then_scores_of_the_volume(folder):
    header = (folder / "volumes.csv").read_text().splitlines()[0]

    assert header.startswith(
        "case,psnr,ssim,mae,psnr_full,ssim_full,psnr_volume,ssim_volume,mae_volume,me_volume"
    )


def test_baselines_have_tables_of_their_own(folder):
    found = pd.read_csv(folder / "baselines_slices.csv")

    assert list(found.columns) == ["model", *SLICE_COLUMNS.split(",")]
    assert set(found["model"]) == {"lookup map", "copy of the source"}
    assert len(pd.read_csv(folder / "baselines_volumes.csv")) == 2 * 4


def test_without_baselines_there_are_no_tables_of_them(tmp_path, make_board):
    board = make_board()
    alone = Scoreboard(board.of("cgan"), "cgan", False, board.protocol)

    write_tables(tmp_path, alone, summary=alone.to_json(), protocol={})

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "protocol.json",
        "slices.csv",
        "summary.json",
        "volumes.csv",
    ]


def test_numbers_come_back_from_the_file_bit_for_bit(folder, make_board):
    expected = [row.scores.values["ssim"] for row in make_board().of("cgan")]

    with (folder / "volumes.csv").open(newline="") as file:
        found = [float(row["ssim"]) for row in csv.DictReader(file)]

    np.testing.assert_array_equal(found, expected)


def test_infinite_psnr_is_written_as_inf_and_read_as_such(make_board):
    board = make_board()
    row = board.rows[0]
    one = row.scores.slices[5]
    infinite = replace(one, values=one.values | {"psnr": float("inf")})
    scores = replace(row.scores, slices=(infinite,))

    text = format_csv(
        SLICE_COLUMNS.split(","), slice_rows([replace(row, scores=scores)], board.protocol)
    )

    assert text.splitlines()[1].startswith("case0,axial,5,40,true,inf,")


def test_summary_json_is_strict_json(folder):
    def refuse(name):
        pytest.fail(f"{name} is not JSON")

    data = json.loads((folder / "summary.json").read_text(), parse_constant=refuse)

    assert data["metrics"]["psnr"]["n"] == 4
