"""Pairs of visits: where a person's scan comes from, what it became, and how long that took."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from medtranslate.data.cases import Visit as ScannedVisit
from medtranslate.data.cases import group_visits, pick_scan, refuse_twins
from medtranslate.data.covariate_tables import Covariate, read_covariates
from medtranslate.data.scans import LABEL_SUFFIXES, DatasetIndex, Selector
from medtranslate.data.visit_times import DATE_COLUMN, DAYS_PER_YEAR
from medtranslate.errors import ConfigError, DatasetError
from medtranslate.settings import Settings

_NUMBERED = re.compile(r"(?P<prefix>[A-Za-z]*)(?P<number>\d+)")
_HOW_TO_TELL_TIME = (
    f"Write days_since_baseline (or months, years, or dates in {DATE_COLUMN}) into the subject's "
    "sessions table, or days into the CSV table"
)


class VisitSettings(Settings):
    """Which visits of a person are paired, and what else is known of them."""

    pairs: Literal["consecutive", "all"] = Field(
        "consecutive", description="Each visit with the next one, or with every later one."
    )
    covariates: tuple[str, ...] = Field(
        (), description="Columns of participants.tsv or of the sessions tables, such as age."
    )
    labels: str | None = Field(
        None, description="Selector of a mask or segmentation of each visit, such as dseg."
    )


@dataclass(frozen=True)
class Visit:
    """One scan of a person at one time.

    Attributes:
        session: Without ``ses-``.
        scan: The file.
        years: Since the person's first visit.
        labels: Mask or segmentation of this visit; None if there is none.
    """

    session: str
    scan: Path
    years: float
    labels: Path | None = None


@dataclass(frozen=True)
class VisitPair:
    """A visit and a later one of the same person.

    Attributes:
        name: Unique and fit for a file name, such as ``mydata_p1_ses-1_to-2``.
        dataset: Name of the dataset.
        subject: Unique key ``dataset/subject``; splits are made of these.
        baseline: The visit that is looked ahead from.
        follow_up: The later visit.
        earlier: Visits before the baseline, oldest first.
        interval_years: From baseline to follow-up, more than 0.
        covariates: By column, as known at the baseline.
    """

    name: str
    dataset: str
    subject: str
    baseline: Visit
    follow_up: Visit
    earlier: tuple[Visit, ...]
    interval_years: float
    covariates: Mapping[str, Covariate] = field(default_factory=dict)

    @property
    def images(self) -> tuple[Path, ...]:
        """Every scan of it."""
        return tuple(visit.scan for visit in (*self.earlier, self.baseline, self.follow_up))


def pair_visits(
    indexes: Iterable[DatasetIndex], *, contrast: str, settings: VisitSettings
) -> list[VisitPair]:
    """Pair the visits of each person who was scanned in ``contrast`` more than once.

    Args:
        indexes: The datasets; subjects are kept apart by dataset.
        contrast: Selector of the scans, such as ``T1w``.
        settings: Which visits to pair, and what else to look up.

    Returns:
        Sorted by name.

    Raises:
        ConfigError: If a covariate is in no table, or the labels are no mask or segmentation.
        DatasetError: If nobody has two visits; or, all told at once, if a selector fits several
            scans of one visit, the time of a visit is not told, or times contradict each other.
    """
    indexes = list(indexes)
    selectors = _Selectors(Selector.parse(contrast), parse_labels(settings.labels))
    look_up = read_covariates(indexes, settings.covariates, where="visits.covariates")
    pairs: list[VisitPair] = []
    errors: list[str] = []
    for index in indexes:
        for subject, scanned in _followed(index, selectors.contrast):
            try:
                ordered = sort_in_time(subject, scanned)
                visits = [_describe_visit(visit, selectors) for visit in ordered]
            except DatasetError as error:
                errors.append(str(error))
                continue
            pairs += _pair(index, subject, visits, settings.pairs)
    if errors:
        raise DatasetError("\n".join(errors))
    if not pairs:
        raise DatasetError(_explain_nothing(indexes, contrast))
    _check_labels(indexes, pairs, settings.labels)
    refuse_twins(pair.name for pair in pairs)
    pairs = [
        replace(pair, covariates=look_up(pair.subject, pair.baseline.session)) for pair in pairs
    ]
    return sorted(pairs, key=lambda pair: pair.name)


@dataclass(frozen=True)
class _Selectors:
    contrast: Selector
    labels: Selector | None


def parse_labels(text: str | None) -> Selector | None:
    """The selector of ``visits.labels``; None if there is none.

    Raises:
        ConfigError: If it picks images.
    """
    if text is None:
        return None
    selector = Selector.parse(text)
    if selector.suffix not in LABEL_SUFFIXES:
        raise ConfigError(
            f"visits.labels is '{text}', which picks images; expected a mask or a segmentation, "
            "as in mask+label-tumor or dseg"
        )
    return selector


def group_people(
    index: DatasetIndex, contrast: Selector
) -> Iterator[tuple[str, tuple[ScannedVisit, ...]]]:
    """Everyone who was scanned in ``contrast``, with the visits where that was."""
    having = [
        visit
        for visit in group_visits(index)
        if any(contrast.picks(scan.suffix, scan.entities) for scan in visit.images)
    ]
    for subject, visits in itertools.groupby(having, key=lambda visit: visit.subject):
        yield subject, tuple(visits)


def _followed(
    index: DatasetIndex, contrast: Selector
) -> Iterator[tuple[str, tuple[ScannedVisit, ...]]]:
    """Everyone with several visits in ``contrast``, with those visits."""
    return (one for one in group_people(index, contrast) if len(one[1]) > 1)


def sort_in_time(subject: str, scanned: Sequence[ScannedVisit]) -> list[ScannedVisit]:
    """A person's visits, oldest first.

    Raises:
        DatasetError: If the time of one is not told, or times contradict each other.
    """
    days = {visit.session or "": visit.days for visit in scanned}
    without = [_name(session) for session, day in days.items() if day is None]
    if without:
        raise DatasetError(
            f"{subject}: nothing tells when {', '.join(without)} "
            f"{'was' if len(without) == 1 else 'were'}. {_HOW_TO_TELL_TIME}"
        )
    years = {session: (day or 0.0) / DAYS_PER_YEAR for session, day in days.items()}
    faults = list(find_time_faults(years))
    if faults:
        raise DatasetError("\n".join(f"{subject}: {fault}" for fault in faults))
    return sorted(scanned, key=lambda visit: years[visit.session or ""])


def _describe_visit(visit: ScannedVisit, selectors: _Selectors) -> Visit:
    scan = pick_scan(visit, visit.images, selectors.contrast)
    labels = None
    if selectors.labels is not None:
        labels = pick_scan(visit, visit.scans, selectors.labels)
    if scan is None or visit.days is None:
        raise ValueError(f"{visit.subject}: a visit without scan or time cannot be paired")
    return Visit(
        session=visit.session or "",
        scan=scan.path,
        years=visit.days / DAYS_PER_YEAR,
        labels=None if labels is None else labels.path,
    )


def find_time_faults(years: Mapping[str, float]) -> Iterator[str]:
    """What cannot be true of the times of one person's visits.

    A visit before the first one, two visits at one time, and sessions with numbers that run
    against time.

    Args:
        years: Time since the first visit by session.

    Example:
        >>> list(find_time_faults({"1": 0.0, "2": 0.5}))
        []
    """
    for session, time in years.items():
        if not math.isfinite(time) or time < 0:
            yield (
                f"{_name(session)} lies {_tell(time)} after the first visit, which is day 0. "
                "Correct its time"
            )
            return
    for one, two in itertools.pairwise(sorted(years, key=lambda session: years[session])):
        if years[one] == years[two]:
            yield (
                f"{_name(one)} and {_name(two)} are 0 days apart; nothing can change in no time. "
                "Correct the times, or leave one visit out"
            )
    numbered = sorted((*number, s) for s in years if (number := _number(s)) is not None)
    for (prefix, _, one), (other_prefix, _, two) in itertools.pairwise(numbered):
        if prefix == other_prefix and years[two] < years[one]:
            yield (
                f"{_name(two)} lies {_tell(years[two] - years[one])} after {_name(one)}: a negative"
                " interval. Correct the times, or number the sessions in the order of time"
            )


def _number(session: str) -> tuple[str, int] | None:
    """Letters and number that a session's name is made of; None if it is not."""
    match = _NUMBERED.fullmatch(session)
    return (match["prefix"], int(match["number"])) if match else None


def _tell(years: float) -> str:
    return f"{years * DAYS_PER_YEAR:g} days"


def _name(session: str | None) -> str:
    return f"ses-{session}" if session else "the visit without a session"


def _pair(
    index: DatasetIndex,
    subject: str,
    visits: Sequence[Visit],
    which: Literal["consecutive", "all"],
) -> Iterator[VisitPair]:
    for later in range(1, len(visits)):
        for first in range(later) if which == "all" else (later - 1,):
            baseline, follow_up = visits[first], visits[later]
            yield VisitPair(
                name=_pair_name(subject, baseline.session, follow_up.session),
                dataset=index.name,
                subject=subject,
                baseline=baseline,
                follow_up=follow_up,
                earlier=tuple(visits[:first]),
                interval_years=follow_up.years - baseline.years,
            )


def _pair_name(subject: str, first: str, second: str) -> str:
    name = f"{subject.replace('/', '_', 1)}_ses-{first}_to-{second}"
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name)


def _check_labels(
    indexes: Sequence[DatasetIndex], pairs: Sequence[VisitPair], labels: str | None
) -> None:
    """Refuse a selector of labels that fits nothing at all."""
    if labels is None or any(pair.baseline.labels or pair.follow_up.labels for pair in pairs):
        return
    known = {
        scan.contrast
        for index in indexes
        for scan in index.scans
        if scan.kind != "image" and scan.session is not None
    }
    raise DatasetError(
        f"visits.labels: no visit that is paired has '{labels}'; visits have "
        f"{', '.join(sorted(known)) or 'no masks or segmentations of their own'}. "
        "Name one of them, or leave it out"
    )


def _explain_nothing(indexes: Sequence[DatasetIndex], contrast: str) -> str:
    lines = [f"nobody has two visits with '{contrast}'. People with several visits:"]
    for index in indexes:
        counts = [
            f"{name} ({count})"
            for name in index.contrasts
            if (count := sum(1 for _ in _followed(index, Selector.parse(name))))
        ]
        lines.append(f"  {index.name}: {', '.join(counts) or 'none'}")
    lines.append(
        "Selectors are exact: T1w is not T1w+ce-gadolinium. Visits are told apart by session: "
        "ses-LABEL in names, or the column session of a CSV table"
    )
    return "\n".join(lines)
