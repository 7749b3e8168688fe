"""What a person's past scans tell of the future: where tissue has moved, or how fast it grew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from medtranslate.data.durations import parse_durations
from medtranslate.errors import ConfigError
from medtranslate.methods.observed_motion import OtherTime, observe_velocity
from medtranslate.preprocess.preparation import prepare
from medtranslate.preprocess.settings import PreprocessSettings
from medtranslate.workflows.forecaster import AnyForesight
from medtranslate.workflows.foresight import Foresight
from medtranslate.workflows.speeds import find_scan_speed


@dataclass(frozen=True)
class PastScan:
    """A scan from before the baseline.

    Attributes:
        path: The file.
        years_before: How long before, more than 0.
    """

    path: Path
    years_before: float


def parse_history(texts: Sequence[str]) -> tuple[PastScan, ...]:
    """Read ``FILE=1y``: a scan, and how long before the baseline it was taken.

    Raises:
        ConfigError: If a text is not of this form, or the time is 0.

    Example:
        >>> parse_history(["before.nii.gz=6m"])[0].years_before
        0.5
    """
    found = []
    for text in texts:
        file, sign, time = text.rpartition("=")
        if not (sign and file):
            raise ConfigError(
                f"--history {text}: expected FILE=TIME, the time before the baseline, as in"
                " before.nii.gz=1y"
            )
        spans = parse_durations(time, where=f"--history {text}")
        if len(spans) != 1 or spans[0].years <= 0:
            raise ConfigError(f"--history {text}: expected one time above 0 before the baseline")
        found.append(PastScan(Path(file), spans[0].years))
    return tuple(found)


@dataclass(frozen=True, eq=False)
class SeenBefore:
    """A past scan on the baseline's model grid.

    Attributes:
        baseline: Shape ``(1, i, j, k)``, normalised.
        image: Same shape and unit; the past scan.
        mask: Same shape, 1 where both are known.
        years: Of the past scan, from the baseline; below 0.
    """

    baseline: torch.Tensor
    image: torch.Tensor
    mask: torch.Tensor
    years: float


def see_past(
    history: Sequence[PastScan], *, settings: PreprocessSettings, baseline: Path, name: str
) -> list[SeenBefore]:
    """Bring past scans onto the baseline.

    Args:
        history: The past scans.
        settings: How scans are prepared.
        baseline: Its file.
        name: Names the baseline in messages.

    Raises:
        VolumeReadError: If a scan cannot be read.
        GeometryError: If it does not lie where the baseline does.
    """
    found = []
    for past in history:
        pair = prepare(settings, name=name, source=baseline, target=past.path)
        if pair.target is None or pair.seen is None:
            raise ValueError("a past scan was not prepared")
        parts = (pair.source, pair.target, pair.mask * pair.seen)
        source, image, mask = (part.as_subclass(torch.Tensor) for part in parts)
        found.append(SeenBefore(source, image, mask, -past.years_before))
    return found


def follow_past(
    foresight: AnyForesight, seen: Sequence[SeenBefore]
) -> tuple[AnyForesight, float | None]:
    """What the model says, started from the person's own past.

    A model of motion starts from the velocity that was observed. A region that grows is followed
    by the speed alone: nothing of a past scan says by itself how far a border has advanced.

    Args:
        foresight: What the model says of the baseline.
        seen: The past scans, at least one.

    Returns:
        Also the observed speed; None where a velocity was observed.
    """
    if isinstance(foresight, Foresight) and not foresight.grows:
        return observe_motion(foresight, seen), None
    return foresight, observe_speed(foresight, seen)


def observe_speed(foresight: AnyForesight, seen: Sequence[SeenBefore]) -> float:
    """The speed of disease that explains the past scans best; 1 is what the model expects.

    The baseline is let go back in time at 13 speeds between a quarter and four times, and compared
    with what it was. Several scans give the geometric mean of their speeds.

    Args:
        foresight: What the model says of the baseline.
        seen: The past scans, at least one.
    """
    speeds = [
        find_scan_speed(
            foresight,
            source=past.baseline,
            target=past.image,
            mask=past.mask,
            years=past.years,
        )
        for past in seen
    ]
    return float(np.exp(np.mean(np.log(speeds))))


def observe_motion(foresight: Foresight, seen: Sequence[SeenBefore]) -> Foresight:
    """What the model says, its velocity drawn to the one that explains the past scans.

    Args:
        foresight: What the model says of the baseline.
        seen: The past scans, at least one.
    """
    others = [
        OtherTime(foresight.pad(past.image), foresight.pad(past.mask, zeros=True), past.years)
        for past in seen
    ]
    dynamics = foresight.dynamics
    velocity = observe_velocity(dynamics.velocity, foresight.baseline, others)
    return replace(foresight, dynamics=dynamics._replace(velocity=velocity))
