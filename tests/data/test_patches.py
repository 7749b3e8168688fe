from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from medtranslate.data.augmentation import AugmentationSettings, build_augmentation
from medtranslate.data.patches import PatchSampler, Share, TrainingCase

NO_CHANGE = AugmentationSettings(
    flip_probability=0, affine_probability=0, deformation_probability=0, contrast_probability=0,
    bias_probability=0, noise_probability=0, blur_probability=0,
)  # fmt: skip


def _case(shape=(40, 36, 32), seed=0):
    """Ranks and target that can be computed from the source, and a mask off the centre."""
    source = torch.rand((1, *shape), generator=torch.Generator().manual_seed(seed)) + 0.2
    mask = torch.zeros_like(source)
    mask[:, 20:, :18, 4:28] = 1
    return TrainingCase(source, 3 * source, 2 * source, mask)


def _sampler(cases, *, seed=0, augmentation=NO_CHANGE, patch_size=(16, 16, 16), batch_size=2):
    return PatchSampler(
        cases,
        patch_size=patch_size,
        batch_size=batch_size,
        seed=seed,
        augmentation=partial(build_augmentation, augmentation),
    )


def test_patches_keep_source_target_and_mask_together():
    batch = _sampler([_case()]).draw(3)

    assert batch["source"].shape == (2, 2, 16, 16, 16)
    torch.testing.assert_close(batch["target"], 2 * batch["source"][:, :1])
    torch.testing.assert_close(batch["source"][:, 1:], 3 * batch["source"][:, :1])
    assert (batch["mask"].sum(dim=(1, 2, 3, 4)) > 0).all()


def test_patches_are_pieces_of_the_volume():
    case = _case()
    patch = _sampler([case], batch_size=1).draw(0)["source"][0, 0]
    corner = torch.nonzero(case.source[0] == patch[0, 0, 0])[0]
    i, j, k = corner.tolist()

    torch.testing.assert_close(case.source[0, i : i + 16, j : j + 16, k : k + 16], patch)


def test_patches_are_float32_whatever_a_case_is_kept_in():
    case = _case()
    half = case.with_images({key: image.half() for key, image in case.images.items()})

    for key, patch in _sampler([half]).draw(3).items():
        assert patch.dtype == torch.float32
        torch.testing.assert_close(patch, _sampler([case]).draw(3)[key], rtol=2e-3, atol=0)


def test_a_case_as_large_as_a_patch_is_not_copied():
    case = _case()

    assert _sampler([case])._cases[0].source is case.source


def test_a_step_draws_the_same_batch_every_time():
    sampler = _sampler([_case(), _case(seed=1)], augmentation=AugmentationSettings())

    torch.testing.assert_close(sampler.draw(5), sampler.draw(5), rtol=0, atol=0)
    assert not torch.equal(sampler.draw(5)["source"], sampler.draw(6)["source"])


def test_batches_drawn_ahead_are_those_of_their_steps():
    sampler = _sampler([_case(), _case(seed=1)], augmentation=AugmentationSettings())
    batches = sampler.batches(7)
    ahead = [next(batches) for _ in range(6)]
    batches.close()

    torch.testing.assert_close(ahead, [sampler.draw(s) for s in range(7, 13)], rtol=0, atol=0)


def test_a_volume_smaller_than_the_patch_is_padded():
    batch = _sampler([_case((40, 36, 10))], patch_size=(16, 16, 16)).draw(0)

    assert batch["source"].shape == (2, 2, 16, 16, 16)


def test_every_subject_is_drawn():
    cases = [
        _case(),
        TrainingCase(*(torch.full((1, 20, 20, 20), 9.0),) * 3, torch.ones(1, 20, 20, 20)),
    ]
    drawn = {float(_sampler(cases, batch_size=1).draw(s)["source"].max()) > 5 for s in range(12)}

    assert drawn == {True, False}


@pytest.mark.parametrize(
    "name", ["flip_probability", "affine_probability", "deformation_probability"]
)
def test_spatial_changes_are_shared(name):
    settings = NO_CHANGE.model_copy(update={name: 1.0})
    case = _case()
    augment = build_augmentation(settings).set_random_state(seed=1)

    changed = augment(dict(vars(case)))

    np.testing.assert_allclose(changed["target"], 2 * changed["source"], atol=1e-5)
    np.testing.assert_allclose(changed["ranks"], 3 * changed["source"], atol=1e-5)
    assert not np.allclose(changed["source"], case.source)
    assert set(np.unique(changed["mask"])) <= {0.0, 1.0}


@pytest.mark.parametrize(
    "name", ["contrast_probability", "bias_probability", "noise_probability", "blur_probability"]
)
def test_intensity_changes_touch_the_source_only(name):
    settings = NO_CHANGE.model_copy(update={name: 1.0})
    case = _case()
    augment = build_augmentation(settings).set_random_state(seed=2)

    changed = augment(dict(vars(case)))

    assert not np.allclose(changed["source"], case.source)
    # A monotone change of contrast leaves ranks as they are; shading, noise and blur do not.
    assert np.array_equal(changed["ranks"], case.ranks) == (name == "contrast_probability")
    np.testing.assert_array_equal(changed["target"], case.target)
    np.testing.assert_array_equal(changed["mask"], case.mask)


def test_only_left_and_right_are_mirrored():
    settings = NO_CHANGE.model_copy(update={"flip_probability": 1.0})
    case = _case()

    changed = build_augmentation(settings)(dict(vars(case)))

    np.testing.assert_array_equal(changed["source"], case.source.flip(1))


def test_the_patches_of_a_batch_lie_where_its_description_says():
    cases = {f"case-{seed}": replace(_case(seed=seed), name=f"case-{seed}") for seed in (1, 2)}
    sampler = _sampler(list(cases.values()))

    for patch, described in zip(
        sampler.draw(4)["source"], sampler.describe(4).split("; "), strict=True
    ):
        name, _, place = described.partition(" at ")
        i, j, k = map(int, place.split(", "))
        expected = cases[name].source[0, i : i + 16, j : j + 16, k : k + 16]
        torch.testing.assert_close(patch[0], expected)


def test_the_shares_of_a_batch_are_the_batch():
    cases, changes = [_case(), _case(seed=1)], AugmentationSettings()
    whole = _sampler(cases, augmentation=changes, batch_size=4).draw(7)

    parts = [
        PatchSampler(
            cases,
            patch_size=(16, 16, 16),
            batch_size=2,
            seed=0,
            augmentation=partial(build_augmentation, changes),
            share=Share(number, 2),
        ).draw(7)
        for number in (0, 1)
    ]

    for key, images in whole.items():
        torch.testing.assert_close(torch.cat([part[key] for part in parts]), images)


def test_cases_kept_on_the_device_give_the_patches_of_memory_mapped_ones(tmp_path):
    mapped = []
    for seed in (0, 1):
        case = _case(seed=seed)
        images = {}
        for key, image in case.images.items():
            image.numpy().tofile(tmp_path / f"{seed}{key}")
            images[key] = torch.from_file(
                str(tmp_path / f"{seed}{key}"), size=image.numel(), dtype=image.dtype
            ).view(image.shape)
        mapped.append(case.with_images(images))
    resident = [_case(), _case(seed=1)]
    batches = []
    for cases, device in ((mapped, "cpu"), (resident, "cpu:0")):
        sampler = PatchSampler(
            cases, patch_size=(16, 16, 16), batch_size=2, seed=0, device=torch.device(device),
            augmentation=partial(build_augmentation, AugmentationSettings()),
        )  # fmt: skip
        drawn = sampler.batches(0)
        batches.append([next(drawn) for _ in range(5)])
        drawn.close()

    torch.testing.assert_close(batches[0], batches[1], rtol=0, atol=0)


def test_everything_of_a_case_goes_to_the_device():
    case = replace(_case(), others={"label": torch.ones(1, 40, 36, 32)},
                   facts={"years": torch.tensor(1.0)})  # fmt: skip

    there = case.to(torch.device("meta"))

    assert {image.device.type for image in there.images.values()} == {"meta"}
    assert set(there.images) == set(case.images)
    assert there.facts["years"].device.type == "meta"
    assert case.to(torch.device("cpu")).source is case.source
