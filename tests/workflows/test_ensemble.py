"""Models that say how sure they are, alone and together: predicted, written, scored."""

import json
from dataclasses import replace

import numpy as np
import pytest

from medtranslate.checkpoint import load_model, save_model
from medtranslate.errors import CheckpointError, ConfigError, DatasetError
from medtranslate.inference.spread import Spread
from medtranslate.io import read_volume
from medtranslate.metrics.protocol import Protocol
from medtranslate.workflows import prediction as module
from medtranslate.workflows.deviation import deviation_path
from medtranslate.workflows.ensemble import (
    add_uncertainty,
    describe_views,
    load_chosen_translator,
)
from medtranslate.workflows.evaluate import evaluate_paths
from medtranslate.workflows.prediction import load_translator
from medtranslate.workflows.sources import collect_cases
from medtranslate.workflows.train import INPUTS_KEY
from medtranslate.workflows.translate import translate, translate_cases
from medtranslate.workflows.validate import validate
from medtranslate.workflows.validation_choices import ValidationChoices

from .stand_in import StandIn

FIRST_AXIS = 2  # of a batch (n, c, i, j, k)


def t1w(dataset, subject):
    return dataset / f"sub-{subject}" / "anat" / f"sub-{subject}_T1w.nii.gz"


@pytest.fixture
def make_leaning(trained, make_pipeline):
    """Function that builds a translator whose generator darkens towards one side."""

    def build(*, slope=0.05, **changes):
        translator = load_translator(trained)

        def lean(shown):
            ramp = shown.new_ones(shown.shape[FIRST_AXIS]).cumsum(0)
            return shown + slope * ramp[None, None, :, None, None]

        pipeline = make_pipeline(**{"preprocess": {"target_intensity": {"name": "none"}}} | changes)
        return replace(translator, pipeline=pipeline, generator=StandIn(lean))

    return build


@pytest.fixture(scope="module")
def second(trained, tmp_path_factory):
    """Function that saves the trained model again, with another head and, say, another split."""

    def save(*, shift=0.1, **config):
        folder = tmp_path_factory.mktemp("second")
        model = load_model(trained)
        weights = dict(model.weights)
        weights["head.bias"] = weights["head.bias"] + shift
        save_model(
            folder / "model",
            weights=weights,
            config=model.config | config,
            scale=model.scale,
            provenance={},
            card="",
        )
        return folder

    return save


def predict(translator, path):
    case = collect_cases(translator, [path])[0]
    return translator.predict(translator.prepare(case))


def test_plain_and_mirrored_prediction_give_the_mean_and_half_the_difference(make_leaning, cohort):
    """The ramp runs along the model grid's first axis; mirrored, it runs the other way."""
    leaning = make_leaning()
    plain = predict(leaning, t1w(cohort, "04"))

    found = predict(add_uncertainty(leaning), t1w(cohort, "04"))

    case = collect_cases(leaning, [t1w(cohort, "04")])[0]
    prepared = leaning.prepare(case)
    length = prepared.source.shape[1]
    ramp = 0.05 * np.arange(1, 1 + length)
    half = np.abs(ramp - ramp[::-1]) / 2
    factor = leaning.model.scale.factor
    expected = np.broadcast_to(half[:, None, None], prepared.source.shape[1:])
    on_model_grid = np.sort(expected[prepared.mask[0].numpy() > 0] * factor)
    np.testing.assert_allclose(
        np.sort(found.sd.voxels[found.sd.voxels > 0]),
        on_model_grid[on_model_grid > 0],
        rtol=1e-3,
        atol=1e-2,
    )
    assert plain.sd is None
    assert found.volume.geometry.matches(plain.volume.geometry)
    offset = (found.volume.voxels - plain.volume.voxels)[plain.volume.voxels != 0]
    np.testing.assert_allclose(np.abs(offset).max(), on_model_grid.max(), rtol=1e-3)


def test_outside_the_mask_the_deviation_is_0_and_it_lies_on_the_source_s_grid(make_leaning, cohort):
    source = read_volume(t1w(cohort, "04"))

    found = predict(add_uncertainty(make_leaning()), t1w(cohort, "04"))

    assert found.sd.geometry.matches(source.geometry)
    np.testing.assert_array_equal(found.sd.voxels[source.voxels == 0], 0)
    assert np.count_nonzero(found.sd.voxels) > 0.9 * np.count_nonzero(source.voxels)


def test_an_ensemble_of_two_equal_models_has_the_deviation_of_one(make_leaning, cohort):
    one = add_uncertainty(make_leaning())
    two = replace(one, companions=(make_leaning(),))

    alone, together = (predict(translator, t1w(cohort, "04")) for translator in (one, two))

    np.testing.assert_allclose(together.volume.voxels, alone.volume.voxels, rtol=1e-5)
    np.testing.assert_allclose(together.sd.voxels, alone.sd.voxels, rtol=1e-3, atol=1e-2)


def test_a_companion_that_predicts_otherwise_adds_to_the_deviation(make_leaning, cohort):
    """Symmetric models that differ by a constant d: mean in the middle, deviation d / 2."""
    one = add_uncertainty(make_leaning(slope=0.0))
    companion = make_leaning(slope=0.0)
    shifted = replace(companion, generator=StandIn(lambda shown: shown + 0.4))

    found = predict(replace(one, companions=(shifted,)), t1w(cohort, "04"))

    factor = one.model.scale.factor
    inside = found.sd.voxels > 0
    np.testing.assert_allclose(found.sd.voxels[inside], 0.2 * factor, rtol=1e-4)
    plain = predict(make_leaning(slope=0.0), t1w(cohort, "04")).volume.voxels
    np.testing.assert_allclose((found.volume.voxels - plain)[inside], 0.2 * factor, rtol=1e-3)


def test_companions_predict_one_after_another(make_leaning, cohort, monkeypatch):
    """All predictions at once would take the memory of as many volumes."""
    asked = []

    def ask(name):
        def predict(shown):
            asked.append(name)
            return shown

        return replace(make_leaning(), generator=StandIn(predict))

    def note_who_was_asked(predictions):
        for prediction in predictions:
            seen.append(len(set(asked)))
            last = prediction
        return Spread(last, 0 * last, len(seen))

    seen = []
    monkeypatch.setattr(module, "measure_spread", note_who_was_asked)
    one = replace(add_uncertainty(make_leaning()), companions=(ask("b"), ask("c")))

    predict(one, t1w(cohort, "04"))

    assert seen == [0, 0, 1, 1, 2, 2]


def test_a_model_that_never_saw_mirrored_scans_is_not_shown_them(make_leaning):
    one = add_uncertainty(make_leaning())
    upright = make_leaning(augmentation={"flip_probability": 0.0})

    views = describe_views(replace(one, companions=(upright,)))

    assert [view["Mirrored"] for view in views] == [False, True, False]
    assert describe_views(make_leaning()) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"preprocess": {"crop_margin_mm": 5.0}}, "differ in preprocess"),
        ({"source": "FLAIR"}, "differ in source FLAIR and T1w|differ in source T1w and FLAIR"),
        ({"target": "PDw"}, "differ in target"),
        ({"mask": "mask+desc-brain", "preprocess": {"mask": "given"}}, "differ in mask"),
    ],
)
def test_models_of_different_pipelines_are_refused(trained, make_pipeline, change, told):
    translator = load_translator(trained)
    companion = replace(translator, pipeline=make_pipeline(**change))

    with pytest.raises(CheckpointError, match=told):
        add_uncertainty(translator, [companion])


def test_models_may_differ_in_size_and_training(trained, second, make_pipeline):
    companion = load_translator(second())
    other = make_pipeline(train={"num_steps": 7, "seed": 3, "patch_size": [32, 32, 32]})

    found = add_uncertainty(load_translator(trained), [replace(companion, pipeline=other)])

    assert len(describe_views(found)) == 4


def test_one_model_twice_is_no_ensemble(trained, second):
    for companions in ([trained], [second(), second()]):
        with pytest.raises(CheckpointError, match="is the same model as"):
            load_chosen_translator(trained, uncertainty=True, companions=companions)


def test_companions_without_uncertainty_are_refused(trained, second):
    with pytest.raises(ConfigError, match="--with .* together with --uncertainty"):
        load_chosen_translator(trained, uncertainty=False, companions=[second()])


@pytest.mark.parametrize("asked", [True, False])
def test_if_nobody_says_the_pipeline_decides(trained, second, make_pipeline, asked):
    pipeline = make_pipeline(evaluation={"uncertainty": asked}).model_dump(mode="json")

    found = load_chosen_translator(second(pipeline=pipeline), uncertainty=None)

    assert (found.calibration is not None) is asked


def test_the_deviation_is_written_beside_the_prediction_and_says_how_to_use_it(
    make_leaning, cohort, tmp_path
):
    """A 90 % interval by the sidecar alone is the one that the stored factors give."""
    translator = add_uncertainty(make_leaning())
    cases = collect_cases(translator, [t1w(cohort, "04")])

    result = translate_cases(translator, cases, tmp_path / "out.nii.gz")

    assert {path.name for path in tmp_path.iterdir()} == {
        "out.nii.gz", "out.json", "out_sd.nii.gz", "out_sd.json"
    }  # fmt: skip
    assert result.scans[0].deviation == tmp_path / "out_sd.nii.gz"
    mean, told = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("out", "out_sd"))
    sd = read_volume(tmp_path / "out_sd.nii.gz").voxels.astype(float)
    rule, scale = told["Intervals"], translator.model.scale
    np.testing.assert_allclose(
        rule["Factors"]["90"] * (sd + rule["Floor"]),
        scale.factor * translator.calibration.half_width(sd / scale.factor, 0.9),
    )
    assert mean["StandardDeviation"] == "out_sd.nii.gz"
    assert mean["MeanOf"] == told["Predictions"] == describe_views(translator)
    assert told["ModelSha256"] == mean["ModelSha256"]
    assert told["SourceSha256"] == mean["SourceSha256"]
    assert told["Synthetic"] is True


@pytest.mark.parametrize("then", ["plain", "uncertain", "without its deviation"])
def test_what_is_kept_is_what_would_be_made(make_leaning, cohort, tmp_path, then):
    plain = make_leaning()
    uncertain = add_uncertainty(plain)
    out = tmp_path / "out"
    cases = collect_cases(plain, [t1w(cohort, "04")])
    made = translate_cases(uncertain, cases, out).scans[0].output
    if then == "without its deviation":
        deviation_path(made).unlink()

    again = translate_cases(plain if then == "plain" else uncertain, cases, out, keep=True)

    assert again.scans[0].kept is (then == "uncertain")
    assert deviation_path(made).exists() is (then != "plain")
    assert (again.scans[0].deviation is None) is (then == "plain")


def test_a_deviation_never_takes_the_place_of_what_is_not_ours(trained, cohort, tmp_path):
    theirs = tmp_path / "out_sd.nii.gz"
    theirs.write_bytes(b"mine")

    with pytest.raises(DatasetError, match="out_sd.nii.gz: exists and is not a synthetic scan"):
        translate(trained, [t1w(cohort, "04")], tmp_path / "out.nii.gz", uncertainty=True)

    translate(trained, [t1w(cohort, "04")], tmp_path / "out.nii.gz")
    assert theirs.read_bytes() == b"mine"


@pytest.fixture(scope="module")
def written(trained, second, cohort, tmp_path_factory):
    """A folder of uncertain predictions of an ensemble."""
    out = tmp_path_factory.mktemp("uncertain") / "derived"
    sources = [t1w(cohort, "04"), t1w(cohort, "05")]
    translate(trained, sources, out, uncertainty=True, companions=[second()])
    return out


def test_a_folder_holds_both_volumes_under_their_bids_names(written):
    stem = "sub-04_space-T1w_desc-synthetic"

    assert sorted(path.name for path in (written / "sub-04" / "anat").iterdir()) == [
        f"{stem}_T2w.json", f"{stem}_T2w.nii.gz", f"{stem}sd_T2w.json", f"{stem}sd_T2w.nii.gz"
    ]  # fmt: skip


def test_the_deviations_in_a_folder_are_not_taken_for_predictions(written, cohort, tmp_path):
    summary = evaluate_paths(cohort, written, out=tmp_path, protocol=Protocol())

    assert summary["cases"] == 2


@pytest.mark.usefixtures("only_coverage")
def test_validation_measures_the_coverage_of_what_translation_writes(
    trained, second, cohort, written, tmp_path
):
    """By hand for one person: the two files, the sidecar's rule and the real scan."""
    result = validate(
        trained,
        [cohort],
        tmp_path,
        choices=ValidationChoices(uncertainty=True, companions=[second()]),
    )

    path = written / "sub-04" / "anat" / "sub-04_space-T1w_desc-synthetic_T2w.nii.gz"
    beside = deviation_path(path)
    rule = json.loads(beside.with_name(beside.name.replace(".nii.gz", ".json")).read_text())
    factor = load_model(trained).scale.factor
    real = read_volume(cohort / "sub-04" / "anat" / "sub-04_T2w.nii.gz").voxels.astype(float)
    mask = read_volume(t1w(cohort, "04")).voxels > 0
    error = read_volume(path).voxels / factor - real / np.percentile(real[mask], 99.5)
    intervals = rule["Intervals"]
    half = intervals["Factors"]["90"] * (read_volume(beside).voxels + intervals["Floor"]) / factor
    rows = (tmp_path / "coverage.csv").read_text().splitlines()
    row = next(row for row in rows if row.startswith("toy_04") and ",whole mask,90 %," in row)
    np.testing.assert_allclose(
        float(row.split(",")[5]), np.mean(np.abs(error) <= half, where=mask), atol=2e-3
    )
    assert {"coverage", "risk_coverage"} <= set(result.summary)
    report = (tmp_path / "report.html").read_text()
    assert "mean of 4 predictions by 2 models, 2 of them mirrored" in report
    assert "--uncertainty --with" in report


@pytest.mark.usefixtures("only_coverage")
def test_nobody_whom_a_companion_knows_is_scored(trained, second, cohort, tmp_path):
    split = load_model(trained).config["split"]
    other = {"subjects": split["subjects"] | {"toy/04": "train"}}

    result = validate(
        trained,
        [cohort],
        tmp_path,
        choices=ValidationChoices(uncertainty=True, companions=[second(split=other)]),
    )

    assert result.scored == ("toy/05",)
    assert "toy/04" in result.refused


def test_a_scan_that_a_companion_was_trained_on_is_refused(trained, second, strangers, tmp_path):
    sha256 = translate_source_hash(trained, t1w(strangers, "x1"))
    companion = second(**{INPUTS_KEY: {sha256: "toy/01"}})

    result = validate(
        trained,
        [strangers],
        tmp_path,
        choices=ValidationChoices(uncertainty=True, companions=[companion]),
    )

    assert result.scored == ("other/x2",)
    [(_, why)] = result.unscored
    assert "trained on this very scan, as toy/01" in why


def translate_source_hash(model, path):
    translator = load_translator(model)
    case = collect_cases(translator, [path])[0]
    return translator.prepare(case).fingerprint["inputs"]["source"]
