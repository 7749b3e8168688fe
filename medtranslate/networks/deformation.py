"""Stationary velocity fields: how a field of speeds moves a scan, and what it does to volumes."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

NUM_SQUARINGS = 7
"""A displacement is built from 2**7 equal small steps: enough for 20 voxels (composition < 0.1)."""


def integrate(velocity: Tensor, years: Tensor) -> Tensor:
    """Displacement after some years of moving along a velocity that does not change.

    ``exp(years * velocity)`` by scaling and squaring: the flow of ``t1`` years followed by that of
    ``t2`` is the flow of ``t1 + t2``, and negative years give the inverse.

    Args:
        velocity: Shape ``(n, 3, i, j, k)``, voxels a year along ``(i, j, k)``.
        years: Shape ``(n,)``; negative to go back.

    Returns:
        Shape ``(n, 3, i, j, k)``, voxels, float32; exactly 0 at 0 years.

    References:
        Arsigny et al., MICCAI 2006. Ashburner, NeuroImage 38:95, 2007.
    """
    with torch.autocast(velocity.device.type, enabled=False):
        scaled = velocity.float() * years.float().view(-1, 1, 1, 1, 1)
        displacement: Tensor = scaled / 2**NUM_SQUARINGS
        for _ in range(NUM_SQUARINGS):
            displacement = displacement + warp(displacement, displacement)
        return displacement


def warp(
    image: Tensor, displacement: Tensor, *, beyond: Literal["border", "zeros"] = "border"
) -> Tensor:
    """Image pulled along a displacement: ``result(x) = image(x + displacement(x))``, linearly.

    Args:
        image: Shape ``(n, c, i, j, k)``.
        displacement: Shape ``(n, 3, i, j, k)``, voxels along ``(i, j, k)``.
        beyond: What lies outside the image: its border values, or 0.

    The value is that of MONAI's ``Warp``, which makes its grid on the CPU and waits until it is
    copied to the device.

    Returns:
        Shape of ``image``, float32.
    """
    with torch.autocast(image.device.type, enabled=False):
        places = _voxel_grid(displacement) + displacement.float()
        # torch wants the last axis first, and each from -1 to 1.
        along = [places[:, axis] * 2 / max(n - 1, 1) - 1 for axis, n in enumerate(places.shape[2:])]
        return functional.grid_sample(
            image.float(),
            torch.stack(along[::-1], dim=-1),
            mode="bilinear",
            padding_mode=beyond,
            align_corners=True,
        )


def jacobian_determinant(displacement: Tensor) -> Tensor:
    """By how much ``x -> x + displacement(x)`` stretches volume, at every voxel.

    Args:
        displacement: Shape ``(n, 3, i, j, k)``, voxels; every size at least 2.

    Returns:
        Shape ``(n, 1, i, j, k)``: 1 where nothing changes, above 1 where volume grows, 0 or less
        where the field folds. Central differences, one-sided at the border.

    Example:
        >>> stretch = torch.zeros(1, 3, 4, 4, 4)
        >>> stretch[0, 2] = 0.5 * torch.arange(4.0)
        >>> jacobian_determinant(stretch).unique().tolist()
        [1.5]
    """
    rows = [torch.gradient(displacement[:, axis], dim=(1, 2, 3)) for axis in range(3)]
    a, b, c = ([row[n] + float(axis == n) for n in range(3)] for axis, row in enumerate(rows))
    determinant = (
        a[0] * (b[1] * c[2] - b[2] * c[1])
        - a[1] * (b[0] * c[2] - b[2] * c[0])
        + a[2] * (b[0] * c[1] - b[1] * c[0])
    )
    return determinant[:, None]


def _voxel_grid(displacement: Tensor) -> Tensor:
    """The index of each voxel along ``(i, j, k)``, shape ``(3, i, j, k)``."""
    axes = [torch.arange(n, device=displacement.device) for n in displacement.shape[2:]]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")).float()
