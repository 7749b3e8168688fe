"""A scan in memory: voxels, where they lie, and what their numbers mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from medtranslate.errors import GeometryError
from medtranslate.geometry import Geometry

Unit = Literal["HU", "arbitrary", "label", "normalised"]

CT_RANGE_HU = (-1024.0, 3071.0)
"""Range of a 12-bit CT, in Hounsfield units; its lower end is the background of every CT here."""


@dataclass(frozen=True, eq=False)
class Volume:
    """A scan in memory.

    Attributes:
        array: Shape ``(c, i, j, k)``; voxel values in ``unit``.
        geometry: Where the voxels lie; its shape is that of ``array`` without the channel.
        modality: BIDS suffix such as ``T1w`` or ``CT``; None if unknown.
        unit: ``HU``, ``arbitrary`` (MR as scanned), ``label`` or ``normalised``.

    Raises:
        GeometryError: If array and geometry differ in shape.
    """

    array: np.ndarray
    geometry: Geometry
    modality: str | None = None
    unit: Unit = "arbitrary"

    def __post_init__(self) -> None:
        if self.array.ndim != 4 or self.array.shape[1:] != self.geometry.shape:
            raise GeometryError(
                f"array has shape {self.array.shape}, expected (channels, "
                f"{', '.join(map(str, self.geometry.shape))})"
            )

    @property
    def voxels(self) -> np.ndarray:
        """The first channel, shape ``(i, j, k)``."""
        channel: np.ndarray = self.array[0]
        return channel


@dataclass(frozen=True)
class IntensityScale:
    """How stored values and normalised values relate: ``normalised = (stored - offset) / factor``.

    Attributes:
        offset: Stored value that becomes 0; the background.
        factor: Stored difference that becomes 1; positive.
        unit: Unit of the stored values.
    """

    offset: float
    factor: float
    unit: Unit = "arbitrary"

    def __post_init__(self) -> None:
        if not (np.isfinite(self.offset) and np.isfinite(self.factor) and self.factor > 0):
            raise ValueError(f"scale needs a finite offset and a positive factor, got {self}")

    def normalise(self, stored: np.ndarray) -> np.ndarray:
        """Stored values to normalised ones, as float32."""
        return ((stored.astype(np.float64) - self.offset) / self.factor).astype(np.float32)

    def restore(self, normalised: np.ndarray) -> np.ndarray:
        """Normalised values to stored ones, as float32."""
        return (normalised.astype(np.float64) * self.factor + self.offset).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """Plain data for a sidecar or ``scale.json``."""
        return {"Offset": self.offset, "Factor": self.factor, "Unit": self.unit}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> IntensityScale:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError: If a key is missing or a value is not a usable number.
        """
        try:
            return cls(float(data["Offset"]), float(data["Factor"]), data["Unit"])
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"intensity scale needs Offset, Factor and Unit, got {dict(data)}"
            ) from error


CT_SCALE = IntensityScale(CT_RANGE_HU[0], CT_RANGE_HU[1] - CT_RANGE_HU[0], "HU")
"""CT is never scaled by its own statistics: -1024..3071 HU becomes 0..1."""
