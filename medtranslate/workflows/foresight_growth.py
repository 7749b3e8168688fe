"""What reaction and diffusion say of one baseline on the model grid, at any time asked."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from medtranslate.methods.progression import Future
from medtranslate.methods.reaction_diffusion import GrowthModel, GrowthRates, box_around, seen
from medtranslate.workflows.training_growth import where_cells_go


@dataclass(frozen=True, eq=False)
class GrowthForesight:
    """How one region grows; nothing is moved, and new tissue takes the region's median intensity.

    Answers what :class:`~medtranslate.workflows.foresight.Foresight` answers.

    Attributes:
        model: The region in its box, with the cohort's rates and no spread.
        box: Where the box lies on the model grid.
        source: Shape ``(1, i, j, k)``, normalised.
    """

    model: GrowthModel
    box: tuple[slice, ...]
    source: Tensor

    grows = True

    def at(self, years: float, *, speed: float = 1.0) -> Future:
        """The baseline some years on; ``speed`` 2 is a disease twice as fast."""
        joined = self._chance(years * speed)
        joined[self.box] -= self.model.region
        region = self.source[0].numpy()[self.box][self.model.region]
        added = np.clip(joined, 0, 1) * (np.median(region) - self.source[0].numpy())
        new = torch.from_numpy(added.astype(np.float32))[None, None]
        still = torch.zeros(1, 3, *self.source.shape[1:])
        return Future(self.source[None] + new, still, new)

    def region_at(self, label: Tensor, years: float, *, speed: float = 1.0) -> Tensor:
        """The region some years on, 0 or 1; ``(1, 1, i, j, k)``, ``label`` at no time."""
        if years * speed == 0:
            return label[None]
        grown = (self._chance(years * speed) > 0.5).astype(np.float32)
        return torch.from_numpy(grown)[None, None]

    def stretch_at(self, years: float) -> Tensor:
        """Tissue keeps its volume; ``(1, 1, i, j, k)``."""
        return torch.ones(1, *self.source.shape)

    def _chance(self, years: float) -> np.ndarray:
        """Chance of each voxel of the model grid to be in the region; it never goes back."""
        chance = np.zeros(tuple(self.source.shape[1:]))
        grown = seen(self.model.density(max(years, 0.0)))
        chance[self.box] = np.maximum(grown, self.model.region)
        return chance


def foresee_growth(
    rates: GrowthRates,
    *,
    source: Tensor,
    mask: Tensor,
    label: Tensor,
    spacing: tuple[float, float, float],
) -> GrowthForesight:
    """Set a region up to grow within the mask.

    Args:
        rates: Of the cohort.
        source: Shape ``(1, i, j, k)``, normalised.
        mask: Same shape; above 0 inside the patient.
        label: Same shape; at least 0.5 in the region, which is not empty.
        spacing: Of the model grid, millimetres.
    """
    region = label[0].numpy() >= 0.5
    box = box_around(region, spacing)
    inside = where_cells_go(mask[0].numpy() > 0)
    model = GrowthModel(region[box], inside[box], spacing, replace(rates, spread=0.0))
    return GrowthForesight(model, box, source)
