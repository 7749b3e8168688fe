import json
import os
import shutil

import nibabel
import numpy as np
import pytest
from pydicom import dcmread

from medtranslate.cli.output import ExitCode
from medtranslate.cli.summaries import show_preprocessing
from medtranslate.io import read_volume
from medtranslate.io.dicom.writing import write_datasets
from medtranslate.preprocess.cache import load_or_prepare
from medtranslate.preprocess.preparation import prepare
from medtranslate.workflows import preprocess as module
from medtranslate.workflows.preprocess import RECORD_FILE, preprocess_dataset


class Recorder:
    """Keeps what a long job tells."""

    def __init__(self):
        self.stages = []
        self.done = []

    def stage(self, name, total):
        self.stages.append((name, total))

    def update(self, done, note=""):
        self.done.append(done)


def test_every_case_is_written_with_its_record(cohort, make_pipeline, tmp_path):
    pipeline = make_pipeline()
    progress = Recorder()
    result = preprocess_dataset(pipeline, [cohort], tmp_path / "out", progress=progress)
    assert len(result.cases) == 5
    assert result.worse == ()
    np.testing.assert_array_equal(progress.done, range(6))
    assert progress.stages == [("prepare", 5)]
    record = json.loads((tmp_path / "out" / RECORD_FILE).read_text())
    assert record["settings"]["crop_margin_mm"] == 2.0
    assert list(record["cases"]) == list(result.cases)

    name = result.cases[2]
    case = record["cases"][name]
    assert str(cohort) not in (tmp_path / "out" / "preprocessing.json").read_text()
    prepared = prepare(
        pipeline.preprocess,
        name="x",
        source=cohort / "sub-03" / "anat" / "sub-03_T1w.nii.gz",
        target=cohort / "sub-03" / "anat" / "sub-03_T2w.nii.gz",
    )
    for role in ("source", "target", "mask"):
        image = nibabel.load(tmp_path / "out" / f"{name}_{role}.nii.gz")
        np.testing.assert_array_equal(np.asarray(image.dataobj), getattr(prepared, role)[0])
        np.testing.assert_allclose(image.affine, prepared.grid.affine, atol=1e-4)
    assert case["outputs"] == prepared.fingerprint["outputs"]
    assert case["inputs"] == prepared.fingerprint["inputs"]


def test_a_second_run_writes_the_same_bytes(cohort, make_pipeline, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    preprocess_dataset(make_pipeline(), [cohort], first, cache=tmp_path / "cache")
    preprocess_dataset(make_pipeline(), [cohort], second, cache=tmp_path / "cache")
    names = sorted(str(path.relative_to(first)) for path in first.rglob("*.*"))
    assert len(names) == 5 * 4 + 1 + 5 + 1
    assert names == sorted(str(path.relative_to(second)) for path in second.rglob("*.*"))
    names.remove("manifest.json")  # says when
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_the_written_source_lies_where_the_scan_lies(cohort, make_pipeline, tmp_path):
    result = preprocess_dataset(make_pipeline(), [cohort], tmp_path)
    written = read_volume(tmp_path / f"{result.cases[0]}_source.nii.gz")
    scan = read_volume(cohort / "sub-01" / "anat" / "sub-01_T1w.nii.gz")

    def centre(volume):
        index = np.argwhere(volume.voxels != 0).mean(axis=0)
        return (volume.geometry.affine @ [*index, 1])[:3]

    np.testing.assert_allclose(centre(written), centre(scan), atol=1e-3)


def test_what_is_prepared_is_kept_and_the_rest_done(cohort, make_pipeline, tmp_path):
    first = preprocess_dataset(make_pipeline(), [cohort], tmp_path)
    record = (tmp_path / RECORD_FILE).read_bytes()
    (tmp_path / f"{first.cases[1]}_target.nii.gz").write_bytes(b"damaged")
    (tmp_path / "status" / f"{first.cases[3]}.json").unlink()

    again = preprocess_dataset(make_pipeline(), [cohort], tmp_path)
    changed = preprocess_dataset(
        make_pipeline(preprocess={"crop_margin_mm": 4.0}), [cohort], tmp_path
    )

    assert again.kept == (first.cases[0], first.cases[2], first.cases[4])
    assert (tmp_path / RECORD_FILE).read_bytes() != record, "the settings changed"
    assert changed.kept == ()


def test_a_case_that_fails_is_told_and_the_others_are_done(cohort, make_pipeline, tmp_path):
    dataset = tmp_path / "toy"
    shutil.copytree(cohort, dataset)
    (dataset / "sub-02" / "anat" / "sub-02_T2w.nii.gz").write_bytes(b"no scan")

    result = preprocess_dataset(make_pipeline(), [dataset], tmp_path / "out")

    assert list(result.failed) == ["toy_02"]
    assert len(result.cases) == 4
    status = json.loads((tmp_path / "out" / "status" / "toy_02.json").read_text())
    assert (status["state"], status["why"]) == ("failed", result.failed["toy_02"])
    assert "sub-02_T2w.nii.gz" in status["why"]


def test_a_case_whose_dicom_slice_was_changed_is_made_anew(
    cohort, make_pipeline, make_sources, tmp_path
):
    lines = ["subject,contrast,path"]
    for subject in ("04", "05"):
        anat = cohort / f"sub-{subject}" / "anat"
        series = tmp_path / f"mr{subject}"
        write_datasets(series, make_sources(read_volume(anat / f"sub-{subject}_T1w.nii.gz")))
        lines += [f"{subject},T1w,{series}", f"{subject},T2w,{anat / f'sub-{subject}_T2w.nii.gz'}"]
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    cache = {"cache": tmp_path / "cache"}

    def run():
        result = preprocess_dataset(
            make_pipeline(), [tmp_path / "table.csv"], tmp_path / "out", **cache
        )
        images = [tmp_path / "out" / f"{case}_source.nii.gz" for case in result.cases]
        return result, [path.read_bytes() for path in images]

    first, images = run()
    again, _ = run()
    assert again.kept == first.cases
    path = tmp_path / "mr05" / "0009.dcm"
    before, one = path.stat(), dcmread(path)
    pixels = one.pixel_array.copy()
    pixels[12, 11] += 7
    one.PixelData = pixels.tobytes()
    one.save_as(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size

    changed, others = run()

    assert changed.kept == first.cases[:1]
    assert others[0] == images[0]
    assert others[1] != images[1]


def test_a_defect_that_one_case_meets_does_not_stop_the_others(
    cohort, make_pipeline, tmp_path, monkeypatch
):
    def prepare_but_one(settings, *, name, **options):
        if name == "toy_02":
            raise IndexError("John Doe")
        return load_or_prepare(settings, name=name, **options)

    monkeypatch.setattr(module, "load_or_prepare", prepare_but_one)

    result = preprocess_dataset(make_pipeline(), [cohort], tmp_path / "out")

    assert len(result.cases) == 4
    assert list(result.failed) == ["toy_02"]
    assert show_preprocessing(result).code is ExitCode.PARTLY
    status = json.loads((tmp_path / "out" / "status" / "toy_02.json").read_text())
    assert status["state"] == "failed"
    assert "unexpected IndexError in medtranslate/workflows/preprocess.py" in status["why"]
    assert "Doe" not in status["why"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_worker_processes_prepare_what_is_prepared_here(cohort, make_pipeline, tmp_path):
    pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    here = preprocess_dataset(make_pipeline(), [cohort], tmp_path / "here")

    there = preprocess_dataset(make_pipeline(), [cohort], tmp_path / "there", cluster="local:2")

    assert there.cases == here.cases
    assert there.failed == {}
    assert there.record.read_bytes() == here.record.read_bytes()
    for path in (tmp_path / "here").glob("*.nii.gz"):
        assert path.read_bytes() == (tmp_path / "there" / path.name).read_bytes()
    statuses = sorted(path.name for path in (tmp_path / "there" / "status").iterdir())
    assert statuses == [f"toy_{n:02d}.json" for n in range(1, 6)]
