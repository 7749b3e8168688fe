"""What a validation is asked to do beside scoring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from medtranslate.inference.settings import InferenceChoices


@dataclass(frozen=True)
class ValidationChoices:
    """Choices of one validation; None leaves one to the model's pipeline.

    Attributes:
        protocols: Names of the rules to score by beside the default protocol.
        audit: Also try the model with degraded sources and with lesions, about twenty predictions
            a case.
        uncertainty: Also predict mirrored, score the mean, and measure the coverage of its
            intervals.
        downstream: Also train a segmenter on the real scans of the model's training people, who
            must be in the data, and segment real and synthetic scans with it.
        companions: Further models that predict too; nobody they were trained on is scored.
        perceptual: Weights of a feature network to compare the scans by.
        checklist: ``claim`` to end the report with that checklist.
        even_though_seen: Score the people the model was trained on as well, and mark every page.
        dicom: Also write each synthetic scan as a DICOM series with the map of its errors, for a
            ``pseudonym`` or with the identity of the source (``keep``); not if None. The sources
            must be DICOM.
        inference: What is asked for in place of the pipeline's inference settings.
    """

    protocols: Sequence[str] | None = None
    audit: bool | None = None
    uncertainty: bool | None = None
    downstream: bool | None = None
    companions: Sequence[Path] = ()
    perceptual: Path | None = None
    checklist: Literal["claim"] | None = None
    even_though_seen: bool = False
    dicom: Literal["pseudonym", "keep"] | None = None
    inference: InferenceChoices = field(default_factory=InferenceChoices)

    def to_words(self) -> list[str]:
        """The choices as options of the command line."""
        flags = {
            "audit": self.audit,
            "uncertainty": self.uncertainty,
            "downstream": self.downstream,
        }
        words = [
            f"--{name}" if wanted else f"--no-{name}"
            for name, wanted in flags.items()
            if wanted is not None
        ]
        words += ["--even-though-seen-in-training"] * self.even_though_seen
        for name in self.protocols or ():
            words += ["--protocol", name]
        for path in self.companions:
            words += ["--with", path.name]
        words += ["--perceptual", self.perceptual.name] if self.perceptual else []
        words += self.inference.to_words()
        words += ["--format", "dicom", "--identity", self.dicom] if self.dicom else []
        return words + (["--checklist", self.checklist] if self.checklist else [])
