"""Where synthetic scans are written, and what must never be overwritten."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medtranslate import __version__
from medtranslate.data.cases import Case
from medtranslate.data.pseudonyms import label_of
from medtranslate.errors import DatasetError
from medtranslate.io import parse_bids_name, prediction_name, scan_suffix, sidecar_path
from medtranslate.io.atomic import write_json, write_text
from medtranslate.io.dicom.location import holds_dicom
from medtranslate.io.documents import read_document
from medtranslate.io.writing import WRITTEN_SUFFIXES
from medtranslate.manifest import MANIFEST_FILE
from medtranslate.workflows.deviation import deviation_path
from medtranslate.workflows.origin import Origin

PROJECT = "medtranslate"

SERIES_DESCRIPTION, SERIES_FOLDER = "synthetic.json", "series"
"""What describes a folder of synthetic DICOM, and where in it the series lies."""

_NOT_BIDS = (
    "*_ct.nii.gz", "*_ct.json", "*_CBCT.nii.gz", "*_CBCT.json", MANIFEST_FILE, "/status"
)  # fmt: skip
"""What BIDS has no name for (CT, and our records); its validator passes over what is listed."""

_BIDS_VERSION = "1.10.0"
_FOLDERS = {"ct": "ct", "CBCT": "ct", "pet": "pet"}
_README = """Synthetic scans made by medtranslate. They were not acquired. Research use only.

Each volume has a JSON sidecar that says from which scan and by which model it was made.
"""


def plan_outputs(
    cases: Sequence[Case], target: str, out: Path, *, with_deviation: bool = False
) -> list[Path]:
    """Where the prediction of each case goes.

    Args:
        cases: What is translated.
        target: Selector of the target contrast.
        out: A file (its name ends as a scan) for one case, else the folder of a derived dataset.
        with_deviation: Whether a volume of standard deviations will lie beside each.

    Returns:
        One path per case, of the prediction.

    Raises:
        DatasetError: If several cases share one output, or something that is not ours, a source
            before all, would be overwritten.
    """
    if is_scan_file(out):
        if len(cases) != 1:
            raise DatasetError(
                f"--out {out.name} is one file, but there are {len(cases)} sources; give a folder"
            )
        paths = [out]
    else:
        paths = _plan_names(cases, target, out)
        _check_folder(out)
    beside = [deviation_path(path) for path in paths] if with_deviation else []
    _check_overwriting([*paths, *beside], cases)
    return paths


def is_scan_file(out: Path) -> bool:
    """Whether ``--out`` means one file.

    Raises:
        DatasetError: If it is a scan of a format that is not written.
    """
    suffix = scan_suffix(out)
    if suffix is None or out.is_dir():
        return False
    if suffix.lower() not in WRITTEN_SUFFIXES:
        written = ", ".join(WRITTEN_SUFFIXES)
        raise DatasetError(f"--out {out.name}: {suffix} is not written; use one of {written}")
    return True


def describe_dataset(out: Path, *, target: str, origin: Origin | None = None) -> None:
    """Make ``out`` a BIDS derivative dataset that says who made it, and of which dataset."""
    description = {
        "Name": f"Synthetic {target} scans",
        "BIDSVersion": _BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": PROJECT, "Version": __version__}],
        "HowToAcknowledge": "Synthetic scans; not acquired. Research use only.",
        **({} if origin is None else origin.to_json()),
    }
    write_json(out / "dataset_description.json", description)
    write_text(out / "README", _README)
    write_text(out / ".bidsignore", "\n".join(_NOT_BIDS) + "\n")


def is_ours(path: Path) -> bool:
    """Whether a scan's sidecar says that it is synthetic and made here."""
    try:
        data = read_document(sidecar_path(path))
    except (OSError, ValueError):
        return False
    return data.get("Synthetic") is True and _is_made_here(data)


def require_dicom(cases: Sequence[Case]) -> None:
    """Refuse sources from which no DICOM series can be derived.

    Raises:
        DatasetError: If one is not DICOM.
    """
    for case in cases:
        if not holds_dicom(case.source):
            raise DatasetError(
                f"{case.source}: is not DICOM; a DICOM series is derived from a DICOM series. Leave"
                " --format dicom out to write NIfTI"
            )


def drop_stale_deviation(prediction: Path) -> None:
    """Remove the standard deviations of an earlier prediction that a plain one takes the place of.

    Their intervals lie around the earlier mean. Only what was made here is removed.
    """
    beside = deviation_path(prediction)
    if is_ours(beside):
        beside.unlink(missing_ok=True)
        sidecar_path(beside).unlink()


def _is_made_here(data: Mapping[str, Any]) -> bool:
    makers = data.get("GeneratedBy")
    return isinstance(makers, list) and any(
        isinstance(maker, dict) and maker.get("Name") == PROJECT for maker in makers
    )


def _plan_names(cases: Sequence[Case], target: str, out: Path) -> list[Path]:
    names = [_name_prediction(case, target) for case in cases]
    if len(set(names)) < len(names):
        # People of two datasets may have one label: say the dataset too.
        names = [
            _with_dataset(name, case) if names.count(name) > 1 else name
            for name, case in zip(names, cases, strict=True)
        ]
    for name in names:
        if names.count(name) > 1:
            twins = [str(c.source) for n, c in zip(names, cases, strict=True) if n == name]
            raise DatasetError(
                f"{' and '.join(twins)} would both be written as {name}; translate them into"
                " separate folders"
            )
    return [_place(out, name) for name in names]


def _name_prediction(case: Case, target: str) -> str:
    """The name of a prediction, from that of the source, else from its person and visit."""
    if parse_bids_name(case.source) is not None:
        return prediction_name(case.source, target)
    return prediction_name(
        case.source,
        target,
        subject=label_of(case.subject.rpartition("/")[2], case.source),
        session=case.session and label_of(case.session, case.source),
    )


def _with_dataset(name: str, case: Case) -> str:
    parsed = parse_bids_name(name)
    if parsed is None or not case.dataset:
        return name
    label = re.sub(r"[^A-Za-z0-9]", "", case.dataset) + (parsed.get("sub") or "")
    return parsed.with_entities(sub=label).name


def _place(out: Path, name: str) -> Path:
    parsed = parse_bids_name(name)
    if parsed is None:
        return out / name
    folder = out / f"sub-{parsed.get('sub')}"
    if parsed.get("ses"):
        folder /= f"ses-{parsed.get('ses')}"
    return folder / _FOLDERS.get(parsed.suffix, "anat") / name


def _check_folder(out: Path) -> None:
    if out.is_file():
        raise DatasetError(
            f"--out {out}: is a file that is not a scan; give a folder or a name with .nii.gz"
        )
    path = out / "dataset_description.json"
    if not path.exists():
        return
    try:
        data = read_document(path)
    except (OSError, ValueError):
        data = {}
    if not _is_made_here(data):
        raise DatasetError(
            f"--out {out}: holds another dataset (dataset_description.json); choose a folder of its"
            " own for synthetic scans"
        )


def _check_overwriting(paths: Sequence[Path], cases: Sequence[Case]) -> None:
    inputs = [path for case in cases for path in (case.source, case.target, case.mask) if path]
    taken = {path.resolve() for path in inputs}
    sidecars = {sidecar_path(path).resolve(): path for path in inputs}
    for path in paths:
        if path.resolve() in taken:
            raise DatasetError(f"--out {path}: is one of the scans given; choose another name")
        described = sidecars.get(sidecar_path(path).resolve())
        if described is not None:
            raise DatasetError(
                f"--out {path}: its sidecar would take the place of that of {described.name};"
                " choose another name"
            )
        if path.exists() and not is_ours(path):
            raise DatasetError(
                f"--out {path}: exists and is not a synthetic scan of ours; it is left alone."
                " Choose another name, or remove it"
            )
