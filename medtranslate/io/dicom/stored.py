"""Predicted values as the whole numbers of 16 bits that DICOM stores, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medtranslate.volume import CT_RANGE_HU

_LARGEST = 2**16 - 1
_DIGITS = 9


@dataclass(frozen=True, eq=False)
class StoredValues:
    """Whole numbers, and how they become values: ``value = stored * slope + intercept``.

    Attributes:
        array: uint16, any shape.
        slope: Of the line, short enough for a decimal string.
        intercept: Of the line, likewise.
        num_clipped: Values that 16 bits could not hold and that were set to the nearest end.
    """

    array: np.ndarray
    slope: float
    intercept: float
    num_clipped: int

    def restore(self) -> np.ndarray:
        """The values the stored numbers stand for, float64."""
        return self.array * self.slope + self.intercept


def store_hounsfield(values: np.ndarray) -> StoredValues:
    """CT as every planning system reads it: steps of 1 HU from -1024 HU on.

    Args:
        values: In HU; what lies outside -1024 to 64511 is clipped and counted.

    Returns:
        Stored numbers within half a step, 0.5 HU, of every value that was not clipped.

    Example:
        >>> stored = store_hounsfield(np.array([-1024.0, -2000.0, 40.4]))
        >>> stored.array.tolist(), stored.num_clipped
        ([0, 0, 1064], 1)
    """
    return _store(values, slope=1.0, intercept=CT_RANGE_HU[0])


def store_arbitrary(values: np.ndarray) -> StoredValues:
    """MR in arbitrary units: the whole range of the values over all 16 bits.

    Args:
        values: Finite; nothing is clipped.

    Returns:
        Stored numbers within half a step of every value. 0 stays 0 where no value is negative.

    Example:
        >>> stored = store_arbitrary(np.array([0.0, 1.0, 655.35]))
        >>> stored.array.tolist(), stored.slope, stored.intercept
        ([0, 100, 65535], 0.01, 0.0)
    """
    low = _shorten(min(float(values.min()), 0.0))
    reach = float(values.max()) - low
    slope = _shorten(reach / _LARGEST) if reach > 0 else 1.0
    return _store(values, slope=slope, intercept=low)


def _shorten(value: float) -> float:
    """The nearest number of nine digits; over 16 bits that moves nothing by a thousandth step."""
    return float(f"{value:.{_DIGITS - 1}e}")


def _store(values: np.ndarray, *, slope: float, intercept: float) -> StoredValues:
    numbers = np.rint((values.astype(np.float64) - intercept) / slope)
    outside = int(np.count_nonzero((numbers < 0) | (numbers > _LARGEST)))
    array = np.clip(numbers, 0, _LARGEST).astype(np.uint16)
    return StoredValues(array, slope, intercept, outside)
