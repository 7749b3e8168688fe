"""Score predictions against real scans and write tables and a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from medtranslate.errors import DatasetError, MedTranslateError, VolumeWriteError
from medtranslate.io import parse_bids_name, read_mask, read_volume, sidecar_path
from medtranslate.io.atomic import write_text
from medtranslate.io.documents import read_document
from medtranslate.manifest import load_signing_key, sign_outputs, take_snapshot
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoreboard import Scoreboard
from medtranslate.metrics.yardstick import require_same_grid
from medtranslate.provenance import describe_run, software_versions
from medtranslate.report.build import CasePictures, build_report
from medtranslate.report.checklist import claim_checklist
from medtranslate.report.details import EvaluationDetails
from medtranslate.report.tables import write_tables
from medtranslate.report.wording import cautions, headline
from medtranslate.volume import IntensityScale, Volume
from medtranslate.workflows.analyses.base import AbstractAnalysis, Findings
from medtranslate.workflows.analyses.choose import choose_analyses
from medtranslate.workflows.evidence import Evidence, look_at
from medtranslate.workflows.foreground import find_foreground
from medtranslate.workflows.labels import read_labels
from medtranslate.workflows.pairing import Pair, find_labels, hash_pair, pair_paths
from medtranslate.workflows.pairing_notes import show_name, tell_pairing
from medtranslate.workflows.read_ahead import read_ahead
from medtranslate.workflows.scored_case import ScoredCase, UnscoredCase

COPY_BASELINE = "copy of the source"
SCALE_KEY = "IntensityScale"
"""Key of a prediction's sidecar under which its scale stands."""

Seen = Evidence | UnscoredCase
"""What an evaluation has of a case."""

AnyCase = ScoredCase | Seen
"""A case to score, or what there is of it already."""

_MASK_GIVEN = "given for each case"
_MASK_FOUND = (
    "the foreground of the real scan: its voxels that are not 0 if the background is exactly 0, "
    "else Otsu's threshold after smoothing; largest part, holes filled"
)


def evaluate_cases(
    cases: Iterable[AnyCase],
    *,
    protocol: Protocol,
    out: Path,
    details: EvaluationDetails | None = None,
    analyses: Sequence[AbstractAnalysis] = (),
    all_or_none: bool = True,
    keep: Callable[[Seen], Seen] | None = None,
) -> dict[str, Any]:
    """Score every case, then write the tables and ``report.html``.

    Cases are taken one at a time and not kept, so an iterator that reads them needs the memory of
    one.

    Args:
        cases: What to score, what could not be made ready for it, and what was scored before.
        protocol: The rule.
        out: Folder for ``slices.csv volumes.csv summary.json protocol.json report.html``.
        details: What the report says beside the scores.
        analyses: What else to look at; their parts of the report come in this order.
        all_or_none: Whether a case that cannot be measured ends the work before anything is
            written; else it is left out and told.
        keep: Called with what was seen of each new case; what it gives back counts.

    Returns:
        The content of ``summary.json``; its ``unscored`` says who was left out and why, if anybody.

    Raises:
        DatasetError: If there is no case, or one cannot be scored; names it.
        GeometryError: If a prediction or mask lies on another grid than its reference.
        ConfigError: If the protocol lacks a number that the scans need.
        VolumeWriteError: If ``out`` cannot be written to.
    """
    details = details or EvaluationDetails()
    blank = [analysis.begin() for analysis in analyses]
    evidence: list[Evidence] = []
    unscored: list[UnscoredCase] = []
    for found in _look_at_each(cases, protocol, blank, all_or_none=all_or_none, keep=keep):
        if isinstance(found, UnscoredCase):
            unscored.append(found)
            continue
        evidence.append(found)
        _refuse_mixture(evidence[0], found)
        for analysis in analyses:
            analysis.take(found.seen[analysis.name])
    if not evidence:
        raise DatasetError("\n  ".join(["there is no case to score", *_tell_unscored(unscored)]))
    rows = tuple(row for one in evidence for row in one.rows)
    is_ct, masks_given = evidence[0].is_ct, all(one.mask_given for one in evidence)
    board = Scoreboard(rows, rows[0].method, is_ct, protocol)
    details = replace(
        details,
        cohort=details.cohort or [one.facts for one in evidence],
        mask=details.mask or (_MASK_GIVEN if masks_given else _MASK_FOUND),
        notes=[*details.notes, *(f"Not scored: {told}." for told in _tell_unscored(unscored))],
    )
    findings = {analysis.name: analysis.finish(board) for analysis in analyses}
    told = {name: one for name, one in findings.items() if one is not None}
    pictures = {one.case: one.pictures for one in evidence}
    left_out = {"unscored": [asdict(one) for one in unscored]} if unscored else {}
    return _write(out, board, details, pictures, told, left_out)


def evaluate_paths(
    reference: Path,
    prediction: Path,
    *,
    out: Path,
    protocol: Protocol,
    mask: Path | None = None,
    source: Path | None = None,
    labels: Path | None = None,
    model_name: str = "prediction",
    protocols: Sequence[str] = (),
    audit: bool = False,
    perceptual: Path | None = None,
    checklist: Literal["claim"] | None = None,
    command: str = "",
) -> dict[str, Any]:
    """Score a prediction file, or a folder of them, against the real scans.

    Args:
        reference: A scan or a folder; folders pair by subject and session, see ``pair_paths``.
        prediction: A scan or a folder.
        out: Folder for tables and report.
        protocol: The rule.
        mask: A mask or a folder; the reference's foreground if None.
        source: What the predictions were made from; adds the copy-the-source baseline.
        labels: Masks and segmentations to look at the scores by, a file or a folder.
        model_name: What to call the predictions.
        protocols: Names of the rules to score by beside ``protocol``, see ``resolve_rules``.
        audit: Also look at regions, sharpness and, of CT, the dose surrogate, and score the scans
            moved a little; about ten times the work.
        perceptual: Weights of a feature network, see ``choose_analyses``.
        checklist: ``claim`` to end the report with that checklist.
        command: For the report: how to make it again.

    Returns:
        The content of ``summary.json``; its ``unpaired`` names files without a partner.

    Raises:
        DatasetError: If nothing pairs, a choice is ambiguous, or a case cannot be scored.
        VolumeReadError: If a file is not one readable scan.
        GeometryError: If grids differ.
        ConfigError: If the protocol lacks a number that the scans need, or a name of
            ``protocols`` is not known.
    """
    analyses = choose_analyses(
        protocols=protocols, thorough=audit, labels=labels is not None, perceptual=perceptual
    )
    pairing = pair_paths(reference, prediction, mask=mask, source=source)
    first = pairing.pairs[0]
    details = EvaluationDetails(
        title="Prediction against real scan",
        source_name=_modality(first.source) or "" if first.source else "",
        target_name=_modality(first.reference) or "",
        notes=tell_pairing(pairing),
        how_made={"software": ", ".join(f"{k} {v}" for k, v in software_versions().items())},
        command=command,
        checklist=checklist,
    )
    key, before = load_signing_key(), take_snapshot(out)
    cases = read_ahead(pairing.pairs, lambda pair: _read_case(pair, protocol, model_name, labels))
    summary = evaluate_cases(cases, protocol=protocol, out=out, details=details, analyses=analyses)
    inputs = {pair.name: hash_pair(pair) for pair in pairing.pairs}
    record = describe_run("medtranslate evaluate", protocol=protocol.fingerprint, inputs=inputs)
    sign_outputs(out, since=before, record=record, key=key)
    return summary | {"unpaired": [path.name for path in pairing.unpaired]}


def read_pair(reference: Path, prediction: Path) -> tuple[Volume, Volume]:
    """Read two files side by side; the prediction is of the modality that the reference names.

    Raises:
        VolumeReadError: If one is not a readable scan; of two the reference is told.
        GeometryError: If where the voxels of one lie is missing or contradictory.
    """
    modality = _modality(reference)
    with ThreadPoolExecutor(2) as readers:
        read = readers.map(
            lambda path: read_volume(path, modality=modality), (reference, prediction)
        )
        return next(read), next(read)


def _look_at_each(
    cases: Iterable[AnyCase],
    protocol: Protocol,
    analyses: Sequence[AbstractAnalysis],
    *,
    all_or_none: bool,
    keep: Callable[[Seen], Seen] | None,
) -> Iterator[Seen]:
    """What is seen of each case, or why it is not scored; what is new is kept."""
    for case in cases:
        if isinstance(case, Evidence):
            yield case
            continue
        if isinstance(case, UnscoredCase):
            found: Seen = case
        elif all_or_none:
            found = _look_or_end(case, protocol, analyses)
        else:
            found = _try_to_look(case, protocol, analyses)
        yield found if keep is None else keep(found)


def _look_or_end(
    case: ScoredCase, protocol: Protocol, analyses: Sequence[AbstractAnalysis]
) -> Evidence:
    try:
        return look_at(case, protocol, analyses)
    except MedTranslateError as error:
        raise type(error)(f"{case.name}: {error}") from error


def _try_to_look(
    case: ScoredCase, protocol: Protocol, analyses: Sequence[AbstractAnalysis]
) -> Seen:
    # Scoring two files must not wait for the deep-learning libraries that this imports.
    from medtranslate.workflows.attempts import Failure, attempt

    made = attempt(lambda: look_at(case, protocol, analyses), but=(VolumeWriteError,))
    return UnscoredCase(case.name, made.why) if isinstance(made, Failure) else made


def _tell_unscored(unscored: Sequence[UnscoredCase]) -> list[str]:
    return [f"{one.case} ({one.why.rstrip('.')})" for one in unscored]


def _refuse_mixture(first: Evidence, other: Evidence) -> None:
    if first.is_ct != other.is_ct:
        ct, mr = (first, other) if first.is_ct else (other, first)
        raise DatasetError(
            f"{ct.case} is CT in HU and {mr.case} is not; their errors have no common unit. Score"
            " them in two runs"
        )


def _write(
    out: Path,
    board: Scoreboard,
    details: EvaluationDetails,
    pictures: Mapping[str, CasePictures],
    findings: Mapping[str, Findings],
    further: Mapping[str, Any],
) -> dict[str, Any]:
    words = dict(board.protocol.describe(is_ct=board.is_ct, mask=details.mask))
    fingerprint = board.protocol.fingerprint
    protocol = {
        "name": board.protocol.name,
        "hash": fingerprint,
        "numbers": board.protocol.model_dump(mode="json"),
        "words": words,
        "software": software_versions(),
    }
    summary = {
        "headline": headline(board, held_out=details.held_out),
        "notes": [*cautions(board), *details.notes],
        "split": dict(details.split),
        **board.to_json(),
        **{name: dict(found.summary) for name, found in findings.items()},
        **further,
    }
    sections = [found.section for found in findings.values()]
    if details.checklist == "claim":
        sections.append(claim_checklist(board, details, sections))
    page = build_report(board, details, pictures, sections)
    write_tables(out, board, summary=summary, protocol=protocol)
    for found in findings.values():
        for name, text in found.files.items():
            write_text(out / name, text)
    write_text(out / "report.html", page)
    return summary


def _read_case(pair: Pair, protocol: Protocol, model_name: str, labels: Path | None) -> ScoredCase:
    reference, prediction = read_pair(pair.reference, pair.prediction)
    require_same_grid(reference.geometry, prediction.geometry, what="prediction")
    mask = None if pair.mask is None else read_mask(pair.mask, like=reference.geometry)
    scale = _read_scale(pair.prediction) if protocol.scale == "sidecar" else None
    predictions: dict[str, tuple[Volume, IntensityScale | None]] = {model_name: (prediction, scale)}
    source = None
    if pair.source is not None:
        source = read_volume(pair.source, modality=_modality(pair.source))
        predictions[COPY_BASELINE] = (source, _own_scale(source, mask, protocol))
    paths = {} if labels is None else find_labels(labels, pair)
    regions = read_labels(paths, like=reference.geometry)
    return ScoredCase(
        name=pair.name,
        subject=pair.subject,
        reference=reference,
        predictions=predictions,
        mask=mask,
        source=source,
        context={"grid": reference.geometry.describe(), "file": show_name(pair.reference)},
        labels=regions.regions,
        labels_left_out=regions.left_out,
    )


def _own_scale(
    source: Volume, mask: np.ndarray | None, protocol: Protocol
) -> IntensityScale | None:
    """A source has no sidecar; its own percentile is what it was normalised by."""
    if protocol.scale != "sidecar":
        return None
    inside = source.voxels[find_foreground(source) if mask is None else mask]
    return IntensityScale(0.0, max(float(np.percentile(inside, protocol.percentile)), 1e-12))


def _read_scale(prediction: Path) -> IntensityScale:
    path = sidecar_path(prediction)
    try:
        document = read_document(path)
    except FileNotFoundError:
        raise _refuse_sidecar(path, "is absent") from None
    except (OSError, ValueError) as error:
        raise _refuse_sidecar(path, "cannot be read as JSON") from error
    try:
        return IntensityScale.from_json(document[SCALE_KEY])
    except (KeyError, TypeError, ValueError) as error:
        problem = f"has no usable {SCALE_KEY} (Offset, Factor, Unit)"
        raise _refuse_sidecar(path, problem) from error


def _refuse_sidecar(path: Path, problem: str) -> DatasetError:
    return DatasetError(
        f"{path}: the sidecar of the prediction {problem}. Put it back beside the prediction, or "
        "score with --scale shared"
    )


def _modality(path: Path) -> str | None:
    parsed = parse_bids_name(path)
    return parsed.contrast.partition("+")[0] if parsed else None
