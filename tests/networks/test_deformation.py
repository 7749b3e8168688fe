import numpy as np
import pytest
import torch
from monai.networks.blocks.warp import DVF2DDF, Warp
from scipy import ndimage

from medtranslate.networks.deformation import (
    NUM_SQUARINGS,
    integrate,
    jacobian_determinant,
    warp,
)

SHAPE = (20, 24, 18)


def _velocity(size=1.5, seed=0):
    """A smooth field, different along every axis, that fades towards the border; voxels a year."""
    noise = np.random.default_rng(seed).normal(size=(3, *SHAPE))
    smooth = np.stack([ndimage.gaussian_filter(part, 4.0) for part in noise])
    fade = np.ones(SHAPE)
    fade[:3] = fade[-3:] = fade[:, :3] = fade[:, -3:] = fade[..., :3] = fade[..., -3:] = 0
    smooth *= ndimage.gaussian_filter(fade, 1.5)
    return torch.from_numpy(size * smooth / np.abs(smooth).max())[None].float()


def _years(value):
    return torch.tensor([value])


@pytest.mark.filterwarnings("ignore:.*:UserWarning")  # MONAI says that torch samples the grid
@pytest.mark.parametrize("beyond", ["border", "zeros"])
def test_warping_and_integrating_give_what_monai_gives_to_the_bit(beyond):
    field = _velocity(size=4.0)
    image = torch.rand(1, 2, *SHAPE, generator=torch.Generator().manual_seed(0))
    integration = DVF2DDF(num_steps=NUM_SQUARINGS, padding_mode="border")

    moved = warp(image, field, beyond=beyond)

    torch.testing.assert_close(moved, Warp(padding_mode=beyond)(image, field), rtol=0, atol=0)
    torch.testing.assert_close(integrate(field, _years(1.0)), integration(field), rtol=0, atol=0)


def test_no_time_moves_nothing():
    displacement = integrate(_velocity(), _years(0.0))

    assert torch.count_nonzero(displacement) == 0


def test_one_time_after_another_is_their_sum():
    velocity = _velocity()
    first, second = integrate(velocity, _years(0.7)), integrate(velocity, _years(1.1))
    composed = second + warp(first, second)

    together = integrate(velocity, _years(1.8))

    assert float(together.abs().max()) > 1.5
    torch.testing.assert_close(composed, together, atol=0.02, rtol=0)


def test_negative_time_undoes():
    velocity = _velocity()
    onward, back = integrate(velocity, _years(1.0)), integrate(velocity, _years(-1.0))

    torch.testing.assert_close(back + warp(onward, back), torch.zeros_like(back), atol=0.06, rtol=0)


def test_integration_agrees_with_small_euler_steps():
    """Each voxel's way followed with NumPy in 400 steps."""
    velocity = _velocity()
    start = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij")).astype(float)
    place = start.copy()
    for _ in range(400):
        place += np.stack(
            [ndimage.map_coordinates(part, place, order=1, mode="nearest")
             for part in velocity[0].numpy().astype(float)]
        ) / 400  # fmt: skip

    np.testing.assert_allclose(
        integrate(velocity, _years(1.0))[0].numpy(), place - start, atol=0.03
    )


def test_warp_pulls_along_the_displacement():
    image = torch.rand(1, 1, *SHAPE)
    displacement = torch.zeros(1, 3, *SHAPE)
    displacement[:, 1] = 2.0

    warped = warp(image, displacement)

    torch.testing.assert_close(warped[..., :-2, :], image[..., 2:, :])


@pytest.mark.parametrize("beyond", ["border", "zeros"])
def test_warp_agrees_with_scipy(beyond):
    image, displacement = torch.rand(1, 1, *SHAPE), 2 * torch.rand(1, 3, *SHAPE) - 1
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij")) + displacement[0].numpy()
    mode = {"border": "nearest", "zeros": "constant"}[beyond]
    expected = ndimage.map_coordinates(image[0, 0].numpy(), index, order=1, mode=mode)
    inside = ((index >= 0) & (index <= np.array(SHAPE)[:, None, None, None] - 1)).all(axis=0)
    kept = inside if beyond == "zeros" else np.ones(SHAPE, bool)

    warped = warp(image, displacement, beyond=beyond)[0, 0].numpy()

    np.testing.assert_allclose(warped[kept], expected[kept], atol=1e-4)


def test_jacobian_of_a_linear_map_is_its_determinant():
    matrix = np.array([[0.1, 0.2, -0.1], [0.05, -0.2, 0.3], [0.0, 0.1, 0.15]])
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij")).astype(np.float32)
    displacement = torch.from_numpy(np.tensordot(matrix, index, 1).astype(np.float32))[None]

    determinant = jacobian_determinant(displacement)

    expected = np.linalg.det(np.eye(3) + matrix)
    np.testing.assert_allclose(determinant.numpy(), expected, rtol=1e-4)


def test_large_smooth_velocities_do_not_fold():
    determinant = jacobian_determinant(integrate(_velocity(size=6.0), _years(1.0)))

    assert float((determinant <= 0).float().mean()) < 1e-4
