"""The rule by which scans are scored, as a value that can be printed, compared and hashed."""

from __future__ import annotations

import hashlib
import json
from typing import Literal

from pydantic import Field

from medtranslate.metrics.similarity import SsimWindow
from medtranslate.settings import Settings
from medtranslate.volume import CT_RANGE_HU

ScaleRule = Literal["shared", "sidecar", "each", "none"]
AnatomicalAxis = Literal["axial", "coronal", "sagittal"]

_SCALE_RULES: dict[ScaleRule, str] = {
    "shared": "the reference's {p} percentile inside the mask divides reference and prediction",
    "sidecar": "the reference is divided by its {p} percentile inside the mask; the prediction is "
    "brought to its model's unit by the scale in its sidecar, which never saw the reference",
    "each": "reference and prediction are each divided by their own {p} percentile inside the mask",
    "none": "intensities are compared as stored",
}


class Protocol(Settings):
    """Everything that a PSNR or SSIM depends on beside the pixels."""

    name: str = Field("medtranslate", description="Name of the rule.")
    scale: ScaleRule = Field(
        "shared", description="What divides the intensities of MR; CT is never scaled."
    )
    data_range: float | None = Field(
        None, gt=0, description="Range of the stored values; needed with scale 'none' unless CT."
    )
    percentile: float = Field(
        99.5, gt=0, le=100, description="Percentile inside the mask that becomes 1."
    )
    ct_range_hu: tuple[float, float] = Field(
        CT_RANGE_HU, description="Range of CT in HU; values beyond it are clipped to it."
    )
    axis: AnatomicalAxis = Field("axial", description="Slices are perpendicular to this direction.")
    min_mask_fraction: float = Field(
        0.01, ge=0, le=1, description="A slice with less of its voxels in the mask is not scored."
    )
    ssim_sigma: float = Field(1.5, gt=0, le=100, description="Gaussian window of SSIM, in voxels.")
    ssim_k1: float = Field(0.01, ge=0, description="Constant of the luminance term of SSIM.")
    ssim_k2: float = Field(0.03, ge=0, description="Constant of the contrast term of SSIM.")
    ssim_covariance: Literal["population"] = Field(
        "population", description="Variances in the window are divided by its weight, not by n-1."
    )
    interval_level: float = Field(0.95, gt=0, lt=1, description="Level of the intervals.")
    interval_resamples: int = Field(
        10_000, ge=100, le=1_000_000, description="Bootstrap draws of people for an interval."
    )
    interval_seed: int = Field(0, ge=0, description="Seed of these draws.")

    @property
    def ssim_window(self) -> SsimWindow:
        """The window and constants of SSIM."""
        return SsimWindow(sigma=self.ssim_sigma, k1=self.ssim_k1, k2=self.ssim_k2)

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits; two protocols share them only if every number agrees."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def describe(self, *, is_ct: bool, mask: str) -> tuple[tuple[str, str], ...]:
        """The protocol in words, as (topic, sentence) pairs.

        Args:
            is_ct: Whether the scans are CT in HU.
            mask: Where the masks came from, in words.
        """
        low, high = (f"{edge:.0f}".replace("-", "\u2212") for edge in self.ct_range_hu)
        window = self.ssim_window
        size = 2 * window.radius + 1
        background = f"air ({low} HU)" if is_ct else "0"
        ct_rule = (
            f"CT in HU, never scaled; clipped to {low} to {high} HU and moved to start at 0, "
            f"data range {self.ct_range_hu[1] - self.ct_range_hu[0]:.0f} HU"
        )
        mr_range = f"{self.data_range:g}" if self.scale == "none" and self.data_range else "1"
        mr_rule = f"{_SCALE_RULES[self.scale].format(p=f'{self.percentile:g}th')}; "
        return (
            ("Intensity", ct_rule if is_ct else f"{mr_rule}data range {mr_range}"),
            ("Mask", mask),
            (
                "Slices",
                f"{self.axis}, counted along the file's own voxel axis from 0; a slice with fewer "
                f"than {100 * self.min_mask_fraction:.3g} % of its voxels in the mask is listed "
                "but counts in no mean",
            ),
            ("PSNR, MAE", "over the mask voxels of the slice"),
            (
                "SSIM",
                f"scikit-image, Gaussian window \u03c3 {window.sigma:g} ({size} voxels wide), "
                f"{self.ssim_covariance} covariance, K1 {window.k1:g}, K2 {window.k2:g}; both "
                f"images set to {background} outside the mask, map averaged over the mask voxels",
            ),
            (
                "Whole slice",
                "psnr_full and ssim_full use every voxel of the slice, background included; "
                f"the SSIM map without its border of {window.radius} voxels",
            ),
            (
                "Volume",
                "PSNR, MAE and ME over all mask voxels at once; SSIM with the same window in 3-D. "
                "ME is prediction minus reference",
            ),
            (
                "Average",
                "mean over the scored slices of a scan, then over the scans of a person, then "
                "over people",
            ),
            (
                "Interval",
                f"{100 * self.interval_level:g} %, percentile bootstrap over people, "
                f"{self.interval_resamples:,} draws, seed {self.interval_seed}",
            ),
        )
