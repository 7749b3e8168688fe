"""A volume comes back whole from windows and padding."""

import numpy as np
import pytest
import torch

from medtranslate.errors import MemoryShortageError
from medtranslate.inference import predict as module
from medtranslate.inference.predict import (
    InferencePlan,
    plan_inference,
    predict,
    predict_with_plan,
    weigh_window,
    with_smaller_windows,
)
from medtranslate.inference.settings import InferenceSettings
from medtranslate.networks.generator import Generator
from medtranslate.networks.settings import GeneratorSettings

SHAPES = [(20, 20, 20), (21, 17, 33), (8, 40, 37)]
WINDOWS = [None, (16, 16, 16), (8, 24, 12)]


def settings(**values):
    return InferenceSettings(**({"memory_gb": 4.0} | values))


def volume(shape, seed=0, channels=1):
    return torch.from_numpy(
        np.random.default_rng(seed).random((channels, *shape), dtype=np.float32)
    )


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("divisor", [1, 8])
def test_a_constant_stays_the_constant(shape, window, divisor):
    source = torch.full((1, *shape), -0.75)

    prediction = predict(
        lambda patch: patch * 2, source, settings=settings(window=window), divisor=divisor
    )

    assert prediction.shape == source.shape
    torch.testing.assert_close(prediction, torch.full((1, *shape), -1.5), rtol=0, atol=1e-6)


@pytest.mark.parametrize("divisor", [1, 8, 16])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_identity_on_a_whole_volume_gives_every_voxel_back_exactly(shape, divisor):
    source = volume(shape)

    prediction = predict(lambda patch: patch, source, settings=settings(), divisor=divisor)

    torch.testing.assert_close(prediction, source, rtol=0, atol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_identity_in_windows_gives_every_voxel_back(shape):
    source = volume(shape)

    prediction = predict(
        lambda patch: patch, source, settings=settings(window=(16, 16, 16)), divisor=8
    )

    torch.testing.assert_close(prediction, source, rtol=0, atol=1e-6)


def test_windows_and_the_whole_volume_agree_for_a_voxelwise_translator():
    source = volume((21, 30, 25))

    whole = predict(torch.sin, source, settings=settings(), divisor=4)
    windows = predict(torch.sin, source, settings=settings(window=(12, 16, 8)), divisor=4)

    torch.testing.assert_close(windows, whole, rtol=0, atol=1e-6)


REACH = 16
"""Voxels that the untrained default generator looks at beside each; a trained one looks further."""


def random_generator():
    """The default generator with a head that is not 0, so that it corrects something."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = Generator(GeneratorSettings()).eval()
        torch.nn.init.normal_(generator.head.weight, std=0.1)
    return generator


def test_windows_of_the_default_generator_leave_no_seam_up_to_the_faces_of_the_volume():
    """MONAI's own weights leave differences of a fifth of the range where borders meet a face."""
    shape, window = (96, 96, 16), (64, 64, 16)
    source, generator = volume(shape, channels=2), random_generator()

    whole, windows = (
        predict(generator, source, settings=settings(window=size), divisor=16)[0]
        for size in (None, window)
    )

    difference = (windows - whole).abs() / (whole.max() - whole.min())
    inner = far_from_borders((0, 32), 64, 96)
    assert np.count_nonzero(inner) == 32
    assert difference[inner][:, inner].max() < 1e-5
    assert difference.max() < 1e-3


def far_from_borders(starts, size, length):
    """Places along an axis further than the reach from every window border inside the volume."""
    place = np.arange(length)
    borders = {edge for start in starts for edge in (start, start + size)} - {0, length}
    return np.all([abs(place - edge + 0.5) > REACH for edge in borders], axis=0)


@pytest.mark.parametrize("window", [(1, 2, 3), (48, 48, 48), (160, 96, 512)])
def test_every_voxel_of_a_window_counts_and_the_middle_most(window):
    weights = weigh_window(window).numpy()

    assert weights.shape == window
    assert weights.min() > 0
    assert weights.max() <= 1
    assert weights[tuple(size // 2 for size in window)] == weights.max()
    along = weights[:, 0, 0] / weights[0, 0, 0]
    np.testing.assert_allclose(weights[:, -1, -1] / weights[0, -1, -1], along, rtol=1e-5)
    middle = weights[:, window[1] // 2, window[2] // 2]
    np.testing.assert_allclose(middle / middle[0], along, rtol=1e-5)


def test_the_translator_sees_only_multiples_of_its_divisor():
    seen = set()

    def translate(patch):
        seen.add(tuple(patch.shape[2:]))
        return patch

    predict(translate, volume((21, 17, 33)), settings=settings(window=(10, 50, 20)), divisor=8)
    predict(translate, volume((21, 17, 33)), settings=settings(), divisor=8)

    assert seen == {(16, 24, 24), (24, 24, 40)}


def test_the_padding_repeats_the_edge():
    sums = []

    def translate(patch):
        sums.append(float(patch.min()))
        return patch

    predict(translate, volume((5, 6, 7)) + 1, settings=settings(), divisor=4)

    assert min(sums) >= 1


def test_gradients_are_not_recorded():
    weight = torch.nn.Parameter(torch.ones(1))

    prediction = predict(lambda patch: patch * weight, volume((4, 4, 4)), settings=settings())

    assert not prediction.requires_grad


@pytest.mark.parametrize(
    ("values", "shape", "expected"),
    [
        ({"memory_gb": 1.0}, (80, 80, 80), None),
        ({"memory_gb": 1.5}, (100, 200, 150), (112, 112, 112)),
        ({"memory_gb": 0.0001}, (40, 200, 150), (48, 48, 48)),
        ({"window": (60, 64, 300)}, (100, 200, 150), (64, 64, 160)),
        ({"window": (60, 64, 300), "memory_gb": 0.1}, (100, 200, 150), (64, 64, 160)),
    ],
)
def test_windows_are_used_when_asked_for_or_when_memory_is_short(values, shape, expected):
    plan = plan_inference(
        shape, settings=InferenceSettings(**values), divisor=16, bytes_per_voxel=1000
    )

    assert plan.window == expected


def test_without_a_limit_half_of_the_free_memory_decides(monkeypatch):
    monkeypatch.setattr(module, "free_bytes", lambda device: 2_000_000)
    fits = {"settings": InferenceSettings(), "bytes_per_voxel": 1000}

    assert plan_inference((10, 10, 10), **fits).window is None
    assert plan_inference((10, 10, 11), **fits).window == (10, 10, 11)


def test_the_plan_says_in_the_sidecar_what_was_done():
    assert InferencePlan(None, 0.5).to_json() == {"Window": None}
    assert InferencePlan((8, 8, 16), 0.25).to_json() == {
        "Window": [8, 8, 16],
        "Overlap": 0.25,
        "Blending": "gaussian",
    }


@pytest.mark.parametrize("message", ["CUDA out of memory", "std::bad_alloc"])
def test_where_the_memory_does_not_suffice_windows_are_halved_until_it_does(message):
    calls = []

    def translate(patch):
        calls.append(tuple(patch.shape[2:]))
        if patch.shape[2:].numel() > 60 * 50 * 30:
            raise RuntimeError(message)
        return patch

    source = volume((110, 60, 30))
    plan = InferencePlan(None, 0.5)
    prediction, used = with_smaller_windows(
        lambda plan: predict_with_plan(translate, source, plan=plan, divisor=4),
        plan,
        (110, 60, 30),
        divisor=4,
    )

    assert calls[:2] == [(112, 60, 32), (56, 60, 32)]
    assert set(calls[2:]) == {(48, 48, 32)}
    assert used.to_json() == {
        "Window": [48, 48, 32], "Overlap": 0.5, "Blending": "gaussian",
        "ReducedBecause": "out of memory",
    }  # fmt: skip
    torch.testing.assert_close(prediction, source, rtol=0, atol=1e-6)


def test_windows_are_not_made_smaller_than_is_of_use():
    def translate(patch):
        raise torch.OutOfMemoryError("no memory")

    with pytest.raises(MemoryShortageError, match="not even in windows of 48x48x40"):
        predict(translate, volume((100, 50, 40)), settings=settings(), divisor=8)


def test_an_error_that_is_not_of_memory_is_left_alone():
    def translate(patch):
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        predict(translate, volume((100, 50, 40)), settings=settings())


def test_small_windows_too_are_multiples_of_the_divisor():
    plan = plan_inference(
        (100, 200, 150), settings=settings(memory_gb=0.0001), divisor=32, bytes_per_voxel=1000
    )

    assert plan.window == (64, 64, 64)


@pytest.mark.parametrize(
    ("translate", "message"),
    [
        (lambda patch: patch[..., 1:], "expected the same spatial shape"),
        (lambda patch: patch / 0, "64 non-finite voxels"),
    ],
)
def test_a_translator_that_gives_something_else_is_refused(translate, message):
    with pytest.raises(ValueError, match=message):
        predict(translate, volume((4, 4, 4)), settings=settings())


def test_a_source_without_channel_is_refused():
    with pytest.raises(ValueError, match=r"expected \(c, i, j, k\)"):
        predict(lambda patch: patch, torch.zeros(4, 4, 4), settings=settings())


def test_the_plan_says_why_there_are_windows_and_what_memory_would_do_without():
    values = {"divisor": 16, "bytes_per_voxel": 1000}
    shape = (112, 208, 160)

    short = plan_inference(shape, settings=settings(memory_gb=1.5), **values)
    whole = plan_inference(shape, settings=settings(memory_gb=3.8), **values)
    asked = plan_inference(shape, settings=settings(window=(48, 48, 48)), **values)

    assert short.why == (
        "the whole volume needs about 3.73 GB and 1.5 GB may be used; --memory 3.8G would allow it"
    )
    large = plan_inference((512, 512, 608), settings=settings(memory_gb=128), **values)
    assert "needs about 159 GB and 128 GB may be used" in large.why
    assert (whole.window, whole.why) == (None, "")
    assert asked.why == "as inference.window says"


def test_a_budget_that_the_smallest_windows_do_not_keep_to_is_told():
    values = {"divisor": 16, "bytes_per_voxel": 1000}
    enough = (48**3 * 1000 + 96**3 * 24) / 1e9

    kept = plan_inference((96, 96, 96), settings=settings(memory_gb=1.01 * enough), **values)
    broken = plan_inference((96, 96, 96), settings=settings(memory_gb=0.99 * enough), **values)

    assert kept.window == broken.window == (48, 48, 48)
    assert "smallest" not in kept.why
    assert "Even the smallest windows need more than may be used: 0.132 GB" in broken.why
