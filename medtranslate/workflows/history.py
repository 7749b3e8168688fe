"""How fast a person has changed so far: the speed seen between an earlier scan and the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from medtranslate.data.durations import parse_durations
from medtranslate.errors import ConfigError
from medtranslate.preprocess.preparation import prepare
from medtranslate.preprocess.settings import PreprocessSettings
from medtranslate.workflows.forecaster import AnyForesight
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


def observe_speed(
    foresight: AnyForesight,
    history: Sequence[PastScan],
    *,
    settings: PreprocessSettings,
    baseline: Path,
    name: str,
) -> float:
    """The speed of disease that explains the past scans best; 1 is what the model expects.

    The baseline is let go back in time at 13 speeds between a quarter and four times, and compared
    with what it was. Several scans give the geometric mean of their speeds.

    Args:
        foresight: What the model says of the baseline.
        history: The past scans, at least one.
        settings: How scans are prepared.
        baseline: Its file.
        name: Names the baseline in messages.

    Raises:
        VolumeReadError: If a scan cannot be read.
        GeometryError: If it does not lie where the baseline does.
    """
    logs = []
    for past in history:
        pair = prepare(settings, name=name, source=baseline, target=past.path)
        if pair.target is None or pair.seen is None:
            raise ValueError("a past scan was not prepared")
        plain = [one.as_subclass(torch.Tensor) for one in (pair.source, pair.target)]
        speed = find_scan_speed(
            foresight,
            source=plain[0],
            target=plain[1],
            mask=(pair.mask * pair.seen).as_subclass(torch.Tensor),
            years=-past.years_before,
        )
        logs.append(np.log(speed))
    return float(np.exp(np.mean(logs)))
