"""A name, a birth date and a number planted wherever a dataset can hold them reach no output."""

import base64
import gzip
import json
import re
import shutil
import zlib

import nibabel
import pytest
from nibabel.nifti1 import Nifti1Extension
from pydicom.datadict import dictionary_VR

from medtranslate.io import read_volume
from medtranslate.io.dicom.headers import quiet
from medtranslate.io.dicom.writing import write_datasets
from medtranslate.metrics.protocol import Protocol
from medtranslate.workflows.evaluate import evaluate_paths
from medtranslate.workflows.preprocess import preprocess_dataset
from medtranslate.workflows.run import run_pipeline
from medtranslate.workflows.translate import translate
from medtranslate.workflows.validate import validate
from medtranslate.workflows.validation_choices import ValidationChoices

from ..refusals import call

SECRETS = ("Zyxwendolyn", "19370229", "MRN4711007")
_EMBEDDED = re.compile(rb"base64,([A-Za-z0-9+/=]{40,})")


def plant(source, path):
    """A copy of a scan with the secrets in every text of header, extension and sidecar."""
    image = nibabel.load(source)
    text = " ".join(SECRETS).encode()
    image.header["descrip"] = text
    image.header["aux_file"] = SECRETS[0].encode()
    image.header["intent_name"] = SECRETS[1].encode()
    image.header.extensions.append(Nifti1Extension(6, text))
    image.header.extensions.append(Nifti1Extension(4, text))
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, path)
    data = bytearray(gzip.decompress(path.read_bytes()))
    data[14:32] = SECRETS[2].encode().ljust(18, b"\0")  # db_name, which nibabel does not write
    path.write_bytes(gzip.compress(bytes(data)))
    sidecar = {"PatientName": SECRETS[0], "PatientBirthDate": SECRETS[1], "PatientID": SECRETS[2]}
    path.with_name(path.name.removesuffix(".nii.gz") + ".json").write_text(json.dumps(sidecar))


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


def find_secrets(folder):
    """Names and files that hold a secret, after unpacking what they hold packed."""
    found = []
    for path in sorted(folder.rglob("*")):
        texts = [path.relative_to(folder).as_posix().encode()]
        if path.is_file():
            texts += unpack(path.read_bytes())
        if any(s.lower().encode() in text.lower() for s in SECRETS for text in texts):
            found.append(path.relative_to(folder).as_posix())
    return found


def unpack(data):
    """The bytes themselves, and those that are packed in them."""
    yield data
    if data.startswith(b"\x1f\x8b"):
        yield gzip.decompress(data)
    for match in _EMBEDDED.finditer(data):
        picture = base64.b64decode(match[1])
        yield picture
        for start in (found.start() for found in re.finditer(rb"\x78[\x01\x9c\xda]", picture)):
            try:
                yield zlib.decompressobj().decompress(picture[start:])
            except zlib.error:
                continue


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
    assert list((tmp_path / "out" / "logs").iterdir())
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
