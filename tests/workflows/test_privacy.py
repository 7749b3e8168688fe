"""A name, a birth date and a number planted wherever a dataset can hold them reach no output."""

import shutil

import nibabel
import numpy as np
import pytest
from pydicom.datadict import dictionary_VR

from medtranslate.data.durations import parse_durations
from medtranslate.io import read_volume
from medtranslate.io.dicom.headers import quiet
from medtranslate.io.dicom.writing import write_datasets
from medtranslate.metrics.protocol import Protocol
from medtranslate.workflows.bids_app import translate_participants
from medtranslate.workflows.evaluate import evaluate_paths
from medtranslate.workflows.export.exporting import FORMS, export_model
from medtranslate.workflows.plan import plan
from medtranslate.workflows.preprocess import preprocess_dataset
from medtranslate.workflows.run import run_pipeline
from medtranslate.workflows.simulate import simulate
from medtranslate.workflows.translate import translate
from medtranslate.workflows.validate import validate
from medtranslate.workflows.validate_progression import validate_progression
from medtranslate.workflows.validation_choices import ValidationChoices

from ..planted import SECRETS, find_secrets, plant
from ..refusals import call


@pytest.fixture
def planted(cohort, tmp_path):
    """The cohort below a folder called after a person, with the secrets in files and tables."""
    dataset = tmp_path / "_".join(SECRETS) / "toy"
    for source in sorted(cohort.glob("sub-*/anat/*.nii.gz")):
        plant(source, dataset / source.relative_to(cohort))
    shutil.copy(cohort / "dataset_description.json", dataset)
    rows = [f"sub-{n:02d}\tseen {' '.join(SECRETS)}" for n in range(1, 6)]
    (dataset / "participants.tsv").write_text("\n".join(["participant_id\tcomment", *rows]) + "\n")
    return dataset


@pytest.fixture
def loose(planted):
    """A table of scans whose names and folders say who they are."""
    folder = planted.parent
    lines = ["subject,contrast,path,note"]
    for subject in ("04", "05"):
        for contrast in ("T1w", "T2w"):
            place = f"{SECRETS[0]}-{subject}/{SECRETS[1]} {contrast}.nii.gz"
            scan = planted / f"sub-{subject}" / "anat" / f"sub-{subject}_{contrast}.nii.gz"
            plant(scan, folder / place)
            lines.append(f"p{subject},{contrast},{place},{SECRETS[2]}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    return folder / "table.csv"


def test_the_search_finds_what_is_there(planted):
    found = find_secrets(planted.parent)
    assert "toy/participants.tsv" in found
    assert "toy/sub-04/anat/sub-04_T1w.nii.gz" in found
    assert "toy/sub-04/anat/sub-04_T1w.json" in found


def test_nothing_of_a_person_is_in_what_translate_writes(trained, planted, loose, tmp_path):
    named = sorted((planted.parent / f"{SECRETS[0]}-04").glob("*T1w.nii.gz"))
    translate(trained, named, tmp_path / "out" / "files")
    translate(trained, [loose], tmp_path / "out" / "table")
    translate(trained, [planted], tmp_path / "out" / "dataset", uncertainty=True)
    assert len(list((tmp_path / "out").rglob("*_T2w.nii.gz"))) == 13
    assert find_secrets(tmp_path / "out") == []


def test_nothing_of_a_person_is_in_what_the_form_of_bids_writes(trained, planted):
    out = planted / "derivatives" / "medtranslate"
    translate_participants(trained, planted, out, labels=["04"])
    assert len(list(out.rglob("*_T2w.nii.gz"))) == 1
    assert find_secrets(out) == []


def test_nothing_of_a_person_is_in_what_is_said_of_failures(trained, loose, tmp_path):
    named = sorted((loose.parent / f"{SECRETS[0]}-04").glob("*T1w.nii.gz"))
    broken = named[0].with_name(f"{SECRETS[2]} T1w.nii.gz")
    broken.write_bytes(named[0].read_bytes()[:2000])
    translate(trained, [*named, broken], tmp_path / "out")
    states = [path.read_text() for path in (tmp_path / "out" / "status").iterdir()]
    assert sum('"failed"' in state for state in states) == 1
    assert find_secrets(tmp_path / "out") == []


def test_nothing_of_a_person_is_in_futures_and_plans(foreseeing, visited, tmp_path):
    files = {}
    for kind in ("T1w", "label-tumor_mask"):
        scan = visited / "sub-09" / "ses-1" / "anat" / f"sub-09_ses-1_{kind}.nii.gz"
        files[kind] = tmp_path / SECRETS[0] / f"{SECRETS[1]} {kind}.nii.gz"
        plant(scan, files[kind])
    region, within = files["label-tumor_mask"], files["T1w"].with_name(f"{SECRETS[2]}.nii.gz")
    whole = nibabel.load(region)
    nibabel.save(nibabel.Nifti1Image(np.ones(whole.shape, np.uint8), whole.affine), within)
    future = tmp_path / "out" / "future"
    simulate(foreseeing, files["T1w"], parse_durations("6m,1y"), future, region=region,
             covariates={"dose": "1", "shoe": "40"}, samples=2)  # fmt: skip
    plan(future, tmp_path / "out" / "plan", barrier=within, margin_max_mm=60.0)
    suffixes = {path.suffix for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert suffixes >= {".csv", ".gz", ".html", ".json"}
    assert find_secrets(tmp_path / "out") == []


def test_nothing_of_a_person_is_in_the_scores_of_a_progression(foreseeing, visited, tmp_path):
    dataset = tmp_path / SECRETS[0] / "visits"
    for scan in sorted(visited.glob("sub-0[9]/ses-*/anat/*.nii.gz")):
        plant(scan, dataset / scan.relative_to(visited))
    shutil.copy(visited / "sub-09" / "sub-09_sessions.tsv", dataset / "sub-09")
    shutil.copy(visited / "dataset_description.json", dataset)
    header, *rows = (visited / "participants.tsv").read_text().splitlines()
    (row,) = (row for row in rows if row.startswith("sub-09"))
    (dataset / "participants.tsv").write_text(f"{header}\tcomment\n{row}\t{' '.join(SECRETS)}\n")
    choices = ValidationChoices(protocols=[])
    validate_progression(foreseeing, [dataset], tmp_path / "out", choices=choices)
    assert (tmp_path / "out" / "change.csv").is_file()
    assert find_secrets(tmp_path / "out") == []


def test_nothing_of_a_person_is_in_what_validate_writes(
    trained, loose, tmp_path, only_coverage, caplog, capfd
):
    # The people are known under other names, so scores on them are asked for by name.
    choices = ValidationChoices(uncertainty=True, even_though_seen=True)
    validate(trained, [loose], tmp_path / "out", choices=choices)
    assert (tmp_path / "out" / "report.html").is_file()
    assert find_secrets(tmp_path / "out") == []
    captured = capfd.readouterr()
    assert not [s for s in SECRETS if s in caplog.text + captured.out + captured.err]


def test_nothing_of_a_person_is_in_a_run(planted, make_pipeline, tmp_path, caplog):
    run_pipeline(make_pipeline(), [planted], tmp_path / "out")
    for form in FORMS:
        export_model(tmp_path / "out", form, tmp_path / "out" / "exports" / form)
    assert list((tmp_path / "out" / "logs").rglob("events.out.tfevents*"))
    assert find_secrets(tmp_path / "out") == []
    assert not [secret for secret in SECRETS if secret in caplog.text]


def test_nothing_of_a_person_is_in_what_preprocess_writes(
    make_pipeline, planted, loose, tmp_path, caplog, capfd
):
    preprocess_dataset(make_pipeline(), [planted], tmp_path / "out" / "dataset")
    preprocess_dataset(make_pipeline(), [loose], tmp_path / "out" / "table")
    assert len(list((tmp_path / "out").rglob("*_source.nii.gz"))) == 7
    assert find_secrets(tmp_path / "out") == []
    captured = capfd.readouterr()
    assert not [s for s in SECRETS if s in caplog.text + captured.out + captured.err]


@pytest.fixture
def renamed(planted, tmp_path):
    """Folders of real and synthetic scans and labels, all called after people."""
    folder = planted.parent / "pairs"
    for subject in ("04", "05"):
        scan = planted / f"sub-{subject}" / "anat" / f"sub-{subject}_T2w.nii.gz"
        for place in ("real", "made", "labels"):
            plant(scan, folder / place / f"{SECRETS[0]} {subject} {SECRETS[1]}.nii.gz")
    plant(scan, folder / "real" / f"{SECRETS[2]} alone.nii.gz")
    return folder


def test_nothing_of_a_person_is_in_what_evaluate_writes(renamed, tmp_path, caplog):
    labels = sorted((renamed / "labels").glob("*.nii.gz"))[0]
    binary = nibabel.load(labels)
    mask = nibabel.Nifti1Image((binary.get_fdata() > 0).astype("uint8"), binary.affine)
    nibabel.save(mask, labels)
    real, made = (sorted((renamed / place).glob("*.nii.gz")) for place in ("real", "made"))
    evaluate_paths(renamed / "real", renamed / "made", out=tmp_path / "out" / "folders",
                   protocol=Protocol())  # fmt: skip
    evaluate_paths(real[-1], made[0], out=tmp_path / "out" / "files", protocol=Protocol(),
                   mask=labels, source=made[0], labels=labels)  # fmt: skip

    assert len(list((tmp_path / "out").rglob("report.html"))) == 2
    assert find_secrets(tmp_path / "out") == []
    assert not [secret for secret in SECRETS if secret in caplog.text]


def test_nothing_of_a_person_is_said_or_written_about_dicom(
    cohort, make_sources, tmp_path, caplog, capfd
):
    source = cohort / "sub-04" / "anat" / "sub-04_T1w.nii.gz"
    sources = make_sources(read_volume(source))
    with quiet():
        for one in sources:
            one.PatientName, one.PatientID, one.PatientBirthDate = SECRETS[0], SECRETS[2], "1937"
            # Values that no reader takes for valid, which pydicom quotes when it meets them.
            for keyword in ("PatientBirthDate", "StudyDate", "PatientAge", "StudyInstanceUID"):
                one.add_new(keyword, dictionary_VR(keyword), "")
                one[keyword]._value = " ".join(SECRETS)
            one["SeriesInstanceUID"]._value = SECRETS[0]
        write_datasets(tmp_path / "series", sources)
    series = tmp_path / "series"
    told = call("evaluate", "--reference", series, "--prediction", series,
                "--out", tmp_path / "out").told  # fmt: skip
    assert (tmp_path / "out" / "report.html").is_file(), told
    told += call("inspect", series).told

    assert find_secrets(tmp_path / "series")
    assert find_secrets(tmp_path / "out") == []
    captured = capfd.readouterr()
    told += caplog.text + captured.out + captured.err
    assert not [secret for secret in SECRETS if secret in told]
