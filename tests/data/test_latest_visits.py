"""Whose scan is today's: the latest one, by the times that tables tell."""

import pytest

from medtranslate.data.latest_visits import find_latest_visits
from medtranslate.data.scans import DatasetIndex, Scan
from medtranslate.errors import ConfigError, DatasetError


def scan(tmp_path, subject, session, *, days=None, suffix="T1w", **entities):
    path = tmp_path / f"sub-{subject}_ses-{session}_{suffix}.nii.gz"
    kind = "mask" if suffix == "mask" else "image"
    contrast = "+".join([suffix, *(f"{key}-{value}" for key, value in entities.items())])
    return Scan(
        "toy", f"toy/{subject}", session, contrast, suffix, entities, path, days=days, kind=kind
    )


def index(tmp_path, *scans):
    return DatasetIndex("toy", tmp_path, scans)


def test_the_latest_visit_is_that_of_the_most_days_not_of_the_last_name(tmp_path):
    toy = index(
        tmp_path,
        scan(tmp_path, "a", "x", days=400.0),
        scan(tmp_path, "a", "y", days=0.0),
        scan(tmp_path, "b", None),
        scan(tmp_path, "c", "z", suffix="T2w"),
    )

    cases = find_latest_visits([toy], contrast="T1w")

    assert [(case.name, case.session, case.days) for case in cases] == [
        ("toy_a_ses-x", "x", 400.0), ("toy_b", None, None)
    ]  # fmt: skip
    assert cases[0].source == toy.scans[0].path
    assert cases[0].label is None


def test_the_region_is_that_of_the_same_visit(tmp_path):
    marked = {"suffix": "mask", "label": "tumor"}
    toy = index(
        tmp_path,
        scan(tmp_path, "a", "1", days=0.0),
        scan(tmp_path, "a", "1", days=0.0, **marked),
        scan(tmp_path, "a", "2", days=9.0),
        scan(tmp_path, "a", "2", days=9.0, **marked),
        scan(tmp_path, "b", "1", days=0.0, **marked),
        scan(tmp_path, "b", "2", days=9.0),
        scan(tmp_path, "b", "1", days=0.0),
    )

    labels = [
        case.label for case in find_latest_visits([toy], contrast="T1w", labels="mask+label-tumor")
    ]

    assert labels == [toy.scans[3].path, None]


def test_of_several_visits_without_times_all_are_told_at_once(tmp_path):
    toy = index(tmp_path, *(scan(tmp_path, person, session) for person in "ab" for session in "12"))

    with pytest.raises(DatasetError, match=r"toy/a: nothing tells when ses-1, ses-2(.|\n)*toy/b"):
        find_latest_visits([toy], contrast="T1w")


def test_a_contrast_that_nobody_has_and_labels_that_are_images_are_refused(tmp_path):
    toy = index(tmp_path, scan(tmp_path, "a", "1", suffix="FLAIR"))

    with pytest.raises(DatasetError, match="nobody has 'T1w'; there are FLAIR"):
        find_latest_visits([toy], contrast="T1w")
    with pytest.raises(ConfigError, match="expected a mask or a segmentation"):
        find_latest_visits([toy], contrast="FLAIR", labels="T1w")
