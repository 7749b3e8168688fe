"""BIDS names are taken apart and put together in the standard's order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medtranslate.io import BidsName, parse_bids_name, prediction_name, scan_suffix
from medtranslate.io.naming import ENTITY_ORDER, SUFFIXES

LABELS = st.text("abcXYZ019", min_size=1, max_size=6)


@given(
    st.dictionaries(st.sampled_from(ENTITY_ORDER[1:]), LABELS),
    LABELS,
    st.sampled_from(SUFFIXES),
    st.sampled_from([".nii.gz", ".nii", ".json", ".nrrd"]),
)
def test_a_name_put_together_and_taken_apart_is_the_same(entities, subject, suffix, extension):
    name = BidsName((*entities.items(), ("sub", subject)), suffix, extension)
    assert parse_bids_name(name.name) == name
    assert parse_bids_name(f"folder/{name.name}") == name


def test_entities_stand_in_bids_order_whatever_order_was_given():
    name = BidsName((("desc", "brain"), ("ses", "2"), ("ce", "gd"), ("sub", "01")), "T1w", ".nii")
    assert name.name == "sub-01_ses-2_ce-gd_desc-brain_T1w.nii"
    assert name.get("ce") == "gd"
    assert name.get("run") is None


@pytest.mark.parametrize(
    ("filename", "contrast"),
    [
        ("sub-01_T1w.nii.gz", "T1w"),
        ("sub-01_ses-1_space-MNI_desc-brain_FLAIR.nii.gz", "FLAIR"),
        ("sub-omsC26_ce-gadolinium_space-MNI_desc-brain_T1w.nii.gz", "T1w+ce-gadolinium"),
        ("sub-1_acq-MTon_rec-norm_ce-gd_MTS.nii", "MTS+ce-gd+acq-MTon+rec-norm"),
        ("sub-1_ct.nii.gz", "CT"),
        ("sub-1_cbct.mha", "CBCT"),
        ("sub-1_pet.nii.gz", "PET"),
        ("sub-1_label-lesion_mask.nii.gz", "mask"),
    ],
)
def test_the_contrast_is_the_suffix_with_what_makes_another_contrast(filename, contrast):
    name = parse_bids_name(filename)
    assert name is not None
    assert name.contrast == contrast


@pytest.mark.parametrize(
    "filename",
    [
        "t1.nii.gz",
        "T1w.nii.gz",
        "sub-01.nii.gz",
        "sub-01_T1w",
        "sub-01_bold.nii.gz",
        "sub-_T1w.nii.gz",
        "sub-01_sub-02_T1w.nii.gz",
        "sub-01_colour-red_T1w.nii.gz",
        "sub-0.1_T1w.nii.gz",
        "ses-1_sub-01_T1w.nii.gz",
        ".sub-01_T1w.nii.gz.0a1b.tmp.gz",
        "",
    ],
)
def test_other_names_are_not_bids(filename):
    assert parse_bids_name(filename) is None


def test_entities_are_set_and_removed():
    name = parse_bids_name("sub-01_run-2_T1w.nii.gz")
    assert name.with_entities(run=None, space="MNI").name == "sub-01_space-MNI_T1w.nii.gz"
    assert name.with_entities(suffix="mask", desc="brain", extension=".nii").name == (
        "sub-01_run-2_desc-brain_mask.nii"
    )
    with pytest.raises(ValueError, match="letters and digits"):
        name.with_entities(desc="a/b")
    with pytest.raises(ValueError, match="unknown"):
        name.with_entities(colour="red")


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("sub-01_T1w.nii.gz", "T2w", "sub-01_space-T1w_desc-synthetic_T2w.nii.gz"),
        (
            "x/sub-1_ses-2_run-3_space-MNI_desc-brain_T1w.nii",
            "FLAIR",
            "sub-1_ses-2_run-3_space-MNI_desc-synthetic_FLAIR.nii.gz",
        ),
        (
            "sub-1_acq-MTon_MTS.nii.gz",
            "T1w+ce-gadolinium",
            "sub-1_ce-gadolinium_space-MTSMTon_desc-synthetic_T1w.nii.gz",
        ),
        ("sub-01_T1w.nii.gz", "CT", "sub-01_space-T1w_desc-synthetic_ct.nii.gz"),
        ("patient 7, t1.nrrd", "PET", "sub-unnamed_space-orig_desc-synthetic_pet.nii.gz"),
        ("../../..nii.gz", "T2w", "sub-unnamed_space-orig_desc-synthetic_T2w.nii.gz"),
    ],
)
def test_predictions_are_named_as_derivatives(source, target, expected):
    assert prediction_name(source, target) == expected


def test_sources_that_differ_give_predictions_that_differ():
    sources = [
        "sub-1_acq-MTon_MTS.nii.gz",
        "sub-1_acq-MToff_MTS.nii.gz",
        "sub-1_run-1_MTS.nii.gz",
        "sub-1_run-2_MTS.nii.gz",
        "sub-1_ses-2_MTS.nii.gz",
        "sub-1_T1w.nii.gz",
    ]
    assert len({prediction_name(source, "T2w") for source in sources}) == len(sources)
    assert "_desc-mean_" in prediction_name(sources[0], "T2w", desc="mean")


@pytest.mark.parametrize("contrast", ["", "T2w+", "T2w+ce", "../T2w", "T2w+ce-a/b"])
def test_a_selector_that_is_none_is_refused(contrast):
    with pytest.raises(ValueError, match="expected"):
        prediction_name("sub-01_T1w.nii.gz", contrast)


def test_scan_suffixes_ignore_case():
    assert scan_suffix("A.NII.GZ") == ".NII.GZ"
    assert scan_suffix("a.tar.gz") is None
