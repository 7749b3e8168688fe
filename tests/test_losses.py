import numpy as np
import pytest
import torch
from monai.losses import PatchAdversarialLoss, SSIMLoss
from skimage.metrics import structural_similarity

from medtranslate.losses import (
    LossSettings,
    adversarial_loss,
    reconstruction_loss,
    slice_ssim,
)

ONLY_L1 = LossSettings(l1=1, l2=0, gradient=0, ssim=0)


def _pair(shape=(2, 1, 20, 22, 24), seed=0):
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(shape, generator=generator)
    return target, target + 0.1 * torch.randn(shape, generator=generator)


def test_equal_images_lose_nothing():
    target, _ = _pair()

    loss = reconstruction_loss(target, target, torch.ones_like(target), settings=LossSettings())

    torch.testing.assert_close(loss, torch.tensor(0.0), atol=1e-6, rtol=0)


def test_l1_is_the_mean_over_the_mask():
    target, prediction = _pair()
    mask = (torch.arange(24) < 7).float().expand_as(target).contiguous()

    loss = reconstruction_loss(target, prediction, mask, settings=ONLY_L1)

    expected = np.abs(prediction.numpy() - target.numpy())[mask.numpy() > 0].mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_nothing_outside_the_mask_counts():
    target, prediction = _pair()
    mask = torch.ones_like(target)
    mask[:, :, :9] = 0
    disturbed = prediction.clone()
    disturbed[:, :, :9] += 5

    losses = [
        reconstruction_loss(target, p, mask, settings=LossSettings())
        for p in (prediction, disturbed)
    ]

    torch.testing.assert_close(losses[0], losses[1])


@pytest.mark.parametrize("axis", [2, 3, 4])
def test_the_gradient_term_sees_steps_along_every_axis(axis):
    target = torch.zeros(1, 1, 16, 16, 16)
    stripes = (torch.arange(16) % 2).float()
    prediction = target + stripes.reshape([16 if a == axis else 1 for a in range(5)])
    settings = LossSettings(l1=0, l2=0, gradient=1, ssim=0)

    loss = reconstruction_loss(target, prediction, torch.ones_like(target), settings=settings)

    torch.testing.assert_close(loss, torch.tensor(15 * 16 * 16 / (3 * 16**3)))


def test_the_ssim_term_is_one_minus_that_of_scikit_image_on_every_fourth_slice():
    target, prediction = _pair(shape=(1, 1, 40, 44, 8))
    settings = LossSettings(l1=0, l2=0, gradient=0, ssim=1)

    loss = reconstruction_loss(target, prediction, torch.ones_like(target), settings=settings)

    expected = []
    for k in (0, 4):
        x, y = target[0, 0, :, :, k].numpy(), prediction[0, 0, :, :, k].numpy()
        _, ssim_map = structural_similarity(
            x,
            y,
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            full=True,
        )
        expected.append(ssim_map[5:-5, 5:-5].mean())
    np.testing.assert_allclose(float(loss), 1 - np.mean(expected), rtol=1e-3)


def test_l2_is_the_mean_square_over_the_mask():
    target, prediction = _pair()
    mask = (torch.arange(24) < 7).float().expand_as(target).contiguous()
    settings = LossSettings(l1=0, l2=1, gradient=0, ssim=0)

    loss = reconstruction_loss(target, prediction, mask, settings=settings)

    expected = ((prediction - target).numpy()[mask.numpy() > 0] ** 2).mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize("shape", [(3, 1, 20, 27), (2, 1, 11, 40)])
def test_the_ssim_of_slices_and_its_gradient_are_monais(shape):
    target, prediction = _pair(shape, seed=5)
    prediction.requires_grad_()

    ours = slice_ssim(target, prediction)
    theirs = 1 - SSIMLoss(spatial_dims=2, data_range=1.0, win_size=11)(prediction, target)

    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(
        *(torch.autograd.grad(value, prediction)[0] for value in (ours, theirs)),
        rtol=1e-3,
        atol=1e-7,
    )


def test_the_loss_keeps_its_digits_under_autocast():
    target, prediction = _pair(seed=3)
    mask = torch.ones_like(target)

    with torch.autocast("cpu", torch.bfloat16):
        loss = reconstruction_loss(target, prediction, mask, settings=LossSettings())

    torch.testing.assert_close(
        loss, reconstruction_loss(target, prediction, mask, settings=LossSettings()), rtol=0, atol=0
    )


@pytest.mark.parametrize("real", [True, False])
def test_the_adversarial_loss_is_that_of_monai(real):
    generator = torch.Generator().manual_seed(0)
    logits = [torch.randn(2, 1, *(size,) * 3, generator=generator) for size in (4, 7)]
    theirs = PatchAdversarialLoss(criterion="least_squares")

    ours = adversarial_loss(logits, real=real)

    torch.testing.assert_close(
        ours, theirs(logits, target_is_real=real, for_discriminator=True), rtol=0, atol=0
    )
