"""What a report says beside the scores: who was scored, and how the model was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class EvaluationDetails:
    """Facts a report cannot know from the scores.

    Attributes:
        title: Heading of the report.
        source_name: Contrast that went in, such as ``T1w``; empty if unknown.
        target_name: Contrast that came out.
        held_out: Whether the model is known never to have seen the people scored.
        cohort: One row per person or case scored, column to value; the columns of the first.
        split: Name to value, such as ``{"training": "6 people", "split hash": "..."}``.
        how_made: Name to value: method, steps, commit, versions, hashes.
        command: The command that makes the scores again.
        mask: Where masks came from, in words.
        notes: Sentences for the reader, such as cases left out.
        seen_in_training: People scored although the model was trained on them; marks every page.
        checklist: ``claim`` to end the report with that checklist.
    """

    title: str = "Evaluation"
    source_name: str = ""
    target_name: str = ""
    held_out: bool = False
    cohort: Sequence[Mapping[str, str]] = ()
    split: Mapping[str, str] = field(default_factory=dict)
    how_made: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    mask: str = ""
    notes: Sequence[str] = ()
    seen_in_training: Sequence[str] = ()
    checklist: Literal["claim"] | None = None
