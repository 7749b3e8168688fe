from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from medtranslate.phantom.contrast import (
    TISSUES,
    Sequence,
    Tissue,
    inversion_recovery,
    measure_attenuation,
    measure_signal,
    nulling_inversion_ms,
    spin_echo,
)
from medtranslate.phantom.scanner import PROTOCOLS


def recover(start: float, t1: float, duration: float) -> float:
    """Longitudinal magnetisation after a while, by solving Bloch's equation numerically."""
    solved = solve_ivp(lambda _, m: (1.0 - m) / t1, (0.0, duration), [start], rtol=1e-9, atol=1e-11)
    return float(solved.y[0, -1])


def decay(t2: float, duration: float) -> float:
    """Transverse magnetisation after a while, likewise."""
    solved = solve_ivp(lambda _, m: -m / t2, (0.0, duration), [1.0], rtol=1e-9, atol=1e-11)
    return float(solved.y[0, -1])


@pytest.mark.parametrize(("density", "t1", "t2"), [(0.7, 600.0, 75.0), (1.0, 4000.0, 1800.0)])
@pytest.mark.parametrize("sequence", [Sequence(500.0, 10.0), Sequence(5000.0, 95.0)])
def test_spin_echo_follows_from_blochs_equation(
    density: float, t1: float, t2: float, sequence: Sequence
) -> None:
    magnetisation = 1.0
    for _ in range(3):  # each excitation tips all of it over: the second is the steady state
        measured, magnetisation = magnetisation, recover(0.0, t1, sequence.repetition_ms)

    signal = spin_echo(np.array(density), np.array(t1), np.array(t2), sequence)

    np.testing.assert_allclose(signal, density * measured * decay(t2, sequence.echo_ms), rtol=1e-6)


@pytest.mark.parametrize(("density", "t1", "t2"), [(0.7, 600.0, 75.0), (1.0, 4000.0, 1800.0)])
@pytest.mark.parametrize("inversion", [150.0, 2400.0])
def test_inversion_recovery_follows_from_blochs_equation(
    density: float, t1: float, t2: float, inversion: float
) -> None:
    sequence = Sequence(9000.0, 110.0, inversion)
    magnetisation = 1.0
    for _ in range(3):
        measured = recover(-magnetisation, t1, inversion)
        magnetisation = recover(0.0, t1, sequence.repetition_ms - inversion)

    signal = inversion_recovery(np.array(density), np.array(t1), np.array(t2), sequence)

    np.testing.assert_allclose(
        signal, density * measured * decay(t2, sequence.echo_ms), rtol=1e-5, atol=1e-8
    )


def test_inversion_recovery_without_an_inversion_time_is_refused() -> None:
    with pytest.raises(ValueError, match="inversion_ms is None"):
        inversion_recovery(np.ones(1), np.ones(1), np.ones(1), Sequence(9000.0, 110.0))


@pytest.mark.parametrize("t1", [600.0, 4000.0])
def test_the_nulling_time_darkens_its_tissue_and_no_other(t1: float) -> None:
    sequence = Sequence(9000.0, 110.0, nulling_inversion_ms(t1, repetition_ms=9000.0))

    here = inversion_recovery(np.array(1.0), np.array(t1), np.array(90.0), sequence)
    other = inversion_recovery(np.array(1.0), np.array(1.5 * t1), np.array(90.0), sequence)

    np.testing.assert_allclose(here, 0.0, atol=1e-12)
    assert other < -0.01


def pure(tissue: Tissue, contrast: str) -> float:
    """Signal of a voxel full of one typical tissue."""
    fractions = np.zeros((len(Tissue), 1, 1, 1))
    fractions[tissue] = 1.0
    signal = measure_signal(fractions, np.zeros((3, 1, 1, 1)), PROTOCOLS[contrast].sequence)
    return float(signal.item())


@pytest.mark.parametrize(
    ("contrast", "order"),
    [
        ("T1w", "FAT WHITE_MATTER GREY_MATTER CSF BONE AIR"),
        ("T1w", "WHITE_MATTER LESION CSF"),
        ("T2w", "CSF LESION GREY_MATTER WHITE_MATTER MUSCLE BONE"),
        ("FLAIR", "LESION GREY_MATTER WHITE_MATTER CSF"),
    ],
)
def test_tissues_stand_in_the_order_of_brightness_that_radiologists_know(
    contrast: str, order: str
) -> None:
    signals = [pure(Tissue[name], contrast) for name in order.split()]

    assert all(brighter > 1.08 * darker for brighter, darker in pairwise(signals))


def test_flair_shows_no_fluid() -> None:
    assert pure(Tissue.CSF, "FLAIR") < 1e-6
    assert pure(Tissue.CSF, "T2w") > 2.0 * pure(Tissue.GREY_MATTER, "T2w")


def test_signals_that_are_opposite_cancel_before_the_magnitude_is_taken() -> None:
    sequence = Sequence(9000.0, 20.0, 700.0)  # between the null points of white matter and fluid
    fractions = np.zeros((len(Tissue), 3, 1, 1))
    fractions[Tissue.WHITE_MATTER, 0] = fractions[Tissue.CSF, 1] = 1.0
    fractions[[Tissue.WHITE_MATTER, Tissue.CSF], 2] = 0.5

    white, fluid, mixed = measure_signal(fractions, np.zeros((3, 3, 1, 1)), sequence).ravel()

    assert min(white, fluid) > 0.1
    np.testing.assert_allclose(mixed, abs(white - fluid) / 2.0)


@pytest.mark.parametrize("index", range(3))
def test_each_texture_changes_its_own_parameter_by_the_stated_amount(index: int) -> None:
    fractions = np.zeros((len(Tissue), 1, 1, 1))
    fractions[Tissue.GREY_MATTER] = 1.0
    texture = np.zeros((3, 1, 1, 1))
    texture[index] = 1.5
    known = TISSUES[Tissue.GREY_MATTER]
    variation = (known.t1_variation, known.t2_variation, known.density_variation)
    factors = np.ones(3)
    factors[index] = np.exp(1.5 * variation[index])
    sequence = PROTOCOLS["T1w"].sequence

    signal = measure_signal(fractions, texture, sequence)

    t1, t2, density = factors * (known.t1_ms, known.t2_ms, known.proton_density)
    expected = density * (1 - np.exp(-sequence.repetition_ms / t1)) * np.exp(-sequence.echo_ms / t2)
    np.testing.assert_allclose(signal.item(), expected)


def test_ct_numbers_mix_in_proportion_and_bone_stands_out() -> None:
    fractions = np.zeros((len(Tissue), 2, 1, 1))
    fractions[Tissue.BONE, 0] = 1.0
    fractions[Tissue.AIR, 1], fractions[Tissue.MUSCLE, 1] = 0.25, 0.75

    bone, mixed = measure_attenuation(fractions, np.zeros((2, 1, 1))).ravel()

    assert bone == TISSUES[Tissue.BONE].attenuation_hu > 300.0
    np.testing.assert_allclose(mixed, 0.25 * -1000.0 + 0.75 * TISSUES[Tissue.MUSCLE].attenuation_hu)


def test_every_tissue_has_properties() -> None:
    assert list(TISSUES) == list(Tissue)
