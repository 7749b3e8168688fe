"""Masks and segmentations on disk become regions on the scored grid."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest

from medtranslate.errors import DatasetError
from medtranslate.geometry import Geometry
from medtranslate.io import read_volume, write_volume
from medtranslate.metrics.protocol import Protocol
from medtranslate.volume import Volume
from medtranslate.workflows.evaluate import evaluate_paths
from medtranslate.workflows.labels import read_labels
from medtranslate.workflows.pairing import find_labels, pair_paths
from medtranslate.workflows.validate import validate

SHAPE = (6, 5, 4)


@pytest.fixture
def geometry(make_affine):
    return Geometry(SHAPE, make_affine("LPS", degrees=(5.0, -8.0, 12.0)))


@pytest.fixture
def write_label(tmp_path, geometry):
    """Function that writes a label map into a dataset's derivatives."""

    def write(voxels, name, *, place=geometry):
        path = tmp_path / "data" / "derivatives" / "truth" / "sub-01" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_volume(path, Volume(voxels.astype(np.float32)[None], place))
        return path

    return write


@pytest.fixture
def segmentation():
    """Label 1 along one edge, 7 in one corner: asymmetric, so that a flip cannot hide."""
    voxels = np.zeros(SHAPE, int)
    voxels[0, :, 2] = 1
    voxels[4:, 3, 0] = 7
    return voxels


def test_each_label_of_a_segmentation_is_a_region_in_file_order(
    geometry, write_label, segmentation
):
    path = write_label(segmentation, "sub-01_dseg.nii.gz")

    labels = read_labels({"dseg": path}, like=geometry)

    assert list(labels.regions) == ["dseg: 1", "dseg: 7"]
    assert len(labels.regions) == 2
    np.testing.assert_array_equal(labels.regions["dseg: 1"], segmentation == 1)
    np.testing.assert_array_equal(labels.regions["dseg: 7"], segmentation == 7)
    assert labels.left_out == ()


def test_a_mask_is_one_region_whatever_its_values(geometry, write_label, segmentation):
    path = write_label(segmentation, "sub-01_label-lesion_mask.nii.gz")

    labels = read_labels({"mask+label-lesion": path}, like=geometry)

    assert list(labels.regions) == ["mask+label-lesion"]
    np.testing.assert_array_equal(labels.regions["mask+label-lesion"], segmentation != 0)


def test_an_empty_lesion_mask_is_an_empty_region(geometry, write_label):
    path = write_label(np.zeros(SHAPE), "sub-01_label-lesion_mask.nii.gz")

    labels = read_labels({"mask+label-lesion": path}, like=geometry)

    assert not labels.regions["mask+label-lesion"].any()


def test_names_come_from_the_table_of_the_dataset(geometry, write_label, segmentation):
    path = write_label(segmentation, "sub-01_dseg.nii.gz")
    table = "index\tname\n1\tcsf\n2\tgrey_matter\nx\tnothing\n"
    (path.parent.parent / "dseg.tsv").write_text(table)
    (path.parent.parent / "dataset_description.json").write_text("{}")

    assert list(read_labels({"dseg": path}, like=geometry).regions) == ["dseg: csf", "dseg: 7"]

    path.with_name("sub-01_dseg.tsv").write_text("index\tname\n7\town\n")
    assert list(read_labels({"dseg": path}, like=geometry).regions) == ["dseg: 1", "dseg: own"]


def test_a_table_beyond_the_dataset_is_none_of_its(geometry, write_label, segmentation):
    path = write_label(segmentation, "sub-01_dseg.nii.gz")
    (path.parent.parent / "dataset_description.json").write_text("{}")
    (path.parent.parent.parent / "dseg.tsv").write_text("index\tname\n1\tcsf\n")

    assert list(read_labels({"dseg": path}, like=geometry).regions) == ["dseg: 1", "dseg: 7"]


def test_outside_a_dataset_only_the_file_s_own_folder_is_searched(
    geometry, write_label, segmentation
):
    path = write_label(segmentation, "sub-01_dseg.nii.gz")
    table = "index\tname\n1\tcsf\n"

    (path.parent.parent / "dseg.tsv").write_text(table)
    assert list(read_labels({"dseg": path}, like=geometry).regions) == ["dseg: 1", "dseg: 7"]

    (path.parent / "dseg.tsv").write_text(table)
    assert list(read_labels({"dseg": path}, like=geometry).regions) == ["dseg: csf", "dseg: 7"]


def test_labels_on_another_grid_are_left_out_and_named(
    geometry, write_label, segmentation, make_affine
):
    other = Geometry(SHAPE, make_affine("RPS", degrees=(5.0, -8.0, 12.0)))
    path = write_label(segmentation, "sub-01_dseg.nii.gz", place=other)

    labels = read_labels({"dseg": path}, like=geometry)

    assert len(labels.regions) == 0
    assert labels.left_out == ("dseg lies on another grid than the scored scans",)


@pytest.mark.parametrize("value", [0.5, -1.0])
def test_values_that_are_no_labels_are_left_out_and_named(geometry, write_label, value):
    voxels = np.zeros(SHAPE)
    voxels[2, 2, 2] = value

    labels = read_labels(
        {"dseg": write_label(voxels, "sub-01_dseg.nii.gz")}, like=geometry
    )  # fmt: skip

    assert len(labels.regions) == 0
    assert "holds values that are no labels" in labels.left_out[0]


@pytest.fixture
def folders(tmp_path, make_volume):
    """Real and synthetic scans of two people, and labels of both."""
    for subject in ("01", "02"):
        real = make_volume((20, 18, 14), modality="T2w")
        synthetic = Volume(real.array * 0.9, real.geometry, "T2w")
        lesion = np.zeros(real.geometry.shape, np.float32)
        lesion[8:12, 7:10, 5:8] = 1
        labels = Volume(lesion[None], real.geometry)
        for folder, name, volume in (
            ("real", "T2w", real),
            ("made", "desc-synthetic_T2w", synthetic),
            ("truth", "label-lesion_mask", labels),
            ("truth", "dseg", labels),
        ):
            (tmp_path / folder).mkdir(exist_ok=True)
            write_volume(tmp_path / folder / f"sub-{subject}_{name}.nii.gz", volume)
    return tmp_path


def test_labels_of_a_folder_go_to_their_own_person(folders):
    (pair, _) = pair_paths(folders / "real", folders / "made").pairs

    found = find_labels(folders / "truth", pair)

    assert {name: path.name for name, path in found.items()} == {
        "mask+label-lesion": "sub-01_label-lesion_mask.nii.gz",
        "dseg": "sub-01_dseg.nii.gz",
    }


def test_the_mask_that_is_scored_in_is_no_label_and_a_file_serves_as_it_is(folders):
    mask = folders / "truth" / "sub-01_label-lesion_mask.nii.gz"
    real, made = (
        folders / "real" / "sub-01_T2w.nii.gz",
        folders / "made" / "sub-01_desc-synthetic_T2w.nii.gz",
    )
    (pair,) = pair_paths(real, made, mask=mask).pairs

    assert list(find_labels(folders / "truth", pair)) == ["dseg"]
    assert find_labels(mask, pair) == {"mask+label-lesion": mask}
    with pytest.raises(DatasetError, match="nowhere: no such file or folder"):
        find_labels(folders / "nowhere", pair)


def test_an_evaluation_scores_inside_the_labels(folders):
    evaluate_paths(
        folders / "real",
        folders / "made",
        labels=folders / "truth",
        out=folders / "out",
        protocol=Protocol(interval_resamples=100),
    )

    with (folders / "out" / "regions.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["region"] == "mask+label-lesion"]
    assert [row["subject"] for row in rows] == ["01", "02"]
    assert {row["voxels"] for row in rows} == {"36"}
    assert "mask+label-lesion" in (folders / "out" / "report.html").read_text()
    summary = json.loads((folders / "out" / "summary.json").read_text())
    assert summary["regions"]["left_out"] == {}


def test_a_validation_scores_inside_the_dataset_s_labels(trained, cohort, tmp_path):
    data = tmp_path / "toy"
    shutil.copytree(cohort, data)
    scan = read_volume(data / "sub-04" / "anat" / "sub-04_T1w.nii.gz")
    lesion = np.zeros(scan.geometry.shape, np.float32)
    lesion[8:11, 10:14, 6:9] = 1
    folder = data / "derivatives" / "truth" / "sub-04" / "anat"
    folder.mkdir(parents=True)
    write_volume(folder / "sub-04_label-lesion_mask.nii.gz", Volume(lesion[None], scan.geometry))

    validate(trained, [data], tmp_path / "out")

    with (tmp_path / "out" / "regions.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["region"] == "mask+label-lesion"]
    assert {row["case"] for row in rows} == {"toy_04"}
    assert {row["voxels"] for row in rows} == {"36"}
