import csv
import json

import numpy as np
import pytest

from medtranslate.errors import ConfigError, DatasetError, GeometryError
from medtranslate.geometry import Geometry
from medtranslate.io import read_volume, write_volume
from medtranslate.io.atomic import write_json
from medtranslate.volume import Volume
from medtranslate.workflows.plan import parse_margin, plan
from medtranslate.workflows.verify import verify

SPACING = np.array([1.0, 2.0, 3.0])


def _write(path, array):
    geometry = Geometry(array.shape, np.diag([*SPACING, 1.0]))
    write_volume(path, Volume(array.astype(np.float32)[None], geometry))


@pytest.fixture
def simulation(tmp_path):
    """A ball of 6 mm that will be one of 12 mm, or with a tenth of the chance of 15 mm."""
    folder = tmp_path / "simulation"
    index = np.stack(np.meshgrid(*map(np.arange, (41, 21, 15)), indexing="ij"))
    centre = np.array([20, 10, 7])
    distance = np.linalg.norm((index.T - centre) * SPACING, axis=-1).T
    chance = np.where(distance <= 12, 1.0, np.where(distance <= 15, 0.1, 0.0))
    _write(folder / "today" / "region.nii.gz", distance <= 6)
    _write(folder / "1y" / "region.nii.gz", chance)
    anatomy = np.ones(distance.shape)
    anatomy[:14] = 0
    _write(tmp_path / "anatomy.nii.gz", anatomy)
    write_json(
        folder / "simulation.json",
        {
            "Times": {"1y": 1.0},
            "Sources": ["a.nii.gz"],
            "Warnings": ["careful"],
            "Region": "m",
            "ModelSha256": 64 * "0",
            "Pipeline": "tumour",
        },
    )
    return folder


def test_the_smallest_margin_covers_what_was_asked(simulation, tmp_path):
    result = plan(simulation, tmp_path / "out", coverage=0.9)

    (row,) = result.rows
    chance = read_volume(simulation / "1y" / "region.nii.gz").voxels
    planned = read_volume(tmp_path / "out" / "1y" / "margin_isotropic.nii.gz").voxels > 0
    assert chance[planned].sum() / chance.sum() == pytest.approx(row["covered"], abs=1e-5)
    assert 0.9 <= row["covered"] < 0.99
    assert 4 <= row["margin_mm"] <= 7.5
    curve = [
        (float(point["margin_mm"]), float(point["covered"]))
        for point in csv.DictReader(
            (tmp_path / "out" / "margin_coverage.csv").read_text().splitlines()
        )
    ]
    assert max(share for margin, share in curve if margin < row["margin_mm"]) < 0.9


def test_regions_of_each_probability_are_nested_masks(simulation, tmp_path):
    plan(simulation, tmp_path / "out")
    chance = read_volume(simulation / "1y" / "region.nii.gz").voxels

    for level in (10, 50, 90):
        mask = read_volume(tmp_path / "out" / "1y" / f"region_p{level}.nii.gz").voxels
        np.testing.assert_array_equal(mask > 0, chance >= level / 100)
    assert (tmp_path / "out" / "1y" / "region_p10.json").is_file()
    assert all(check.holds for check in verify(tmp_path / "out").checks)


def test_margins_within_the_anatomy_stay_there(simulation, tmp_path):
    result = plan(simulation, tmp_path / "out", coverage=0.7, barrier=tmp_path / "anatomy.nii.gz")

    planned = read_volume(tmp_path / "out" / "1y" / "margin_within.nii.gz").voxels > 0
    today = read_volume(simulation / "today" / "region.nii.gz").voxels > 0
    assert [row["kind"] for row in result.rows] == ["isotropic", "within"]
    assert not (planned & ~today)[:14].any()
    assert planned[20:].any()


def test_a_coverage_that_no_margin_reaches_is_told(simulation, tmp_path):
    (row,) = plan(simulation, tmp_path / "out", coverage=0.9, margin_max_mm=2.0).rows

    assert row["margin_mm"] == ""
    assert row["covered"] < 0.9
    assert "not reached" in (tmp_path / "out" / "plan.html").read_text()


def test_a_region_that_is_gone_is_told_before_anything_is_written(simulation, tmp_path):
    gone = np.zeros(read_volume(simulation / "1y" / "region.nii.gz").voxels.shape)
    _write(simulation / "1y" / "region.nii.gz", gone)

    with pytest.raises(DatasetError, match="gone at 1y"):
        plan(simulation, tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_the_page_stands_alone_and_says_what_it_is(simulation, tmp_path):
    plan(simulation, tmp_path / "out")

    page = (tmp_path / "out" / "plan.html").read_text()
    assert "not a prediction for this person" in page
    assert "careful" in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_bad_input_is_refused(simulation, tmp_path):
    small = np.ones((4, 4, 4))
    _write(tmp_path / "small.nii.gz", small)

    with pytest.raises(DatasetError, match="holds no simulation"):
        plan(tmp_path, tmp_path / "out")
    with pytest.raises(GeometryError, match="another grid than the region"):
        plan(simulation, tmp_path / "out", barrier=tmp_path / "small.nii.gz")
    with pytest.raises(DatasetError, match="not an empty folder"):
        plan(simulation, simulation)
    data = json.loads((simulation / "simulation.json").read_text())
    write_json(simulation / "simulation.json", data | {"Region": None})
    with pytest.raises(DatasetError, match="--region MASK"):
        plan(simulation, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("text", "expected"), [("30mm", 30.0), ("7.5", 7.5)])
def test_margins_are_read_in_millimetres(text, expected):
    assert parse_margin(text) == expected


@pytest.mark.parametrize("text", ["0mm", "3cm", "-2", "much", "2001mm", "9" * 400])
def test_other_margins_are_refused(text):
    with pytest.raises(ConfigError, match="--margin-max"):
        parse_margin(text)


def change_record(simulation, **changes):
    """Write other things into the record of a simulation."""
    path = simulation / "simulation.json"
    write_json(path, json.loads(path.read_text()) | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"Times": {"../../evil": 1.0}},
        {"Times": {"/evil": 1.0}},
        {"Times": {"1y,2y": 1.0}},
        {"Times": {" 1y": 1.0}},
        {"Times": {"": 1.0}},
        {"Times": {}},
        {"Times": ["1y"]},
        {"Times": 7},
        {"Times": "1y"},
        {"Sources": []},
        {"Sources": "a"},
        {"Sources": [["a"]]},
        {"Warnings": 3},
        {"Warnings": [{}]},
        {"ModelSha256": "../x"},
        {"ModelSha256": None},
        {"Pipeline": None},
    ],
)
def test_a_record_that_is_no_longer_one_is_refused_and_nothing_written(
    simulation, tmp_path, changes
):
    change_record(simulation, **changes)
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(DatasetError, match="holds no simulation"):
        plan(simulation, tmp_path / "out")

    assert sorted(tmp_path.rglob("*")) == before


def test_a_later_region_on_another_grid_is_refused_and_nothing_written(simulation, tmp_path):
    _write(simulation / "1y" / "region.nii.gz", np.ones((4, 4, 4)))
    with pytest.raises(GeometryError, match="another grid than today's region"):
        plan(simulation, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", [-1.0, 2.0])
def test_a_later_region_of_no_chances_is_refused(simulation, tmp_path, value):
    shape = read_volume(simulation / "1y" / "region.nii.gz").voxels.shape
    _write(simulation / "1y" / "region.nii.gz", np.full(shape, value))
    with pytest.raises(DatasetError, match="outside 0 to 1"):
        plan(simulation, tmp_path / "out")
