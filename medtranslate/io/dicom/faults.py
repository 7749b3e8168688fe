"""What can be wrong with a series: a name, what was found, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from medtranslate.errors import DicomError

FaultName = Literal[
    "absent-position",
    "absent-spacing",
    "colour",
    "conflicting-slices",
    "damaged",
    "duplicates",
    "gantry-tilt",
    "irregular-position",
    "kind",
    "missing-slices",
    "mixed-orientation",
    "mixed-size",
    "mixed-spacing",
    "several-frames-of-reference",
    "several-volumes",
    "units",
    "varying-spacing",
]

_ADVICE: dict[FaultName, str] = {
    "absent-position": "Export the series again with its positions; they are not guessed",
    "absent-spacing": "Export the series again with its Pixel Spacing; it is not guessed",
    "colour": "Give the scan itself, not a picture of it",
    "conflicting-slices": "Find out which one is right and remove the other",
    "damaged": "Fetch the file again",
    "duplicates": "Remove the copies, or repair with --fix drop-duplicates",
    "gantry-tilt": "Repair with --fix deskew, which interpolates within the slices",
    "irregular-position": "Look at the series in a viewer: slices of two scans may be mixed",
    "kind": "Give a series of CT, MR or PET slices",
    "missing-slices": "Fetch them, or repair with --fix interpolate-missing=N",
    "mixed-orientation": "Separate the orientations into folders of their own",
    "mixed-size": "Separate the sizes into folders of their own",
    "mixed-spacing": "Separate the pixel sizes into folders of their own",
    "several-frames-of-reference": "Separate them: their positions have no common origin",
    "several-volumes": "Separate the volumes (echoes, times, directions) into folders of their own",
    "units": "Export the series again with its values in the standard's unit",
    "varying-spacing": "Resample it in a program that knows why, or reconstruct it evenly",
}


@dataclass(frozen=True)
class Fault:
    """Something wrong with a series.

    Attributes:
        name: Which kind of fault.
        what: What was found and where, without a full stop.
        do: What to do about it.
    """

    name: FaultName
    what: str
    do: str


def fault(name: FaultName, what: str, do: str = "") -> Fault:
    """A fault with the advice of its kind unless another is given."""
    return Fault(name, what, do or _ADVICE[name])


def refusal(path: Path | str, faults: Sequence[Fault]) -> DicomError:
    """All faults as one error; faults of a kind are told once with the number of others."""
    told: dict[FaultName, list[Fault]] = {}
    for one in faults:
        told.setdefault(one.name, []).append(one)
    lines = []
    for name, group in told.items():
        more = f" (and {len(group) - 1} more like this)" if len(group) > 1 else ""
        lines.append(f"{name}: {group[0].what}{more}. {group[0].do}")
    return DicomError(f"{path}: " + "\n".join(lines))
