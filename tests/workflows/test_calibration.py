"""What training finds out about its own errors on the validation people, and stores."""

import numpy as np
import pytest
import torch

from medtranslate.checkpoint import load_model, save_model
from medtranslate.data.cases import find_cases
from medtranslate.data.index import index_datasets
from medtranslate.errors import CheckpointError
from medtranslate.inference import predict
from medtranslate.metrics.calibration import LEVELS, calibrate
from medtranslate.networks.inputs import make_inputs
from medtranslate.preprocess.cache import PreparedArrays
from medtranslate.workflows import calibration as module
from medtranslate.workflows.calibration import (
    UNCERTAINTY_KEY,
    calibrate_weights,
    read_calibration,
)
from medtranslate.workflows.prediction import load_translator


@pytest.fixture(scope="module")
def validator(trained, cohort):
    """The translator, and the prepared scans of the one person who validates."""
    translator = load_translator(trained)
    cases = find_cases(index_datasets([cohort]), source="T1w", target="T2w")
    case = next(case for case in cases if case.subject == "toy/03")
    return translator, translator.prepare(case, with_target=True)


def save_with(trained, folder, value):
    model = load_model(trained)
    save_model(
        folder / "model",
        weights=model.weights,
        config=model.config | {UNCERTAINTY_KEY: value},
        scale=model.scale,
        provenance={},
        card="",
    )
    return load_model(folder)


def predict_views(translator, prepared):
    inputs = make_inputs(prepared.source, prepared.mask)
    return translator._predict_views(prepared, inputs, all_views=True)[0]


def test_training_stores_the_factors_of_its_best_weights(trained, validator):
    """By hand: the generator both ways on person 03, against the target inside the mask."""
    translator, prepared = validator
    views = predict_views(translator, prepared)
    inside = prepared.mask.numpy() * prepared.seen.numpy() > 0
    stacked = torch.stack(views).numpy()
    error = np.abs(stacked.mean(axis=0) - prepared.target.numpy())

    stored = read_calibration(load_model(trained))

    expected = calibrate([(stacked.std(axis=0)[inside], error[inside])])
    assert len(views) == 2
    assert stored.num_people == 1
    assert stored.num_voxels == np.count_nonzero(inside)
    np.testing.assert_allclose(stored.floor, expected.floor, rtol=1e-3)
    for level in LEVELS:
        np.testing.assert_allclose(stored.factors[level], expected.factors[level], rtol=1e-3)


def test_its_intervals_cover_the_validation_people_as_promised(trained, validator):
    translator, prepared = validator
    stored = read_calibration(load_model(trained))
    views = torch.stack(predict_views(translator, prepared))
    inside = prepared.mask.numpy() * prepared.seen.numpy() > 0
    error = np.abs(views.mean(dim=0).numpy() - prepared.target.numpy())[inside]
    sd = views.std(dim=0, correction=0).numpy()[inside]

    for level in LEVELS:
        covered = np.mean(error <= stored.half_width(sd, level))
        np.testing.assert_allclose(covered, level, atol=2e-3)


@pytest.mark.parametrize(("people", "flip_probability"), [(False, 0.5), (True, 0.0), (False, 0.0)])
def test_without_validation_people_or_mirrored_training_there_is_none(
    validator, make_pipeline, people, flip_probability
):
    translator, prepared = validator
    pipeline = make_pipeline(augmentation={"flip_probability": flip_probability})
    given = {"03": PreparedArrays.from_prepared(prepared)} if people else {}

    found = calibrate_weights(pipeline, translator.model.weights, given, translator.processor)

    assert found is None


def test_a_model_without_calibration_says_what_training_needs(trained, tmp_path):
    model = save_with(trained, tmp_path, None)

    with pytest.raises(
        CheckpointError, match=r"split.val.*flip_probability.*train the model again"
    ):
        read_calibration(model)


def test_a_calibration_that_is_not_usable_is_refused(trained, tmp_path):
    model = save_with(trained, tmp_path, {"floor": -1.0, "factors": {}})

    with pytest.raises(CheckpointError, match="'uncertainty' cannot be used"):
        read_calibration(model)


def test_where_the_memory_does_not_suffice_smaller_windows_calibrate(
    validator, make_pipeline, monkeypatch
):
    translator, prepared = validator
    given = {"03": PreparedArrays.from_prepared(prepared)}
    whole, windows = module.predict_levelled_views, []

    def run_out(*arguments, plan, **options):
        windows.append(plan.window)
        if len(windows) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(*arguments, plan=plan, **options)

    monkeypatch.setattr(module, "predict_levelled_views", run_out)
    monkeypatch.setattr(predict, "SMALLEST_WINDOW", 8)
    found = calibrate_weights(
        make_pipeline(), translator.model.weights, given, translator.processor
    )

    shape = prepared.source.shape[1:]
    assert windows[0] is None
    assert np.prod(windows[1]) <= np.prod(shape) / 2
    assert found.num_voxels == np.count_nonzero(prepared.mask.numpy() * prepared.seen.numpy())
