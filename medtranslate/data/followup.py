"""What looks wrong between the visits of one person: times, another head, another contrast."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from medtranslate.data.cases import Visit
from medtranslate.data.consistency import FindingList, label_visit
from medtranslate.data.findings import Remark, ScanFacts
from medtranslate.data.likeness import Likeness, Thumbnail, compare_thumbnails, make_thumbnail
from medtranslate.data.visit_times import DAYS_PER_YEAR
from medtranslate.data.visits import find_time_faults
from medtranslate.io import read_volume

# Real follow-ups of one contrast, heads turned differently, reach 0.5; T1w against T2w 0.3.
_OTHER_CONTRAST = 0.45
_VOLUME_RATIO = 1.25
_MUCH_MORE_ALIKE = 0.03
_FEWEST_VALUES = 8
_MOST_PEOPLE = 60


def find_followup_faults(
    contrasts: Sequence[str],
    visits: Sequence[Visit],
    facts: Mapping[Path, ScanFacts],
    findings: FindingList,
) -> None:
    """Look at everyone with several visits; nothing is read where nobody has them."""
    followed = {
        subject: found
        for subject, group in itertools.groupby(visits, key=lambda visit: visit.subject)
        if len(found := tuple(group)) > 1
    }
    for subject, found in followed.items():
        _examine_times(subject, found, findings)
    for contrast in contrasts:
        thumbnails = {
            subject: seen
            for subject, found in followed.items()
            if len(seen := _see(found, contrast, facts)) > 1
        }
        for subject, seen in thumbnails.items():
            _examine_likeness(contrast, subject, seen, thumbnails, findings)


def _examine_times(subject: str, visits: Sequence[Visit], findings: FindingList) -> None:
    name = label_visit(subject, None)
    untold = [visit.session or "" for visit in visits if visit.days is None]
    if untold:
        findings.add(
            Remark(
                "warning",
                "nothing tells when a visit was, so that it can be in no pair of visits",
                "write days_since_baseline, months, years or acq_time into the sessions table",
                f"ses-{', ses-'.join(untold)}",
            ),
            name,
        )
    years = {v.session or "": v.days / DAYS_PER_YEAR for v in visits if v.days is not None}
    for fault in find_time_faults(years):
        what, _, do = fault.rpartition(". ")
        findings.add(Remark("error", what, do[:1].lower() + do[1:]), name)


Seen = dict[str, Thumbnail]
"""Thumbnails of one person's scans in one contrast, by session, oldest first."""


def _see(visits: Sequence[Visit], contrast: str, facts: Mapping[Path, ScanFacts]) -> Seen:
    seen: Seen = {}
    for visit in sorted(visits, key=lambda visit: (visit.days or 0.0, visit.session or "")):
        scan = next((scan for scan in visit.images if scan.contrast == contrast), None)
        voxels = None if scan is None else facts[scan.path].voxels
        if scan is None or voxels is None or voxels.num_values <= _FEWEST_VALUES:
            continue
        thumbnail = make_thumbnail(read_volume(scan.path))
        if thumbnail is not None:
            seen[visit.session or ""] = thumbnail
    return seen


def _examine_likeness(
    contrast: str,
    subject: str,
    seen: Seen,
    everyone: Mapping[str, Seen],
    findings: FindingList,
) -> None:
    """Compare each follow-up with the person's first visit, and with the others' first visits."""
    (_, first), *later = seen.items()
    for session, thumbnail in later:
        where = f"{label_visit(subject, session)} {contrast}"
        own = compare_thumbnails(first, thumbnail)
        for remark in _judge(own):
            findings.add(remark, where)
        if len(everyone) > _MOST_PEOPLE:
            continue
        others = {
            other: compare_thumbnails(next(iter(theirs.values())), thumbnail).information
            for other, theirs in everyone.items()
            if other != subject
        }
        best = max(others, key=lambda other: others[other], default=None)
        if best is not None and others[best] > own.information + _MUCH_MORE_ALIKE:
            findings.add(
                Remark(
                    "warning",
                    "looks more like another person's first visit than like this person's own",
                    "look at them side by side; were two people's follow-ups swapped?",
                    f"like {label_visit(best, None)}: mutual information {others[best]:.2f} "
                    f"against {own.information:.2f}",
                ),
                where,
            )


def _judge(own: Likeness) -> list[Remark]:
    remarks = []
    if own.rank_correlation < _OTHER_CONTRAST:
        remarks.append(
            Remark(
                "warning",
                "hardly looks like this person's first visit in what is called the same contrast",
                "check the contrast of both, and that both are of this person",
                f"rank correlation {own.rank_correlation:.2f}",
            )
        )
    if not 1 / _VOLUME_RATIO <= own.volume_ratio <= _VOLUME_RATIO:
        remarks.append(
            Remark(
                "warning",
                "shows a head of another size than this person's first visit",
                "check whose scans they are, their voxel sizes, and how far they reach",
                f"{own.volume_ratio:.2f} times the volume",
            )
        )
    return remarks
