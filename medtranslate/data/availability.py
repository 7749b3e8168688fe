"""Who has which scans, who can be paired with whom, and who can be followed over time."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medtranslate.data.cases import Visit, find_transform
from medtranslate.data.findings import SEVERITIES, ScanFacts, Severity
from medtranslate.data.scans import DatasetIndex, Selector
from medtranslate.geometry import Geometry


@dataclass(frozen=True)
class Cell:
    """The scans of one contrast in one visit.

    Attributes:
        grids: One description a scan, None where the header cannot be read.
        severity: The worst that was found about them, None if nothing but notes.
    """

    grids: tuple[Geometry | None, ...]
    severity: Severity | None = None


@dataclass(frozen=True)
class VisitRow:
    """One line of the table of visits; ``cells`` by contrast, absent where the scan is missing."""

    subject: str
    session: str | None
    days: float | None
    cells: Mapping[str, Cell]
    masks: tuple[str, ...]


@dataclass(frozen=True)
class PairRow:
    """Two contrasts that some visits have both of.

    Attributes:
        first: One contrast.
        second: The other.
        num_people: People with at least one such visit.
        num_visits: Such visits.
        num_same_grid: Those whose two scans lie on one grid.
        transforms: Which is source and which target, and how many visits come with a transform
            file for it.
    """

    first: str
    second: str
    num_people: int
    num_visits: int
    num_same_grid: int
    transforms: Mapping[str, int]

    @property
    def align(self) -> str:
        """What to write for ``preprocess.align``."""
        if self.num_same_grid == self.num_visits:
            return "none"
        full = [way for way, count in self.transforms.items() if count == self.num_visits]
        return " or ".join(["rigid", *(f"transforms ({way})" for way in full)])


@dataclass(frozen=True)
class CourseRow:
    """One contrast of people who were scanned more than once.

    Attributes:
        contrast: Which.
        num_people: People with at least two visits in it.
        num_same_grid: Those whose visits all lie on one grid.
        days: Shortest and longest time from somebody's first visit to a later one; None if no
            times are told.
        num_visits: Visits of these people.
        interval_days: Shortest and longest time between a visit and the next one.
    """

    contrast: str
    num_people: int
    num_same_grid: int
    days: tuple[float, float] | None
    num_visits: int = 0
    interval_days: tuple[float, float] | None = None


def _make_row(visit: Visit, facts: Mapping[Path, ScanFacts]) -> VisitRow:
    by_contrast: dict[str, list[ScanFacts]] = {}
    for scan in visit.images:
        by_contrast.setdefault(scan.contrast, []).append(facts[scan.path])
    cells = {}
    for contrast, found in by_contrast.items():
        worst = [remark.severity for fact in found for remark in fact.remarks]
        marks = [severity for severity in SEVERITIES[:2] if severity in worst]
        cells[contrast] = Cell(tuple(fact.geometry for fact in found), next(iter(marks), None))
    masks = {s.contrast for s in (*visit.scans, *visit.shared) if s.kind != "image"}
    return VisitRow(visit.subject, visit.session, visit.days, cells, tuple(sorted(masks)))


def list_visits(visits: Sequence[Visit], facts: Mapping[Path, ScanFacts]) -> tuple[VisitRow, ...]:
    """One row a visit, in the order given."""
    return tuple(_make_row(visit, facts) for visit in visits)


def on_one_grid(one: ScanFacts, two: ScanFacts) -> bool | None:
    """None where a header cannot be read."""
    if one.geometry is None or two.geometry is None:
        return None
    return one.geometry.matches(two.geometry)


def list_pairs(
    index: DatasetIndex, visits: Sequence[Visit], facts: Mapping[Path, ScanFacts]
) -> tuple[PairRow, ...]:
    """Every two contrasts that some visit has both of."""
    rows = []
    for first, second in itertools.combinations(index.contrasts, 2):
        both = [v for v in visits if {first, second} <= {s.contrast for s in v.images}]
        if not both:
            continue
        ways: dict[str, int] = {}
        for source, target in ((first, second), (second, first)):
            selectors = {"source": Selector.parse(source), "target": Selector.parse(target)}
            count = sum(find_transform(index, visit, **selectors) is not None for visit in both)
            if count:
                ways[f"source {source}, target {target}"] = count
        same = 0
        for visit in both:
            one, two = (_first_of(visit, contrast, facts) for contrast in (first, second))
            same += on_one_grid(one, two) is True
        people = len({visit.subject for visit in both})
        rows.append(PairRow(first, second, people, len(both), same, ways))
    return tuple(rows)


def _first_of(visit: Visit, contrast: str, facts: Mapping[Path, ScanFacts]) -> ScanFacts:
    return next(facts[scan.path] for scan in visit.images if scan.contrast == contrast)


def list_courses(
    index: DatasetIndex, visits: Sequence[Visit], facts: Mapping[Path, ScanFacts]
) -> tuple[CourseRow, ...]:
    """Every contrast that somebody was scanned in more than once."""
    rows = []
    for contrast in index.contrasts:
        having = [v for v in visits if contrast in {s.contrast for s in v.images}]
        people: dict[str, list[Visit]] = {}
        for visit in having:
            people.setdefault(visit.subject, []).append(visit)
        followed = [found for found in people.values() if len(found) > 1]
        if not followed:
            continue
        spans = [
            visit.days - first.days
            for first, *later in followed
            for visit in later
            if visit.days is not None and first.days is not None
        ]
        same = sum(
            all(
                on_one_grid(_first_of(first, contrast, facts), _first_of(v, contrast, facts))
                for v in later
            )
            for first, *later in followed
        )
        days = (min(spans), max(spans)) if spans else None
        gaps = [gap for found in followed for gap in _gaps(found)]
        between = (min(gaps), max(gaps)) if gaps else None
        count = sum(map(len, followed))
        rows.append(CourseRow(contrast, len(followed), same, days, count, between))
    return tuple(rows)


def _gaps(visits: Sequence[Visit]) -> list[float]:
    """Days from each visit to the next one."""
    days = sorted(visit.days for visit in visits if visit.days is not None)
    return [later - earlier for earlier, later in itertools.pairwise(days)]


def group_alike(rows: Iterable[VisitRow]) -> list[list[VisitRow]]:
    """Rows in their order, neighbours gathered that differ in nothing but the person."""

    def look(row: VisitRow) -> tuple[object, ...]:
        cells = tuple(
            (contrast, cell.severity, *(grid and grid.describe() for grid in cell.grids))
            for contrast, cell in sorted(row.cells.items())
        )
        return cells, row.masks, row.session, row.days

    return [list(group) for _, group in itertools.groupby(rows, key=look)]
