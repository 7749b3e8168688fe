"""Today's scan of each person: the latest visit, which futures are simulated from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from medtranslate.data.cases import Case, Visit, name_visit, pick_scan, refuse_twins
from medtranslate.data.scans import DatasetIndex, Selector
from medtranslate.data.visits import group_people, parse_labels, sort_in_time
from medtranslate.errors import DatasetError


def find_latest_visits(
    indexes: Iterable[DatasetIndex], *, contrast: str, labels: str | None = None
) -> list[Case]:
    """The latest scan of each person who has one, with the region labelled at that visit.

    Args:
        indexes: The datasets; subjects are kept apart by dataset.
        contrast: Selector of the scans, such as ``T1w``.
        labels: Selector of the mask or segmentation of the region; None if none is followed.

    Returns:
        Cases without targets, sorted by name.

    Raises:
        ConfigError: If the labels are no mask or segmentation.
        DatasetError: If nobody has the contrast; or, all told at once, if a selector fits several
            scans of one visit, or nothing tells which of several visits is the latest.
    """
    wanted, region = Selector.parse(contrast), parse_labels(labels)
    indexes = list(indexes)
    cases: list[Case] = []
    errors: list[str] = []
    for index, visits in _list_people(indexes, wanted):
        try:
            cases.append(_describe(index, _find_latest(visits), wanted, region))
        except DatasetError as error:
            errors.append(str(error))
    if errors:
        raise DatasetError("\n".join(errors))
    if not cases:
        there = sorted({contrast for index in indexes for contrast in index.contrasts})
        raise DatasetError(f"nobody has '{contrast}'; there are {', '.join(there) or 'no images'}")
    refuse_twins(case.name for case in cases)
    return sorted(cases, key=lambda case: case.name)


def _list_people(
    indexes: list[DatasetIndex], contrast: Selector
) -> Iterator[tuple[DatasetIndex, tuple[Visit, ...]]]:
    for index in indexes:
        for _, visits in group_people(index, contrast):
            yield index, visits


def _find_latest(visits: tuple[Visit, ...]) -> Visit:
    """Of a single visit nobody needs to know when it was."""
    return visits[0] if len(visits) == 1 else sort_in_time(visits[0].subject, visits)[-1]


def _describe(
    index: DatasetIndex, visit: Visit, contrast: Selector, region: Selector | None
) -> Case:
    scan = pick_scan(visit, visit.images, contrast)
    label = None if region is None else pick_scan(visit, visit.scans, region)
    if scan is None:
        raise ValueError(f"{visit.subject}: a visit without the contrast was taken")
    return Case(
        name=name_visit(visit),
        dataset=index.name,
        subject=visit.subject,
        session=visit.session,
        source=scan.path,
        label=None if label is None else label.path,
        days=visit.days,
    )
