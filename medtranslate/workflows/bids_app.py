"""Translate a BIDS dataset in the way of BIDS Apps: dataset in, derivative dataset out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from medtranslate.data.cases import Case, find_cases
from medtranslate.data.index import index_dataset
from medtranslate.data.scans import DatasetIndex
from medtranslate.errors import ConfigError, DatasetError
from medtranslate.inference.settings import InferenceChoices
from medtranslate.manifest import load_signing_key, take_snapshot
from medtranslate.workflows.ensemble import load_chosen_translator
from medtranslate.workflows.origin import Origin
from medtranslate.workflows.outputs import is_scan_file
from medtranslate.workflows.prediction import Translator
from medtranslate.workflows.progress import Progress
from medtranslate.workflows.translate import Translation, sign_translation, translate_cases

LEVEL = "participant"
"""The one analysis level there is."""


def translate_participants(
    model: Path,
    bids_dir: Path,
    out: Path,
    *,
    level: str = LEVEL,
    labels: Sequence[str] = (),
    uncertainty: bool = False,
    inference: InferenceChoices | None = None,
    progress: Progress | None = None,
) -> Translation:
    """Make the synthetic scan of each participant's source scan, as a BIDS derivative dataset.

    Scans that this model made from these sources before are kept. One that fails does not stop the
    others.

    Args:
        model: Run folder or its ``model/``.
        bids_dir: A BIDS dataset.
        out: Folder of the derivative dataset; a second call into it waits for nobody and is
            refused.
        level: Analysis level; only ``participant`` is there.
        labels: Participants, with or without ``sub-``; all if empty.
        uncertainty: Write standard deviations too, see :func:`translate`.
        inference: What is asked for in place of the pipeline's inference settings.
        progress: Told how far things are.

    Raises:
        CheckpointError: If the model cannot be used.
        ConfigError: If the level is another one, or another call writes into ``out``.
        DatasetError: If ``bids_dir`` is not a BIDS dataset, a participant is not in it, or ``out``
            would overwrite something not ours.
    """
    _check_level(level)
    _check_places(bids_dir, out)
    origin = Origin.of(bids_dir, out)
    index = _only(index_dataset(bids_dir), labels)
    translator = load_chosen_translator(model, uncertainty=uncertainty, inference=inference)
    cases = [
        replace(case, uri=origin.uri_of(case.source)) for case in _find_cases(translator, index)
    ]
    key, before = load_signing_key(), take_snapshot(out)
    translation = translate_cases(
        translator, cases, out, keep=True, origin=origin, progress=progress
    )
    sign_translation(translator, cases, translation, out, since=before, key=key)
    return translation


def _check_level(level: str) -> None:
    if level == "group":
        raise ConfigError(
            "analysis level 'group': there is none, as every scan is translated by itself and"
            " nothing is summed up over people. Use 'participant'; 'medtranslate validate' scores"
            " a group"
        )
    if level != LEVEL:
        raise ConfigError(f"analysis level '{level}' is unknown; the one there is: {LEVEL}")


def _check_places(bids_dir: Path, out: Path) -> None:
    if not bids_dir.is_dir():
        raise DatasetError(f"{bids_dir}: no such folder; give a BIDS dataset")
    if is_scan_file(out):
        raise DatasetError(f"{out.name}: is one file; give the folder of the derivative dataset")
    if out.resolve() == bids_dir.resolve():
        raise DatasetError(
            f"{out}: is the source dataset; give a folder of its own, such as"
            f" {out / 'derivatives' / 'medtranslate'}"
        )


def _only(index: DatasetIndex, labels: Sequence[str]) -> DatasetIndex:
    """The index of some participants; the mistakes of others are none of theirs."""
    if not labels:
        return index
    wanted = {f"{index.name}/{label.removeprefix('sub-')}" for label in labels}
    unknown = sorted(wanted - set(index.subjects))
    if unknown:
        known = ", ".join(_label(subject) for subject in index.subjects[:20]) or "none"
        raise DatasetError(
            f"{index.root}: no scans of participant {', '.join(map(_label, unknown))};"
            f" there are: {known}{', ...' if len(index.subjects) > 20 else ''}"
        )
    return replace(index, scans=tuple(scan for scan in index.scans if scan.subject in wanted))


def _label(subject: str) -> str:
    return subject.rpartition("/")[2]


def _find_cases(translator: Translator, index: DatasetIndex) -> list[Case]:
    pipeline = translator.pipeline
    return find_cases(
        [index],
        source=pipeline.source,
        target=pipeline.target,
        mask=pipeline.mask,
        need_target=False,
    )
