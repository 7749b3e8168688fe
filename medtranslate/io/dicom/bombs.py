"""How much packed bytes may unpack to before they are taken for a bomb."""

from __future__ import annotations

_SMALL_BYTES = 64 << 20
_LARGEST_RATIO = 200


def most_unpacked(packed: int) -> int:
    """Bytes that so many packed ones may unpack to.

    Scans are not packed better than 200 to 1. Slices of air alone are: 64 MB are let pass.

    Example:
        >>> most_unpacked(1000) == 64 << 20, most_unpacked(10**9)
        (True, 200000000000)
    """
    return max(_SMALL_BYTES, packed * _LARGEST_RATIO)
