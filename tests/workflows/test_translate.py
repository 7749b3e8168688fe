"""Scans in, synthetic scans out: where they lie, what they say, what is never overwritten."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from medtranslate.checkpoint import load_model
from medtranslate.cli.output import ExitCode
from medtranslate.cli.summaries import show_translation
from medtranslate.errors import CheckpointError, DatasetError, DicomError, VolumeReadError
from medtranslate.geometry import Geometry
from medtranslate.inference.settings import InferenceChoices
from medtranslate.io import read_volume, write_volume
from medtranslate.provenance import hash_volume
from medtranslate.volume import Volume
from medtranslate.workflows import translate as module
from medtranslate.workflows.prediction import load_translator
from medtranslate.workflows.sources import collect_cases
from medtranslate.workflows.translate import translate, translate_cases
from medtranslate.workflows.translated_case import translate_case

from ..io.dicom.conftest import save_all, slice_headers


def t1w(dataset, subject):
    return dataset / f"sub-{subject}" / "anat" / f"sub-{subject}_T1w.nii.gz"


def t2w(dataset, subject):
    return dataset / f"sub-{subject}" / "anat" / f"sub-{subject}_T2w.nii.gz"


def test_one_source_becomes_one_file_on_its_own_grid(trained, cohort, tmp_path):
    source = t1w(cohort, "04")

    result = translate(trained, [source], tmp_path / "synthetic.nii.gz")

    assert [scan.output for scan in result.scans] == [tmp_path / "synthetic.nii.gz"]
    written, given = read_volume(tmp_path / "synthetic.nii.gz"), read_volume(source)
    assert written.geometry.shape == given.geometry.shape
    np.testing.assert_allclose(written.geometry.affine, given.geometry.affine, atol=1e-4)
    assert {path.name for path in tmp_path.iterdir()} == {"synthetic.nii.gz", "synthetic.json"}


def test_outside_the_patient_stands_the_background(trained, cohort, tmp_path):
    source = t1w(cohort, "04")
    translate(trained / "model", [source], tmp_path / "out.nii.gz")

    outside = read_volume(source).voxels == 0
    written = read_volume(tmp_path / "out.nii.gz").voxels

    np.testing.assert_array_equal(written[outside], 0)
    assert np.count_nonzero(written[~outside]) > 0.99 * np.count_nonzero(~outside)


def test_the_sidecar_says_what_it_is_and_where_it_came_from(trained, cohort, tmp_path):
    source = t1w(cohort, "04")
    translate(trained, [source], tmp_path / "out.nii.gz")

    sidecar = json.loads((tmp_path / "out.json").read_text())

    model, given = load_model(trained), read_volume(source)
    assert sidecar["Synthetic"] is True
    assert sidecar["SkullStripped"] is True
    assert sidecar["Note"] == "SYNTHETIC - not acquired - research use only"
    assert sidecar["ModelSha256"] == model.sha256
    assert sidecar["SourceSha256"] == hash_volume(given.voxels, given.geometry.affine)
    assert sidecar["IntensityScale"] == model.scale.to_json()
    assert sidecar["Background"] == 0.0
    assert sidecar["Units"] == "arbitrary"
    assert sidecar["Pipeline"] == "toy"
    assert len(sidecar["PipelineSha256"]) == 64
    assert sidecar["Sources"] == [source.name]
    assert sidecar["Inference"]["Window"] is None
    assert {"medtranslate", "torch", "monai"} <= set(sidecar["Versions"])
    assert "/" not in json.dumps(sidecar["Sources"])


def test_the_same_source_gives_the_same_bytes(trained, cohort, tmp_path):
    for name in ("a", "b"):
        translate(trained, [t1w(cohort, "04")], tmp_path / name / "out.nii.gz")

    for file in ("out.nii.gz", "out.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_the_prediction_does_not_depend_on_the_target(trained, cohort, tmp_path):
    """Target-blindness: with noise for a target, and with none, the prediction is the same."""
    contents = {}
    for name in ("real", "noise", "none"):
        dataset = tmp_path / name / "toy"
        shutil.copytree(cohort, dataset)
        if name == "noise":
            real = read_volume(t2w(dataset, "04"))
            noise = np.random.default_rng(5).uniform(1, 9000, real.array.shape)
            write_volume(t2w(dataset, "04"), Volume(noise.astype(np.float32), real.geometry))
        if name == "none":
            t2w(dataset, "04").unlink()
        translate(trained, [dataset], tmp_path / f"out-{name}")
        path = tmp_path / f"out-{name}/sub-04/anat/sub-04_space-T1w_desc-synthetic_T2w.nii.gz"
        contents[name] = path.read_bytes()

    assert contents["real"] == contents["noise"] == contents["none"]


def test_several_sources_become_a_derived_dataset(trained, cohort, tmp_path):
    out = tmp_path / "derived"

    translate(trained, [t1w(cohort, "04"), t1w(cohort, "05")], out)

    description = json.loads((out / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["GeneratedBy"][0]["Name"] == "medtranslate"
    assert sorted(str(path.relative_to(out)) for path in out.glob("sub-*/**/sub-*_*")) == [
        f"sub-{subject}/anat/sub-{subject}_space-T1w_desc-synthetic_T2w{suffix}"
        for subject in ("04", "05")
        for suffix in (".json", ".nii.gz")
    ]


def test_people_of_two_datasets_with_one_label_are_kept_apart(trained, cohort, tmp_path):
    other = tmp_path / "copy_of_toy"
    shutil.copytree(cohort, other)

    result = translate(trained, [cohort, other], tmp_path / "out")

    names = {scan.output.name for scan in result.scans}
    assert len(names) == 10
    assert "sub-copyoftoy04_space-T1w_desc-synthetic_T2w.nii.gz" in names
    assert "sub-toy04_space-T1w_desc-synthetic_T2w.nii.gz" in names


def test_a_source_that_fails_does_not_stop_the_others(trained, cohort, tmp_path):
    broken = tmp_path / "sub-09_T1w.nii.gz"
    broken.write_bytes(t1w(cohort, "05").read_bytes()[:-200])
    absent = tmp_path / "sub-10_T1w.nii.gz"

    result = translate(trained, [broken, t1w(cohort, "04"), absent], tmp_path / "out")

    assert [scan.error is None for scan in result.scans] == [False, True, False]
    assert "sub-09" in result.failed[0].error
    assert "sub-10" in result.failed[1].error
    assert len(list((tmp_path / "out").rglob("*.nii.gz"))) == 1


def test_a_defect_that_one_source_meets_does_not_stop_the_others(
    trained, cohort, tmp_path, monkeypatch
):
    """The text of such an exception may quote the patient: it is told nowhere."""

    def prepare_but_one(translator, case, path, **options):
        if case.subject == "04":
            raise ZeroDivisionError(f"John Doe in {case.source}")
        return translate_case(translator, case, path, **options)

    monkeypatch.setattr(module, "translate_case", prepare_but_one)
    sources = [t1w(cohort, "04"), t1w(cohort, "05")]

    result = translate(trained, sources, tmp_path / "out")

    assert [scan.error is None for scan in result.scans] == [False, True]
    assert "unexpected ZeroDivisionError in medtranslate/" in result.failed[0].error
    assert show_translation(result).code is ExitCode.PARTLY
    status = json.loads((tmp_path / "out" / "status" / "sub-04_T1w.json").read_text())
    assert status["state"] == "failed"
    assert status["why"] == result.failed[0].error
    assert "defect" in status["why"]
    assert "Doe" not in status["why"]
    assert str(cohort) not in status["why"]


def test_a_single_source_that_fails_is_raised_and_told_in_the_folder(trained, cohort, tmp_path):
    source, out = tmp_path / "sub-09_T1w.nii.gz", tmp_path / "folder"
    shutil.copy(t1w(cohort, "05"), source)
    translate(trained, [source], out)
    source.write_bytes(t1w(cohort, "05").read_bytes()[:-200])

    for to in (out, tmp_path / "new", tmp_path / "file.nii.gz"):
        with pytest.raises(VolumeReadError, match="sub-09"):
            translate(trained, [source], to)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "new", source.name]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["status"]
    for folder in (out, tmp_path / "new"):
        status = json.loads((folder / "status" / "sub-09_T1w.json").read_text())
        assert status["state"] == "failed"
        assert "ends too early" in status["why"]


def test_a_source_is_never_overwritten(trained, cohort, tmp_path):
    dataset = tmp_path / "toy"
    shutil.copytree(cohort, dataset)
    source, target = t1w(dataset, "04"), t2w(dataset, "04")
    before = {path: path.read_bytes() for path in (source, target)}
    (dataset / "link.nii.gz").symlink_to(source)

    for out, message in (
        (source, "is one of the scans given"),
        (dataset / "link.nii.gz", "is one of the scans given"),
        (target, "is not a synthetic scan of ours"),
        (source.with_name("sub-04_T1w.nii"), "its sidecar would take the place"),
        (dataset, "holds another dataset"),
        (dataset / "dataset_description.json", "is a file that is not a scan"),
    ):
        with pytest.raises(DatasetError, match=message):
            translate(trained, [source], out)

    assert before == {path: path.read_bytes() for path in (source, target)}


def test_our_own_synthetic_scan_may_be_made_again(trained, cohort, tmp_path):
    for _ in range(2):
        translate(trained, [t1w(cohort, "04")], tmp_path / "out.nii.gz")
        result = translate(trained, [t1w(cohort, "05")], tmp_path / "folder")

    assert result.failed == ()


def test_called_again_it_does_the_rest_and_status_files_say_what_became_of_each(
    trained, cohort, tmp_path
):
    broken = tmp_path / "sub-09_T1w.nii.gz"
    broken.write_bytes(t1w(cohort, "05").read_bytes()[:-200])
    sources, out = [t1w(cohort, "04"), broken], tmp_path / "out"

    translate(trained, sources, out)
    states = {
        path.stem: json.loads(path.read_text())["state"] for path in (out / "status").iterdir()
    }
    shutil.copy(t1w(cohort, "05"), broken)
    again = translate(trained, sources, out)

    assert states == {"sub-04_T1w": "done", "sub-09_T1w": "failed"}
    assert [scan.kept for scan in again.scans] == [True, False]
    assert again.failed == ()


def test_a_status_file_does_not_say_what_a_source_is_called(trained, cohort, tmp_path):
    broken = tmp_path / "Doe" / "John.nii.gz"
    broken.parent.mkdir()
    broken.write_bytes(t1w(cohort, "05").read_bytes()[:-200])

    result = translate(trained, [broken, t1w(cohort, "04")], tmp_path / "out")

    assert "John" in result.failed[0].error
    written = [path.read_text() for path in (tmp_path / "out" / "status").iterdir()]
    assert len(written) == 2
    assert not any("John" in text or "Doe" in text for text in written)


def test_a_scan_of_another_precision_than_asked_for_is_made_again(trained, cohort, tmp_path):
    kept = []
    for precision in ("fp32", "bf16", None):
        choices = InferenceChoices(engine="torch", precision=precision)
        result = translate(trained, [t1w(cohort, "04")], tmp_path / "out", inference=choices)
        kept.append(result.scans[0].kept)

    assert kept == [False, False, True]


@pytest.mark.parametrize(
    ("keep", "second", "kept"), [(True, "04", True), (True, "05", False), (False, "04", False)]
)
def test_a_scan_is_kept_only_if_asked_and_of_the_same_source(
    trained, cohort, tmp_path, keep, second, kept
):
    translator = load_translator(trained)
    source, out = tmp_path / "sub-1_T1w.nii.gz", tmp_path / "out"
    for subject in ("04", second):
        shutil.copy(t1w(cohort, subject), source)
        cases = collect_cases(translator, [source])
        result = translate_cases(translator, cases, out, keep=keep)

    translate(trained, [t1w(cohort, second)], tmp_path / "fresh.nii.gz")
    assert [scan.kept for scan in result.scans] == [kept]
    (written,) = out.rglob("*.nii.gz")
    assert written.read_bytes() == (tmp_path / "fresh.nii.gz").read_bytes()


@pytest.mark.parametrize(
    ("sources", "out", "message"),
    [
        (("04", "05"), "one.nii.gz", "one file, but there are 2 sources"),
        (("04", "04"), "folder", "is given twice"),
        (("04",), "file.mgz", r"\.mgz is not written"),
    ],
)
def test_what_cannot_be_meant_is_refused(trained, cohort, tmp_path, sources, out, message):
    with pytest.raises(DatasetError, match=message):
        translate(trained, [t1w(cohort, name) for name in sources], tmp_path / out)

    assert list(tmp_path.iterdir()) == []


def test_two_sources_with_one_name_are_refused(trained, cohort, tmp_path):
    twin = tmp_path / "elsewhere" / "sub-04_T1w.nii.gz"
    twin.parent.mkdir()
    shutil.copy(t1w(cohort, "04"), twin)

    with pytest.raises(DatasetError, match="would both be written as sub-04"):
        translate(trained, [t1w(cohort, "04"), twin], tmp_path / "out")


def test_a_mask_is_refused_by_a_model_that_computes_its_own(trained, cohort, tmp_path):
    with pytest.raises(DatasetError, match="this model computes its mask"):
        translate(trained, [t1w(cohort, "04")], tmp_path / "out.nii.gz", mask=t1w(cohort, "04"))


@pytest.fixture
def masked(trained, make_pipeline):
    """A translator whose pipeline wants a given mask."""
    pipeline = make_pipeline(mask="mask+desc-brain", preprocess={"mask": "given"})
    return replace(load_translator(trained), pipeline=pipeline)


def test_a_model_that_needs_a_mask_asks_for_it(masked, cohort):
    with pytest.raises(DatasetError, match=r"needs a mask.*--mask"):
        collect_cases(masked, [t1w(cohort, "04")])
    with pytest.raises(DatasetError, match="fits one source file"):
        collect_cases(masked, [t1w(cohort, "04"), t1w(cohort, "05")], mask=t2w(cohort, "04"))


def test_a_given_mask_decides_where_something_is_predicted(masked, cohort, tmp_path):
    source = read_volume(t1w(cohort, "04"))
    half = source.voxels > 0
    half[:11] = False
    write_volume(tmp_path / "mask.nii.gz", Volume(half[None], source.geometry))
    cases = collect_cases(masked, [t1w(cohort, "04")], mask=tmp_path / "mask.nii.gz")

    translate_cases(masked, cases, tmp_path / "out.nii.gz")

    written = read_volume(tmp_path / "out.nii.gz").voxels
    np.testing.assert_array_equal(written[~half], 0)
    assert np.count_nonzero(written[half]) > 0.99 * np.count_nonzero(half)
    assert json.loads((tmp_path / "out.json").read_text())["SkullStripped"] is True


@pytest.mark.parametrize("told", [True, False])
def test_the_source_s_own_word_on_skull_stripping_counts_most(trained, cohort, tmp_path, told):
    source = tmp_path / "sub-1_T1w.nii.gz"
    shutil.copy(t1w(cohort, "04"), source)
    (tmp_path / "sub-1_T1w.json").write_text(json.dumps({"SkullStripped": told}))

    translate(trained, [source], tmp_path / "out.nii.gz")

    assert json.loads((tmp_path / "out.json").read_text())["SkullStripped"] is told


def test_an_altered_model_is_refused(trained, cohort, tmp_path):
    shutil.copytree(trained / "model", tmp_path / "model")
    scale = tmp_path / "model" / "scale.json"
    scale.write_text(scale.read_text().replace('"Offset": 0.0', '"Offset": 5.0'))

    with pytest.raises(CheckpointError, match="altered"):
        translate(tmp_path / "model", [t1w(cohort, "04")], tmp_path / "out.nii.gz")


def test_a_name_that_is_not_bids_is_translated_too(trained, cohort, tmp_path):
    source = tmp_path / "patient 7.nii.gz"
    shutil.copy(t1w(cohort, "04"), source)

    result = translate(trained, [source], tmp_path / "out")

    label = "x" + hashlib.sha256(source.read_bytes()).hexdigest()[:10]
    assert result.scans[0].output.name == f"sub-{label}_space-orig_desc-synthetic_T2w.nii.gz"


def test_what_the_source_header_says_in_words_does_not_reach_the_output(trained, cohort, tmp_path):

    given = nibabel.load(t1w(cohort, "04"))
    given.header["descrip"] = b"DOE JOHN 1950"
    given.header["intent_name"] = b"DOE JOHN"
    nibabel.save(given, tmp_path / "sub-1_T1w.nii")

    translate(trained, [tmp_path / "sub-1_T1w.nii"], tmp_path / "out.nii")

    for path in (tmp_path / "out.nii", tmp_path / "out.json"):
        assert b"DOE" not in path.read_bytes()
    assert b"SYNTHETIC medtranslate" in (tmp_path / "out.nii").read_bytes()


def write_with_spacing(source, path, factor):
    """The same voxels on a grid ``factor`` times as wide."""
    scan = read_volume(source)
    affine = scan.geometry.affine @ np.diag([factor, factor, factor, 1.0])
    write_volume(path, Volume(scan.array, Geometry(scan.geometry.shape, affine)))
    return path


def test_a_source_like_the_training_scans_gives_no_warning(trained, cohort, tmp_path):
    result = translate(trained, [t1w(cohort, "01")], tmp_path / "out.nii.gz")

    found = json.loads((tmp_path / "out.json").read_text())["ComparedWithTraining"]
    assert result.scans[0].warnings == ()
    assert found["Warnings"] == []
    assert {one["Distance"] for one in found["Properties"].values()} == {0.0}


def test_a_source_unlike_the_training_scans_is_warned_of(trained, cohort, tmp_path):
    wide = write_with_spacing(t1w(cohort, "04"), tmp_path / "sub-9_T1w.nii.gz", 1.5)

    result = translate(trained, [wide], tmp_path / "out.nii.gz")

    found = json.loads((tmp_path / "out.json").read_text())["ComparedWithTraining"]
    warnings = list(result.scans[0].warnings)
    assert found["Warnings"] == warnings == result.to_json()["scans"][0]["warnings"]
    outside = {name for name, one in found["Properties"].items() if one["Outside"]}
    assert {"voxel size foot-head (mm)", "field of view left-right (mm)"} <= outside
    np.testing.assert_allclose(
        found["Properties"]["voxel size foot-head (mm)"]["Distance"], 0.5 / 0.05, rtol=1e-3
    )
    assert "in the 2 training scans" in warnings[0]


def test_a_model_that_does_not_say_what_it_knows_asks_to_be_trained_again(
    trained, cohort, tmp_path
):
    translator = load_translator(trained)
    config = {key: v for key, v in translator.model.config.items() if key != "training_range"}
    old = replace(translator, model=replace(translator.model, config=config))

    with pytest.raises(CheckpointError, match="'training_range'.*train the model again"):
        translate_cases(old, collect_cases(old, [t1w(cohort, "04")]), tmp_path / "out.nii.gz")


def write_dicom_like(folder: Path, nifti: Path) -> Path:
    """A scan of the cohort as an MR series."""
    datasets = slice_headers(read_volume(nifti), "MR")
    return save_all(folder, datasets)


def test_a_dicom_series_is_translated_as_the_same_scan_in_nifti_is(trained, cohort, tmp_path):
    nifti = next(cohort.rglob("*_T1w.nii.gz"))
    series = write_dicom_like(tmp_path / "series", nifti)

    translate(trained, [nifti], tmp_path / "from_nifti.nii.gz")
    translate(trained, [series], tmp_path / "from_dicom.nii.gz")

    first = read_volume(tmp_path / "from_nifti.nii.gz")
    second = read_volume(tmp_path / "from_dicom.nii.gz")
    assert second.geometry.matches(read_volume(series).geometry)
    order = first.voxels if second.geometry.matches(first.geometry) else first.voxels[:, :, ::-1]
    np.testing.assert_allclose(second.voxels, order, rtol=1e-3, atol=1.0)


def test_a_repair_of_the_source_stands_in_the_sidecar(trained, cohort, tmp_path):
    series = write_dicom_like(tmp_path / "series", next(cohort.rglob("*_T1w.nii.gz")))
    (series / "IM9.dcm").unlink()
    with pytest.raises(DicomError, match="missing-slices"):
        translate(trained, [series], tmp_path / "out.nii.gz")
    assert not (tmp_path / "out.nii.gz").exists()

    translate(trained, [Path(f"{series}#interpolate-missing=1")], tmp_path / "out.nii.gz")

    sidecar = json.loads((tmp_path / "out.json").read_text())
    assert "number" in sidecar["SourceRepairs"][0]
    assert "of 18" in sidecar["SourceRepairs"][0]
