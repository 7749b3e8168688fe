"""Growth of a tumour as reaction and diffusion of its cells: the Fisher-Kolmogorov equation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import sparse

GREY_DIFFUSIVITY = 0.2
"""Diffusivity in grey matter as a part of that in white matter (Swanson et al. 2000: a fifth)."""

_LARGEST_REACTION = 0.2
"""Longest step in units of ``1 / proliferation``; splitting then errs by about a per cent."""


@dataclass(frozen=True, eq=False)
class GrowthDomain:
    """Where cells can move, and how fast relative to the fastest tissue.

    Attributes:
        inside: Boolean, shape ``(i, j, k)``; voxels that cells can enter.
        spreading: Sparse, shape ``(n, n)`` for the ``n`` voxels inside; the operator
            ``div(r grad u)`` of the relative diffusivity ``r``, per square millimetre. Rows and
            columns sum to 0: nothing flows through the border, and nothing is lost.
    """

    inside: np.ndarray
    spreading: sparse.csr_array

    @property
    def fastest(self) -> float:
        """Largest share of its cells that a voxel gives away, per unit of diffusivity and time."""
        diagonal = self.spreading.diagonal()
        return float(-diagonal.min()) if diagonal.size else 0.0


def relative_diffusivity(grey: np.ndarray, white: np.ndarray) -> np.ndarray:
    """How fast cells move in a mixture of tissues: 1 in white matter, a fifth in grey, 0 in fluid.

    Args:
        grey: Fraction of grey matter, 0 to 1, any shape.
        white: Fraction of white matter, likewise.

    Returns:
        Same shape; 0 where less than half of the voxel is tissue.
    """
    mixed: np.ndarray = white + GREY_DIFFUSIVITY * grey
    return np.where(grey + white >= 0.5, mixed, 0.0)


def make_domain(relative: np.ndarray, *, spacing: tuple[float, float, float]) -> GrowthDomain:
    """Finite volumes on the voxels of positive diffusivity.

    The flow through a face is the harmonic mean of both sides' diffusivity times the difference of
    their densities over their distance; a face to a voxel of zero diffusivity, or to the edge of
    the array, is closed.

    Args:
        relative: Diffusivity relative to the fastest tissue, 0 or more, shape ``(i, j, k)``.
        spacing: Voxel size along ``(i, j, k)``, millimetres.

    Raises:
        ValueError: If a diffusivity is negative or not finite.
    """
    if not np.isfinite(relative).all() or relative.min(initial=0.0) < 0:
        raise ValueError(
            "relative diffusivity holds values below 0 or not finite; expected 0 or more"
        )
    inside = relative > 0
    number = np.full(relative.shape, -1)
    number[inside] = np.arange(np.count_nonzero(inside))
    total = sparse.csr_array((int(inside.sum()),) * 2)
    for axis, step in enumerate(spacing):
        low, high = _neighbours(axis)
        open_face = inside[low] & inside[high]
        one, two = relative[low][open_face], relative[high][open_face]
        rate = 2.0 * one * two / (one + two) / step**2
        first, second = number[low][open_face], number[high][open_face]
        rows = np.concatenate([first, second, first, second])
        columns = np.concatenate([second, first, first, second])
        values = np.concatenate([rate, rate, -rate, -rate])
        total = total + sparse.coo_array((values, (rows, columns)), shape=total.shape).tocsr()
    return GrowthDomain(inside, total)


def _neighbours(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Slices that lay each voxel beside the next one along an axis."""
    low = tuple(slice(None, -1) if n == axis else slice(None) for n in range(3))
    high = tuple(slice(1, None) if n == axis else slice(None) for n in range(3))
    return low, high


def grow(
    density: np.ndarray,
    domain: GrowthDomain,
    *,
    diffusivity: float,
    proliferation: float,
    years: float,
    longest_step: float = math.inf,
) -> np.ndarray:
    """Let a tumour grow: ``du/dt = div(D grad u) + rho u (1 - u)``, no flow through the border.

    Strang splitting: half a step of logistic growth, solved exactly; a step of diffusion by the
    two-stage Runge-Kutta method that preserves bounds; half a step of growth. Steps are short
    enough for diffusion to be a weighted mean of neighbours, so that the density stays within 0
    and 1; with smooth data the error falls with the square of the step and of the voxel size.

    Args:
        density: Part of the largest number of cells a voxel can hold, 0 to 1, shape
            ``(i, j, k)``; cells outside the domain stay where they are and do nothing.
        domain: Where cells can move.
        diffusivity: ``D`` where the relative diffusivity is 1, square millimetres a year.
        proliferation: ``rho``, net rate of division, per year.
        years: How long, 0 or more.
        longest_step: Upper limit of a step, years.

    Returns:
        Density afterwards, same shape; a copy if ``years`` is 0.

    Raises:
        ValueError: If a number is negative or not finite.

    References:
        Swanson KR, Alvord EC, Murray JD. Cell Proliferation 2000;33:317-329.
        Harpold HLP, Alvord EC, Swanson KR. J Neuropathol Exp Neurol 2007;66:1-9.
    """
    _check(diffusivity=diffusivity, proliferation=proliferation, years=years)
    grown = np.array(density, dtype=np.float64)
    cells = np.clip(grown[domain.inside], 0.0, 1.0)
    operator = diffusivity * domain.spreading
    number = _count_steps(domain, diffusivity, proliferation, years, longest_step)
    step = years / max(number, 1)
    for _ in range(number):
        cells = _divide(cells, proliferation * step / 2)
        cells = _spread(cells, operator, step)
        cells = _divide(cells, proliferation * step / 2)
    grown[domain.inside] = cells
    return grown


def _check(**numbers: float) -> None:
    for name, value in numbers.items():
        if not math.isfinite(value) or value < 0:
            raise ValueError(f"{name} is {value}, expected 0 or more")


def _count_steps(
    domain: GrowthDomain, diffusivity: float, proliferation: float, years: float, longest: float
) -> int:
    """How many equal steps are stable, accurate and no longer than asked for; 0 for no time."""
    fastest = diffusivity * domain.fastest
    if fastest > 0:
        longest = min(longest, 1.0 / fastest)
    if proliferation > 0:
        longest = min(longest, _LARGEST_REACTION / proliferation)
    return max(math.ceil(years / longest), 1) if years > 0 else 0


def _divide(cells: np.ndarray, amount: float) -> np.ndarray:
    """Logistic growth, exactly: ``u e^a / (1 + u (e^a - 1))``."""
    grown: np.ndarray = cells * math.exp(amount) / (1.0 + cells * math.expm1(amount))
    return grown


def _spread(cells: np.ndarray, operator: sparse.csr_array, step: float) -> np.ndarray:
    """Heun's method as a mean of two explicit steps, each of which keeps the bounds."""
    once = cells + step * (operator @ cells)
    twice = once + step * (operator @ once)
    bounded: np.ndarray = np.clip(0.5 * (cells + twice), 0.0, 1.0)
    return bounded
