"""What a simulated future is trained to make small."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from medtranslate.networks.deformation import jacobian_determinant
from medtranslate.settings import Settings

_LEAST_STRETCH = 0.2
_FEW_VOXELS = 30.0


class ProgressionLossSettings(Settings):
    """Weights of the terms of the progression loss; their ratios matter."""

    l1: float = Field(1.0, ge=0, description="Weight of the mean absolute difference in the mask.")
    l2: float = Field(5.0, ge=0, description="Weight of the mean squared difference in the mask.")
    bending: float = Field(0.01, ge=0, description="Weight of the velocity's bending energy.")
    folding: float = Field(
        1.0, ge=0, description="Weight of volume that shrinks to less than a fifth, or folds."
    )
    sparsity: float = Field(
        0.5,
        ge=0,
        description="Weight of what is added, as its mean in the mask: few new places, and not"
        " what noise or motion explains.",
    )
    region: float = Field(
        0.1,
        ge=0,
        description="Weight of the squared disagreement of labelled regions, over their volume.",
    )
    volume: float = Field(
        0.1, ge=0, description="Weight of the error of the labelled region's change of volume."
    )


def image_loss(
    target: Tensor, prediction: Tensor, mask: Tensor, *, settings: ProgressionLossSettings
) -> Tensor:
    """Weighted absolute and squared difference, averaged over the mask.

    Args:
        target: Shape ``(n, 1, i, j, k)``, normalised.
        prediction: Same shape and unit.
        mask: Same shape, 1 where it counts.
        settings: The weights.
    """
    voxels = mask.sum().clamp(min=1)
    difference = (prediction - target) * mask
    return (settings.l1 * difference.abs().sum() + settings.l2 * difference.square().sum()) / voxels


def sparsity_loss(added: Tensor, mask: Tensor, *, settings: ProgressionLossSettings) -> Tensor:
    """Weighted mean size of what is added to the moved baseline.

    A reference differs from its baseline by the noise of both. Adding less than the noise gains
    about half of its size in the absolute difference, so a weight of a half of that of ``l1``
    keeps a model from taking the noise out of the baseline and calling it change.

    Args:
        added: Shape ``(n, 1, i, j, k)``, normalised.
        mask: Same shape, 1 where it counts.
        settings: The weights.
    """
    return settings.sparsity * (added.abs() * mask).sum() / mask.sum().clamp(min=1)


def regularity_loss(
    velocity: Tensor, displacement: Tensor, *, settings: ProgressionLossSettings
) -> Tensor:
    """Bending energy of the velocity, and volume that all but vanishes.

    Args:
        velocity: Shape ``(n, 3, i, j, k)``, voxels a year.
        displacement: Shape ``(n, 3, i, j, k)`` of any grid, voxels of it.
        settings: The weights.
    """
    lacking = torch.relu(_LEAST_STRETCH - jacobian_determinant(displacement)).mean()
    return settings.bending * bending_energy(velocity) + settings.folding * lacking


def bending_energy(field: Tensor) -> Tensor:
    """Mean of the summed squared second derivatives of a field (Rueckert et al., 1999).

    MONAI's ``BendingEnergyLoss`` indexes with lists, which torch has announced to read otherwise.

    Args:
        field: Shape ``(n, 3, i, j, k)``; every size at least 3.
    """
    energy = field.new_zeros(())
    for one in (2, 3, 4):
        energy = energy + torch.diff(field, n=2, dim=one).square().mean()
        for two in range(one + 1, 5):
            mixed = torch.diff(torch.diff(field, dim=one), dim=two)
            energy = energy + 2 * mixed.square().mean()
    return energy


def region_loss(
    label: Tensor, later: Tensor, predicted: Tensor, *, settings: ProgressionLossSettings
) -> Tensor:
    """Where the predicted region disagrees, and by how much its volume does.

    The disagreement is squared (Brier). A region of whole voxels that moves by part of a voxel, as
    atrophy does, flips few of them: the absolute disagreement is least if nothing moves at all.

    Args:
        label: Shape ``(n, 1, i, j, k)``, 0 to 1; the region at the baseline.
        later: Same shape; at the follow-up.
        predicted: Same shape; as the model has it.
        settings: The weights.

    Returns:
        Both terms over the region's volume; patients without a region count for nothing.
    """
    volume = (label + later).sum(dim=(1, 2, 3, 4)) / 2
    there = (volume > 0).float()
    scale = there / volume.clamp(min=_FEW_VOXELS)
    difference = predicted - later
    apart = (difference.square().sum(dim=(1, 2, 3, 4)) * scale).mean()
    change = (difference.sum(dim=(1, 2, 3, 4)).abs() * scale).mean()
    return settings.region * apart + settings.volume * change
