"""Which prediction belongs to which reference."""

from __future__ import annotations

import hashlib

import pytest

from medtranslate.errors import DatasetError
from medtranslate.workflows.pairing import find_labels, pair_paths

from ..io.dicom.conftest import truth, write_series  # noqa: F401


@pytest.fixture
def place(tmp_path):
    """Function that makes empty files and returns their folder."""

    def make(folder, *names):
        for name in names:
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path / folder

    return make


def names(pairing):
    return [(pair.name, pair.reference.name, pair.prediction.name) for pair in pairing.pairs]


def test_bids_folders_pair_by_person_visit_and_contrast(place):
    real = place(
        "real",
        "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz",
        "sub-01/ses-1/anat/sub-01_ses-1_T2w.nii.gz",
        "sub-01/ses-2/anat/sub-01_ses-2_T2w.nii.gz",
        "sub-02/anat/sub-02_T2w.nii.gz",
        "sub-02/anat/sub-02_ce-gadolinium_T1w.nii.gz",
        "derivatives/masks/sub-02/anat/sub-02_desc-brain_mask.nii.gz",
    )
    made = place(
        "made",
        "sub-02_space-T1w_desc-synthetic_T2w.nii.gz",
        "sub-02_space-T1w_desc-synthetic_T2w.json",
        "sub-01_ses-2_space-T1w_desc-synthetic_T2w.nii.gz",
    )

    found = pair_paths(real, made)

    assert names(found) == [
        (
            "sub-01_ses-2",
            "sub-01_ses-2_T2w.nii.gz",
            "sub-01_ses-2_space-T1w_desc-synthetic_T2w.nii.gz",
        ),
        ("sub-02", "sub-02_T2w.nii.gz", "sub-02_space-T1w_desc-synthetic_T2w.nii.gz"),
    ]
    assert [pair.subject for pair in found.pairs] == ["01", "02"]
    assert [path.name for path in found.unpaired] == ["sub-01_ses-1_T2w.nii.gz"]


def test_other_names_pair_if_they_are_the_same_up_to_the_suffix(place):
    real = place("real", "b.nii.gz", "a.nrrd", "c.nii")
    made = place("made", "a.nii.gz", "b.mha", "z.nii")

    found = pair_paths(real, made)

    paired = [(pair.reference.name, pair.prediction.name) for pair in found.pairs]
    assert sorted(paired) == [("a.nrrd", "a.nii.gz"), ("b.nii.gz", "b.mha")]
    assert {path.name for path in found.unpaired} == {"z.nii", "c.nii"}


def test_two_files_are_a_pair_whatever_their_names(place):
    folder = place("x", "truth.nii.gz", "guess.nii.gz")

    (pair,) = pair_paths(folder / "truth.nii.gz", folder / "guess.nii.gz").pairs

    assert (pair.reference.name, pair.prediction.name) == ("truth.nii.gz", "guess.nii.gz")


def test_a_name_that_may_be_a_person_s_gives_way_to_a_label_of_the_content(place):
    real, made = (place(folder, "Jane Doe.nii", "Joe.nii") for folder in ("real", "made"))
    for path in real.iterdir():
        path.write_bytes(path.name.encode())

    found = pair_paths(real, made).pairs

    digits = {path.name: hashlib.sha256(path.name.encode()).hexdigest() for path in real.iterdir()}
    assert {pair.reference.name: pair.name for pair in found} == {
        name: f"x{text[:10]}" for name, text in digits.items()
    }
    assert all(pair.subject == pair.name for pair in found)


def test_one_reference_under_two_names_is_two_cases_of_one_person(place):
    real, made = (place(folder, "a.nii", "b.nii") for folder in ("real", "made"))
    for path in real.iterdir():
        path.write_bytes(b"the same")

    first, second = pair_paths(real, made).pairs

    assert second.name == f"{first.name}-2"
    assert first.subject == second.subject == first.name


def test_labels_without_bids_names_are_numbered(place):
    (pair,) = pair_paths(place("x", "a.nii") / "a.nii", place("y", "a.nii") / "a.nii").pairs

    assert list(find_labels(place("z", "Jane Doe.nii") / "Jane Doe.nii", pair)) == ["labels"]
    assert list(find_labels(place("l", "a.nii", "a.mha"), pair)) == ["labels 1", "labels 2"]


def test_another_contrast_of_the_same_person_is_no_partner(place):
    real = place("real", "sub-01_T1w.nii.gz")
    made = place("made", "sub-01_desc-synthetic_T2w.nii.gz")

    with pytest.raises(DatasetError, match=r"no file in .* has a partner"):
        pair_paths(real, made)


def test_two_contrasts_of_one_person_are_two_cases(place):
    both = ("sub-01_T2w.nii.gz", "sub-01_FLAIR.nii.gz")

    found = pair_paths(place("real", *both), place("made", *both))

    assert [pair.name for pair in found.pairs] == ["sub-01_FLAIR", "sub-01_T2w"]
    assert {pair.subject for pair in found.pairs} == {"01"}


def test_masks_and_sources_are_found_by_person(place):
    real = place("real", "sub-01_T2w.nii.gz", "sub-02_T2w.nii.gz")
    masks = place(
        "masks",
        "sub-01_desc-brain_mask.nii.gz",
        "sub-01_label-lesion_mask.nii.gz",
        "sub-02_desc-brain_mask.nii.gz",
    )
    sources = place("sources", "sub-01_T1w.nii.gz", "sub-02_T1w.nii.gz")

    found = pair_paths(real, real, mask=masks, source=sources)

    assert [pair.mask.name for pair in found.pairs] == [
        "sub-01_desc-brain_mask.nii.gz",
        "sub-02_desc-brain_mask.nii.gz",
    ]
    assert found.pairs[1].source.name == "sub-02_T1w.nii.gz"


def test_one_mask_file_serves_every_pair(place):
    real = place("real", "sub-01_T2w.nii.gz", "sub-02_T2w.nii.gz")
    mask = place("masks", "brain.nii.gz") / "brain.nii.gz"

    assert {pair.mask for pair in pair_paths(real, real, mask=mask).pairs} == {mask}


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        (["sub-02_mask.nii.gz"], "found none"),
        (["sub-01_label-a_mask.nii.gz", "sub-01_label-b_mask.nii.gz"], "label-a.*label-b"),
    ],
)
def test_no_mask_or_two_for_a_person_is_refused(place, masks, words):
    real = place("real", "sub-01_T2w.nii.gz")

    with pytest.raises(DatasetError, match=words):
        pair_paths(real, real, mask=place("masks", *masks))


def test_several_predictions_for_one_person_are_refused_by_name(place):
    real = place("real", "sub-01_T2w.nii.gz")
    made = place("made", "sub-01_desc-a_T2w.nii.gz", "sub-01_desc-b_T2w.nii.gz")

    with pytest.raises(DatasetError, match=r"several predictions .*desc-a.*desc-b"):
        pair_paths(real, made)


def test_the_deviations_beside_a_prediction_are_no_second_prediction(place):
    real = place("real", "sub-01_T2w.nii.gz")
    names = [f"sub-01_space-T1w_desc-{desc}_T2w.nii.gz" for desc in ("synthetic", "syntheticsd")]
    made = place("made", *names)

    pairing = pair_paths(real, made)

    assert [pair.prediction.name for pair in pairing.pairs] == names[:1]
    assert pairing.unpaired == ()


def test_several_references_for_one_prediction_are_refused_by_name(place):
    real = place("real", "sub-01_run-1_T2w.nii.gz", "sub-01_run-2_T2w.nii.gz")
    made = place("made", "sub-01_desc-synthetic_T2w.nii.gz")

    with pytest.raises(DatasetError, match=r"several references .*run-1.*run-2"):
        pair_paths(real, made)


def test_a_file_opposite_a_folder_and_an_absent_path_are_refused(place, tmp_path):
    folder = place("real", "a.nii.gz")

    with pytest.raises(DatasetError, match="one is a folder"):
        pair_paths(folder, folder / "a.nii.gz")
    with pytest.raises(DatasetError, match="no such file or folder"):
        pair_paths(folder, tmp_path / "absent")


def test_the_folder_of_a_dicom_series_stands_opposite_a_file(place, write_series, tmp_path):
    made = place("made", "ct.nii.gz") / "ct.nii.gz"
    series = write_series()

    (pair,) = pair_paths(series, made).pairs
    assert (pair.reference, pair.prediction) == (series, made)
    fixed = tmp_path / f"{series.name}#drop-duplicates"
    assert pair_paths(fixed, made).pairs[0].reference == fixed
    with pytest.raises(DatasetError, match="one is a folder, the other a file"):
        pair_paths(series, made.parent)


def test_a_scan_that_is_not_there_is_said_to_be_absent(place):
    made = place("made", "ct.nii.gz") / "ct.nii.gz"

    with pytest.raises(DatasetError, match="absent.nii.gz: no such file"):
        pair_paths(made.with_name("absent.nii.gz"), made)
