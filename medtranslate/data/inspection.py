"""What a dataset or a file holds, what is wrong with it, and who can be paired with whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medtranslate.data.availability import (
    CourseRow,
    PairRow,
    VisitRow,
    list_courses,
    list_pairs,
    list_visits,
)
from medtranslate.data.cases import Visit, group_visits
from medtranslate.data.consistency import (
    Finding,
    FindingList,
    examine_visit,
    find_copies,
    find_in_scans,
    find_missing,
)
from medtranslate.data.findings import SEVERITIES, Remark, ScanFacts, Severity, examine_scan
from medtranslate.data.followup import find_followup_faults
from medtranslate.data.index import read_description
from medtranslate.data.scans import DatasetIndex, canonical_suffix, kind_of
from medtranslate.geometry import Geometry
from medtranslate.io import parse_bids_name


@dataclass(frozen=True)
class SeriesRow:
    """One DICOM series, without a word of whose it is.

    Attributes:
        name: What to put behind the path and ``#`` to mean it.
        patient: Pseudonym, for this inspection alone.
        study: Number of the study in this place.
        kind: ``CT``, ``MR`` or ``PT``, else its kind in the standard's words.
        num_files: Files that belong to it.
        grid: Where its voxels lie; None if it is not one volume.
        problems: Names of its faults.
    """

    name: str
    patient: str
    study: int
    kind: str
    num_files: int
    grid: Geometry | None
    problems: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        grid = None if self.grid is None else _plain(self.grid)
        return {**vars(self), "grid": grid, "problems": list(self.problems)}


@dataclass(frozen=True)
class Inspection:
    """What was found in a dataset or a file.

    Attributes:
        name: Name of the dataset or file.
        place: Where it lies.
        facts: Label and value pairs worth knowing.
        contrasts: Columns of the table of visits.
        visits: Rows of the table of visits.
        pairs: Which contrasts can be paired.
        courses: Who can be followed over time.
        findings: Worst first.
        verdict: One line.
        series: Rows of the table of DICOM series.
    """

    name: str
    place: Path
    facts: tuple[tuple[str, str], ...]
    contrasts: tuple[str, ...] = ()
    visits: tuple[VisitRow, ...] = ()
    pairs: tuple[PairRow, ...] = ()
    courses: tuple[CourseRow, ...] = ()
    findings: tuple[Finding, ...] = ()
    verdict: str = ""
    series: tuple[SeriesRow, ...] = ()

    def count(self, severity: Severity) -> int:
        """Number of findings of one severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "name": self.name,
            "verdict": self.verdict,
            "facts": dict(self.facts),
            "visits": [
                {
                    "subject": row.subject,
                    "session": row.session,
                    "days": row.days,
                    "scans": {
                        contrast: [None if grid is None else _plain(grid) for grid in cell.grids]
                        for contrast, cell in row.cells.items()
                    },
                    "masks": list(row.masks),
                }
                for row in self.visits
            ],
            "series": [row.to_json() for row in self.series],
            "pairs": [{**vars(row), "align": row.align} for row in self.pairs],
            "courses": [dict(vars(row)) for row in self.courses],
            "findings": [{**vars(row), "where": list(row.where)} for row in self.findings],
        }


def _plain(grid: Geometry) -> dict[str, Any]:
    return {
        "shape": list(grid.shape),
        "spacing": [round(spacing, 4) for spacing in grid.spacing],
        "orientation": grid.orientation,
    }


def inspect_dataset(
    index: DatasetIndex, *, on_scan: Callable[[Path], None] | None = None
) -> Inspection:
    """Read every scan of a dataset and say what a person must know before using it.

    Args:
        index: The dataset.
        on_scan: Called before each file is read, for a progress bar.
    """
    facts: dict[Path, ScanFacts] = {}
    for scan in index.scans:
        if on_scan is not None:
            on_scan(scan.path)
        facts[scan.path] = examine_scan(scan.path, suffix=scan.suffix, kind=scan.kind)
    visits = group_visits(index)
    findings = FindingList()
    find_in_scans(index, facts, findings)
    find_copies(index, facts, findings)
    for visit in visits:
        examine_visit(visit, facts, findings)
    find_followup_faults(index.contrasts, visits, facts, findings)
    for problem in index.problems:
        findings.add(Remark("warning" if visits else "error", problem, ""))
    find_missing(index.contrasts, visits, findings)
    inspection = Inspection(
        name=index.name,
        place=index.root,
        facts=_describe_dataset(index, visits),
        contrasts=index.contrasts,
        visits=list_visits(visits, facts),
        pairs=list_pairs(index, visits, facts),
        courses=list_courses(index, visits, facts),
        findings=findings.sorted(),
    )
    return replace(inspection, verdict=_judge_dataset(inspection))


def inspect_file(path: Path) -> Inspection:
    """Read one scan or mask and say what a person must know before using it."""
    name = parse_bids_name(path.name)
    suffix = None if name is None else canonical_suffix(name.suffix)
    facts = examine_scan(path, suffix=suffix, kind="image" if suffix is None else kind_of(suffix))
    findings = tuple(
        Finding(remark.severity, (), remark.what, remark.do)
        for remark in sorted(facts.remarks, key=lambda r: SEVERITIES.index(r.severity))
    )
    worst = findings[0] if findings else None
    if worst is None or worst.severity == "note":
        verdict = "Ready: nothing is wrong with it."
    elif worst.severity == "warning":
        verdict = f"Usable with care: {worst.what}."
    else:
        verdict = f"Do not use it as it is: {worst.what}."
    return Inspection(
        name=path.name,
        place=path,
        facts=_describe_file(facts, suffix),
        findings=findings,
        verdict=verdict,
    )


def _describe_file(facts: ScanFacts, suffix: str | None) -> tuple[tuple[str, str], ...]:
    rows = [("contrast", suffix or "unknown: the name is not a BIDS name")]
    if facts.header is not None:
        geometry = facts.header.geometry
        first = ", ".join(f"{value:.1f}" for value in geometry.affine[:3, 3])
        extent = " × ".join(
            f"{n * s:.0f}" for n, s in zip(geometry.shape, geometry.spacing, strict=True)
        )
        rows += [
            ("voxels", "×".join(str(n) for n in geometry.shape)),
            ("spacing", "×".join(f"{s:.3g}" for s in geometry.spacing) + " mm"),
            ("extent", f"{extent} mm"),
            ("axes run to", geometry.orientation),
            ("first voxel at", f"{first} mm (right, front, up)"),
            ("stored as", facts.header.dtype),
        ]
    if facts.voxels is not None:
        rows += [
            ("values", f"{facts.voxels.minimum:g} to {facts.voxels.maximum:g}"),
            ("different values", f"{facts.voxels.num_values:,}"),
            ("not zero", f"{100 * facts.voxels.nonzero:.1f} % of the voxels"),
        ]
    return tuple(rows)


def _describe_dataset(index: DatasetIndex, visits: Sequence[Visit]) -> tuple[tuple[str, str], ...]:
    description = read_description(index.root) if index.root.is_dir() else {}
    masks = sum(scan.kind != "image" for scan in index.scans)
    held = _count(len(index.scans) - masks, "scan")
    held += ", " + _count(masks, "mask or segmentation", "masks and segmentations") if masks else ""
    rows = [("title", description.get("Name", "")), ("licence", description.get("License", ""))]
    rows += [
        ("people", str(len(index.subjects) or "")),
        ("visits", str(len(visits) or "")),
        ("files", held if index.scans else ""),
        ("masks", _describe_masks(visits)),
    ]
    return tuple((label, value) for label, value in rows if value)


def _describe_masks(visits: Sequence[Visit]) -> str:
    """Selector of each kind of mask and how many visits have it."""
    counts = Counter(
        contrast
        for visit in visits
        for contrast in {s.contrast for s in (*visit.scans, *visit.shared) if s.kind != "image"}
    )
    told = {len(visits): "every visit"}
    return ", ".join(
        f"{contrast} ({told.get(count, f'{count} of {len(visits)} visits')})"
        for contrast, count in sorted(counts.items())
    )


def _judge_dataset(inspection: Inspection) -> str:
    """One line: can it be used, for what, and what comes first."""
    cells = [cell for row in inspection.visits for cell in row.cells.values()]
    num_scans = sum(len(cell.grids) for cell in cells)
    num_bad = sum(len(cell.grids) for cell in cells if cell.severity == "error")
    uses = _name_uses(inspection)
    errors = [finding for finding in inspection.findings if finding.severity == "error"]
    if not num_scans:
        return "Nothing to use here yet: no scans were found."
    if num_bad == num_scans:
        reason = errors[0].what.partition(":")[0]
        what = "its only scan" if num_bad == 1 else f"all {num_bad} scans"
        return f"Do not use it as it is: {reason} ({what}); {uses}."
    if num_bad:
        return f"Usable without {num_bad} of its {num_scans} scans: {uses}."
    if errors:
        return f"Look first: {errors[0].what.partition(':')[0]}; {uses}."
    if any(pair.align != "none" for pair in inspection.pairs):
        return f"Usable after registration (preprocess.align): {uses}."
    if inspection.count("warning"):
        return f"Usable with care: {uses}."
    return f"Ready: {uses}."


def _name_uses(inspection: Inspection) -> str:
    people = len({row.subject for row in inspection.visits})
    held = f"{_count(people, 'person', 'people')}, {_count(len(inspection.contrasts), 'contrast')}"
    if inspection.pairs:
        best = max(inspection.pairs, key=_rank_pair)
        text = (
            f"{held}, {_count(len(inspection.pairs), 'pair')} of contrasts (at most "
            f"{_count(best.num_people, 'person', 'people')}: {best.first} ↔ {best.second})"
        )
        return text if people > 1 else f"{text}; add people, one cannot both train and test"
    if inspection.courses:
        followed = _count(inspection.courses[0].num_people, "person", "people")
        return f"{held}, no pair of contrasts, {followed} with several visits"
    return f"{held}, no pair of contrasts and nobody with several visits"


def _rank_pair(pair: PairRow) -> tuple[int, int, bool]:
    """Most people first; at equal numbers, two contrasts rather than one with and without agent."""
    suffixes = {contrast.partition("+")[0] for contrast in (pair.first, pair.second)}
    return pair.num_people, pair.num_visits, len(suffixes) > 1


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
