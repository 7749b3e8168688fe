"""The whole way there and back: what the identity translator gives, and CT in HU."""

from dataclasses import replace

import numpy as np
import pytest
from torch.nn import functional

from medtranslate.checkpoint import load_model, save_model
from medtranslate.data.cases import Case
from medtranslate.errors import CheckpointError
from medtranslate.inference.predict import InferencePlan
from medtranslate.io import read_volume, write_volume
from medtranslate.volume import CT_SCALE, IntensityScale
from medtranslate.workflows.prediction import load_translator
from medtranslate.workflows.prediction_plan import estimate_memory

from .stand_in import StandIn

PLAIN = {"source_intensity": {"name": "none"}, "target_intensity": {"name": "none"}}
STORED_UNIT = IntensityScale(0.0, 1.0)


@pytest.fixture(scope="module")
def translator(trained):
    return load_translator(trained)


@pytest.fixture
def identity(translator, make_pipeline):
    """Function that builds a translator which predicts its input; preprocessing by keyword."""

    def build(*, scale=STORED_UNIT, inference=None, **preprocess):
        pipeline = make_pipeline(preprocess=preprocess, inference=inference or {})
        model = replace(translator.model, scale=scale)
        return replace(translator, model=model, pipeline=pipeline, generator=StandIn())

    return build


def case_of(volume, folder):
    path = folder / "sub-01_T1w.nii.gz"
    write_volume(path, volume)
    return Case(name="01", dataset="", subject="01", session=None, source=path)


def test_the_identity_gives_back_the_input_exactly(identity, make_volume, orientation, tmp_path):
    """Oblique and anisotropic, axes in each of 48 orders, cropped to the patient."""
    volume = make_volume(orientation=orientation)
    translator = identity(crop_margin_mm=1.0, **PLAIN)

    case = case_of(volume, tmp_path)
    prediction = translator.predict(translator.prepare(case)).volume

    np.testing.assert_array_equal(prediction.voxels, read_volume(case.source).voxels)
    np.testing.assert_allclose(prediction.geometry.affine, volume.geometry.affine, atol=1e-4)


def test_the_identity_in_windows_gives_back_the_input(identity, make_volume, tmp_path):
    volume = make_volume(shape=(23, 20, 17))
    translator = identity(inference={"window": [12, 8, 8]}, **PLAIN)

    prediction = translator.predict(translator.prepare(case_of(volume, tmp_path)))

    assert prediction.plan.window == (12, 8, 8)
    np.testing.assert_allclose(prediction.volume.voxels, volume.voxels, rtol=1e-5, atol=1e-3)


def test_a_percentile_scale_is_undone_by_the_scale_of_the_model(identity, make_volume, tmp_path):
    volume = make_volume()
    inside = volume.voxels[volume.voxels != 0].astype(np.float64)
    translator = identity(scale=IntensityScale(0.0, 700.0))

    prediction = translator.predict(translator.prepare(case_of(volume, tmp_path))).volume

    expected = volume.voxels / np.percentile(inside, 99.5) * 700.0
    np.testing.assert_allclose(prediction.voxels, expected, rtol=1e-5, atol=1e-3)


def test_ct_is_in_hu_clipped_and_air_outside_the_patient(identity, make_volume, tmp_path):
    volume = make_volume()
    translator = identity(scale=CT_SCALE, target_intensity={"name": "window"})
    translator = replace(
        translator, generator=StandIn(lambda shown: functional.threshold(shown, 0.9, -0.2))
    )  # bright voxels stay, the rest falls below the CT range

    result = translator.predict(translator.prepare(case_of(volume, tmp_path)))

    voxels = result.volume.voxels
    assert result.volume.unit == "HU"
    assert voxels.min() == -1024
    assert voxels.max() <= 3071
    np.testing.assert_array_equal(voxels[volume.voxels == 0], -1024)
    inside = volume.voxels[volume.voxels != 0]
    scale = np.percentile(inside.astype(np.float64), 99.5)
    outside_range = (inside / scale <= 0.9) | (inside / scale > 1)
    assert result.num_clipped == np.count_nonzero(outside_range)


def test_the_baselines_lie_on_the_same_grid_and_leave_the_same_background(translator, cohort):
    path = cohort / "sub-04" / "anat" / "sub-04_T1w.nii.gz"
    case = Case(name="04", dataset="toy", subject="toy/04", session=None, source=path)
    prepared = translator.prepare(case)

    model = translator.predict(prepared).volume
    baselines = translator.predict_baselines(prepared)

    for volume in baselines.values():
        assert volume.geometry.matches(model.geometry)
        assert volume.modality == "T2w"
        np.testing.assert_array_equal(volume.voxels[model.voxels == 0], 0)


def test_a_model_that_predicts_nonsense_is_named(identity, make_volume, tmp_path):
    translator = identity(**PLAIN)
    translator = replace(translator, generator=StandIn(lambda shown: shown / 0))

    with pytest.raises(CheckpointError, match=r"01: the model predicts .* not finite"):
        translator.predict(translator.prepare(case_of(make_volume(), tmp_path)))


def test_windows_are_planned_from_the_size_of_the_generator(identity, make_volume, tmp_path):
    """With as much memory as the estimate the volume fits; with a byte a voxel less it does not."""
    prepared = identity(**PLAIN).prepare(case_of(make_volume(shape=(16, 16, 16)), tmp_path))
    cropped = [-(-size // 4) * 4 for size in prepared.source.shape[1:]]
    needed = estimate_memory(identity(**PLAIN).pipeline.method.generator) * np.prod(cropped)

    fits = identity(inference={"memory_gb": float(needed / 1e9 * 1.001)}, **PLAIN)
    short = identity(inference={"memory_gb": float(needed / 1e9 * 0.99)}, **PLAIN)

    assert fits.predict(prepared).plan.window is None
    assert short.predict(prepared).plan.window == tuple(cropped)


def resave(trained, folder, *, weights=None, **config):
    model = load_model(trained)
    save_model(
        folder / "model",
        weights=model.weights if weights is None else weights,
        config=model.config | config,
        scale=model.scale,
        provenance={},
        card="",
    )


def test_weights_of_another_network_are_refused(trained, tmp_path):
    weights = dict(load_model(trained).weights)
    weights.pop("head.bias")
    resave(trained, tmp_path, weights=weights)

    with pytest.raises(CheckpointError, match=r"do not fit the network"):
        load_translator(tmp_path)


def test_a_model_of_a_pipeline_that_is_not_understood_is_refused(trained, tmp_path):
    pipeline = load_model(trained).config["pipeline"] | {"colour": "red"}
    resave(trained, tmp_path, pipeline=pipeline)

    with pytest.raises(CheckpointError, match=r"(?s)another version.*colour: unknown key"):
        load_translator(tmp_path)


def test_a_model_without_histogram_cannot_show_that_baseline(trained, tmp_path):
    resave(trained, tmp_path, histogram_match=None)

    with pytest.raises(CheckpointError, match=r"histogram_match.*absent"):
        _ = load_translator(tmp_path).histogram


def test_windows_that_the_memory_made_smaller_are_recorded(identity, make_volume, tmp_path):
    def refuse_large(shown):
        if shown.shape[2:].numel() > 64 * 64 * 64:
            raise RuntimeError("std::bad_alloc")
        return shown

    volume = make_volume(shape=(120, 52, 50))
    translator = replace(identity(**PLAIN), generator=StandIn(refuse_large))

    prediction = translator.predict(translator.prepare(case_of(volume, tmp_path)))

    assert prediction.plan.to_json()["ReducedBecause"] == "out of memory"
    assert 48 <= max(prediction.plan.window) <= 64
    np.testing.assert_allclose(prediction.volume.voxels, volume.voxels, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
    ("norm", "window", "expected"),
    [("group", (8, 8, 8), True), ("group", None, False), ("none", (8, 8, 8), False)],
)
def test_windows_matter_where_each_is_normalised_by_itself(
    translator, make_pipeline, norm, window, expected
):
    size = {"channels": 8, "blocks": [1, 1], "norm": norm}
    pipeline = make_pipeline(method={"name": "regression", "generator": size})

    one = replace(translator, pipeline=pipeline)

    assert one.windows_matter(InferencePlan(window, 0.5)) is expected
