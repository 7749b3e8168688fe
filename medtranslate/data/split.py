"""Who trains, who validates and who tests: by person, seeded, and refused if anything leaks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

from pydantic import Field, model_validator

from medtranslate.data.scans import PARTS, Part
from medtranslate.errors import ConfigError, DatasetError
from medtranslate.io.documents import read_document
from medtranslate.provenance import hash_json
from medtranslate.settings import Settings

Share = Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0, lt=1)]


class SplitSettings(Settings):
    """How people are divided into training, validation and test."""

    val: Share = Field(
        0.1, description="People that choose the checkpoint: a share below 1, or a number."
    )
    test: Share = Field(
        0.2, description="People held out to the end: a share below 1, or a number."
    )
    val_subjects: tuple[str, ...] = Field(
        (), description="Exactly these people validate: 'dataset/subject', or 'subject'."
    )
    test_subjects: tuple[str, ...] = Field(
        (), description="Exactly these people test: 'dataset/subject', or 'subject'."
    )
    seed: int = Field(0, ge=0, description="Another seed draws other people.")
    stratify_by: str | None = Field(
        None,
        description="Column of the participants table to spread evenly over parts; or 'dataset'.",
    )
    file: Path | None = Field(
        None, description="A split.json to follow instead of drawing; all else here is ignored."
    )
    folds: int | None = Field(
        None,
        ge=2,
        description="Cross-validation in so many runs, everybody held out once; 'test' is unused.",
    )

    @model_validator(mode="after")
    def _folds_choose_everybody(self) -> SplitSettings:
        fixed = [name for name in ("val_subjects", "test_subjects", "file") if getattr(self, name)]
        if self.folds is not None and fixed:
            raise ValueError(
                f"folds holds out everybody once, so {' and '.join(fixed)} cannot be given as well"
            )
        return self


class OfSubject(Protocol):
    """What a split divides: a case, or a pair of visits."""

    @property
    def subject(self) -> str:
        """Key ``dataset/subject`` of the person it is of."""


AnyOfSubject = TypeVar("AnyOfSubject", bound=OfSubject)


@dataclass(frozen=True)
class Split:
    """Which part each person belongs to.

    Attributes:
        assignment: Subject key to ``train``, ``val`` or ``test``.
    """

    assignment: Mapping[str, Part]

    def subjects(self, part: Part) -> tuple[str, ...]:
        """Keys of the people of one part, sorted."""
        return tuple(sorted(key for key, value in self.assignment.items() if value == part))

    def cases(self, cases: Iterable[AnyOfSubject], part: Part) -> list[AnyOfSubject]:
        """The cases of one part, in the order given."""
        return [case for case in cases if self.assignment.get(case.subject) == part]

    @property
    def hash(self) -> str:
        """sha256 over who is where; the order of people does not matter."""
        return hash_json(dict(sorted(self.assignment.items())))

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``split.json``."""
        return {"subjects": dict(sorted(self.assignment.items())), "hash": self.hash}

    @classmethod
    def from_json(cls, data: object, *, where: str) -> Split:
        """The inverse of :meth:`to_json`; ``where`` names the file in messages.

        Raises:
            DatasetError: If the data has another form, or was changed since it was written.
        """
        subjects = data.get("subjects") if isinstance(data, dict) else None
        if not isinstance(data, dict) or not isinstance(subjects, dict) or not subjects:
            raise DatasetError(
                f'{where}: expected {{"subjects": {{"dataset/subject": "train", ...}}}}'
            )
        assignment: dict[str, Part] = {}
        for key, value in subjects.items():
            part = next((part for part in PARTS if part == value), None)
            if part is None:
                raise DatasetError(f"{where}: {key}: {value!r} is not train, val or test")
            assignment[key] = part
        split = cls(assignment)
        if "hash" in data and data["hash"] != split.hash:
            raise DatasetError(
                f"{where}: was changed after it was written: its hash does not fit its subjects. "
                'If that is meant, delete the "hash" line'
            )
        return split


def read_split(path: Path) -> Split:
    """Read a ``split.json``.

    Raises:
        DatasetError: If it is not one, names a person twice, or was changed since it was written.
    """
    try:
        data = read_document(path)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read as a split file ({error})") from error
    return Split.from_json(data, where=str(path))


def split_subjects(
    cases: Sequence[OfSubject],
    participants: Mapping[str, Mapping[str, str]],
    settings: SplitSettings,
) -> Split:
    """Divide the people of ``cases`` into training, validation and test.

    A split file is followed as it is. Otherwise people named in the settings come first; then, if
    every person has one, the ``split`` column of the table; the rest is drawn. A share above 0
    takes at least one person as long as one remains to train. The draw depends on the seed and
    each person's key alone, so that a person added later moves few others.

    Args:
        cases: What is to be divided; only their subjects count.
        participants: What is known of each subject, by subject key.
        settings: How to divide.

    Raises:
        ConfigError: If the settings ask for folds.
        DatasetError: If people are named that are not there or named twice, the column is absent,
            or nobody remains to train.
    """
    if settings.folds is not None:
        raise ConfigError(
            "split.folds is not one division of people but several; only 'medtranslate run' does"
            " cross-validation. Leave it out (--set split.folds=null), or use run"
        )
    subjects = sorted({case.subject for case in cases})
    if settings.file is not None:
        split = read_split(settings.file)
        check_people(split, cases)
        return split
    named = _read_named(subjects, settings)
    table = read_split_column(subjects, participants)
    if table is not None:
        split = Split({**table, **named})
    else:
        split = _draw(subjects, named, participants, settings)
    if not split.subjects("train"):
        raise DatasetError(
            f"nobody remains to train: {len(split.subjects('val'))} people validate and "
            f"{len(split.subjects('test'))} test. Lower split.val or split.test, or add people"
        )
    return split


def read_split_column(
    subjects: Iterable[str], participants: Mapping[str, Mapping[str, str]]
) -> dict[str, Part] | None:
    """What the ``split`` column of the table says; None unless it says it of every subject."""
    column = {subject: participants.get(subject, {}).get("split") for subject in subjects}
    if not all(value in PARTS for value in column.values()):
        return None
    return {key: part for key, value in column.items() for part in PARTS if part == value}


def _read_named(subjects: Sequence[str], settings: SplitSettings) -> dict[str, Part]:
    """The people the settings name, by key."""
    named: dict[str, Part] = {}
    lists: tuple[tuple[Part, tuple[str, ...]], ...] = (
        ("val", settings.val_subjects),
        ("test", settings.test_subjects),
    )
    for part, names in lists:
        for name in names:
            subject = _resolve(name, subjects, where=f"split.{part}_subjects")
            if named.setdefault(subject, part) != part:
                raise DatasetError(
                    f"{subject} is in split.val_subjects and in split.test_subjects; keep one"
                )
    return named


def _resolve(name: str, subjects: Sequence[str], *, where: str) -> str:
    bare = name.removeprefix("sub-")
    found = [key for key in subjects if key == name or key.partition("/")[2] == bare]
    if len(found) == 1:
        return found[0]
    if found:
        raise DatasetError(f"{where}: '{name}' may be {' or '.join(found)}; write the whole key")
    raise DatasetError(
        f"{where}: nobody is called '{name}'; there are {shorten(subjects)}. "
        "People without a complete case are not counted"
    )


def _draw(
    subjects: Sequence[str],
    named: Mapping[str, Part],
    participants: Mapping[str, Mapping[str, str]],
    settings: SplitSettings,
) -> Split:
    assignment = dict(named)
    shares: tuple[tuple[Part, int | float, bool], ...] = (
        ("test", settings.test, bool(settings.test_subjects)),
        ("val", settings.val, bool(settings.val_subjects)),
    )
    for part, share, is_named in shares:
        if is_named:
            continue
        free = [subject for subject in subjects if subject not in assignment]
        count = _count(share, total=len(subjects), free=len(free), part=part)
        strata = group_by_column(free, participants, settings.stratify_by)
        for subject in _take_evenly(strata, count, seed=settings.seed):
            assignment[subject] = part
    for subject in subjects:
        assignment.setdefault(subject, "train")
    return Split(assignment)


def _count(share: int | float, *, total: int, free: int, part: Part) -> int:
    """How many people a share means; one must remain to train."""
    if isinstance(share, int):
        if share >= free and share > 0:
            raise DatasetError(
                f"split.{part}: {share} people are asked for, but of {total} only {free} are free "
                "and one must remain to train. Lower it, or add people"
            )
        return share
    count = int(share * total + 0.5)
    return min(max(count, 1 if share > 0 else 0), max(free - 1, 0))


def group_by_column(
    subjects: Sequence[str],
    participants: Mapping[str, Mapping[str, str]],
    column: str | None,
) -> dict[str, list[str]]:
    """Subjects by their value in ``column``; missing values are a group of their own."""
    if column is None:
        return {"": list(subjects)}
    if column == "dataset":
        values = {subject: subject.partition("/")[0] for subject in subjects}
    else:
        known = sorted({name for person in participants.values() for name in person})
        if column not in known:
            raise DatasetError(
                f"split.stratify_by: no participants table has a column '{column}'; "
                f"there are {', '.join(known) or 'none'}, and 'dataset'"
            )
        values = {subject: participants.get(subject, {}).get(column, "") for subject in subjects}
    groups: dict[str, list[str]] = {}
    for subject in subjects:
        groups.setdefault(values[subject], []).append(subject)
    if len(groups) == len(subjects) > 3:
        raise DatasetError(
            f"split.stratify_by: every person has another '{column}', so nothing can be spread "
            "evenly; choose a column with few values"
        )
    return groups


def _take_evenly(groups: Mapping[str, Sequence[str]], count: int, *, seed: int) -> list[str]:
    """``count`` people, from each group its share (largest remainders), by a seeded order."""
    total = sum(len(group) for group in groups.values())
    if total == 0 or count == 0:
        return []
    quotas = {value: count * len(group) / total for value, group in groups.items()}
    taken = {value: int(quota) for value, quota in quotas.items()}
    by_remainder = sorted(
        quotas, key=lambda value: (taken[value] - quotas[value], rank_by_seed(value, seed))
    )
    for value in by_remainder[: count - sum(taken.values())]:
        taken[value] += 1
    return [
        subject
        for value, group in groups.items()
        for subject in sorted(group, key=lambda name: rank_by_seed(name, seed))[: taken[value]]
    ]


def rank_by_seed(name: str, seed: int) -> str:
    """A seeded place in line that depends on nobody else."""
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()


def check_people(split: Split, cases: Sequence[OfSubject]) -> None:
    """Refuse a split that does not fit the people of ``cases``.

    Raises:
        DatasetError: If it names people who are not there, or leaves somebody out.
    """
    present = {case.subject for case in cases}
    unknown = sorted(set(split.assignment) - present)
    if unknown:
        visits = [key for key in unknown if key.partition("_ses-")[0] in present]
        hint = "; splits are by person, never by visit" if visits else ""
        raise DatasetError(
            f"the split names people who are not in the data: {shorten(unknown)}{hint}. There are "
            f"{shorten(sorted(present))}. Correct the split, or give the dataset they are in"
        )
    missing = sorted(present - set(split.assignment))
    if missing:
        raise DatasetError(
            f"the split does not say where these people belong: {shorten(missing)}. "
            "Add each to train, val or test"
        )


def shorten(names: Sequence[str], *, limit: int = 8) -> str:
    """The first names of a list and how many more there are."""
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")
