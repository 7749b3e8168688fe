"""Finding out what a dataset holds: a BIDS folder, raw or derivative, or a CSV table."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medtranslate.data.scans import (
    DatasetIndex,
    Scan,
    TransformFile,
    canonical_suffix,
    contrast_of,
    kind_of,
    sort_scans,
)
from medtranslate.data.table import index_table, read_table
from medtranslate.data.visit_times import read_visit_days
from medtranslate.errors import DatasetError
from medtranslate.io import parse_bids_name, scan_suffix
from medtranslate.io.documents import read_document
from medtranslate.io.naming import ENTITY_ORDER

_SKIPPED_FOLDERS = ("sourcedata", "code", "stimuli", "phenotype")
_TABLE_SUFFIXES = (".csv", ".tsv")
_MAP_SUFFIXES = ("displacement", "probseg")
"""What derivatives say about scans without being any; nobody misses them here."""
_DICOM_SUFFIXES = (".dcm", ".ima")
_OTHER_SUFFIX = re.compile(
    r"sub-[A-Za-z0-9]+(?:_[A-Za-z]+-[A-Za-z0-9]+)*_(?P<suffix>[A-Za-z0-9]+)\.[a-z.]+"
)
_TRANSFORM = re.compile(
    r"sub-(?P<subject>[A-Za-z0-9]+)(?:_ses-(?P<session>[A-Za-z0-9]+))?"
    r"_from-(?P<moving>[A-Za-z0-9]+)_to-(?P<fixed>[A-Za-z0-9]+)(?:_[a-z]+-[A-Za-z0-9]+)*_xfm\.txt"
)


def index_datasets(roots: Sequence[Path]) -> list[DatasetIndex]:
    """Index several datasets whose subjects are to be joined but not mixed up.

    A dataset is called after its folder. Where two folders have the same name, the name of the
    folder above is put before it, so that every subject key stays unique.

    Raises:
        DatasetError: If one dataset is given twice, or names stay equal.
    """
    places = [root.resolve() for root in roots]
    for place, count in Counter(places).items():
        if count > 1:
            raise DatasetError(f"{place}: is given {count} times; give each dataset once")
    names = [_dataset_name(place) for place in places]
    clashes = {name for name, count in Counter(names).items() if count > 1}
    names = [
        f"{_clean(place.parent.name)}-{name}" if name in clashes else name
        for place, name in zip(places, names, strict=True)
    ]
    if len(set(names)) < len(names):
        raise DatasetError(
            f"datasets {', '.join(map(str, places))} have the same name; rename one folder, "
            "because subjects are told apart by the name of their dataset"
        )
    return [index_dataset(root, name=name) for root, name in zip(roots, names, strict=True)]


def index_dataset(root: Path, *, name: str | None = None) -> DatasetIndex:
    """Find the scans of one dataset.

    Nothing but names and small tables is read; whether the scans can be read is for
    :func:`medtranslate.data.inspection.inspect_dataset`.

    Args:
        root: A BIDS folder, raw or derivative, or a CSV file.
        name: Name of the dataset; of its folder or file if None.

    Raises:
        DatasetError: If nothing lies there, or a table in it cannot be used.
    """
    if not root.exists():
        raise DatasetError(f"{root}: no such folder or file; give a BIDS folder or a CSV table")
    name = name or _dataset_name(root.resolve())
    if root.is_dir():
        return _BidsReader(root, name).read()
    if root.suffix.lower() in _TABLE_SUFFIXES:
        return index_table(root, name=name)
    raise DatasetError(f"{root}: is a file, not a dataset; give a BIDS folder or a .csv table")


def _dataset_name(place: Path) -> str:
    return _clean(place.stem if place.is_file() else place.name) or "dataset"


def _clean(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")


@dataclass
class _BidsReader:
    """Collects the scans, tables and problems of one BIDS folder."""

    root: Path
    name: str
    scans: list[Scan] = field(default_factory=list)
    transforms: list[TransformFile] = field(default_factory=list)
    sessions: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    num_dicom: int = 0

    def read(self) -> DatasetIndex:
        """The index of the folder."""
        days = self._read_sessions()
        for path in _walk(self.root):
            self._take(path, days)
        for suffix, count in sorted(self.ignored.items()):
            self.problems.append(
                f"{count} files '..._{suffix}' are left out: not a contrast read here"
            )
        participants = self._read_participants()
        if not any(scan.kind == "image" for scan in self.scans):
            self.problems.append(self._explain_emptiness())
        return DatasetIndex(
            name=self.name,
            root=self.root,
            scans=sort_scans(self.scans),
            participants=participants,
            sessions=self.sessions,
            transforms=tuple(self.transforms),
            problems=tuple(self.problems),
        )

    def _take(self, path: Path, days: Mapping[tuple[str, str], float]) -> None:
        """Sort one file into scans, transforms, problems or nothing."""
        transform = _TRANSFORM.fullmatch(path.name)
        if transform:
            self.transforms.append(
                TransformFile(
                    subject=f"{self.name}/{transform['subject']}",
                    session=transform["session"],
                    moving=transform["moving"],
                    fixed=transform["fixed"],
                    path=path,
                )
            )
            return
        if path.suffix.lower() in _DICOM_SUFFIXES:
            self.num_dicom += 1
        relative = path.relative_to(self.root)
        folders = relative.parts[:-1]
        if "derivatives" not in folders[:1]:
            folders = folders[:1]
        in_subject = any(folder.startswith("sub-") for folder in folders)
        if in_subject and scan_suffix(path) is not None:
            self._take_scan(path, relative, days)

    def _take_scan(self, path: Path, relative: Path, days: Mapping[tuple[str, str], float]) -> None:
        name = parse_bids_name(path.name)
        suffix = None if name is None else canonical_suffix(name.suffix)
        if name is None or suffix is None:
            other = _OTHER_SUFFIX.fullmatch(path.name)
            if other and other["suffix"] in _MAP_SUFFIXES and relative.parts[0] == "derivatives":
                return
            if other and canonical_suffix(other["suffix"]) is None:
                self.ignored[other["suffix"]] += 1
            else:
                self.problems.append(
                    f"{relative}: left out, because its name cannot be read; expected "
                    f"sub-LABEL[_key-label]_suffix with keys {', '.join(ENTITY_ORDER)}"
                )
            return
        if kind_of(suffix) == "image" and relative.parts[0] == "derivatives":
            return
        entities = dict(name.entities)
        subject = entities.pop("sub", "")
        session = entities.pop("ses", None)
        folders = [part for part in relative.parts[:-1] if part.startswith(("sub-", "ses-"))]
        expected = {f"sub-{subject}", *([f"ses-{session}"] if session else [])}
        if not set(folders) <= expected:
            self.problems.append(
                f"{relative}: left out, folder and file name speak of different people or visits"
            )
            return
        if not path.exists():
            self.problems.append(
                f"{relative}: left out, a link to nothing; fetch its content first "
                "(datalad get, git annex get)"
            )
            return
        self.scans.append(
            Scan(
                dataset=self.name,
                subject=f"{self.name}/{subject}",
                session=session,
                contrast=contrast_of(suffix, entities),
                suffix=suffix,
                entities=entities,
                path=path,
                days=days.get((subject, session or "")),
                kind=kind_of(suffix),
            )
        )

    def _read_sessions(self) -> dict[tuple[str, str], float]:
        """Days since the first visit, by subject and session; the other columns are kept."""
        days: dict[tuple[str, str], float] = {}
        for path in sorted(self.root.glob("sub-*/sub-*_sessions.tsv")):
            subject = path.parent.name.removeprefix("sub-")
            try:
                rows = [row for _, row in read_table(path)]
                found = read_visit_days(rows)
            except DatasetError as error:
                self.problems.append(
                    f"{path.relative_to(self.root)}: no days between visits: {error}"
                )
                continue
            days.update({(subject, session): value for session, value in found.items()})
            for row in rows:
                session = row.pop("session_id", "").removeprefix("ses-")
                self.sessions[f"{self.name}/{subject}", session] = {
                    column: value for column, value in row.items() if value
                }
        return days

    def _read_participants(self) -> dict[str, dict[str, str]]:
        path = self.root / "participants.tsv"
        if not path.is_file():
            return {}
        try:
            rows = [row for _, row in read_table(path)]
        except DatasetError as error:
            self.problems.append(f"participants.tsv: not read: {error}")
            return {}
        people: dict[str, dict[str, str]] = {}
        for row in rows:
            subject = row.pop("participant_id", "").removeprefix("sub-")
            if subject:
                people[f"{self.name}/{subject}"] = {
                    key: value for key, value in row.items() if value
                }
        present = {scan.subject for scan in self.scans if scan.kind == "image"}
        for what, keys in (
            ("in participants.tsv, but no scan is there", set(people) - present),
            ("no line in participants.tsv", present - set(people)),
        ):
            if keys:
                self.problems.append(f"{_list_subjects(sorted(keys))}: {what}")
        return people

    def _explain_emptiness(self) -> str:
        expected = "expected names such as sub-01/anat/sub-01_T1w.nii.gz"
        below = sorted(path.parent.name for path in self.root.glob("*/dataset_description.json"))
        if below:
            return (
                f"no scans in {self.name} itself: it holds the datasets {', '.join(below)}; "
                "give one of them"
            )
        if self.num_dicom:
            return (
                f"no scans in {self.name}: it holds {self.num_dicom} DICOM files; name "
                f"the folder of each series in a CSV table, or arrange a BIDS folder ({expected})"
            )
        return f"no scans in {self.name}: {expected}; or describe the files in a CSV table"


def _walk(root: Path) -> Iterator[Path]:
    """Every file of a dataset in a fixed order, without hidden, source and code folders.

    Links to folders are followed, as people link scans they share, but not those that lead back up.
    """
    for folder, subfolders, files in os.walk(root, followlinks=True):
        place = Path(folder).resolve()
        subfolders[:] = sorted(
            name
            for name in subfolders
            if not name.startswith(".")
            and name not in _SKIPPED_FOLDERS
            and (place / name).resolve() not in (place, *place.parents)
        )
        yield from (Path(folder) / name for name in sorted(files) if not name.startswith("."))


def _list_subjects(keys: Sequence[str], *, limit: int = 6) -> str:
    names = [f"sub-{key.partition('/')[2]}" for key in keys]
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")


def read_description(root: Path) -> dict[str, str]:
    """Text entries of ``dataset_description.json``, such as Name and License; {} if absent."""
    path = root / "dataset_description.json"
    if not path.is_file():
        return {}
    try:
        data = read_document(path)
    except (OSError, ValueError):
        return {}
    return {key: value for key, value in data.items() if isinstance(value, str)}
