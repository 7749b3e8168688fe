"""Scans whose headers cannot be true: on them every millimetre would be wrong."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from medtranslate.data.findings import Remark, examine_grid
from medtranslate.data.leakage import Scanned
from medtranslate.io import read_header

_LOGGER = logging.getLogger(__name__)


def warn_of_untrue_headers(cases: Sequence[Scanned]) -> None:
    """Say of which scans ``inspect`` would say that their voxels cannot lie where the header says.

    A warning and no refusal, for it is judged by size alone: a slab of cubes of 1 mm may be one.

    Raises:
        VolumeReadError: If a scan cannot be read.
    """
    found = [(path, remark) for case in cases for path, remark in _find(case)]
    if found:
        path, remark = found[0]
        scans = path.name if len(found) == 1 else f"{len(found)} scans, such as {path.name}"
        do = f"{remark.do[:1].upper()}{remark.do[1:]}"
        _LOGGER.warning("%s: %s. %s", scans, remark.what, do)


def _find(case: Scanned) -> Iterator[tuple[Path, Remark]]:
    for path in case.images:
        for remark in examine_grid(read_header(path)):
            if remark.severity == "error":
                yield path, remark
