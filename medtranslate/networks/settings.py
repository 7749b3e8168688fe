"""What can be set about the networks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from medtranslate.settings import Settings


class GeneratorSettings(Settings):
    """Size and shape of the generator."""

    dimensions: Literal["3d", "2.5d"] = Field(
        "3d", description="3d: volumes; 2.5d: axial slices with their neighbours as channels."
    )
    neighbour_slices: int = Field(
        5, ge=1, le=15, description="Slices that a 2.5d generator sees at once; an odd number."
    )
    channels: int = Field(
        16,
        ge=8,
        le=256,
        multiple_of=8,
        description="Feature channels of the first level; doubled each level.",
    )
    blocks: tuple[Annotated[int, Field(ge=1, le=32)], ...] = Field(
        (1, 2, 2, 2),
        min_length=2,
        max_length=5,
        description="Residual blocks at each level on the way down.",
    )
    norm: Literal["none", "group"] = Field(
        "none",
        description="none: every voxel's prediction depends on its neighbourhood alone, so windows "
        "and whole volumes agree; group: group norm, whose statistics change with what is shown.",
    )
    stem_factor: Literal[1, 2] = Field(
        2, description="2: the network works at half resolution behind a space-to-depth stem."
    )
    head_channels: int = Field(
        4, ge=1, le=256, description="Feature channels of the last layer, at full resolution."
    )

    @property
    def divisor(self) -> int:
        """Number that the sizes of what the generator is given must be a multiple of."""
        return int(self.stem_factor * 2 ** (len(self.blocks) - 1))


class DiscriminatorSettings(Settings):
    """Size of the conditional patch discriminator."""

    channels: int = Field(32, ge=4, le=256, description="Feature channels of its first layer.")
    num_layers: int = Field(3, ge=1, le=5, description="Strided layers; more see larger patches.")
    num_scales: int = Field(1, ge=1, le=3, description="Discriminators at halved resolutions.")
    learning_rate: float = Field(2e-4, gt=0, description="Learning rate of the discriminator.")
