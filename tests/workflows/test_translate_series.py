"""DICOM in, DICOM out: one folder that is whole, marked, and says nothing of who it was."""

import json

import numpy as np
import pytest
from pydicom import dcmread

from medtranslate.cli import app
from medtranslate.errors import DatasetError, GeometryError, VolumeWriteError
from medtranslate.geometry import Geometry
from medtranslate.io import read_volume, write_volume
from medtranslate.io.dicom.reading import read_series
from medtranslate.io.dicom.writing import write_datasets
from medtranslate.volume import Volume
from medtranslate.workflows import derived_folder as module
from medtranslate.workflows.prediction import load_translator
from medtranslate.workflows.sources import collect_cases
from medtranslate.workflows.translate_series import translate_to_dicom


@pytest.fixture
def series(cohort, make_sources, tmp_path):
    volume = read_volume(cohort / "sub-04" / "anat" / "sub-04_T1w.nii.gz")
    write_datasets(tmp_path / "Quillfeather", make_sources(volume))
    return tmp_path / "Quillfeather"


def test_the_series_holds_the_prediction_on_the_grid_of_the_source(trained, series, tmp_path):
    scan = translate_to_dicom(trained, [series], tmp_path / "out").scans[0]

    written = read_series(scan.output / "series").volume
    source = read_series(series).volume
    assert written.geometry.matches(source.geometry, tolerance_mm=1e-3)
    translator = load_translator(trained)
    case = collect_cases(translator, [series])[0]
    predicted = translator.predict(translator.prepare(case)).volume
    sidecar = json.loads((scan.output / "synthetic.json").read_text())
    step = sidecar["Dicom"]["RescaleSlope"]
    assert np.abs(written.array - predicted.array).max() <= step / 2 * 1.001
    assert sidecar["Dicom"]["OnSourceGrid"] is True
    assert np.ptp(written.array) > 100


def test_nothing_under_a_pseudonym_says_who_it_was(trained, series, tmp_path):
    translate_to_dicom(trained, [series], tmp_path / "out")

    for path in (tmp_path / "out").rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        for planted in ("Quillfeather", "19530417", "PID-778-2231", "ACC99117", "Mossbank"):
            assert planted not in str(path.relative_to(tmp_path))
            assert planted.encode() not in content


def test_kept_identity_stands_in_the_dicom_alone(trained, series, tmp_path):
    scan = translate_to_dicom(trained, [series], tmp_path / "out", identity="keep").scans[0]

    assert dcmread(scan.output / "series" / "0001.dcm").PatientID == "PID-778-2231"
    assert "Quillfeather" not in str(scan.output)
    text = (scan.output / "synthetic.json").read_text()
    assert not [word for word in ("Quillfeather", "PID-778", "1.2.826.0.1.77") if word in text]


def test_deviations_and_regions_lie_beside_the_series(trained, series, tmp_path):
    source = read_series(series).volume
    flipped = source.geometry.affine @ np.diag([-1.0, 1.0, 1.0, 1.0])
    flipped[:3, 3] += source.geometry.affine[:3, 0] * (source.array.shape[1] - 1)
    mask = (source.array > 500)[:, ::-1].astype(np.uint8)
    write_volume(tmp_path / "gtv.nii.gz", Volume(mask, Geometry(source.geometry.shape, flipped)))

    scan = translate_to_dicom(
        trained, [series], tmp_path / "out", uncertainty=True,
        regions={"GTV": tmp_path / "gtv.nii.gz"},
    ).scans[0]  # fmt: skip

    objects = {path.parent.name: dcmread(path) for path in scan.output.rglob("*.dcm")}
    assert {name: one.Modality for name, one in objects.items()} == {
        "series": "MR", "deviation": "OT", "regions": "SEG", "structures": "RTSTRUCT",
    }  # fmt: skip
    frames = objects["regions"].pixel_array
    assert np.count_nonzero(frames) == np.count_nonzero(source.array > 500)
    assert len({one.FrameOfReferenceUID for one in objects.values()}) == 1
    assert len({one.SeriesInstanceUID for one in objects.values()}) == 4


def test_a_region_on_another_grid_is_refused_before_anything_is_written(
    trained, series, tmp_path, make_volume
):
    far = make_volume()
    mask = (far.array > 300).astype(np.uint8)
    write_volume(tmp_path / "far.nii.gz", Volume(mask, far.geometry))
    with pytest.raises(GeometryError, match="--region GTV: lies on another grid"):
        translate_to_dicom(
            trained, [series], tmp_path / "out", regions={"GTV": tmp_path / "far.nii.gz"}
        )
    assert not (tmp_path / "out").exists()


def test_a_failure_half_way_leaves_nothing_and_keeps_what_was_there(
    trained, series, tmp_path, monkeypatch
):
    first = translate_to_dicom(trained, [series], tmp_path / "out").scans[0]
    before = sorted((tmp_path / "out").rglob("*"))

    def fail(*_):
        raise VolumeWriteError("disk")

    monkeypatch.setattr(module, "write_json", fail)
    with pytest.raises(VolumeWriteError, match="disk"):
        translate_to_dicom(trained, [series], tmp_path / "out")

    assert sorted((tmp_path / "out").rglob("*")) == before
    assert first.output.is_dir()


def test_a_folder_of_others_and_a_source_that_is_no_dicom_are_refused(
    trained, series, cohort, tmp_path
):
    name = translate_to_dicom(trained, [series], tmp_path / "out").scans[0].output.name
    (tmp_path / "other" / name).mkdir(parents=True)
    with pytest.raises(DatasetError, match="not a synthetic series of ours"):
        translate_to_dicom(trained, [series], tmp_path / "other")
    with pytest.raises(DatasetError, match="is not DICOM"):
        translate_to_dicom(trained, [cohort], tmp_path / "nifti")


def test_translating_again_replaces_the_series_by_one_with_the_same_uids(trained, series, tmp_path):
    uids = [
        [dcmread(path).SOPInstanceUID for path in sorted(scan.output.rglob("*.dcm"))]
        for scan in (
            translate_to_dicom(trained, [series], tmp_path / "out").scans[0] for _ in range(2)
        )
    ]

    assert uids[0] == uids[1]
    folders = [path for path in (tmp_path / "out").iterdir() if path.name != "manifest.json"]
    assert len(folders) == 1


def test_options_of_dicom_need_the_format(trained, series, tmp_path, capsys):
    words = ["translate", str(trained), str(series), "--out", str(tmp_path / "o.nii.gz")]

    code = app(args=[*words, "--identity", "keep"], standalone_mode=False)

    assert code == 2
    assert "add --format dicom" in capsys.readouterr().err
