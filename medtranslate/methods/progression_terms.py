"""What a simulated future is trained to make small."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from medtranslate.networks.deformation import jacobian_determinant
from medtranslate.settings import Settings

_LEAST_STRETCH = 0.2
_FEW_VOXELS = 30.0
_FASTEST = 8.0


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
        0.1, ge=0, description="Weight of the error of the labelled regions' change of volume."
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


def find_share(label: Tensor, later: Tensor, predicted: Tensor) -> Tensor:
    """The part of a region's true change of volume that a prediction has come to.

    Args:
        label: Shape ``(n, 1, i, j, k)``, 0 to 1; the region at the baseline.
        later: Same shape; at the follow-up.
        predicted: Same shape; as the model has it.

    Returns:
        Shape ``(n,)``, from 0 (no change, or against the true one) to 8, without gradient; 1 if the
        region truly stays.
    """
    true, said = ((one - label).sum(dim=(1, 2, 3, 4)).detach() for one in (later, predicted))
    return torch.where(true == 0, torch.ones_like(true), said / true).clamp(0, _FASTEST)


def proportion_loss(
    label: Tensor,
    later: Tensor,
    predicted: Tensor,
    share: Tensor,
    *,
    settings: ProgressionLossSettings,
) -> Tensor:
    """By how much a further region's change of volume is out of proportion to the followed one's.

    The speed of all that moves is fitted to the followed region when the rest has been trained.
    So a further region is held against the part of its true change that the followed region has
    come to: however far the training is, their proportion is what is learned.

    Args:
        label: Shape ``(n, 1, i, j, k)``, 0 to 1; the further region at the baseline.
        later: Same shape; at the follow-up.
        predicted: Same shape; as the model has it.
        share: Shape ``(n,)``; of the followed region, from :func:`find_share`.
        settings: The weights.

    Returns:
        The term over the region's volume; patients without the region count for nothing.
    """
    volume = (label + later).sum(dim=(1, 2, 3, 4)) / 2
    there = (volume > 0).float()
    true, said = ((one - label).sum(dim=(1, 2, 3, 4)) for one in (later, predicted))
    apart = (said - share * true).abs() * there / volume.clamp(min=_FEW_VOXELS)
    return settings.volume * apart.mean()
