"""Look for a key's watermark in synthetic scans, NIfTI or DICOM, with or without their sidecars."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from medtranslate.errors import MedTranslateError
from medtranslate.io import read_volume, sidecar_path
from medtranslate.io.dicom.location import holds_dicom
from medtranslate.io.documents import read_document
from medtranslate.watermark import NEEDED_SCORE, WatermarkKey, find_watermark, recorded_identity
from medtranslate.workflows.checks import Check
from medtranslate.workflows.outputs import SERIES_DESCRIPTION, SERIES_FOLDER

_WHAT = "watermark"


def check_watermarks(path: Path, scans: Sequence[Path], key: WatermarkKey) -> Iterator[Check]:
    """Whether a scan, or each one in a folder that may carry the watermark, does.

    Args:
        path: What was given: a scan, a folder of results, or a folder of DICOM.
        scans: The synthetic scans in it. Those whose sidecar tells of no watermark are passed over
            in a folder.
        key: Whose watermark is looked for.
    """
    marked = [path] if path.is_file() else list(_find_marked(path, scans))
    for place in marked:
        yield _check(place, key)


def count_recorded(path: Path, scans: Sequence[Path]) -> int:
    """How many scans have a sidecar that tells of a watermark."""
    descriptions = [sidecar_path(scan) for scan in scans] + _series_descriptions(path)
    return sum(recorded_identity(_read(one)) is not None for one in descriptions)


def _find_marked(folder: Path, scans: Sequence[Path]) -> Iterator[Path]:
    for scan in scans:
        sidecar = sidecar_path(scan)
        if not sidecar.exists() or recorded_identity(_read(sidecar)) is not None:
            yield scan
    described = _series_descriptions(folder)
    for description in described:
        if recorded_identity(_read(description)) is not None:
            yield description.parent / SERIES_FOLDER
    if not scans and not described and holds_dicom(folder):
        yield folder


def _series_descriptions(folder: Path) -> list[Path]:
    return sorted(folder.rglob(SERIES_DESCRIPTION)) if folder.is_dir() else []


def _check(place: Path, key: WatermarkKey) -> Check:
    try:
        detection = find_watermark(read_volume(place), key)
    except MedTranslateError as error:
        return Check(place.name, _WHAT, False, f"cannot be looked for: {error}")
    detail = (
        f"score {detection.score:.1f}, {NEEDED_SCORE:.1f} needed; a key without relation to the"
        f" scan scores so with p = {detection.chance:.1g}"
    )
    return Check(place.name, _WHAT, detection.found, detail + _told_of_another(place, key))


def _told_of_another(place: Path, key: WatermarkKey) -> str:
    is_series = place.is_dir()
    told = recorded_identity(
        _read(place.parent / SERIES_DESCRIPTION if is_series else sidecar_path(place))
    )
    if told is None or told == key.identity:
        return ""
    return f"; the sidecar names key {told}, this is {key.identity}"


def _read(sidecar: Path) -> Mapping[str, Any]:
    try:
        return read_document(sidecar)
    except (OSError, ValueError):
        return {}
