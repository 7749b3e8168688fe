"""Differences that the slices of one volume may not have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from medtranslate.io.dicom.faults import Fault, FaultName, fault
from medtranslate.io.dicom.slices import Slice

_SAME_AXES = 1e-3
_SAME_SPACING = 1e-3
_SHOWN = 8


def find_mixtures(slices: Sequence[Slice]) -> Iterator[Fault]:
    """Sizes, pixel sizes, orientations, frames of reference and units that differ."""
    sizes = [f"{one.size[0]}x{one.size[1]} pixels" for one in slices]
    yield from _compare("mixed-size", "sizes", sizes, slices)
    spacings = np.array([one.spacing for one in slices])
    yield from _compare("mixed-spacing", "pixel sizes", _name_spacings(spacings), slices)
    yield from _find_mixed_axes(slices)
    frames = [one.frame_of_reference for one in slices]
    numbers = {uid: f"number {n + 1}" for n, uid in enumerate(dict.fromkeys(frames))}
    yield from _compare(
        "several-frames-of-reference",
        "frames of reference",
        [numbers[uid] for uid in frames],
        slices,
    )
    yield from _compare("units", "units", [one.units or "none" for one in slices], slices)


def _name_spacings(spacings: np.ndarray) -> list[str]:
    """Equal names for pixel sizes that are the same but for rounding."""
    usual = np.median(spacings, axis=0)
    same = (np.abs(spacings - usual) <= _SAME_SPACING * usual).all(axis=1)
    named = np.where(same[:, None], usual, spacings)
    return [f"{i:.4g}x{j:.4g} mm" for i, j in named]


def _find_mixed_axes(slices: Sequence[Slice]) -> Iterator[Fault]:
    groups: list[list[Slice]] = []
    for one in slices:
        for group in groups:
            if np.abs(group[0].axes - one.axes).max() <= _SAME_AXES:
                group.append(one)
                break
        else:
            groups.append([one])
    if len(groups) > 1:
        parts = ", ".join(f"{len(group)} like {group[0].label}" for group in groups[:_SHOWN])
        yield fault("mixed-orientation", f"slices have {len(groups)} orientations: {parts}")


def _compare(
    name: FaultName, what: str, values: Sequence[str], slices: Sequence[Slice]
) -> Iterator[Fault]:
    """A fault if values differ, naming the rarer ones with a slice that has them."""
    counts = {value: values.count(value) for value in dict.fromkeys(values)}
    if len(counts) < 2:
        return
    usual = max(counts, key=lambda value: counts[value])
    rare = [
        f"{count} {value} (first {slices[values.index(value)].label})"
        for value, count in counts.items()
        if value != usual
    ]
    yield fault(
        name,
        f"slices have {len(counts)} {what}: {counts[usual]} {usual}, {', '.join(rare[:_SHOWN])}",
    )
