"""The ways in which ``medtranslate translate`` does its work: here, on a cluster, as DICOM."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    # Help must answer at once: what runs and prints a command is imported when one is run.
    from medtranslate.cli.output import Outcome
    from medtranslate.inference.settings import InferenceChoices
    from medtranslate.workflows.progress import Progress


@dataclass(frozen=True)
class TranslateRequest:
    """What the command line asks for; each field is the option of its name."""

    model: Path
    sources: tuple[Path, ...]
    out: Path
    mask: Path | None
    uncertainty: bool
    companions: tuple[Path, ...]
    memory: str | None
    engine: Literal["auto", "torch", "openvino"] | None
    precision: Literal["auto", "bf16", "fp32"] | None
    cluster: str | None
    fix: tuple[str, ...]
    as_dicom: bool
    identity: Literal["pseudonym", "keep"] | None
    regions: tuple[str, ...]
    watermark: bool

    def perform(self, progress: Progress) -> Outcome:
        """Do what is asked for.

        Raises:
            ConfigError: If options do not go together.
        """
        from medtranslate.cli.progress import tell_loading

        tell_loading(progress)
        self._check()
        if self.as_dicom:
            return self._write_series(progress)
        if self.cluster is not None:
            return self._write_on_cluster(self.cluster, progress)
        return self._write_scans(progress)

    def _check(self) -> None:
        from medtranslate.errors import ConfigError

        if not self.as_dicom and (self.identity or self.regions):
            raise ConfigError("--identity and --region are for DICOM; add --format dicom")
        if self.cluster is not None and self.as_dicom:
            raise ConfigError("--cluster writes NIfTI only; leave out --format dicom, or --cluster")
        if self.cluster is not None and self.mask is not None:
            raise ConfigError(
                "--mask belongs to one source; with --cluster give masks in a dataset"
            )

    def _scans(self) -> list[Path]:
        from medtranslate.io.dicom.location import Fixes, with_fixes

        fixes = Fixes.parse(self.fix)
        return [with_fixes(source, fixes) for source in self.sources]

    def _inference(self) -> InferenceChoices:
        from medtranslate.inference.settings import InferenceChoices, parse_memory

        return InferenceChoices(parse_memory(self.memory), self.engine, self.precision)

    def _watermark_key(self) -> Path | None:
        from medtranslate.watermark import find_watermark_key

        return find_watermark_key() if self.watermark else None

    def _write_scans(self, progress: Progress) -> Outcome:
        from medtranslate.cli.summaries import show_translation
        from medtranslate.workflows.translate import translate

        key = self._watermark_key()
        translation = translate(
            self.model,
            self._scans(),
            self.out,
            mask=self.mask,
            uncertainty=self.uncertainty,
            companions=self.companions,
            inference=self._inference(),
            watermark_key=key,
            progress=progress,
        )
        return show_translation(translation, watermark_key=key)

    def _write_on_cluster(self, cluster: str, progress: Progress) -> Outcome:
        from medtranslate.cli.summaries import show_translation
        from medtranslate.workflows.translate_cohort import ModelChoice, translate_on_cluster

        key = self._watermark_key()
        choice = ModelChoice(self.model, self.uncertainty, self.companions, self._inference(), key)
        translation = translate_on_cluster(
            choice, self._scans(), self.out, cluster=cluster, progress=progress
        )
        return show_translation(translation, watermark_key=key)

    def _write_series(self, progress: Progress) -> Outcome:
        from medtranslate.cli.summaries import show_translation
        from medtranslate.workflows.regions import parse_regions
        from medtranslate.workflows.translate_series import translate_to_dicom

        key = self._watermark_key()
        translation = translate_to_dicom(
            self.model,
            self._scans(),
            self.out,
            identity=self.identity or "pseudonym",
            regions=parse_regions(self.regions),
            mask=self.mask,
            uncertainty=self.uncertainty,
            companions=self.companions,
            inference=self._inference(),
            watermark_key=key,
            progress=progress,
        )
        return show_translation(translation, watermark_key=key)
