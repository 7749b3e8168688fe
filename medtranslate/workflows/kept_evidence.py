"""Evidence of scored cases, kept in the folder of the scores, so that nobody is scored twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

import medtranslate
from medtranslate.checkpoint.state import decode_state, encode_state
from medtranslate.data.cases import Case
from medtranslate.errors import CheckpointError, ConfigError
from medtranslate.io.atomic import write_bytes
from medtranslate.io.content import hash_input
from medtranslate.io.documents import parse_document
from medtranslate.manifest.status import read_done, write_done, write_failed
from medtranslate.metrics.scoreboard import ScoredPrediction
from medtranslate.metrics.scoring import CaseScores, SliceScores
from medtranslate.provenance import find_version, hash_file, hash_json, software_versions
from medtranslate.report.browser import SliceBrowser
from medtranslate.report.build import CasePictures
from medtranslate.report.panels import SlicePicture
from medtranslate.workflows.analyses.base import AbstractAnalysis
from medtranslate.workflows.attempts import Failure, attempt
from medtranslate.workflows.evaluate import AnyCase, Seen
from medtranslate.workflows.evidence import Evidence
from medtranslate.workflows.labels import find_label_names
from medtranslate.workflows.progress import Progress
from medtranslate.workflows.scored_case import ScoredCase, UnscoredCase
from medtranslate.workflows.scored_each import hide_files

EVIDENCE_FOLDER = "evidence"
"""Folder of the kept files, in the folder of the scores."""

_OPTIONAL = ("openvino", "pydicom")
"""Extras that change scores where they are installed."""

_KINDS = (
    Evidence, ScoredPrediction, CaseScores, SliceScores, CasePictures, SlicePicture, SliceBrowser,
)  # fmt: skip
_STATE = "evidence"


@dataclass(frozen=True)
class EvidenceKeeper:
    """Keeps what was seen of each case, with a status file, and finds it again.

    Attributes:
        out: The folder of the scores.
        keys: Case to the hash of all that its evidence depends on; None if that is not known.
        kinds: Dataclasses that the analyses gather.
    """

    out: Path
    keys: Mapping[str, str | None]
    kinds: tuple[type, ...]

    def find(self, case: str) -> Evidence | None:
        """Of a case whose evidence is there as it was written, from the same things; else None."""
        record = read_done(self.out, case)
        if record is None or record.get("made_from") != (key := self.keys[case]) or key is None:
            return None
        try:
            return self._read(case)
        except (OSError, ValueError, KeyError, SafetensorError, CheckpointError):
            return None

    def keep(self, evidence: Evidence | UnscoredCase) -> Evidence | UnscoredCase:
        """Write the evidence of a case, or why there is none; what was read again is given back.

        Raises:
            CheckpointError: If it does not read back.
            VolumeWriteError: If it cannot be written.
        """
        if isinstance(evidence, UnscoredCase):
            write_failed(self.out, evidence.case, evidence.why)
            return evidence
        self.write(evidence)
        self.record(evidence.case)
        return self._read(evidence.case)

    def write(self, evidence: Evidence) -> None:
        """Write the evidence of a case, and no status file. Raises as :func:`write_bytes`."""
        skeleton, tensors = encode_state({_STATE: evidence})
        header = json.dumps(skeleton, allow_nan=False)
        write_bytes(self._path(evidence.case), save(tensors, metadata={_STATE: header}))

    def record(self, case: str) -> None:
        """Write the status file of a case whose evidence is written.

        Raises:
            ConfigError: If it is not here, since whoever wrote it has another disk.
            VolumeWriteError: If the status file cannot be written.
        """
        if not self._path(case).is_file():
            raise ConfigError(
                f"{self._path(case)}: was written by a worker and is not here. Give an --out that"
                " every machine sees under the same path"
            )
        write_done(self.out, case, {"made_from": self.keys[case]}, files=[self._path(case)])

    def of(self, case: str) -> EvidenceKeeper:
        """The same for one case alone."""
        return replace(self, keys={case: self.keys[case]})

    def _read(self, case: str) -> Evidence:
        with safe_open(self._path(case), framework="pt") as file:
            skeleton = parse_document(file.metadata()[_STATE])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        found = decode_state(skeleton, tensors, kinds=(*_KINDS, *self.kinds))[_STATE]
        if not isinstance(found, Evidence) or found.case != case:
            raise CheckpointError(f"{self._path(case)}: is not the evidence of {case}")
        return found

    def _path(self, case: str) -> Path:
        return self.out / EVIDENCE_FOLDER / f"{case}.safetensors"


LookElsewhere = Callable[[EvidenceKeeper, Sequence[Case]], Mapping[str, UnscoredCase]]
"""Has cases scored and kept in other processes, and says who could not be."""


def make_keeper(
    out: Path,
    cases: Sequence[Case],
    analyses: Sequence[AbstractAnalysis],
    *,
    settings: Mapping[str, Any],
    facts: Mapping[str, Mapping[str, Any]],
    files: Mapping[str, Sequence[Path]],
    progress: Progress,
) -> EvidenceKeeper | None:
    """What keeps evidence of these cases; None if an analysis does more than to look.

    Args:
        out: The folder of the scores.
        cases: To be scored.
        analyses: Made of each of them.
        settings: What the scores of all depend on, plain JSON data: model, rules, versions.
        facts: What those of a case depend on, by its name, plain JSON data.
        files: Files that do so too, beside those of the case itself.
        progress: Told how far things are; every file is read.
    """
    if not all(analysis.is_kept for analysis in analyses):
        return None
    keys, code = {}, describe_code()
    progress.stage("look for what was scored before", len(cases))
    for number, case in enumerate(cases):
        progress.update(number, case.name)
        everything = {**settings, "code": code, "facts": facts.get(case.name, {})}
        keys[case.name] = _hash_all(case, files.get(case.name, ()), everything)
    progress.update(len(cases))
    return EvidenceKeeper(out, keys, tuple(kind for one in analyses for kind in one.kinds))


def go_on(
    keeper: EvidenceKeeper | None,
    cases: Sequence[Case],
    make: Callable[[Sequence[Case], int], Iterator[ScoredCase | UnscoredCase]],
    look_elsewhere: LookElsewhere | None = None,
) -> Iterator[AnyCase]:
    """Every case in order: what is kept of it, else what there is to score.

    Args:
        keeper: Finds what is kept; nothing is if None.
        cases: To be scored.
        make: Given the cases of whom nothing is kept, and how many others there are.
        look_elsewhere: Given those cases first, has them scored and kept; by name, who was not.
    """
    known: dict[str, Seen | None] = {}
    if keeper is not None:
        known |= {case.name: keeper.find(case.name) for case in cases}
        missing = [case for case in cases if known[case.name] is None]
        if look_elsewhere is not None and missing:
            known |= look_elsewhere(keeper, missing)
            known |= {name: keeper.find(name) for name, one in known.items() if one is None}
    left = [case for case in cases if known.get(case.name) is None]
    made = make(left, len(cases) - len(left))
    for case in cases:
        yield known.get(case.name) or next(made)
    yield from made  # nobody: it ends, and tells so


def make_keep(
    keeper: EvidenceKeeper | None, cases: Sequence[Case], files: Mapping[str, Sequence[Path]]
) -> Callable[[Seen], Seen]:
    """What is done with all that was seen: names of files are hidden, and it is kept.

    Args:
        keeper: Keeps it; nobody if None.
        cases: To be scored.
        files: By case, files beside those of the case itself.
    """
    by_name = {case.name: case for case in cases}

    def keep(seen: Seen) -> Seen:
        if isinstance(seen, UnscoredCase):
            seen = hide_files(seen, by_name[seen.case], further=files.get(seen.case, ()))
        return seen if keeper is None else keeper.keep(seen)

    return keep


def _hash_all(case: Case, further: Sequence[Path], settings: Mapping[str, Any]) -> str | None:
    """None if a file cannot be used, which is told when the case is scored."""
    own = (case.source, case.target, case.mask, case.transform, case.label, case.later)
    tables = [find_label_names(path) for path in case.labels.values()]
    files = [*own, *case.labels.values(), *tables, *further]
    hashes = attempt(lambda: [None if path is None else hash_input(path) for path in files])
    if isinstance(hashes, Failure):
        return None
    person = [case.name, case.dataset, case.subject, case.session]
    return hash_json({**settings, "person": person, "labels": list(case.labels), "files": hashes})


def describe_code() -> dict[str, str]:
    """Versions of all that computes a score, and the hash of our own code, plain JSON data."""
    optional = {name: find_version(name) or "" for name in _OPTIONAL}
    return {**software_versions(), **optional, "code": _hash_code()}


@cache
def _hash_code() -> str:
    package = Path(medtranslate.__file__).parent
    files = sorted(package.rglob("*.py"))
    return hash_json({path.relative_to(package).as_posix(): hash_file(path) for path in files})
