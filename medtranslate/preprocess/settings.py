"""What preprocessing does, as the pipeline file says it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from medtranslate.settings import Settings
from medtranslate.volume import CT_RANGE_HU


class PercentileIntensity(Settings):
    """0 stays 0 and a high percentile inside the mask becomes 1; for MR and PET."""

    name: Literal["percentile"] = "percentile"
    upper: float = Field(
        99.5, gt=50, le=100, description="Percentile of the voxels inside the mask that becomes 1."
    )


class WindowIntensity(Settings):
    """A fixed window becomes 0..1 and values outside are clipped; for CT in HU."""

    name: Literal["window"] = "window"
    low_hu: float = Field(CT_RANGE_HU[0], description="Becomes 0, and fills what was not scanned.")
    high_hu: float = Field(CT_RANGE_HU[1], description="Becomes 1.")

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.high_hu <= self.low_hu:
            raise ValueError(f"high_hu ({self.high_hu}) must lie above low_hu ({self.low_hu})")
        return self


class SharedIntensity(Settings):
    """The source's scale, for a later scan of the same person; only as target_intensity.

    The target is first brought to the source's gain: the median ratio of the two inside the mask.
    """

    name: Literal["shared"] = "shared"


class NoIntensity(Settings):
    """Values stay as they are."""

    name: Literal["none"] = "none"


IntensitySettings = Annotated[
    PercentileIntensity | WindowIntensity | SharedIntensity | NoIntensity,
    Field(discriminator="name"),
]

RegionName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]

PositiveMillimetres = Annotated[float, Field(gt=0)]


class PreprocessSettings(Settings):
    """From files to normalised volumes on the model grid; every step is undone afterwards."""

    orientation: Literal["RAS"] = Field("RAS", description="Voxel axes of the model grid.")
    align: Literal["none", "rigid", "transforms"] = Field(
        "none",
        description=(
            "How the target is brought onto the source: not at all (their grids must agree), by "
            "rigid registration, or by the transform files that come with the dataset."
        ),
    )
    register_same_grid: bool = Field(
        False,
        description=(
            "With align: rigid, also register pairs that lie on one grid. Off: whoever put them on "
            "one grid has registered them, and they are left as they are."
        ),
    )
    spacing_mm: (
        PositiveMillimetres
        | tuple[PositiveMillimetres, PositiveMillimetres, PositiveMillimetres]
        | None
    ) = Field(
        None,
        description=(
            "Voxel size of the model grid: one number, or one per axis (left-right, "
            "back-front, foot-head). Null keeps the source's own voxels; nothing is resampled."
        ),
    )
    n4: bool = Field(
        False, description="Remove the bias field of MR images by N4; never applied to a CT."
    )
    mask: Literal["nonzero", "brain", "otsu", "given", "none"] = Field(
        "nonzero",
        description=(
            "Where the patient is, from the source alone: voxels that are not 0 (skull-stripped "
            "scans), the brain found by an atlas (T1w, with or without skull), smoothed Otsu "
            "threshold (scans with skull or body), the dataset's mask, or "
            "the whole grid."
        ),
    )
    crop_margin_mm: float | None = Field(
        8.0, ge=0, description="Crop to the mask's box plus this margin; null keeps everything."
    )
    source_intensity: IntensitySettings = Field(
        default=PercentileIntensity(), description="How source values become normalised ones."
    )
    target_intensity: IntensitySettings = Field(
        default=PercentileIntensity(), description="How target values become normalised ones."
    )

    region_values: tuple[int, ...] = Field(
        (),
        description="Values of visits.labels that make up the followed region; empty: every "
        "value above 0.",
    )
    further_regions: dict[RegionName, Annotated[tuple[int, ...], Field(min_length=1)]] = Field(
        default_factory=dict,
        description="Further regions of visits.labels by name, each with its values: their change "
        "of volume is trained too, and not followed, as in {ventricles: [4, 43]}.",
    )

    @model_validator(mode="after")
    def _shares_a_scale(self) -> Self:
        if isinstance(self.source_intensity, SharedIntensity):
            raise ValueError("source_intensity cannot be 'shared'; it is what target_intensity is")
        if isinstance(self.target_intensity, SharedIntensity) and isinstance(
            self.source_intensity, WindowIntensity
        ):
            raise ValueError("CT has a scale of its own: give both intensities the same window")
        return self

    @property
    def spacing(self) -> tuple[float, float, float] | None:
        """Voxel size of the model grid along ``(i, j, k)`` in millimetres; None if native."""
        if isinstance(self.spacing_mm, float):
            return (self.spacing_mm, self.spacing_mm, self.spacing_mm)
        return self.spacing_mm
