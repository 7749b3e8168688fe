"""The rules by which others score synthetic scans, as values that can be printed and hashed."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Sequence
from typing import Literal, get_args

from pydantic import Field

from medtranslate.errors import ConfigError
from medtranslate.metrics.protocol import AnatomicalAxis
from medtranslate.settings import Settings

ProtocolName = Literal[
    "medtranslate",
    "synthrad2023",
    "synthrad2025",
    "synthrad2025-published-code",
    "ganslate",
    "own-maximum",
    "brasyn",
    "monai",
]
"""What ``--protocol`` takes: the default protocol, and the rules of ``RULES``."""

DEFAULT_PROTOCOL = "medtranslate"
PROTOCOL_NAMES: tuple[ProtocolName, ...] = get_args(ProtocolName)

RuleMeasure = Literal["psnr", "ssim", "ms_ssim", "mae"]
ScansOfRule = Literal["CT", "MR", "CT and MR"]

_SCALES = {
    "none": "CT in HU, MR in the protocol's unit; not scaled",
    "range": "CT divided by the width of its range; MR in the protocol's unit, whose peak is 1",
    "own maximum": "each slice, reference and prediction alike, divided by its own maximum",
    "own percentiles": "reference and prediction each clipped to their own {low:g} and {high:g} "
    "percentiles, taken over the whole volume, and stretched to 0..1",
}


class SsimRule(Settings):
    """How a rule measures structural similarity."""

    window: Literal["gaussian", "uniform"] = Field(description="Weights of the window.")
    size: int = Field(ge=3, description="Width of the window along each direction, in voxels.")
    sigma: float | None = Field(None, gt=0, description="Of the Gaussian window, in voxels.")
    covariance: Literal["sample", "population"] = Field(
        description="Variances divided by the window's voxels less one, or by its weight."
    )
    dimensions: Literal[2, 3] = Field(description="Window in the slice, or in the volume.")
    k1: float = Field(0.01, ge=0, description="Constant of the luminance term.")
    k2: float = Field(0.03, ge=0, description="Constant of the contrast term.")
    scale_weights: tuple[float, ...] = Field(
        (), description="Exponents of the scales of MS-SSIM, finest first; none for plain SSIM."
    )

    @property
    def radius(self) -> int:
        """Voxels from the centre of the window to its edge."""
        return self.size // 2

    def describe(self) -> str:
        """The window, its constants and what of the map counts, in words."""
        sigma = "" if self.sigma is None else f" \u03c3 {self.sigma:g}"
        text = (
            f"{self.dimensions}-D, {self.window} window{sigma} {self.size} voxels wide, "
            f"{self.covariance} covariance, K1 {self.k1:g}, K2 {self.k2:g}, "
            f"a border of {self.radius} voxels not counted"
        )
        if not self.scale_weights:
            return text
        weights = ", ".join(f"{weight:g}" for weight in self.scale_weights)
        return (
            f"MS-SSIM, {len(self.scale_weights)} scales ({weights}), luminance at every scale; "
            f"{text}; volumes thinner than 97 voxels are padded with their edge"
        )


class Rule(Settings):
    """Everything that a PSNR, SSIM or MAE found in use depends on beside the pixels."""

    name: str = Field(description="Name of the rule.")
    source: str = Field(description="Who scores so, and where it stands.")
    scans: ScansOfRule = Field(description="What the rule is defined for.")
    measures: tuple[RuleMeasure, ...] = Field(description="What the original computes.")
    scale: Literal["none", "range", "own maximum", "own percentiles"] = Field(
        description="What happens to intensities before PSNR and SSIM; MAE takes them as stored."
    )
    percentiles: tuple[float, float] | None = Field(
        None, description="Percentiles of the whole volume that become 0 and 1."
    )
    clip_hu: tuple[float, float] | None = Field(
        None, description="CT is clipped to it and moved to start at 0, for PSNR and SSIM."
    )
    data_range: float | Literal["reference maximum"] = Field(
        description="Peak of PSNR and range of SSIM, in scored units."
    )
    region: Literal["mask", "whole"] = Field(description="Voxels that PSNR, SSIM and MAE count.")
    background_hu: float | None = Field(
        None, description="What both images are set to outside the mask; None: left as they are."
    )
    error_over: Literal["volume", "slices"] = Field(
        description="PSNR and MAE over the whole volume at once, or as means over slices."
    )
    ssim: SsimRule | None = Field(None, description="Structural similarity; None: not computed.")
    axis: AnatomicalAxis = Field("axial", description="Slices are perpendicular to it.")
    min_mask_fraction: float = Field(
        0.0, ge=0, le=1, description="A slice with less of its voxels in the mask is left out."
    )

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits of every number; the wording of ``source`` is not part."""
        data = self.model_dump(mode="json", exclude={"source"})
        text = json.dumps(data, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def applies_to(self, *, is_ct: bool) -> bool:
        """Whether the rule is defined for CT in HU, or for MR."""
        return ("CT" if is_ct else "MR") in self.scans

    def describe(self) -> tuple[tuple[str, str], ...]:
        """The rule in words, as (topic, sentence) pairs."""
        topics = [("Used by", self.source), ("Scans", self.scans)]
        topics.append(("Intensity", self._describe_intensity()))
        peak = self.data_range if isinstance(self.data_range, str) else f"{self.data_range:g}"
        topics.append(("Data range", peak))
        topics.append(("Region", self._describe_region()))
        kept = (
            f"those with at least {100 * self.min_mask_fraction:g} % of their voxels in the mask"
            if self.min_mask_fraction
            else "all, empty ones too"
        )
        slices = f"mean over the {self.axis} slices: {kept}"
        topics.append(("PSNR", "volume" if self.error_over == "volume" else slices))
        if self.ssim is not None:
            where = "" if self.ssim.dimensions == 3 else f"; {slices}"
            topics.append(("SSIM", f"{self.ssim.describe()}{where}"))
        if "mae" in self.measures:
            topics.append(("MAE", f"over the {self.error_over}, of intensities as stored"))
        topics.append(("Average", "over the scans of a person, then over people"))
        return tuple(topics)

    def _describe_intensity(self) -> str:
        low, high = self.percentiles or (0.0, 100.0)
        words = _SCALES[self.scale].format(low=low, high=high)
        if self.clip_hu is None:
            return words
        first, last = (f"{edge:.0f}".replace("-", "\u2212") for edge in self.clip_hu)
        return f"{words}; CT clipped to {first} to {last} HU, moved to start at 0"

    def _describe_region(self) -> str:
        if self.region == "whole":
            return "every voxel, background counted; the mask is not used"
        return f"voxels of the mask; both images set to {self.background_hu:g} HU outside it"


_UNIFORM_7 = SsimRule(window="uniform", size=7, covariance="sample", dimensions=3)
_GAUSSIAN_11 = SsimRule(
    window="gaussian", size=11, sigma=1.5, covariance="population", dimensions=3
)

_SYNTHRAD2023 = Rule(
    name="synthrad2023",
    source="SynthRAD2023 challenge (Huijben 2024, arXiv:2403.08447), its evaluation script",
    scans="CT",
    measures=("psnr", "ssim", "mae"),
    scale="none",
    clip_hu=(-1024.0, 3000.0),
    data_range=4024.0,
    region="mask",
    background_hu=-1024.0,
    error_over="volume",
    ssim=_UNIFORM_7,
)

_SYNTHRAD2025 = Rule(
    name="synthrad2025",
    source="SynthRAD2025 challenge (arXiv:2605.13555), SynthRAD2025/evaluation image_metrics.py "
    "with the range -1024 to 3071 HU",
    scans="CT",
    measures=("psnr", "ms_ssim", "mae"),
    scale="none",
    clip_hu=(-1024.0, 3071.0),
    data_range=4095.0,
    region="mask",
    background_hu=-1024.0,
    error_over="volume",
    ssim=_UNIFORM_7.model_copy(update={"scale_weights": (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)}),
)

RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        _SYNTHRAD2023,
        _SYNTHRAD2025,
        _SYNTHRAD2025.model_copy(
            update={
                "name": "synthrad2025-published-code",
                "source": "SynthRAD2025 challenge, image_metrics.py as first published, with the "
                "range -1024 to 3000 HU of 2023",
                "clip_hu": (-1024.0, 3000.0),
                "data_range": 4024.0,
            }
        ),
        Rule(
            name="ganslate",
            source="ganslate 0.1.0, ganslate/utils/metrics/val_test_metrics.py, without a mask",
            scans="CT and MR",
            measures=("psnr", "ssim", "mae"),
            scale="none",
            data_range="reference maximum",
            region="whole",
            error_over="volume",
            ssim=_UNIFORM_7.model_copy(update={"dimensions": 2}),
        ),
        Rule(
            name="own-maximum",
            source="icon-lab family: SynDiff test.py, ResViT train.py; no SSIM in these scripts",
            scans="CT and MR",
            measures=("psnr",),
            scale="own maximum",
            clip_hu=(-1024.0, 3071.0),
            data_range=1.0,
            region="whole",
            error_over="slices",
            min_mask_fraction=0.01,
        ),
        Rule(
            name="brasyn",
            source="missing-MRI (BraSyn) entries such as cWDM and WFM: percentiles of their "
            "preparation, each image by its own as in the organisers' ssim.py",
            scans="MR",
            measures=("psnr", "ssim"),
            scale="own percentiles",
            percentiles=(0.1, 99.9),
            data_range=1.0,
            region="whole",
            error_over="volume",
            ssim=_GAUSSIAN_11,
        ),
        Rule(
            name="monai",
            source="MONAI 1.x, monai.metrics PSNRMetric(max_val=1) and SSIMMetric(spatial_dims=3)",
            scans="CT and MR",
            measures=("psnr", "ssim"),
            scale="range",
            clip_hu=(-1024.0, 3071.0),
            data_range=1.0,
            region="whole",
            error_over="volume",
            ssim=_GAUSSIAN_11,
        ),
    )
}
"""Rules found in use, by the name that ``--protocol`` takes."""


def resolve_rules(names: Sequence[str]) -> tuple[Rule, ...]:
    """The rules of these names, each once, in the order given.

    The default protocol makes the main tables in any case, so its name adds no rule.

    Args:
        names: As ``--protocol`` or ``evaluation.protocols`` give them.

    Raises:
        ConfigError: If a name is not known; lists those that are.

    Example:
        >>> ", ".join(rule.name for rule in resolve_rules(["medtranslate", "monai"]))
        'monai'
    """
    for name in names:
        if name not in PROTOCOL_NAMES:
            close = difflib.get_close_matches(name, PROTOCOL_NAMES, n=1)
            hint = f"; did you mean '{close[0]}'?" if close else "."
            raise ConfigError(
                f"--protocol {name}: unknown protocol{hint} Known are {', '.join(PROTOCOL_NAMES)}"
            )
    return tuple(RULES[name] for name in dict.fromkeys(names) if name != DEFAULT_PROTOCOL)
