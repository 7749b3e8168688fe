"""A segmenter from the training people's real scans, tried on held-out people."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medtranslate.data.cases import find_cases
from medtranslate.data.index import index_datasets
from medtranslate.data.split import Split
from medtranslate.errors import DatasetError
from medtranslate.io import read_volume, write_volume
from medtranslate.metrics.tissues import find_tissues
from medtranslate.volume import Volume
from medtranslate.workflows import downstream
from medtranslate.workflows.held_out import read_split
from medtranslate.workflows.prediction import Translator, load_translator
from medtranslate.workflows.progress import NoProgress
from medtranslate.workflows.run import run_pipeline
from medtranslate.workflows.segmenter import Recipe, train_segmenter
from medtranslate.workflows.validate import validate
from medtranslate.workflows.validation_choices import ValidationChoices

RECIPE = Recipe(num_steps=2, patch_size=16, batch_size=1)


@pytest.fixture
def cases(cohort):
    return find_cases(index_datasets([cohort]), source="T1w", target="T2w")


@pytest.fixture(scope="module")
def translator(trained):
    return load_translator(trained)


@pytest.fixture
def learned(monkeypatch):
    """What the segmenter was given to learn from."""
    seen = []

    def spy(scans, **options):
        seen.extend(scans)
        return train_segmenter(scans, **options)

    monkeypatch.setattr(downstream, "train_segmenter", spy)
    return seen


def make_task(translator, training, held_out):
    return downstream.make_downstream_task(
        translator,
        training,
        {case.name: case for case in held_out},
        recipe=RECIPE,
        progress=NoProgress(),
    )


def with_labels(case, folder, thresholds=(1, 600)):
    target = read_volume(case.target)
    path = folder / f"{case.name}_dseg.nii.gz"
    voxels = np.digitize(target.array, thresholds).astype(np.float32)
    write_volume(path, Volume(voxels, target.geometry))
    return replace(case, labels={"dseg": path})


def test_the_training_people_alone_are_chosen(cases, translator):
    chosen = downstream.choose_training_cases(cases, read_split(translator.model))

    assert [case.subject for case in chosen] == ["toy/01", "toy/02"]


def test_training_people_who_are_not_there_are_named(cases):
    split = Split({"toy/01": "train", "toy/09": "train", "toy/03": "val", "toy/08": "test"})

    with pytest.raises(DatasetError, match=r"lacks toy/09\. Add the dataset .*--data"):
        downstream.choose_training_cases(cases, split)


def test_the_segmenter_learns_from_real_training_scans_and_reads_no_other(
    cases, translator, learned, monkeypatch
):
    """The held-out people's files are not even there."""
    training = downstream.choose_training_cases(cases, read_split(translator.model))
    absent = [replace(c, source=Path("absent.nii"), target=Path("absent.nii")) for c in cases[3:]]
    prepared_people = []
    prepare = Translator.prepare

    def spy(self, case, **options):
        prepared_people.append(case.subject)
        return prepare(self, case, **options)

    monkeypatch.setattr(Translator, "prepare", spy)

    task = make_task(translator, training, absent)

    assert prepared_people == ["toy/01", "toy/02"]
    assert task.people == ("toy/01", "toy/02")
    for case, scan in zip(training, learned, strict=True):
        prepared = prepare(translator, case, with_target=True)
        target, mask = prepared.target.numpy()[0], prepared.mask.numpy()[0] > 0
        np.testing.assert_array_equal(scan.image.numpy()[0], np.where(mask, target, 0))
        np.testing.assert_array_equal(scan.mask.numpy()[0] > 0, mask)
        np.testing.assert_array_equal(scan.labels.numpy()[0], find_tissues(target, mask))


def test_what_surrounds_the_patient_is_not_learned(cases, translator, learned, tmp_path):
    target = read_volume(cases[0].target)
    path = tmp_path / "target.nii.gz"
    write_volume(path, replace(target, array=np.where(target.array == 0, 333, target.array)))

    make_task(translator, [replace(cases[0], target=path)], [])

    outside = learned[0].mask.numpy() == 0
    assert outside.any()
    np.testing.assert_array_equal(learned[0].image.numpy() > 0, ~outside)


def test_given_labels_are_learned_where_every_training_person_has_them(
    cases, translator, learned, tmp_path
):
    training = [with_labels(case, tmp_path) for case in cases[:2]]

    task = make_task(translator, training, [])

    assert task.labels == ("dseg: 1", "dseg: 2")
    assert task.origin.startswith("dseg of the dataset")
    prepared = translator.prepare(training[0], with_target=True)
    stored = np.rint(prepared.target.numpy()[0] * prepared.target_scale.factor)
    expected = np.where(prepared.mask.numpy()[0] > 0, np.digitize(stored, (1, 600)), 0)
    np.testing.assert_array_equal(learned[0].labels.numpy()[0], expected)


def test_tissues_are_learned_where_one_training_person_has_no_labels(cases, translator, tmp_path):
    task = make_task(translator, [with_labels(cases[0], tmp_path), cases[1]], [])

    assert task.labels == ("dark", "middle", "bright")
    assert "for not all of these people have a segmentation" in task.origin


def test_a_training_scan_without_tissues_is_named(cases, translator, tmp_path):
    target = read_volume(cases[1].target)
    flat = tmp_path / "flat.nii.gz"
    write_volume(flat, replace(target, array=500 * (target.array > 0).astype(np.float32)))

    with pytest.raises(DatasetError, match=r"toy_02: the scan holds fewer than three intensities"):
        make_task(translator, [cases[0], replace(cases[1], target=flat)], [])


class ShowImage:
    """A segmenter that labels by thresholds, so that its labels tell what it was shown."""

    def segment(self, image, mask):
        return np.where(mask.numpy()[0] > 0, np.digitize(image.numpy()[0], (0.3, 0.6)), 0)


def test_real_and_synthetic_scan_are_segmented_in_one_unit_inside_one_mask(
    cases, translator, tmp_path
):
    case = with_labels(cases[3], tmp_path)
    given = downstream.find_given_labels([case])

    found = downstream.segment_case(translator, ShowImage(), case, given)

    prepared = translator.prepare(case, with_target=True)
    mask = prepared.mask.numpy()[0] > 0

    def cut(voxels):
        return np.where(mask, np.digitize(voxels, (0.3, 0.6)), 0)

    np.testing.assert_array_equal(found.real, cut(prepared.target.numpy()[0]))
    assert tuple(found.synthetic) == ("toy", "lookup map")
    predicted = translator.predict_normalised(prepared)
    np.testing.assert_array_equal(found.synthetic["toy"], cut(predicted.numpy()[0]))
    lookup = translator.predict_normalised_baselines(prepared)["lookup map"]
    np.testing.assert_array_equal(found.synthetic["lookup map"], cut(lookup.numpy()[0]))
    stored = np.rint(prepared.target.numpy()[0] * prepared.target_scale.factor)
    np.testing.assert_array_equal(found.given, np.where(mask, np.digitize(stored, (1, 600)), 0))
    np.testing.assert_allclose(found.spacing, (1.9, 1.9, 2.9), atol=1e-4)


def test_who_has_no_labels_is_compared_with_none(cases, translator, tmp_path):
    given = downstream.find_given_labels([with_labels(cases[0], tmp_path)])

    assert downstream.segment_case(translator, ShowImage(), cases[3], given).given is None


def test_the_normalised_prediction_is_the_one_that_is_stored(cases, translator):
    prepared = translator.prepare(cases[3])

    normalised = translator.predict_normalised(prepared)

    stored, _ = translator.restore(normalised, prepared)
    np.testing.assert_array_equal(stored.voxels, translator.predict(prepared).volume.voxels)


def test_a_validation_reports_what_a_segmenter_finds(trained, cohort, tmp_path, monkeypatch):
    monkeypatch.setattr(downstream, "Recipe", lambda: RECIPE)

    result = validate(trained, [cohort], tmp_path, choices=ValidationChoices(downstream=True))

    with (tmp_path / "downstream.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["case"] for row in rows} == {"toy_04", "toy_05"}
    assert {row["method"] for row in rows} == {"toy", "lookup map"}
    assert result.summary["downstream"]["segmenter"]["people"] == 2
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "Downstream use" in page
    assert "--data toy --downstream --out" in page


def test_a_run_whose_pipeline_asks_for_it_does_the_same(
    cohort, make_pipeline, tmp_path, monkeypatch
):
    monkeypatch.setattr(downstream, "Recipe", lambda: RECIPE)
    pipeline = make_pipeline(evaluation={"downstream": True})

    result = run_pipeline(pipeline, [cohort], tmp_path / "run")

    assert result.validation.summary["downstream"]["segmenter"]["people"] == 2
    assert (tmp_path / "run" / "evaluation" / "downstream.csv").is_file()


def test_a_validation_without_the_training_people_is_refused(trained, strangers, tmp_path):
    with pytest.raises(DatasetError, match=r"lacks toy/01, toy/02"):
        validate(trained, [strangers], tmp_path / "out", choices=ValidationChoices(downstream=True))

    assert not (tmp_path / "out").exists()
