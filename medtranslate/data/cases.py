"""Cases: which scan goes in, which one is to come out, for each person and visit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medtranslate.data.scans import DatasetIndex, Scan, Selector, TransformFile
from medtranslate.errors import DatasetError


@dataclass(frozen=True)
class Case:
    """One pair of scans of one visit.

    Attributes:
        name: Unique and fit for a file name, such as ``open_ms_cross_omsC07``.
        dataset: Name of the dataset.
        subject: Unique key ``dataset/subject``; splits are made of these.
        session: Visit; None if the dataset has none.
        source: Scan that goes in.
        target: Scan that is to come out; None if there is none to compare with.
        mask: Given mask; None if it is to be computed.
        transform: ITK transform file that resamples the target onto the source.
        labels: Masks and segmentations to look at results by, named as selectors.
        days: Days since the person's first visit.
        label: Region of the source that is followed through time; None if there is none.
        later: The same region of the target.
        uri: BIDS URI of the source for sidecars; None where no dataset is linked to.
    """

    name: str
    dataset: str
    subject: str
    session: str | None
    source: Path
    target: Path | None = None
    mask: Path | None = None
    transform: Path | None = None
    labels: Mapping[str, Path] = field(default_factory=dict)
    days: float | None = None
    label: Path | None = None
    later: Path | None = None
    uri: str | None = None

    @property
    def images(self) -> tuple[Path, ...]:
        """Source and, where there is one, target."""
        return (self.source,) if self.target is None else (self.source, self.target)


def find_cases(
    indexes: Iterable[DatasetIndex],
    *,
    source: str,
    target: str,
    mask: str | None = None,
    need_target: bool = True,
) -> list[Case]:
    """Pair scans of the same person and visit.

    Args:
        indexes: The datasets; subjects are kept apart by dataset.
        source: Selector of the scans that go in, such as ``T1w``.
        target: Selector of the scans that are to come out.
        mask: Selector of given masks, such as ``mask+desc-brain``; None if masks are computed.
        need_target: Leave out visits without a target; False keeps them with target None.

    Returns:
        Cases sorted by name. A visit without source (or target, if needed) makes none.

    Raises:
        DatasetError: If a selector fits several scans of one visit, nothing is found, or a mask
            was asked for and is absent.
    """
    indexes = list(indexes)
    selectors = (Selector.parse(source), Selector.parse(target))
    if selectors[0] == selectors[1]:
        raise DatasetError(f"source and target are both '{source}'; name two contrasts")
    mask_selector = None if mask is None else Selector.parse(mask)
    errors: list[str] = []
    cases: list[Case] = []
    for index in indexes:
        for visit in group_visits(index):
            try:
                case = _pair_visit(index, visit, *selectors, mask_selector, need_target=need_target)
            except DatasetError as error:
                errors.append(str(error))
                continue
            if case is not None:
                cases.append(case)
    if errors:
        raise DatasetError("\n".join(errors))
    if not cases:
        raise DatasetError(_explain_nothing(indexes, source, target if need_target else None))
    refuse_twins(case.name for case in cases)
    return sorted(cases, key=lambda case: case.name)


def refuse_twins(names: Iterable[str]) -> None:
    """Refuse cases of one name.

    Raises:
        DatasetError: If a name is given twice.
    """
    for name, count in Counter(names).items():
        if count > 1:
            raise DatasetError(f"{count} cases would be called {name}; rename a dataset or subject")


@dataclass(frozen=True)
class Visit:
    """The scans of one person at one time, and those that belong to all visits of the person."""

    subject: str
    session: str | None
    scans: tuple[Scan, ...]
    shared: tuple[Scan, ...] = ()

    @property
    def images(self) -> tuple[Scan, ...]:
        """The images, without masks and segmentations."""
        return tuple(scan for scan in self.scans if scan.kind == "image")

    @property
    def days(self) -> float | None:
        """Days since the person's first visit, None if the dataset does not say."""
        return next((scan.days for scan in self.scans if scan.days is not None), None)


def group_visits(index: DatasetIndex) -> list[Visit]:
    """Visits with at least one image, sorted; masks without a session are shared by all visits."""
    groups: dict[tuple[str, str], list[Scan]] = {}
    for scan in index.scans:
        groups.setdefault((scan.subject, scan.session or ""), []).append(scan)
    visits = []
    for (subject, session), scans in sorted(groups.items()):
        if any(scan.kind == "image" for scan in scans):
            common = groups.get((subject, ""), []) if session else []
            shared = tuple(scan for scan in common if scan.kind != "image")
            visits.append(Visit(subject, session or None, tuple(scans), shared))
    return visits


def find_transform(
    index: DatasetIndex, visit: Visit, *, source: Selector, target: Selector
) -> Path | None:
    """The transform that resamples this visit's target onto its source, None if there is none."""
    for transform in index.transforms:
        if _is_of(transform, visit) and (transform.moving, transform.fixed) == (
            _label(target),
            _label(source),
        ):
            return transform.path
    return None


def _is_of(transform: TransformFile, visit: Visit) -> bool:
    return (transform.subject, transform.session) == (visit.subject, visit.session)


def _label(selector: Selector) -> str:
    """A selector as it stands in the name of a transform: letters and digits only."""
    return re.sub(r"[^A-Za-z0-9]", "", str(selector))


def _pair_visit(
    index: DatasetIndex,
    visit: Visit,
    source: Selector,
    target: Selector,
    mask: Selector | None,
    *,
    need_target: bool,
) -> Case | None:
    source_scan = pick_scan(visit, visit.scans, source)
    target_scan = pick_scan(visit, visit.scans, target)
    if source_scan is None or (target_scan is None and need_target):
        return None
    mask_scan = None
    if mask is not None:
        mask_scan = pick_scan(visit, visit.scans, mask) or pick_scan(visit, visit.shared, mask)
        if mask_scan is None:
            raise DatasetError(
                f"{_describe(visit)}: no mask '{mask}'; there is {_list_masks(visit)}. "
                "Name one of them, or leave 'mask' out and let preprocess.mask compute one"
            )
    return Case(
        name=name_visit(visit),
        dataset=index.name,
        subject=visit.subject,
        session=visit.session,
        source=source_scan.path,
        target=None if target_scan is None else target_scan.path,
        mask=None if mask_scan is None else mask_scan.path,
        transform=find_transform(index, visit, source=source, target=target),
        labels={
            scan.contrast: scan.path
            for scan in (*visit.shared, *visit.scans)
            if scan.kind != "image" and scan is not mask_scan
        },
        days=visit.days,
    )


def pick_scan(visit: Visit, scans: Sequence[Scan], selector: Selector) -> Scan | None:
    """The one scan a selector fits, None if none does.

    Raises:
        DatasetError: If it fits several.
    """
    found = [scan for scan in scans if selector.picks(scan.suffix, scan.entities)]
    if len(found) < 2:
        return found[0] if found else None
    files = ", ".join(scan.path.name for scan in found)
    raise DatasetError(
        f"{_describe(visit)}: '{selector}' fits {len(found)} files: {files}. "
        f"{_advise_narrowing(found, selector)}"
    )


def _advise_narrowing(found: Sequence[Scan], selector: Selector) -> str:
    named = {key for key, _ in selector.entities}
    for key in sorted({key for scan in found for key in scan.entities} - named):
        values = [scan.entities.get(key) for scan in found]
        if len(set(values)) > 1:
            options = [f"{selector}+{key}-{value}" for value in values if value is not None]
            return "Narrow it, as in " + " or ".join(dict.fromkeys(options))
    return "Their names say no difference; keep one of them"


def name_visit(visit: Visit) -> str:
    """A name of a person's visit that is fit for a file name."""
    name = visit.subject.replace("/", "_", 1)
    if visit.session is not None:
        name += f"_ses-{visit.session}"
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name)


def _describe(visit: Visit) -> str:
    return visit.subject + (f" ses-{visit.session}" if visit.session else "")


def _list_masks(visit: Visit) -> str:
    masks = {scan.contrast for scan in (*visit.scans, *visit.shared) if scan.kind == "mask"}
    return ", ".join(sorted(masks)) or "none"


def _explain_nothing(indexes: Sequence[DatasetIndex], source: str, target: str | None) -> str:
    wanted = f"'{source}'" if target is None else f"both '{source}' and '{target}'"
    lines = [f"no visit has {wanted}. Contrasts that are there:"]
    for index in indexes:
        visits = group_visits(index)
        counts = [
            f"{contrast} ({sum(contrast in {s.contrast for s in v.images} for v in visits)})"
            for contrast in index.contrasts
        ]
        what = ", ".join(counts) or "; ".join(index.problems) or "none"
        lines.append(f"  {index.name}: {what}")
    lines.append(
        "Selectors are exact: T1w is not T1w+ce-gadolinium. "
        "'medtranslate inspect DATASET' shows who can be paired with whom"
    )
    return "\n".join(lines)
