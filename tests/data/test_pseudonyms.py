import hashlib

import pytest

from medtranslate.data.pseudonyms import label_of, name_scan, pseudonym


@pytest.fixture
def scan(tmp_path):
    path = tmp_path / "Jane Doe 1970.nii.gz"
    path.write_bytes(b"voxels")
    return path


def test_a_pseudonym_is_of_the_content_and_not_of_the_name(scan, tmp_path):
    expected = "x" + hashlib.sha256(b"voxels").hexdigest()[:10]
    assert pseudonym(scan) == name_scan(scan) == expected
    assert pseudonym(scan.rename(tmp_path / "other.nii.gz")) == expected


def test_labels_stay_and_other_names_go(scan):
    assert label_of("p01", scan) == "p01"
    for name in ("Doe^Jane", "Doe, Jane", "", "1970-01-02", "ä"):
        assert label_of(name, scan) == pseudonym(scan)


def test_a_bids_name_is_kept_without_its_ending(tmp_path):
    assert name_scan(tmp_path / "sub-01_ses-2_T1w.nii.gz") == "sub-01_ses-2_T1w"


def test_a_folder_is_named_by_what_its_files_hold(tmp_path):
    for folder, file in (("DOE", "a.dcm"), ("ROE", "b.dcm")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / file).write_bytes(b"slice")
    assert pseudonym(tmp_path / "DOE") == pseudonym(tmp_path / "ROE")
    (tmp_path / "ROE" / "b.dcm").write_bytes(b"other")
    assert pseudonym(tmp_path / "DOE") != pseudonym(tmp_path / "ROE")
