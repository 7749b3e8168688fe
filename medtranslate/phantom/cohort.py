"""Write a cohort of simulated people as a BIDS dataset, with the truth about them beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medtranslate import __version__
from medtranslate.errors import DatasetError
from medtranslate.geometry import Geometry
from medtranslate.io import BidsName, write_volume
from medtranslate.io.atomic import atomic_folder, write_json, write_text
from medtranslate.phantom.anatomy import Template, load_template
from medtranslate.phantom.contrast import VENTRICLES, Tissue
from medtranslate.phantom.documents import (
    DATASET_README,
    PARTICIPANT_COLUMNS,
    SESSION_COLUMNS,
    TEMPLATE_ADDRESS,
    TEMPLATE_LICENCE,
    TRUTH_README,
)
from medtranslate.phantom.person import (
    Anatomy,
    Person,
    draw_person,
    first_visit,
    scan_grid,
    second_visit,
)
from medtranslate.phantom.scanner import PROTOCOLS, scan
from medtranslate.provenance import hash_file
from medtranslate.volume import Volume

DERIVATIVES = Path("derivatives", "truth")
"""Where masks and labels lie in the dataset."""

CHECKSUMS = "SHA256SUMS"

_BIDS_VERSION = "1.10.0"
_PERSON_STREAM = 0
_DESCRIPTION = "simulated by medtranslate phantom; no real person"


@dataclass(frozen=True, eq=False)
class Visit:
    """One person at one visit.

    Attributes:
        session: ``1``, ``2``, or None where each person is seen once.
        days: Since the first visit.
        anatomy: What lies in each voxel.
        volumes: By contrast, see :func:`medtranslate.phantom.scanner.scan`.
        ventricles: Boolean, shape ``(i, j, k)``; told apart from other fluid in the segmentation.
    """

    session: str | None
    days: int
    anatomy: Anatomy
    volumes: dict[str, Volume]
    ventricles: np.ndarray | None = None

    @property
    def segmentation(self) -> np.ndarray:
        """What fills most of each voxel: a :class:`Tissue`, or the ventricles."""
        tissue: np.ndarray = self.anatomy.fractions.argmax(axis=0)
        if self.ventricles is not None:
            tissue[self.ventricles & (tissue == Tissue.CSF)] = VENTRICLES
        return tissue


def make_cohort(
    out: Path,
    *,
    subjects: int,
    seed: int,
    spacing_mm: float = 2.0,
    visits: int = 1,
    on_person: Callable[[int, str], None] | None = None,
) -> None:
    """Simulate people and write them as a BIDS dataset.

    Person ``n`` depends on ``seed`` and ``n`` alone, not on how many people there are. The same
    arguments give the same bytes. The folder appears when it is complete.

    Args:
        out: Folder to make; must be absent or empty.
        subjects: How many people, at least 1.
        seed: Not negative.
        spacing_mm: Size of the cubic voxels, millimetres, 1 to 16.
        visits: 1, or 2 for sessions ``ses-1`` and ``ses-2`` with atrophy and lesion growth.
        on_person: Called with each person's number and name when its files are written.

    Raises:
        ValueError: If an argument is out of range.
        DatasetError: If ``out`` holds anything.
        MissingExtraError: If nilearn is not installed.
    """
    check_request(subjects=subjects, seed=seed, spacing_mm=spacing_mm, visits=visits)
    refuse_occupied(out)
    template = load_template()
    geometry = scan_grid(spacing_mm)
    command = (
        f"medtranslate phantom --out {out.name} --subjects {subjects} --seed {seed}"
        f" --spacing-mm {spacing_mm:g} --visits {visits}"
    )
    with atomic_folder(out) as aside:
        write_description(aside, command)
        rows = []
        for number in range(1, subjects + 1):
            name = subject_name(number)
            person = draw_person(np.random.default_rng([seed, number, _PERSON_STREAM]), template)
            seen = list(simulate_visits(person, template, geometry, seed, number, visits=visits))
            for visit in seen:
                write_visit(aside, name, visit)
            if visits > 1:
                _write_sessions(aside, name, seen)
            rows.append(_participant_row(name, person, seen[0].anatomy))
            if on_person is not None:
                on_person(number, f"sub-{name}")
        write_table(aside / "participants.tsv", PARTICIPANT_COLUMNS, rows)
        write_checksums(aside)


def refuse_occupied(out: Path) -> None:
    """Refuse to write where something lies.

    Raises:
        DatasetError: If ``out`` holds anything.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DatasetError(f"{out} is not an empty folder. Give the name of a new one")


def subject_name(number: int) -> str:
    """BIDS label of person ``number``, counted from 1."""
    return f"phantom{number:02d}"


def simulate_visits(
    person: Person, template: Template, geometry: Geometry, seed: int, number: int, *, visits: int
) -> Iterator[Visit]:
    """Anatomy and scans of ``person``, visit by visit."""
    first = first_visit(person, template, geometry)
    for visit in range(1, visits + 1):
        anatomy = first if visit == 1 else second_visit(person, template, geometry, first)
        yield Visit(
            session=str(visit) if visits > 1 else None,
            days=0 if visit == 1 else person.days,
            anatomy=anatomy,
            volumes=scan(anatomy, np.random.default_rng([seed, number, visit])),
        )


def check_request(*, subjects: int, seed: int, spacing_mm: float, visits: int) -> None:
    """Refuse what :func:`make_cohort` cannot make.

    Raises:
        ValueError: If an argument is out of the range given there.
    """
    if subjects < 1:
        raise ValueError(f"subjects is {subjects}, expected at least 1")
    if seed < 0:
        raise ValueError(f"seed is {seed}, expected 0 or more")
    if not 1.0 <= spacing_mm <= 16.0:
        raise ValueError(f"spacing_mm is {spacing_mm}, expected 1 to 16")
    if visits not in (1, 2):
        raise ValueError(f"visits is {visits}, expected 1 or 2")


def write_visit(out: Path, subject: str, visit: Visit) -> None:
    """The scans of one visit, and beside them masks and tissues."""
    session = () if visit.session is None else (("ses", visit.session),)
    entities = (("sub", subject), *session)
    place = Path(*[f"{key}-{value}" for key, value in entities])
    for contrast, volume in visit.volumes.items():
        folder, suffix = ("ct", "ct") if contrast == "CT" else ("anat", contrast)
        name = BidsName(entities, suffix, ".nii.gz").name
        write_volume(
            out / place / folder / name,
            volume,
            sidecar=_sidecar(contrast),
            description=_DESCRIPTION,
            dtype=np.int16,
        )
    anatomy = visit.anatomy
    labels: dict[tuple[tuple[str, str], ...], np.ndarray] = {
        (("desc", "brain"),): anatomy.brain,
        (("label", "lesion"),): anatomy.lesion >= 0.5,
        (): visit.segmentation,
    }
    for extra, array in labels.items():
        name = BidsName((*entities, *extra), "mask" if extra else "dseg", ".nii.gz").name
        volume = Volume(array.astype(np.uint8)[None], anatomy.geometry, None, "label")
        write_volume(
            out / DERIVATIVES / place / "anat" / name,
            volume,
            description=_DESCRIPTION,
            dtype=np.uint8,
        )


def _sidecar(contrast: str) -> dict[str, Any]:  # Any: whatever JSON can hold
    sidecar: dict[str, Any] = {"Synthetic": True, "Manufacturer": "medtranslate phantom"}
    if contrast == "CT":
        return {"Modality": "CT", **sidecar, "Units": "HU"}
    sequence = PROTOCOLS[contrast].sequence
    sidecar |= {
        "Modality": "MR",
        "MagneticFieldStrength": 1.5,
        "RepetitionTime": sequence.repetition_ms / 1000.0,
        "EchoTime": sequence.echo_ms / 1000.0,
    }
    if sequence.inversion_ms is not None:
        sidecar["InversionTime"] = round(sequence.inversion_ms / 1000.0, 4)
    return sidecar


def _participant_row(name: str, person: Person, anatomy: Anatomy) -> dict[str, str]:
    return {
        "participant_id": f"sub-{name}",
        "age": str(person.age),
        "sex": person.sex,
        "brain_volume_ml": f"{anatomy.brain_volume_ml:.2f}",
        "lesion_volume_ml": f"{anatomy.lesion_volume_ml:.3f}",
    }


def _write_sessions(out: Path, name: str, visits: list[Visit]) -> None:
    rows = [
        {
            "session_id": f"ses-{visit.session}",
            "days_since_baseline": str(visit.days),
            "brain_volume_ml": f"{visit.anatomy.brain_volume_ml:.2f}",
            "lesion_volume_ml": f"{visit.anatomy.lesion_volume_ml:.3f}",
        }
        for visit in visits
    ]
    write_table(out / f"sub-{name}" / f"sub-{name}_sessions.tsv", SESSION_COLUMNS, rows)


def write_table(path: Path, columns: dict[str, dict[str, Any]], rows: list[dict[str, str]]) -> None:
    """A table and the JSON that explains its columns."""
    lines = ["\t".join(columns), *("\t".join(row[name] for name in columns) for row in rows)]
    write_text(path, "\n".join(lines) + "\n")
    described = {name: text for name, text in columns.items() if text}
    write_json(path.with_suffix(".json"), described)


def write_description(
    out: Path, command: str, *, structures: Mapping[int, str] | None = None
) -> None:
    """What a dataset says of itself, and of the truth it carries.

    Args:
        out: The dataset.
        command: What made it.
        structures: Labels of its segmentations beside those of the tissues, with their names.
    """
    generated = [{"Name": "medtranslate phantom", "Version": __version__, "Description": command}]
    common = {
        "BIDSVersion": _BIDS_VERSION,
        "License": "Permission notice of the MNI152 template, see README.md",
        "Authors": ["medtranslate phantom"],
        "SourceDatasets": [{"URL": TEMPLATE_ADDRESS}],
        "GeneratedBy": generated,
    }
    write_json(
        out / "dataset_description.json",
        {"Name": "Simulated people", "DatasetType": "raw", **common},
    )
    write_json(
        out / DERIVATIVES / "dataset_description.json",
        {"Name": "Truth about the simulated people", "DatasetType": "derivative", **common},
    )
    write_text(out / DERIVATIVES / "README.md", TRUTH_README)
    write_text(out / "README.md", DATASET_README.format(command=command, licence=TEMPLATE_LICENCE))
    write_text(out / ".bidsignore", f"**/ct\n{CHECKSUMS}\n")
    names = {tissue.value: tissue.name.lower() for tissue in Tissue} | dict(structures or {})
    rows = [f"{label}\t{name}" for label, name in names.items()]
    write_text(out / DERIVATIVES / "dseg.tsv", "\n".join(["index\tname", *rows]) + "\n")


def write_checksums(out: Path) -> None:
    """A line for every file that lies in ``out``."""
    files = sorted(path for path in out.rglob("*") if path.is_file())
    lines = [f"{hash_file(path)}  {path.relative_to(out).as_posix()}" for path in files]
    write_text(out / CHECKSUMS, "\n".join(lines) + "\n")
