"""What DICOM a folder, zip or DICOMDIR holds: pseudonyms, studies, series, grids and problems."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from medtranslate.data.consistency import Finding
from medtranslate.data.findings import SEVERITIES
from medtranslate.data.inspection import Inspection, SeriesRow
from medtranslate.errors import DicomError, GeometryError, VolumeReadError
from medtranslate.geometry import Geometry
from medtranslate.io.dicom.location import SeriesLocation
from medtranslate.io.dicom.reading import open_series
from medtranslate.io.dicom.series import Contents, SeriesFiles, find_series


def inspect_dicom(path: Path) -> Inspection:
    """Read every series of a place, voxels too, and say which of them can be used.

    Nothing of what files say about people or dates is told; a person is called by the order in
    which files are met.

    Args:
        path: A folder, zip, DICOMDIR or file; with a series and repairs behind ``#`` that series.

    Raises:
        DicomError: If the place cannot be read, or does not hold the series named.
    """
    location = SeriesLocation.parse(path)
    contents = find_series(location.place)
    chosen = [s for s in contents.series if location.series in (None, s.name)]
    if location.series is not None and not chosen:
        raise DicomError(f"{path}: holds no series of that name. Inspect {location.place} for them")
    rows: list[SeriesRow] = []
    findings: list[Finding] = []
    for series in chosen:
        row, found = _examine(replace(location, series=series.name), series)
        rows.append(row)
        findings += found
    if location.series is None:
        findings += _examine_rest(contents)
    findings = _tell_once(findings)
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return Inspection(
        name=path.name,
        place=path,
        facts=_describe(chosen, contents),
        findings=tuple(findings),
        verdict=_judge(rows),
        series=tuple(rows),
    )


def _examine(location: SeriesLocation, series: SeriesFiles) -> tuple[SeriesRow, list[Finding]]:
    """One series as a row of the table, and what is wrong with it."""
    grid: Geometry | None = None
    findings: list[Finding] = []
    try:
        opened = open_series(location, series)
        grid = opened.header.geometry
        for text in (*opened.header.warnings, *opened.header.repairs):
            findings.append(Finding("note", (series.name,), text, ""))
        voxels = opened.decode()
        if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
            raise DicomError(f"{location.path}: damaged: values are not finite. Fetch it again")
    except (VolumeReadError, GeometryError) as error:
        findings += _tell(str(error).removeprefix(f"{location.path}: "), location, series.name)
    row = SeriesRow(
        name=series.name,
        patient=f"patient-{series.patient}",
        study=series.study,
        kind=series.modality or series.kind,
        num_files=len(series.headers),
        grid=grid,
        problems=tuple(f.what.partition(": ")[0] for f in findings if f.severity == "error"),
    )
    return row, findings


def _tell(text: str, location: SeriesLocation, name: str) -> list[Finding]:
    """An error of the reader, one finding a fault: ``fault: what was found. What to do``."""
    findings = []
    for line in text.splitlines():
        what, _, do = line.removeprefix(f"{location.place}: ").rpartition(". ")
        findings.append(Finding("error", (name,), what or do, do[:1].lower() + do[1:]))
    return findings


def _tell_once(findings: list[Finding]) -> list[Finding]:
    """Equal findings as one, with every series they are about."""
    places: dict[Finding, tuple[str, ...]] = {}
    for finding in findings:
        key = replace(finding, where=())
        places[key] = (*places.get(key, ()), *finding.where)
    return [replace(finding, where=where) for finding, where in places.items()]


def _examine_rest(contents: Contents) -> list[Finding]:
    findings = []
    if contents.unreadable:
        text = "damaged: files of DICOM that cannot be read"
        findings.append(Finding("error", contents.unreadable, text, "fetch them again"))
    if contents.num_absent:
        text = f"{contents.num_absent} files are named that are not there"
        findings.append(Finding("error", (), text, "fetch or copy all of it again"))
    if contents.num_foreign:
        files = _count(contents.num_foreign, "file is", "files are")
        text = f"{files} not DICOM and passed over"
        findings.append(Finding("note", (), text, ""))
    for kind, count in contents.others.items():
        findings.append(Finding("note", (), f"{count} of the kind {kind}, without a scan", ""))
    return findings


def _describe(chosen: list[SeriesFiles], contents: Contents) -> tuple[tuple[str, str], ...]:
    return (
        ("patients", str(len({series.patient for series in chosen}))),
        ("studies", str(len({series.study for series in chosen}))),
        ("series", str(len(chosen))),
        ("files", str(sum(len(series.headers) for series in chosen))),
    )


def _judge(rows: list[SeriesRow]) -> str:
    usable = [row for row in rows if not row.problems]
    if not rows:
        return "Nothing to use here: no DICOM file with pixels was found."
    if len(usable) == len(rows):
        return f"Ready: {_count(len(rows), 'series is a volume', 'series are volumes')}."
    if not usable:
        return f"Do not use it as it is: {rows[0].problems[0]}; see the findings."
    return f"Usable without {len(rows) - len(usable)} of its {len(rows)} series."


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
