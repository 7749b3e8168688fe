"""Errors of held-out people as DICOM: the numbers that were scored, where the source lies."""

import csv
import json
from dataclasses import replace

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread

from medtranslate.cli import app
from medtranslate.errors import DatasetError
from medtranslate.io import read_volume
from medtranslate.io.dicom.reading import read_series
from medtranslate.io.dicom.writing import write_datasets
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.yardstick import make_yardstick
from medtranslate.workflows import scoring_plan
from medtranslate.workflows.analyses.error_maps import find_error
from medtranslate.workflows.translate_series import translate_to_dicom
from medtranslate.workflows.validate import validate
from medtranslate.workflows.validate_cohort import validate_cohort
from medtranslate.workflows.validation_choices import ValidationChoices


@pytest.fixture(scope="module", autouse=True)
def only_error_maps():
    """The other analyses have tests of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring_plan, "choose_analyses", lambda **_: [])
        yield


@pytest.fixture(scope="module")
def table(cohort, make_sources, tmp_path_factory):
    """One held-out person: T1w is DICOM, T2w is NIfTI."""
    folder, anat = tmp_path_factory.mktemp("study"), cohort / "sub-04" / "anat"
    write_datasets(folder / "mr", make_sources(read_volume(anat / "sub-04_T1w.nii.gz")))
    lines = ["subject,contrast,path", "04,T1w,mr", f"04,T2w,{anat / 'sub-04_T2w.nii.gz'}"]
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    return folder / "table.csv"


@pytest.fixture(scope="module")
def validated(trained, table):
    """The folder of the scores, and in it that of the series."""
    out = table.parent / "out"
    words = ["validate", str(trained), "--data", str(table), "--out", str(out)]
    assert app(args=[*words, "--format", "dicom", "--identity", "keep"], standalone_mode=False) == 0
    (folder,) = (out / "dicom").iterdir()
    return out, folder


def on_grid(array, affine, grid):
    """The voxels of an array, whose affine is to RAS+ mm, in the order of a grid."""
    to_array = np.linalg.inv(affine) @ grid.affine
    index = np.indices(grid.shape).reshape(3, -1)
    found = to_array[:3, :3] @ index + to_array[:3, 3:]
    assert np.abs(found - np.rint(found)).max() < 1e-3
    return array[tuple(np.rint(found).astype(int))].reshape(grid.shape)


def test_the_map_holds_the_errors_that_were_scored(validated, cohort, table):
    out, folder = validated
    source = read_series(table.parent / "mr").volume
    stored = hd.imread(folder / "error" / "0001.dcm").get_volume()
    error = on_grid(stored.array, np.diag([-1.0, -1, 1, 1]) @ stored.affine, source.geometry)

    made = next((out / "predictions").rglob("*_T2w.nii.gz"))
    sidecar = json.loads(made.with_name(made.name.replace(".nii.gz", ".json")).read_text())
    scan = read_volume(cohort / "sub-04" / "anat" / "sub-04_T2w.nii.gz")
    real = on_grid(scan.voxels, scan.geometry.affine, source.geometry)
    mask = source.voxels != 0
    scale = sidecar["IntensityScale"]
    synthetic = (read_volume(made).voxels.astype(float) - scale["Offset"]) / scale["Factor"]
    expected = np.where(mask, synthetic - real / np.percentile(real[mask], 99.5), 0)
    np.testing.assert_allclose(error, expected, atol=1e-6)

    with (out / "volumes.csv").open() as file:
        (row,) = csv.DictReader(file)
    inside = error[mask].astype(float)
    assert np.abs(inside).mean() == pytest.approx(float(row["mae_volume"]), rel=1e-5)
    assert inside.mean() == pytest.approx(float(row["me_volume"]), rel=1e-4)


def test_the_map_says_what_it_is_and_lies_in_the_frame_of_the_source(validated, table):
    out, folder = validated
    source = dcmread(table.parent / "mr" / "0001.dcm")
    made = dcmread(folder / "error" / "0001.dcm")
    series = dcmread(folder / "series" / "0001.dcm")

    for one in (made, series):
        assert one.FrameOfReferenceUID == source.FrameOfReferenceUID
        assert one.StudyInstanceUID == source.StudyInstanceUID
        assert one.SyntheticData == "YES"
    assert made.SeriesDescription == "[SYNTHETIC] T2w error"
    assert made.ContentDescription == "Prediction - real scan; 0 where not scored"
    assert made.ImageType[0] == "DERIVED"
    groups = made.SharedFunctionalGroupsSequence[0]
    mapping = groups.RealWorldValueMappingSequence[0]
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    assert mapping.RealWorldValueSlope == 1
    described = json.loads((folder / "synthetic.json").read_text())
    assert described["Error"] == "error"
    assert described["ErrorUnit"] == "scored intensity, see protocol.json"
    summary = json.loads((out / "summary.json").read_text())["error_maps"]
    assert list(summary["folders"].values()) == [f"dicom/{folder.name}"]
    report = (out / "report.html").read_text()
    assert folder.name in report
    assert "--format dicom --identity keep" in report


def test_the_series_is_the_one_that_translate_writes_and_is_signed(
    validated, trained, table, tmp_path
):
    out, folder = validated
    scan = translate_to_dicom(
        trained, [table.parent / "mr"], tmp_path / "translated", identity="keep"
    ).scans[0]

    assert folder.name == scan.output.name
    for number in (1, 9):
        one, other = (
            dcmread(place / "series" / f"{number:04d}.dcm") for place in (folder, scan.output)
        )
        assert one.SOPInstanceUID == other.SOPInstanceUID
        assert one.PixelData == other.PixelData
    signed = json.loads((out / "manifest.json").read_text())["files"]
    assert f"dicom/{folder.name}/error/0001.dcm" in signed
    assert [name for name in signed if name.startswith("predictions/")]


@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal"])
def test_errors_of_ct_are_in_hounsfield_units_in_the_order_of_the_file(make_volume, axis):
    scan = make_volume(orientation="PIR")
    reference = replace(scan, array=scan.array - 1000, modality="CT", unit="HU")
    mask = scan.voxels > 0
    mask[:3] = False
    yardstick = make_yardstick(reference, mask, Protocol(axis=axis))
    shift = np.arange(mask.size, dtype=np.float32).reshape(mask.shape) / 20
    prediction = yardstick.bring(reference.voxels + shift, scale=None)

    error = find_error(yardstick, prediction)

    assert error.dtype == np.float32
    np.testing.assert_allclose(error, np.where(mask, shift, 0), atol=1e-3)


def test_what_is_no_dicom_or_is_not_written_is_refused(trained, cohort, tmp_path):
    choices = ValidationChoices(dicom="pseudonym")
    with pytest.raises(DatasetError, match="is not DICOM"):
        validate_cohort(trained, [cohort], tmp_path / "out", choices=choices)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="needs predict"):
        validate(trained, [cohort], tmp_path / "out", choices=choices)


def test_an_identity_without_dicom_is_refused(trained, table, tmp_path, capsys):
    words = ["validate", str(trained), "--data", str(table), "--out", str(tmp_path / "out")]
    assert app(args=[*words, "--identity", "keep"], standalone_mode=False) == 2
    assert "add --format dicom" in capsys.readouterr().err
