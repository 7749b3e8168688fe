"""Segmentations that everybody has, and those that do not count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medtranslate.data.cases import find_cases
from medtranslate.data.index import index_datasets
from medtranslate.errors import DatasetError
from medtranslate.io import read_volume, write_volume
from medtranslate.volume import Volume
from medtranslate.workflows.given_labels import GivenLabels, find_given_labels
from medtranslate.workflows.prediction import load_translator


@pytest.fixture
def cases(cohort):
    return find_cases(index_datasets([cohort]), source="T1w", target="T2w")


@pytest.fixture
def segment(tmp_path):
    """Function that gives a case a segmentation, by thresholds of its target."""

    def make(case, thresholds=(1, 600), *, key="dseg", shift=0, numbers=None):
        target = read_volume(case.target)
        voxels = np.digitize(target.array, thresholds).astype(np.float32)
        if numbers is not None:
            voxels = np.array(numbers, np.float32)[voxels.astype(int)]
        affine = target.geometry.affine.copy()
        affine[0, 3] += shift
        path = tmp_path / f"{case.name}_{key}.nii.gz"
        write_volume(path, Volume(voxels, replace(target.geometry, affine=affine)))
        return replace(case, labels={**case.labels, key: path})

    return make


def test_labels_that_everybody_has_are_found_with_their_names(cases, segment):
    people = [segment(cases[0], numbers=(0, 7, 3)), segment(cases[1], numbers=(0, 9, 3))]

    found = find_given_labels(people)

    assert found == GivenLabels("dseg", ("dseg: 3", "dseg: 7", "dseg: 9"))


def test_labels_that_one_person_lacks_do_not_count(cases, segment):
    assert find_given_labels([segment(cases[0]), cases[1]]) is None


def test_labels_on_another_grid_than_the_target_do_not_count(cases, segment):
    people = [segment(cases[0]), segment(cases[1], shift=5.0)]

    assert find_given_labels(people) is None


def test_a_mask_is_no_segmentation(cases, segment):
    assert find_given_labels([segment(one, key="mask+label-lesion") for one in cases]) is None


def test_the_second_segmentation_counts_where_the_first_does_not(cases, segment):
    people = [segment(segment(one), key="dseg+desc-manual") for one in cases[:2]]
    people[1] = segment(people[1], shift=5.0)

    assert find_given_labels(people).key == "dseg+desc-manual"


def test_everybody_has_the_same_number_for_the_same_label(cases, segment, trained):
    """Labels 3 and 7 of one person, 3 alone of the other: 3 is label 1 of both."""
    translator = load_translator(trained)
    people = [segment(cases[0], numbers=(0, 7, 3)), segment(cases[1], numbers=(0, 0, 3))]
    given = find_given_labels(people)

    for case, low in zip(people, (2, 0), strict=True):
        prepared = translator.prepare(case, with_target=True)
        stored = prepared.target[0].numpy() * prepared.target_scale.factor
        expected = np.array([0, low, 1])[np.digitize(np.rint(stored), (1, 600))]
        np.testing.assert_array_equal(
            given.read(case, prepared, translator.pipeline.preprocess), expected
        )


def test_who_is_not_covered_cannot_be_read(cases, segment, trained):
    translator = load_translator(trained)
    given = find_given_labels([segment(cases[0])])
    prepared = translator.prepare(cases[1], with_target=True)

    assert not given.covers(cases[1])
    with pytest.raises(DatasetError, match="toy_02: has no dseg on the grid of its target"):
        given.read(cases[1], prepared, translator.pipeline.preprocess)
