"""What a scanner would measure of each tissue: relaxation, signal equations, attenuation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np


class Tissue(IntEnum):
    """What a voxel can hold; the value is its label in ``_dseg`` files."""

    AIR = 0
    CSF = 1
    GREY_MATTER = 2
    WHITE_MATTER = 3
    LESION = 4
    BONE = 5
    MARROW = 6
    FAT = 7
    MUSCLE = 8
    SKIN = 9
    EYE = 10


VENTRICLES = 11
"""Label of fluid inside the brain, where a disease tells it apart from the fluid around it."""


@dataclass(frozen=True)
class TissueProperties:
    """Typical values of a tissue at 1.5 T and 120 kV.

    Attributes:
        t1_ms: Longitudinal relaxation time, milliseconds.
        t2_ms: Transverse relaxation time, milliseconds.
        proton_density: Relative to water, 0 to 1.
        attenuation_hu: CT number, Hounsfield units.
        t1_variation: Standard deviation of T1 within the tissue, as a fraction of T1.
        t2_variation: Likewise for T2.
        density_variation: Likewise for the proton density.
        attenuation_variation_hu: Standard deviation of the CT number, Hounsfield units.
    """

    t1_ms: float
    t2_ms: float
    proton_density: float
    attenuation_hu: float
    t1_variation: float = 0.04
    t2_variation: float = 0.05
    density_variation: float = 0.02
    attenuation_variation_hu: float = 3.0


TISSUES: dict[Tissue, TissueProperties] = {
    Tissue.AIR: TissueProperties(1.0, 1.0, 0.0, -1000.0, attenuation_variation_hu=0.0),
    Tissue.CSF: TissueProperties(4000.0, 1800.0, 1.0, 8.0, 0.01, 0.04, 0.01, 2.0),
    Tissue.GREY_MATTER: TissueProperties(1050.0, 94.0, 0.82, 38.0, 0.05, 0.06),
    Tissue.WHITE_MATTER: TissueProperties(590.0, 76.0, 0.71, 29.0, 0.04, 0.06),
    Tissue.LESION: TissueProperties(1050.0, 150.0, 0.85, 24.0, 0.18, 0.15, 0.03),
    Tissue.BONE: TissueProperties(250.0, 1.5, 0.15, 1250.0, 0.05, 0.05, 0.10, 160.0),
    Tissue.MARROW: TissueProperties(350.0, 60.0, 0.50, 420.0, 0.10, 0.10, 0.12, 90.0),
    Tissue.FAT: TissueProperties(300.0, 85.0, 0.72, -95.0, 0.05, 0.08, 0.05, 8.0),
    Tissue.MUSCLE: TissueProperties(900.0, 45.0, 0.75, 52.0, 0.06, 0.08, 0.04, 8.0),
    Tissue.SKIN: TissueProperties(500.0, 35.0, 0.60, 40.0, 0.05, 0.05, 0.05, 8.0),
    Tissue.EYE: TissueProperties(3900.0, 1300.0, 1.0, 8.0, 0.01, 0.05, 0.01, 2.0),
}


@dataclass(frozen=True)
class Sequence:
    """Timing of an MR acquisition, milliseconds.

    Attributes:
        repetition_ms: TR, between excitations.
        echo_ms: TE, from excitation to echo.
        inversion_ms: TI, from inversion to excitation; None for plain spin echo.
    """

    repetition_ms: float
    echo_ms: float
    inversion_ms: float | None = None


def spin_echo(
    proton_density: np.ndarray, t1_ms: np.ndarray, t2_ms: np.ndarray, sequence: Sequence
) -> np.ndarray:
    """Signal of a spin echo, ``PD (1 - exp(-TR/T1)) exp(-TE/T2)``.

    Args:
        proton_density: Relative to water, 0 to 1, any shape.
        t1_ms: Longitudinal relaxation time, milliseconds, same shape.
        t2_ms: Transverse relaxation time, milliseconds, same shape.
        sequence: Timing; its inversion time is not used.

    Returns:
        Signal relative to water fully relaxed, 0 to 1, same shape.
    """
    recovery = 1.0 - np.exp(-sequence.repetition_ms / t1_ms)
    signal: np.ndarray = proton_density * recovery * np.exp(-sequence.echo_ms / t2_ms)
    return signal


def inversion_recovery(
    proton_density: np.ndarray, t1_ms: np.ndarray, t2_ms: np.ndarray, sequence: Sequence
) -> np.ndarray:
    """Signed signal after inversion, ``PD (1 - 2 exp(-TI/T1) + exp(-TR/T1)) exp(-TE/T2)``.

    Arguments as :func:`spin_echo`. The magnitude is taken only after tissues are mixed in a voxel,
    since their signals can cancel.

    Raises:
        ValueError: If the sequence has no inversion time.
    """
    if sequence.inversion_ms is None:
        raise ValueError("inversion_ms is None: give the inversion time of the sequence")
    recovery = (
        1.0 - 2.0 * np.exp(-sequence.inversion_ms / t1_ms) + np.exp(-sequence.repetition_ms / t1_ms)
    )
    signal: np.ndarray = proton_density * recovery * np.exp(-sequence.echo_ms / t2_ms)
    return signal


def nulling_inversion_ms(t1_ms: float, *, repetition_ms: float) -> float:
    """Inversion time at which tissue of ``t1_ms`` is dark: ``T1 ln(2 / (1 + exp(-TR/T1)))``.

    Example:
        >>> round(nulling_inversion_ms(4000.0, repetition_ms=9000.0))
        2372
    """
    return float(t1_ms * np.log(2.0 / (1.0 + np.exp(-repetition_ms / t1_ms))))


def measure_signal(
    fractions: np.ndarray,
    relaxation: np.ndarray,
    sequence: Sequence,
) -> np.ndarray:
    """Magnitude of the signal of voxels that mix several tissues.

    Args:
        fractions: Shape ``(t, i, j, k)`` with ``t = len(Tissue)``; volume fraction of each tissue.
        relaxation: Shape ``(3, i, j, k)``; relative deviation of T1, T2 and proton density from the
            tissue's typical value, in standard deviations of that tissue.
        sequence: Timing; inversion recovery if it has an inversion time, else spin echo.

    Returns:
        Shape ``(i, j, k)``; signal relative to fully relaxed water.
    """
    equation = spin_echo if sequence.inversion_ms is None else inversion_recovery
    total = np.zeros(fractions.shape[1:])
    for tissue, known in TISSUES.items():
        if known.proton_density == 0.0:
            continue
        here = fractions[tissue] > 0.0
        t1, t2, density = relaxation[:, here]
        total[here] += fractions[tissue][here] * equation(
            known.proton_density * np.exp(known.density_variation * density),
            known.t1_ms * np.exp(known.t1_variation * t1),
            known.t2_ms * np.exp(known.t2_variation * t2),
            sequence,
        )
    return np.abs(total)


def measure_attenuation(fractions: np.ndarray, texture: np.ndarray) -> np.ndarray:
    """CT number of voxels that mix several tissues, in Hounsfield units.

    Args:
        fractions: As in :func:`measure_signal`.
        texture: Shape ``(i, j, k)``; deviation in standard deviations of each tissue.
    """
    total = np.zeros(fractions.shape[1:])
    for tissue, known in TISSUES.items():
        deviation = known.attenuation_variation_hu * texture
        total += fractions[tissue] * (known.attenuation_hu + deviation)
    return total
