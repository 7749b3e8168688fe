"""What can be set about prediction."""

from __future__ import annotations

from pydantic import Field

from medtranslate.settings import Settings


class InferenceSettings(Settings):
    """How a whole volume is predicted."""

    window: tuple[int, int, int] | None = Field(
        None,
        description="Voxels of one window along (i, j, k); none: the whole volume at once when it"
        " fits the memory, else windows of 96 voxels.",
    )
    overlap: float = Field(
        0.5, ge=0, le=0.9, description="Fraction by which neighbouring windows overlap."
    )
    memory_gb: float | None = Field(
        None,
        gt=0,
        description="Memory that prediction may take, in 10^9 bytes; none: half of what is free.",
    )
