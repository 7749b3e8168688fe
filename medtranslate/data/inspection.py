"""What a dataset or a file holds, what is wrong with it, and who can be paired with whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
    find_missing,
    label_scan,
)
from medtranslate.data.findings import SEVERITIES, Remark, ScanFacts, Severity, examine_scan
from medtranslate.data.index import read_description
from medtranslate.data.scans import DatasetIndex, canonical_suffix, kind_of
from medtranslate.geometry import Geometry
from medtranslate.io import parse_bids_name


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
    findings = FindingList()
    facts: dict[Path, ScanFacts] = {}
    for scan in index.scans:
        if on_scan is not None:
            on_scan(scan.path)
        facts[scan.path] = examine_scan(scan.path, suffix=scan.suffix, kind=scan.kind)
        for remark in facts[scan.path].remarks:
            findings.add(remark, label_scan(scan))
    visits = group_visits(index)
    for problem in index.problems:
        findings.add(Remark("warning", problem, ""))
    find_copies(index, facts, findings)
    find_missing(index.contrasts, visits, findings)
    for visit in visits:
        examine_visit(visit, facts, findings)
    pairs = list_pairs(index, visits, facts)
    courses = list_courses(index, visits, facts)
    listed = findings.sorted()
    return Inspection(
        name=index.name,
        place=index.root,
        facts=_describe_dataset(index, visits),
        contrasts=index.contrasts,
        visits=list_visits(visits, facts),
        pairs=pairs,
        courses=courses,
        findings=listed,
        verdict=_judge_dataset(index, visits, facts, pairs, courses, listed),
    )


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
    held = f"{len(index.scans) - masks} scans, {masks} masks and segmentations"
    rows = [("title", description.get("Name", "")), ("licence", description.get("License", ""))]
    rows += [
        ("people", str(len(index.subjects))),
        ("visits", str(len(visits))),
        ("files", held),
    ]
    return tuple((label, value) for label, value in rows if value)


def _judge_dataset(
    index: DatasetIndex,
    visits: Sequence[Visit],
    facts: Mapping[Path, ScanFacts],
    pairs: Sequence[PairRow],
    courses: Sequence[CourseRow],
    findings: Sequence[Finding],
) -> str:
    """One line: can it be used, for what, and what comes first."""
    images = [scan for scan in index.scans if scan.kind == "image"]
    if not images:
        return f"Nothing to use here: {index.problems[-1] if index.problems else 'no scans'}."
    bad = [s for s in images if any(r.severity == "error" for r in facts[s.path].remarks)]
    holding = (
        _count(len(index.subjects), "person", "people") + " with " + ", ".join(index.contrasts)
    )
    if len(bad) == len(images):
        worst = next(finding for finding in findings if finding.severity == "error")
        return f"Do not use it as it is: {worst.what.partition(':')[0]} ({_all(len(bad))})."
    uses = _name_uses(pairs, courses)
    apart = sorted({pair.align for pair in pairs if pair.align != "none"})
    errors = [finding for finding in findings if finding.severity == "error"]
    if bad:
        head = f"Usable without {_count(len(bad), 'scan', 'scans')} of {len(images)}"
    elif errors:
        head = f"Look first: {errors[0].what.partition(':')[0]}"
    elif apart:
        head = "Usable after registration"
    elif any(finding.severity == "warning" for finding in findings):
        head = "Usable with care"
    else:
        head = "Ready"
    return f"{head}: {holding}. {uses}"


def _name_uses(pairs: Sequence[PairRow], courses: Sequence[CourseRow]) -> str:
    if pairs:
        best = max(pairs, key=lambda pair: (pair.num_people, pair.num_visits))
        text = f"{len(pairs)} pairs of contrasts" if len(pairs) > 1 else "One pair of contrasts"
        text += f", at most {_count(best.num_people, 'person', 'people')} a pair"
        if best.num_people < 2:
            text += "; join other datasets to train and test on different people"
        return text + "."
    if courses:
        return (
            f"No two contrasts to pair; {courses[0].num_people} people can be followed over time."
        )
    return "No two contrasts to pair, nobody with two visits."


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _all(number: int) -> str:
    return "its only scan" if number == 1 else f"all {number} scans"
