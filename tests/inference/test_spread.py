"""Mean and deviation of several predictions, and that mirroring is undone."""

import weakref

import numpy as np
import pytest
import torch

from medtranslate.inference.spread import measure_spread, mirror, predict_views


def some_predictions(count, *, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return [1000 + torch.randn((1, 5, 4, 3), generator=generator) for _ in range(count)]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_mean_and_deviation_are_those_of_numpy(count):
    predictions = some_predictions(count)

    spread = measure_spread(iter(predictions))

    stacked = torch.stack(predictions).double().numpy()
    np.testing.assert_allclose(spread.mean.numpy(), stacked.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(spread.sd.numpy(), stacked.std(axis=0), atol=2e-4)
    assert spread.count == count


def test_giving_every_prediction_twice_changes_nothing():
    predictions = some_predictions(2)

    once, twice = measure_spread(predictions), measure_spread(predictions * 2)

    torch.testing.assert_close(twice.mean, once.mean)
    torch.testing.assert_close(twice.sd, once.sd, atol=1e-4, rtol=1e-3)


def test_equal_predictions_do_not_differ_at_all():
    spread = measure_spread(some_predictions(1) * 3)

    assert torch.count_nonzero(spread.sd) == 0


def test_predictions_are_let_go_as_they_are_taken():
    seen = []

    def make():
        for value in (1.0, 2.0, 3.0):
            assert [ref() is None for ref in seen[:-1]] == [True] * len(seen[:-1])
            prediction = torch.full((2,), value)
            seen.append(weakref.ref(prediction))
            yield prediction

    spread = measure_spread(make())

    assert len(seen) == 3
    torch.testing.assert_close(spread.mean, torch.full((2,), 2.0))


def test_no_prediction_and_predictions_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match="no prediction"):
        measure_spread([])
    with pytest.raises(ValueError, match="expected one shape"):
        measure_spread([torch.zeros(1, 3), torch.zeros(1, 4)])


def test_mirroring_turns_left_and_right_of_an_asymmetric_phantom_only(oblique_volume):
    source = torch.from_numpy(oblique_volume.array)

    np.testing.assert_array_equal(mirror(source).numpy(), oblique_volume.array[:, ::-1])


def test_the_mirrored_prediction_lies_where_the_source_lies(oblique_volume):
    """A voxel-wise model predicts the same both ways, however asymmetric the scan is."""
    source = torch.from_numpy(oblique_volume.array)

    plain, mirrored = predict_views(lambda shown: 2 * shown + 1, source, mirrored=True)

    torch.testing.assert_close(plain, 2 * source + 1)
    torch.testing.assert_close(mirrored, plain)


def test_a_model_that_leans_to_one_side_is_found_out():
    """Moving by a voxel towards the end of the first axis becomes moving back once mirrored."""
    source = torch.arange(24.0).reshape(1, 4, 3, 2)

    plain, mirrored = predict_views(lambda shown: shown.roll(1, dims=1), source, mirrored=True)

    torch.testing.assert_close(plain, source.roll(1, dims=1))
    torch.testing.assert_close(mirrored, source.roll(-1, dims=1))


def test_a_model_that_never_saw_mirrored_scans_is_shown_none():
    source = torch.zeros(1, 2, 2, 2)

    assert len(list(predict_views(lambda shown: shown, source, mirrored=False))) == 1
