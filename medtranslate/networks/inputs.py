"""What the generator is shown of a scan: its intensities and their ranks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from medtranslate.networks.quantiles import quantiles_of_sorted

NUM_CHANNELS = 2
"""Normalised intensity, and rank."""

_LEVELS = np.linspace(0, 1, 1001)


def make_inputs(source: Tensor, mask: Tensor, *, ascending: np.ndarray | None = None) -> Tensor:
    """Put beside the intensities what part of the patient is darker: histogram equalisation.

    Intensities are comparable between scans of one scanner, ranks between scanners, whose contrast
    differs by a monotone curve. The generator sees both, and nothing outside the mask: there some
    people have skin and skull and others nothing, which says who they are and not what is inside.

    Args:
        source: Shape ``(1, i, j, k)``, normalised.
        mask: Same shape, above 0 inside the patient, whose voxels are ranked.
        ascending: The intensities inside the mask, sorted, where somebody has them; sorted here
            if None.

    Returns:
        Shape ``(2, i, j, k)``: intensity, and rank from 0 (darkest inside the mask) to 1; both 0
        outside the mask.

    Raises:
        ValueError: If the mask is empty.

    Example:
        >>> source = torch.tensor([[[[0.0, 2.0, 3.0, 9.0]]]])
        >>> make_inputs(source, source > 0)[1].round(decimals=2).tolist()
        [[[0.0, 0.0, 0.5, 1.0]]]
    """
    # NumPy takes what a mask covers in a tenth of torch's time.
    intensities = source.as_subclass(Tensor).numpy()
    within = mask.as_subclass(Tensor).numpy() > 0
    inside = intensities[within]
    shown = np.zeros((NUM_CHANNELS, *intensities.shape[1:]), np.float32)
    among = np.sort(inside) if ascending is None else ascending
    shown[0][within[0]], shown[1][within[0]] = inside, _rank(inside, among=among)
    return torch.from_numpy(shown)


def rank_voxels(source: Tensor, mask: Tensor) -> Tensor:
    """What part of the patient is darker than a voxel.

    Args:
        source: Shape ``(1, i, j, k)``, any unit.
        mask: Same shape, above 0 inside the patient.

    Returns:
        Same shape: 0 (darkest inside the mask) to 1; outside the mask the rank that its intensity
        would have inside.

    Raises:
        ValueError: If the mask is empty.
    """
    intensities = source.as_subclass(Tensor).numpy()
    within = mask.as_subclass(Tensor).numpy() > 0
    return torch.from_numpy(_rank(intensities, among=np.sort(intensities[within])))


def _rank(intensities: np.ndarray, *, among: np.ndarray) -> np.ndarray:
    """Ranks among sorted intensities."""
    if not among.size:
        raise ValueError("mask is empty: there is no voxel to rank")
    knots = quantiles_of_sorted(among, _LEVELS)
    # Equal quantiles (a scan of few grey values) take the rank in the middle of their run.
    values, first, counts = np.unique(knots, return_index=True, return_counts=True)
    middles = _LEVELS[first] + (counts - 1) / 2000
    ranks: np.ndarray = np.interp(intensities, values, middles).astype(np.float32)
    return ranks
