"""What can be set about scoring."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from medtranslate.metrics.rules import PROTOCOL_NAMES, ProtocolName
from medtranslate.metrics.trajectories import FEWEST_SAMPLES
from medtranslate.settings import Settings


class EvaluationSettings(Settings):
    """How held-out people are scored; scale and mask are the protocol's."""

    axis: Literal["axial", "coronal", "sagittal"] = Field(
        "axial", description="Direction of the slices that are scored."
    )
    protocols: tuple[ProtocolName, ...] = Field(
        PROTOCOL_NAMES,
        description="Rules that the report compares; those not defined for the scans are left out.",
    )
    uncertainty: bool = Field(
        False,
        description="Predict held-out people mirrored too, write the standard deviations, and"
        " compare the coverage of their intervals with the nominal one.",
    )
    audit: bool = Field(
        False,
        description="Also try the model with degraded sources and with lesions put in and taken "
        "out; about twenty predictions for each held-out case.",
    )
    downstream: bool = Field(
        False,
        description="Also train a small segmenter on the training people's real target scans, and "
        "compare what it finds in the held-out people's real and synthetic ones.",
    )
    samples: int = Field(
        19,
        ge=0,
        description="Of progression: futures drawn of each held-out pair, whose spread is compared "
        "with the truth; 0 for none, else at least 19, which hold 90 % between them.",
    )

    @field_validator("samples")
    @classmethod
    def _hold_the_widest_interval(cls, samples: int) -> int:
        if 0 < samples < FEWEST_SAMPLES:
            raise ValueError(
                f"expected 0 for none, or at least {FEWEST_SAMPLES}: fewer have no central 90 %"
            )
        return samples
