"""What a run, or the folder of an evaluation, says of its scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medtranslate.data.table import read_table
from medtranslate.errors import ConfigError, DatasetError
from medtranslate.io.documents import read_document
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoreboard import make_bootstrap
from medtranslate.metrics.scoring import MEASURES
from medtranslate.metrics.statistics import Bootstrap, mean_by_subject
from medtranslate.settings import validate_settings

SPLIT_FILE = "split.json"
FOLDS_FILE = "folds.json"
SPLIT_HASH_KEY = "split hash"
"""Key of a summary's ``split`` that holds the first digits of the split's hash."""

_EVALUATION = "evaluation"
_LARGEST_SCORE = 1e30
HASH_DIGITS = 12


@dataclass(frozen=True)
class RunScores:
    """The scores of one model on the people it was scored on.

    Attributes:
        name: Of the run's folder.
        protocol: The rule.
        words: The rule in words, topic to sentence.
        is_ct: Whether intensities are HU.
        split_hash: First digits of the hash of who trained and who tested; None if unknown.
        assignment: Person to part of the split, or to fold; None if only the hash is known.
        values: Measure to person to mean over the person's scans; may be infinite.
    """

    name: str
    protocol: Protocol
    words: Mapping[str, str]
    is_ct: bool
    split_hash: str | None
    assignment: Mapping[str, str] | None
    values: Mapping[str, Mapping[str, float]]

    @property
    def people(self) -> frozenset[str]:
        """Everybody scored."""
        return frozenset(self.values["psnr"])

    @property
    def bootstrap(self) -> Bootstrap:
        """How intervals are drawn, by the protocol."""
        return make_bootstrap(self.protocol)


def read_run_scores(path: Path) -> RunScores:
    """Read a run folder, or the folder that ``validate`` or ``evaluate`` wrote.

    Raises:
        ConfigError: If its protocol was written by another version.
        DatasetError: If it holds no scores, or files that do not belong together.
    """
    place = path.resolve()
    folder = place if (place / "summary.json").is_file() else place / _EVALUATION
    if not (folder / "summary.json").is_file():
        raise DatasetError(
            f"{path}: holds no scores (summary.json, or evaluation/summary.json); give a folder "
            "that run, validate or evaluate wrote"
        )
    run = folder.parent if folder.name == _EVALUATION else folder
    summary = _read_json(folder / "summary.json")
    protocol = _read_json(folder / "protocol.json")
    split_hash, assignment = _read_split(run, summary)
    try:
        subjects = {str(row["case"]): str(row["subject"]) for row in summary["per_case"]}
        numbers, words = protocol["numbers"], _read_words(protocol["words"])
        is_ct = summary["intensity_unit"] == "HU"
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{folder}: summary.json or protocol.json lacks what a comparison needs ({error!r}); "
            "score again with this version"
        ) from error
    return RunScores(
        name=run.name,
        protocol=_read_protocol(numbers, where=folder / "protocol.json"),
        words=words,
        is_ct=is_ct,
        split_hash=split_hash,
        assignment=assignment,
        values=_read_volumes(folder / "volumes.csv", subjects),
    )


def _read_words(found: Mapping[str, object]) -> dict[str, str]:
    return {str(topic): str(sentence) for topic, sentence in dict(found).items()}


def _read_protocol(numbers: object, *, where: Path) -> Protocol:
    if not isinstance(numbers, dict):
        raise ConfigError(f"{where}: 'numbers' is no table of settings; score again")
    return validate_settings(Protocol, numbers, where=str(where))


def _read_split(
    run: Path, summary: Mapping[str, Any]
) -> tuple[str | None, Mapping[str, str] | None]:
    """Hash and people from the run's own file, else the hash that the summary kept."""
    for name in (FOLDS_FILE, SPLIT_FILE):
        if (run / name).is_file():
            data = _read_json(run / name)
            if not isinstance(data.get("subjects"), dict) or "hash" not in data:
                raise DatasetError(f"{run / name}: has no subjects and hash; it is not a split")
            return str(data["hash"])[:HASH_DIGITS], data["subjects"]
    kept = summary.get("split")
    known = kept.get(SPLIT_HASH_KEY) if isinstance(kept, dict) else None
    return (None if known is None else str(known)), None


def _read_volumes(path: Path, subjects: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Measure to person to value; whose case is whose is the summary's to say."""
    try:
        rows = [row for _, row in read_table(path)]
        values = {name: {row["case"]: _read_score(row[name]) for row in rows} for name in MEASURES}
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{path}: is not a table of scores ({error}); score again") from error
    if not rows:
        raise DatasetError(f"{path}: holds no scores; score again")
    if set(values["psnr"]) != set(subjects) or len(rows) != len(subjects):
        raise DatasetError(
            f"{path}: has other cases than summary.json beside it; score again into an empty folder"
        )
    return {name: mean_by_subject(cases, subjects) for name, cases in values.items()}


def _read_score(text: str) -> float:
    """A score; what no measure gives would spoil every mean. A PSNR may be infinite."""
    value = float(text)
    if math.isnan(value) or _LARGEST_SCORE < abs(value) < math.inf:
        raise ValueError(f"{text} is no score")
    return value


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return read_document(path)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read as JSON ({error}); score again") from error
