"""What does not fit together in a dataset: between people, visits and contrasts."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medtranslate.data.availability import on_one_grid
from medtranslate.data.cases import Visit
from medtranslate.data.findings import SEVERITIES, Remark, ScanFacts, Severity, compare_scans
from medtranslate.data.scans import DatasetIndex, Scan


@dataclass(frozen=True)
class Finding:
    """Something to know or to act on.

    Attributes:
        severity: ``error`` (do not use this), ``warning`` (look first) or ``note``.
        where: Scans or visits it is about; empty if the whole dataset.
        what: What is the case, with its values.
        do: What to do about it.
    """

    severity: Severity
    where: tuple[str, ...]
    what: str
    do: str


@dataclass
class FindingList:
    """Collects findings; equal ones are told once, with every place."""

    places: dict[Remark, list[str]] = field(default_factory=dict)

    def add(self, remark: Remark, where: str | None = None) -> None:
        """Take a remark about ``where``; about the whole dataset if None."""
        found = self.places.setdefault(remark, [])
        if where is not None:
            place = f"{where} ({remark.detail})" if remark.detail else where
            if place not in found:
                found.append(place)

    def sorted(self) -> tuple[Finding, ...]:
        """What was found, worst first."""
        ranked = sorted(self.places.items(), key=lambda item: SEVERITIES.index(item[0].severity))
        return tuple(Finding(r.severity, tuple(where), r.what, r.do) for r, where in ranked)


def label_scan(scan: Scan) -> str:
    """Person, visit and contrast, as findings name a scan."""
    return f"{label_visit(scan.subject, scan.session)} {scan.contrast}"


def label_visit(subject: str, session: str | None) -> str:
    """Person and visit, as findings name them."""
    return subject.partition("/")[2] + (f" ses-{session}" if session else "")


def find_copies(
    index: DatasetIndex, facts: Mapping[Path, ScanFacts], findings: FindingList
) -> None:
    """Scans with equal voxels under two subjects."""
    seen: dict[str, Scan] = {}
    for scan in index.scans:
        voxels = facts[scan.path].voxels
        if scan.kind != "image" or voxels is None or voxels.num_values == 1:
            continue
        first = seen.setdefault(voxels.sha256, scan)
        if first.subject != scan.subject:
            findings.add(
                Remark(
                    "error",
                    f"holds the same voxels as {label_scan(first)}: one person under two names?",
                    "remove one, or give both the same subject; no split is made before",
                ),
                label_scan(scan),
            )


def find_in_scans(
    index: DatasetIndex, facts: Mapping[Path, ScanFacts], findings: FindingList
) -> None:
    """What is wrong with single files; a mask does not repeat what is wrong with its scan."""
    told: set[tuple[str, Remark]] = set()
    for scan in sorted(index.scans, key=lambda scan: scan.kind != "image"):
        visit = label_visit(scan.subject, scan.session)
        for remark in facts[scan.path].remarks:
            if scan.kind == "image" or (visit, remark) not in told:
                findings.add(remark, label_scan(scan))
            told.add((visit, remark))


def find_missing(contrasts: Sequence[str], visits: Sequence[Visit], findings: FindingList) -> None:
    """Visits without a contrast that others have."""
    for contrast in contrasts:
        has = [v for v in visits if contrast in {s.contrast for s in v.images}]
        lacking = [v for v in visits if contrast not in {s.contrast for s in v.images}]
        if not lacking:
            continue
        if len(has) * 2 >= len(visits):
            remark = Remark(
                "warning",
                f"{contrast} is missing ({len(has)} of {len(visits)} visits have it)",
                f"nothing, if {contrast} is not needed; these visits make no pair with it",
            )
            named = lacking
        else:
            remark = Remark(
                "note",
                f"only {len(has)} of {len(visits)} visits have {contrast}",
                f"pairs with {contrast} come from these visits alone",
            )
            named = has
        for visit in named:
            findings.add(remark, label_visit(visit.subject, visit.session))


def examine_visit(visit: Visit, facts: Mapping[Path, ScanFacts], findings: FindingList) -> None:
    """What does not fit together within one visit."""
    where = label_visit(visit.subject, visit.session)
    for contrast, scans in itertools.groupby(
        sorted(visit.images, key=lambda s: s.contrast), key=lambda s: s.contrast
    ):
        count = len(list(scans))
        if count > 1:
            remark = Remark(
                "warning",
                f"'{contrast}' fits {count} files of one visit",
                f"narrow the selector by an entity of their names, as in {contrast}+run-1",
            )
            findings.add(remark, where)
    grids = []
    for one, two in itertools.combinations(visit.images, 2):
        for remark in compare_scans(facts[one.path], facts[two.path]):
            findings.add(remark, f"{where} {one.contrast} and {two.contrast}")
        grids.append(on_one_grid(facts[one.path], facts[two.path]))
    if False in grids:
        findings.add(
            Remark(
                "warning",
                "contrasts of one visit lie on different grids",
                "set preprocess.align: rigid (or transforms, where files come with the dataset)",
            ),
            where,
        )
    _examine_masks(visit, facts, findings)


def _examine_masks(visit: Visit, facts: Mapping[Path, ScanFacts], findings: FindingList) -> None:
    images = [geometry for s in visit.images if (geometry := facts[s.path].geometry) is not None]
    for scan in (*visit.scans, *visit.shared):
        geometry = facts[scan.path].geometry
        if scan.kind == "image" or geometry is None or not images:
            continue
        if not any(geometry.matches(image) for image in images):
            findings.add(
                Remark(
                    "note",
                    f"{scan.contrast} lies on the grid of no scan of its visit",
                    "resample it onto a scan's grid before using it as a mask",
                ),
                label_visit(scan.subject, scan.session),
            )
