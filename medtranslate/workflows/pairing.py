"""Which prediction belongs to which reference, mask and source, by their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from medtranslate.data.pseudonyms import pseudonym
from medtranslate.data.scans import contrast_of
from medtranslate.errors import DatasetError
from medtranslate.io import BidsName, is_scan, parse_bids_name, scan_suffix
from medtranslate.io.content import hash_content
from medtranslate.io.dicom.location import holds_dicom
from medtranslate.workflows.deviation import DEVIATION_DESC

_NOT_IMAGES = ("mask", "dseg")


@dataclass(frozen=True)
class Pair:
    """Files of one case.

    Attributes:
        name: Unique, for tables; of a BIDS name its subject and session, else a pseudonym.
        subject: Person.
        reference: The real scan.
        prediction: The synthetic one.
        mask: Where to score; None if computed.
        source: What the prediction was made from; None if not given.
    """

    name: str
    subject: str
    reference: Path
    prediction: Path
    mask: Path | None
    source: Path | None


@dataclass(frozen=True)
class Pairing:
    """What can be scored, and what is left over.

    Attributes:
        pairs: Sorted by name.
        unpaired: Files without a partner.
    """

    pairs: tuple[Pair, ...]
    unpaired: tuple[Path, ...]


def pair_paths(
    reference: Path, prediction: Path, *, mask: Path | None = None, source: Path | None = None
) -> Pairing:
    """Pair files, or the files of two folders.

    In folders, BIDS names pair by subject and session, and by contrast where that leaves several;
    other names pair if they are the same up to the suffix. As such a name may be a person's, the
    case is called by the content of its reference instead.

    Args:
        reference: A scan or a folder of scans.
        prediction: Likewise; a file if ``reference`` is one.
        mask: Likewise; a single mask serves every pair.
        source: Likewise.

    Raises:
        DatasetError: If a path is absent, a file stands opposite a folder, nothing pairs, or a
            choice is ambiguous; the message names the files.
    """
    for path in (reference, prediction, mask, source):
        if path is not None and not (path.exists() or holds_dicom(path)):
            raise DatasetError(f"{path}: no such file or folder")
    if _is_folder(reference) != _is_folder(prediction):
        raise DatasetError(
            f"{reference} and {prediction}: one is a folder, the other a file; give two files or "
            "two folders"
        )
    if not _is_folder(reference):
        name = _key(reference)
        pair = _finish(name, reference, prediction, mask=mask, source=source)
        return Pairing(_rename([pair]), ())
    return _pair_folders(reference, prediction, mask=mask, source=source)


def hash_pair(pair: Pair) -> dict[str, str]:
    """The files of a pair by role, each told by its content and by nothing else."""
    paths = {
        "reference": pair.reference,
        "prediction": pair.prediction,
        "mask": pair.mask,
        "source": pair.source,
    }
    return {role: hash_content(path) for role, path in paths.items() if path is not None}


def _is_folder(path: Path) -> bool:
    """Whether a path holds several scans; the folder of one DICOM series does not."""
    return path.is_dir() and not is_scan(path)


def _pair_folders(
    reference: Path, prediction: Path, *, mask: Path | None, source: Path | None
) -> Pairing:
    references = _list_scans(reference, keep=_is_image)
    predictions = _list_scans(prediction, keep=_is_image)
    pairs: list[Pair] = []
    unpaired: list[Path] = []
    for path in predictions:
        partner = _find_partner(path, references)
        if partner is None:
            unpaired.append(path)
            continue
        name = _key(path)
        if sum(_key(other) == name for other in predictions) > 1:
            name = f"{name}_{_contrast(path) or path.name}"
        pairs.append(_finish(name, partner, path, mask=mask, source=source))
    _refuse_duplicates(pairs)
    if not pairs:
        raise DatasetError(
            f"no file in {prediction} has a partner in {reference} ({len(predictions)} and "
            f"{len(references)} scans). Names pair by sub- and ses-, or must be the same"
        )
    used = {pair.reference for pair in pairs}
    contrasts = {_contrast(pair.reference) for pair in pairs}
    unpaired += [path for path in references if path not in used and _contrast(path) in contrasts]
    return Pairing(_rename(pairs), tuple(unpaired))


def _rename(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """The pairs sorted by name, those that are not called by a BIDS name by their content."""
    renamed: dict[str, Pair] = {}
    for pair in sorted(pairs, key=lambda pair: pair.name):
        if parse_bids_name(pair.reference) is not None:
            renamed[pair.name] = pair
            continue
        label = name = pseudonym(pair.reference)
        count = 1
        while name in renamed:  # one reference under several names
            count += 1
            name = f"{label}-{count}"
        renamed[name] = replace(pair, name=name, subject=label)
    return tuple(renamed[name] for name in sorted(renamed))


def _refuse_duplicates(pairs: Sequence[Pair]) -> None:
    names = [pair.name for pair in pairs]
    for pair in pairs:
        if names.count(pair.name) > 1:
            same = ", ".join(other.prediction.name for other in pairs if other.name == pair.name)
            raise DatasetError(
                f"{pair.name}: several predictions for one person and visit ({same}); keep one in "
                "the folder, or give two files"
            )


def _finish(
    name: str, reference: Path, prediction: Path, *, mask: Path | None, source: Path | None
) -> Pair:
    parsed = parse_bids_name(reference)
    return Pair(
        name=name,
        subject=(parsed.get("sub") if parsed else None) or name,
        reference=reference,
        prediction=prediction,
        mask=_choose(mask, reference, what="mask", keep=_is_mask),
        source=_choose(source, reference, what="source", keep=_is_image),
    )


def _choose(
    given: Path | None, reference: Path, *, what: str, keep: Callable[[Path], bool]
) -> Path | None:
    """The file of ``given`` that belongs to ``reference``."""
    if given is None or not given.is_dir():
        return given
    found = [path for path in _list_scans(given, keep=keep) if _key(path) == _key(reference)]
    brain = [path for path in found if "desc-brain" in path.name]
    found = brain if what == "mask" and len(brain) == 1 else found
    if len(found) == 1:
        return found[0]
    names = ", ".join(path.name for path in found) or "none"
    raise DatasetError(
        f"{reference.name}: expected one {what} in {given} for it, found {names}. Keep exactly "
        f"one {what} for each person and visit in the folder, or give a file"
    )


def find_labels(labels: Path, pair: Pair) -> dict[str, Path]:
    """The masks and segmentations that belong to a pair, name to file.

    Args:
        labels: A file, or a folder in which BIDS names tell by subject and session whose they are.
        pair: The case; its own mask is no label.

    Raises:
        DatasetError: If the path is absent.
    """
    if not labels.exists():
        raise DatasetError(f"{labels}: no such file or folder")
    found = [labels]
    if labels.is_dir():
        found = [
            path
            for path in _list_scans(labels, keep=_is_mask)
            if _key(path) == _key(pair.reference) and path != pair.mask
        ]
    names = [_label_name(path) for path in found]
    return {
        name if names.count(name) == 1 else f"{name} {names[: number + 1].count(name)}": path
        for number, (name, path) in enumerate(zip(names, found, strict=True))
    }


def _label_name(path: Path) -> str:
    parsed = parse_bids_name(path)
    return "labels" if parsed is None else contrast_of(parsed.suffix, dict(parsed.entities))


def _find_partner(prediction: Path, references: Sequence[Path]) -> Path | None:
    found = [path for path in references if _key(path) == _key(prediction)]
    if len(found) > 1 or (found and _contrast(found[0]) and _contrast(prediction)):
        found = [path for path in found if _contrast(path) == _contrast(prediction)]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise DatasetError(
            f"{prediction.name}: several references could belong to it ({names}); give two files, "
            "or a folder that holds one"
        )
    return found[0] if found else None


def _list_scans(folder: Path, *, keep: Callable[[Path], bool]) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".") and scan_suffix(path) and keep(path)
    )


def _is_image(path: Path) -> bool:
    parsed = parse_bids_name(path)
    if parsed is None:
        return True
    return parsed.suffix not in _NOT_IMAGES and parsed.get("desc") != DEVIATION_DESC


def _is_mask(path: Path) -> bool:
    parsed = parse_bids_name(path)
    return parsed is None or parsed.suffix in _NOT_IMAGES


def _contrast(path: Path) -> str | None:
    parsed: BidsName | None = parse_bids_name(path)
    return parsed.contrast if parsed else None


def _key(path: Path) -> str:
    """Subject and session of a BIDS name; the name without its suffix otherwise."""
    parsed = parse_bids_name(path)
    if parsed is None:
        return path.name[: len(path.name) - len(scan_suffix(path) or path.suffix)]
    session = parsed.get("ses")
    return f"sub-{parsed.get('sub')}" + (f"_ses-{session}" if session else "")
