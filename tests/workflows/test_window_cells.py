"""Borders of prediction windows on the source's own grid."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from medtranslate.data.cases import find_cases
from medtranslate.data.index import index_datasets
from medtranslate.inference.predict import InferencePlan, predict_with_plan
from medtranslate.preprocess.native import restore
from medtranslate.preprocess.preparation import prepare
from medtranslate.volume import IntensityScale
from medtranslate.workflows.window_cells import find_cells, read_plan


@pytest.fixture(scope="module")
def prepared(cohort, make_pipeline):
    case = find_cases(index_datasets([cohort]), source="T1w", target="T2w")[0]
    return prepare(make_pipeline().preprocess, name=case.name, source=case.source)


@pytest.mark.parametrize(
    ("window", "overlap", "divisor"),
    [((8, 8, 8), 0.0, 8), ((16, 16, 8), 0.5, 8), ((16, 8, 64), 0.25, 4)],
)
def test_cells_change_where_a_prediction_that_counts_windows_changes(
    prepared, window, overlap, divisor
):
    """A translator that returns another constant each time leaves its windows to be seen."""
    shape = tuple(-(-n // divisor) * divisor for n in prepared.source.shape[1:])
    plan = InferencePlan(tuple(min(w, p) for w, p in zip(window, shape, strict=True)), overlap)
    count = iter(range(10_000))

    def translate(patch):
        return torch.full_like(patch, float(next(count)) ** 2)

    source = prepared.source.as_tensor()
    counted = predict_with_plan(translate, source, plan=plan, divisor=divisor)
    native = restore(counted, prepared, scale=IntensityScale(0.0, 1.0)).voxels

    cells = find_cells(prepared, plan, divisor=divisor)

    inside = restore(
        torch.ones(prepared.source.shape), prepared, scale=IntensityScale(0.0, 1.0)
    ).voxels.astype(bool)
    assert cells.shape == prepared.native.shape
    if overlap == 0:
        for axis in range(3):
            here, there = (np.take(native, range(a, b), axis) for a, b in borders(native, axis))
            both = np.logical_and(
                *(np.take(inside, range(a, b), axis) for a, b in borders(native, axis))
            )
            first, second = (np.take(cells, range(a, b), axis) for a, b in borders(native, axis))
            np.testing.assert_array_equal((first != second)[both], (abs(here - there) > 0.5)[both])
    assert {True, False} == set(np.unique(cells[inside]))


def borders(array, axis):
    """Bounds of all but the last and all but the first voxel along an axis."""
    return (0, array.shape[axis] - 1), (1, array.shape[axis])


def test_a_scan_predicted_as_a_whole_has_no_windows(prepared):
    assert find_cells(prepared, InferencePlan(None, 0.5), divisor=1) is None
    assert find_cells(prepared, None, divisor=1) is None


@pytest.mark.parametrize(
    ("inference", "plan"),
    [
        (
            {"Window": [96, 96, 64], "Overlap": 0.5, "Device": "cpu"},
            InferencePlan((96, 96, 64), 0.5),
        ),
        ({"Window": None, "Device": "cpu"}, InferencePlan(None, 0.0)),
        ({"Window": [96, 96], "Overlap": 0.5}, None),
        ({}, None),
    ],
)
def test_the_plan_of_a_written_scan_stands_in_its_sidecar(tmp_path, inference, plan):
    written = tmp_path / "sub-01_T2w.nii.gz"
    (tmp_path / "sub-01_T2w.json").write_text(json.dumps({"Inference": inference}))

    assert read_plan(written) == plan


def test_a_scan_without_sidecar_has_no_plan(tmp_path):
    assert read_plan(tmp_path / "sub-01_T2w.nii.gz") is None
