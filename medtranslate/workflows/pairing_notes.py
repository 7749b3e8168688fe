"""What a report says about the files that were paired, without names that may be a person's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from medtranslate.data.pseudonyms import name_scan
from medtranslate.io import parse_bids_name, read_header
from medtranslate.io.dicom.location import holds_dicom
from medtranslate.workflows.outputs import is_ours
from medtranslate.workflows.pairing import Pair, Pairing


def show_name(path: Path) -> str:
    """What a scan is called in a report: its BIDS name, or a label made of its content."""
    return path.name if parse_bids_name(path) is not None else name_scan(path)


def tell_pairing(pairing: Pairing) -> list[str]:
    """What was left out, what looks wrong, and what was repaired, one sentence each."""
    return [
        *_tell_unpaired(pairing.unpaired),
        *_find_doubts(pairing.pairs),
        *_tell_repairs(pairing.pairs),
    ]


def _tell_unpaired(paths: Sequence[Path]) -> Iterator[str]:
    if paths:
        yield f"Left out for want of a partner: {', '.join(map(show_name, paths))}."


def _find_doubts(pairs: Sequence[Pair]) -> Iterator[str]:
    """What looks as if the wrong files had been given: other people, or the two swapped."""
    for pair in pairs:
        if is_ours(pair.reference):
            yield (
                f"{show_name(pair.reference)} is the reference, and its sidecar says that it is "
                "synthetic. Are reference and prediction swapped?"
            )
        names = [parse_bids_name(path) for path in (pair.reference, pair.prediction)]
        subjects = [name.get("sub") for name in names if name is not None]
        if len(set(subjects)) > 1:
            yield (
                f"The names say different people: {show_name(pair.reference)} is the reference, "
                f"{show_name(pair.prediction)} the prediction."
            )


def _tell_repairs(pairs: Sequence[Pair]) -> Iterator[str]:
    """What was repaired in DICOM on request before it was scored."""
    for pair in pairs:
        for path in (pair.reference, pair.prediction, pair.source):
            if path is not None and holds_dicom(path):
                for repair in read_header(path).repairs:
                    yield f"{pair.name}, repaired on request: {repair}."
