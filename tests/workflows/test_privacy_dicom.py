"""Nothing of a person reaches DICOM output, or, on the route of the clinic, any file but DICOM."""

import logging
import shutil
import zipfile

import numpy as np
import pytest
from pydicom import dcmread

from medtranslate.io import read_volume, write_volume
from medtranslate.io.dicom.reading import read_series
from medtranslate.io.dicom.writing import write_datasets
from medtranslate.volume import Volume
from medtranslate.workflows import scoring_plan
from medtranslate.workflows.translate_series import translate_to_dicom
from medtranslate.workflows.validate_cohort import validate_cohort
from medtranslate.workflows.validation_choices import ValidationChoices

from ..planted import SECRETS, find_secrets, plant_everywhere

KINDS = {"series", "deviation", "error", "regions", "structures"}


@pytest.fixture
def series(cohort, make_sources, tmp_path):
    """A series in a folder called after a person, with the secrets in every text of its files."""
    sources = make_sources(read_volume(cohort / "sub-04" / "anat" / "sub-04_T1w.nii.gz"))
    for one in sources:
        plant_everywhere(one)
    write_datasets(tmp_path / "_".join(SECRETS), sources)
    return tmp_path / "_".join(SECRETS)


@pytest.fixture
def region(series):
    """A mask in a file called after the person."""
    volume = read_series(series).volume
    path = series.parent / f"{SECRETS[0]} gtv.nii.gz"
    write_volume(path, Volume((volume.array > 500).astype(np.uint8), volume.geometry))
    return path


@pytest.fixture
def write_everything(trained, series, region, cohort, tmp_path, monkeypatch):
    """Function that writes every kind of DICOM that there is."""
    monkeypatch.setattr(scoring_plan, "choose_analyses", lambda **_: [])
    table = series.parent / "table.csv"
    real = series.parent / f"{SECRETS[2]} T2w.nii.gz"
    shutil.copy(cohort / "sub-04" / "anat" / "sub-04_T2w.nii.gz", real)
    rows = ["subject,contrast,path,note", f"p04,T1w,{series.name},{SECRETS[1]}"]
    table.write_text("\n".join([*rows, f"p04,T2w,{real.name},{SECRETS[0]}"]) + "\n")

    def write(identity):
        translate_to_dicom(trained, [series], tmp_path / "out" / "translated", identity=identity,
                           regions={"GTV": region}, uncertainty=True)  # fmt: skip
        choices = ValidationChoices(dicom=identity)
        validate_cohort(trained, [table], tmp_path / "out" / "validated", choices=choices)
        return tmp_path / "out"

    return write


def test_the_search_finds_what_was_planted(series):
    assert len(find_secrets(series)) == len(list(series.iterdir()))
    one = dcmread(next(series.iterdir()))
    assert sum(SECRETS[2] in str(element.value) for element in one) > 500


def test_nothing_is_in_what_is_written_under_a_pseudonym(write_everything, caplog, capfd):
    with caplog.at_level(logging.DEBUG, "medtranslate"):
        out = write_everything("pseudonym")

    assert {path.parent.name for path in out.rglob("*.dcm")} == KINDS
    assert find_secrets(out) == []
    captured = capfd.readouterr()
    assert not [s for s in SECRETS if s in caplog.text + captured.out + captured.err]


def test_a_kept_identity_is_in_the_dicom_files_and_nowhere_else(write_everything):
    out = write_everything("keep")

    names = [path.relative_to(out).as_posix() for path in out.rglob("*.dcm")]
    assert sorted(find_secrets(out)) == sorted(names)
    for path in out.rglob("0001.dcm"):
        found = {element.keyword for element in dcmread(path).iterall()
                 if any(secret in str(element.value) for secret in SECRETS)}  # fmt: skip
        assert found <= {
            "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "StudyDate",
            "StudyID", "StudyDescription", "AccessionNumber", "ReferringPhysicianName",
        }  # fmt: skip


def test_nothing_of_a_zip_that_is_called_after_a_person(trained, series, tmp_path):
    place = series.parent / f"{SECRETS[0]}.zip"
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in series.iterdir():
            archive.write(path, f"{SECRETS[1]}/{path.name}")
    assert f"{SECRETS[0]}.zip" in find_secrets(series.parent)
    translate_to_dicom(trained, [place], tmp_path / "out")
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == len(list(series.iterdir()))
    assert find_secrets(tmp_path / "out") == []
