"""Scan an anatomy: T1w, T2w and FLAIR as an MR scanner stores them, CT in Hounsfield units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from medtranslate.phantom.artefacts import add_ct_noise, add_rician_noise, bias_field
from medtranslate.phantom.contrast import (
    TISSUES,
    Sequence,
    Tissue,
    measure_attenuation,
    measure_signal,
    nulling_inversion_ms,
)
from medtranslate.phantom.fields import grid_points, random_texture
from medtranslate.phantom.person import Anatomy
from medtranslate.volume import CT_RANGE_HU, Volume

CONTRASTS = ("T1w", "T2w", "FLAIR", "CT")
"""What :func:`scan` makes, in this order."""

_BIAS_SCALES_MM = (35.0, 60.0)
_TIMING_VARIATION = 0.03
_FLAIR_REPETITION_MS = 9000.0
_CT_NOISE_HU = 4.0
_CT_SHADOW_MM = 8.0
_RIM_VOXELS = 2
_CT_RADIUS_MM = 112.0


@dataclass(frozen=True)
class Protocol:
    """How one MR contrast is acquired.

    Attributes:
        sequence: Timing.
        bias: Strength of the receive bias (see :func:`bias_field`).
        noise: Standard deviation of the noise, as a fraction of the signal of white matter.
        stored: Typical stored value of white matter, before the scanner's own gain.
    """

    sequence: Sequence
    bias: float
    noise: float
    stored: float


PROTOCOLS: dict[str, Protocol] = {
    "T1w": Protocol(Sequence(500.0, 10.0), bias=0.09, noise=0.025, stored=140.0),
    "T2w": Protocol(Sequence(5000.0, 95.0), bias=0.05, noise=0.025, stored=70.0),
    "FLAIR": Protocol(
        Sequence(
            _FLAIR_REPETITION_MS,
            110.0,
            nulling_inversion_ms(TISSUES[Tissue.CSF].t1_ms, repetition_ms=_FLAIR_REPETITION_MS),
        ),
        bias=0.05,
        noise=0.03,
        stored=100.0,
    ),
}


def scan(anatomy: Anatomy, generator: np.random.Generator) -> dict[str, Volume]:
    """Images of ``anatomy`` on its own grid, rounded to what a scanner stores.

    Timing, gain and bias differ a little between calls; contrasts share the grid without motion.

    Args:
        anatomy: What lies in each voxel.
        generator: Source of timing, gain, bias and noise.

    Returns:
        A volume for each of :data:`CONTRASTS`, whole numbers; MR not below 0, CT in -1024..3071 HU
        with -1024 outside the reconstructed circle.
    """
    points = grid_points(
        anatomy.geometry.shape, anatomy.geometry.affine[:3, 3], anatomy.geometry.spacing[0]
    )
    volumes = {}
    for name, protocol in PROTOCOLS.items():
        stored = _acquire_mr(anatomy, protocol, points, generator)
        volumes[name] = Volume(stored[None], anatomy.geometry, name, "arbitrary")
    volumes["CT"] = Volume(
        _acquire_ct(anatomy, points, generator)[None], anatomy.geometry, "CT", "HU"
    )
    return volumes


def _acquire_mr(
    anatomy: Anatomy, protocol: Protocol, points: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    sequence = _vary(protocol.sequence, generator)
    gain = generator.uniform(0.85, 1.2)
    bias = random_texture(generator, scales_mm=_BIAS_SCALES_MM)
    white = _white_matter_signal(protocol.sequence)
    signal = measure_signal(anatomy.fractions, anatomy.relaxation[:3], sequence)
    signal *= bias_field(bias.at(points), strength=protocol.bias)
    noisy = add_rician_noise(signal, generator, sigma=protocol.noise * white)
    noisy *= _near_head(anatomy)
    stored: np.ndarray = np.rint(noisy * (gain * protocol.stored / white)).astype(np.int16)
    return stored


def _near_head(anatomy: Anatomy) -> np.ndarray:
    """Where background suppression keeps the signal: in the head and a rim of air."""
    head = ndimage.binary_fill_holes(anatomy.fractions[Tissue.AIR] < 0.5)
    rim: np.ndarray = ndimage.binary_dilation(head, iterations=_RIM_VOXELS)
    return rim


def _acquire_ct(anatomy: Anatomy, points: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    attenuation = measure_attenuation(anatomy.fractions, anatomy.relaxation[3])
    # Rays that cross no bone arrive bright, so that air far from the head is almost free of noise.
    solid = 1.0 - anatomy.fractions[Tissue.AIR]
    shadow = ndimage.gaussian_filter(solid, _CT_SHADOW_MM / anatomy.geometry.spacing[0])
    noisy = add_ct_noise(
        attenuation, generator, sigma_hu=_CT_NOISE_HU * (0.2 + 0.8 * np.sqrt(shadow))
    )
    stored = np.clip(np.rint(noisy), *CT_RANGE_HU)
    middle = points.reshape(3, -1).mean(axis=1)
    radius = np.hypot(points[0] - middle[0], points[1] - middle[1])
    stored[radius > _CT_RADIUS_MM] = CT_RANGE_HU[0]
    result: np.ndarray = stored.astype(np.int16)
    return result


def _vary(sequence: Sequence, generator: np.random.Generator) -> Sequence:
    """The sequence with its repetition and echo times changed by a few per cent."""
    repetition, echo = generator.uniform(1.0 - _TIMING_VARIATION, 1.0 + _TIMING_VARIATION, size=2)
    return Sequence(
        sequence.repetition_ms * repetition, sequence.echo_ms * echo, sequence.inversion_ms
    )


def _white_matter_signal(sequence: Sequence) -> float:
    """Signal of pure, typical white matter."""
    fractions = np.zeros((len(Tissue), 1, 1, 1))
    fractions[Tissue.WHITE_MATTER] = 1.0
    return float(measure_signal(fractions, np.zeros((3, 1, 1, 1)), sequence)[0, 0, 0])
