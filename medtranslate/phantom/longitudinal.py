"""Write people whom a disease changes, seen at several random times, with the truth about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medtranslate.io import BidsName, write_volume
from medtranslate.io.atomic import atomic_folder, write_text
from medtranslate.phantom.anatomy import load_template
from medtranslate.phantom.cohort import (
    DERIVATIVES,
    Visit,
    check_request,
    refuse_occupied,
    subject_name,
    write_checksums,
    write_description,
    write_table,
    write_visit,
)
from medtranslate.phantom.contrast import VENTRICLES
from medtranslate.phantom.courses import (
    DISEASES,
    GROUPS,
    AbstractCourse,
    Disease,
    Pace,
    Stage,
    draw_pace,
    start_course,
)
from medtranslate.phantom.documents import DISEASE_README, PARTICIPANT_COLUMNS, TRUTH_README
from medtranslate.phantom.person import draw_person, scan_grid
from medtranslate.phantom.scanner import scan
from medtranslate.volume import Volume

MOST_VISITS = 12

_GAP_DAYS: dict[Disease, tuple[int, int]] = {
    "atrophy": (200, 700),
    "tumour": (30, 110),
    "lesions": (120, 420),
}
_STRUCTURES: dict[Disease, dict[int, str]] = {
    "atrophy": {VENTRICLES: "ventricles"},
    "tumour": {},
    "lesions": {},
}
_DAYS_PER_YEAR = 365.25
_DESCRIPTION = "simulated by medtranslate phantom; no real person"
_COURSE_STREAM = (0, 1)
_AXES = "xyz"


@dataclass(frozen=True, eq=False)
class Followed:
    """One person whom a disease changes.

    Attributes:
        name: BIDS label.
        age: Years at the first visit.
        sex: ``F`` or ``M``.
        pace: Covariates, and the speed they make.
        days: Of each visit, since the first one.
        course: Gives the person at any time.
        seed: Of what the scanner adds, without the number of the visit.
    """

    name: str
    age: int
    sex: str
    pace: Pace
    days: tuple[int, ...]
    course: AbstractCourse
    seed: tuple[int, int]


def make_longitudinal_cohort(
    out: Path,
    *,
    subjects: int,
    seed: int,
    visits: int,
    disease: Disease,
    spacing_mm: float = 2.0,
    on_person: Callable[[int, str], None] | None = None,
) -> None:
    """Simulate people at several visits and write them as a BIDS dataset.

    Person ``n`` depends on ``seed``, ``n``, the disease and the number of visits alone. The same
    arguments give the same bytes.

    Args:
        out: Folder to make; must be absent or empty.
        subjects: How many people, at least 1.
        seed: Not negative.
        visits: Visits of each person, 2 to 12.
        disease: What changes them.
        spacing_mm: Size of the cubic voxels, millimetres, 1 to 16.
        on_person: Called with each person's number and name when its files are written.

    Raises:
        ValueError: If an argument is out of range.
        DatasetError: If ``out`` holds anything.
        MissingExtraError: If nilearn is not installed.
    """
    check_longitudinal(
        subjects=subjects, seed=seed, spacing_mm=spacing_mm, visits=visits, disease=disease
    )
    refuse_occupied(out)
    with atomic_folder(out) as aside:
        write_description(
            aside,
            f"medtranslate phantom --out {out.name} --subjects {subjects} --seed {seed}"
            f" --spacing-mm {spacing_mm:g} --visits {visits} --disease {disease}",
            structures=_STRUCTURES[disease],
        )
        write_text(aside / DERIVATIVES / "README.md", TRUTH_README + DISEASE_README)
        rows = []
        for number in range(1, subjects + 1):
            followed = follow(number, seed, visits=visits, disease=disease, spacing_mm=spacing_mm)
            _write_person(aside, followed)
            rows.append(
                {
                    "participant_id": f"sub-{followed.name}",
                    "age": str(followed.age),
                    "sex": followed.sex,
                    **followed.pace.covariates,
                }
            )
            if on_person is not None:
                on_person(number, f"sub-{followed.name}")
        write_table(aside / "participants.tsv", _participant_columns(disease), rows)
        write_checksums(aside)


def check_longitudinal(
    *, subjects: int, seed: int, spacing_mm: float, visits: int, disease: str
) -> None:
    """Refuse what :func:`make_longitudinal_cohort` cannot make.

    Raises:
        ValueError: If an argument is out of the range given there.
    """
    check_request(subjects=subjects, seed=seed, spacing_mm=spacing_mm, visits=1)
    if disease not in DISEASES:
        raise ValueError(f"disease is '{disease}', expected one of {', '.join(DISEASES)}")
    if not 2 <= visits <= MOST_VISITS:
        raise ValueError(
            f"visits is {visits}, expected 2 to {MOST_VISITS}: a disease is seen by what changes"
        )


def follow(number: int, seed: int, *, visits: int, disease: Disease, spacing_mm: float) -> Followed:
    """Draw person ``number``, counted from 1, with a disease and the times of the visits."""
    template = load_template()
    geometry = scan_grid(spacing_mm)
    person = draw_person(np.random.default_rng([seed, number, 0]), template)
    generator = np.random.default_rng([seed, number, *_COURSE_STREAM])
    pace = draw_pace(disease, generator, person)
    low, high = _GAP_DAYS[disease]
    gaps = generator.integers(low, high + 1, size=visits - 1)
    course = start_course(disease, generator, person, template, geometry, rate=pace.rate)
    return Followed(
        name=subject_name(number),
        age=person.age,
        sex=person.sex,
        pace=pace,
        days=(0, *(int(day) for day in np.cumsum(gaps))),
        course=course,
        seed=(seed, number),
    )


def _write_person(out: Path, followed: Followed) -> None:
    sessions, volumes = [], []
    for visit, days in enumerate(followed.days, start=1):
        stage = followed.course.stage(days / _DAYS_PER_YEAR)
        scans = scan(stage.anatomy, np.random.default_rng([*followed.seed, visit]))
        ventricles = stage.masks.get("ventricles")
        seen = Visit(str(visit), days, stage.anatomy, scans, ventricles)
        write_visit(out, followed.name, seen)
        _write_truth(out, followed.name, str(visit), stage)
        sessions.append({"session_id": f"ses-{visit}", "days_since_baseline": str(days)})
        volumes += [
            {"session": str(visit), "days": str(days), "region": region, "volume_ml": f"{ml:.4f}"}
            for region, ml in stage.volumes_ml.items()
        ]
    name = f"sub-{followed.name}"
    write_table(out / name / f"{name}_sessions.tsv", _SESSION_COLUMNS, sessions)
    lines = [",".join(_VOLUME_COLUMNS), *(",".join(row.values()) for row in volumes)]
    write_text(out / DERIVATIVES / name / "volumes.csv", "\n".join(lines) + "\n")


_VOLUME_COLUMNS = ("session", "days", "region", "volume_ml")
_SESSION_COLUMNS: dict[str, dict[str, Any]] = {  # Any: whatever JSON can hold
    "session_id": {},
    "days_since_baseline": {"Description": "Days since the first visit", "Units": "day"},
}


def _participant_columns(disease: Disease) -> dict[str, dict[str, Any]]:
    column, slow, fast = GROUPS[disease]
    return {
        **{name: PARTICIPANT_COLUMNS[name] for name in ("participant_id", "age", "sex")},
        column: {
            "Description": "What sets the speed of the disease",
            "Levels": {slow: "slower", fast: "faster"},
        },
        "education_years": {"Description": "Says nothing about the disease", "Units": "year"},
    }


def _write_truth(out: Path, subject: str, session: str, stage: Stage) -> None:
    """Masks of what the disease made, the deformation, and the density of a tumour."""
    entities = (("sub", subject), ("ses", session))
    folder = out / DERIVATIVES / f"sub-{subject}" / f"ses-{session}" / "anat"

    def write(array: np.ndarray, suffix: str, *extra: tuple[str, str]) -> None:
        is_mask = array.dtype == bool
        write_volume(
            folder / BidsName((*entities, *extra), suffix, ".nii.gz").name,
            Volume(array[None], stage.anatomy.geometry, None, "label" if is_mask else "arbitrary"),
            description=_DESCRIPTION,
            dtype=np.uint8 if is_mask else np.float32,
        )

    for label, mask in stage.masks.items():
        write(mask, "mask", ("label", label))
    if stage.density is not None:
        write(stage.density, "probseg", ("label", "tumor"))
    if stage.pulled is not None:
        for axis, component in zip(_AXES, stage.pulled, strict=True):
            write(component, "displacement", ("desc", f"{axis}mm"))
