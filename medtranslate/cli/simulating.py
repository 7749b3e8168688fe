"""The ways in which ``medtranslate simulate`` does its work: one person, or everybody."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Help must answer at once: what runs and prints a command is imported when one is run.
    from medtranslate.cli.output import Outcome
    from medtranslate.workflows.progress import Progress


@dataclass(frozen=True)
class SimulateRequest:
    """What the command line asks for; each field is the option of its name."""

    model: Path
    baseline: Path | None
    datasets: tuple[Path, ...]
    at: str
    out: Path
    covariates: tuple[str, ...]
    history: tuple[str, ...]
    samples: int
    region: Path | None
    seed: int
    cluster: str | None

    def perform(self, progress: Progress) -> Outcome:
        """Do what is asked for.

        Raises:
            ConfigError: If options do not go together.
        """
        from medtranslate.cli.progress import tell_loading

        tell_loading(progress)
        self._check()
        if self.baseline is None:
            return self._simulate_everybody(progress)
        return self._simulate_one(self.baseline, progress)

    def _check(self) -> None:
        from medtranslate.errors import ConfigError

        if (self.baseline is None) == (not self.datasets):
            raise ConfigError(
                "give one BASELINE scan, or everybody of a dataset with --data DATASET"
            )
        if self.baseline is not None and self.cluster is not None:
            raise ConfigError("--cluster is for many people; give them with --data DATASET")
        of_one = {
            "--covariate": self.covariates,
            "--history": self.history,
            "--region": self.region,
        }
        wrong = [name for name, value in of_one.items() if value]
        if self.datasets and wrong:
            raise ConfigError(
                f"{', '.join(wrong)}: for one BASELINE. With --data covariates come from the"
                " participants and sessions tables, and regions from the labels that the model's"
                " pipeline names (visits.labels)"
            )

    def _simulate_one(self, baseline: Path, progress: Progress) -> Outcome:
        from medtranslate.cli.summaries_ahead import show_simulation
        from medtranslate.data.durations import parse_assignments, parse_durations
        from medtranslate.workflows.history import parse_history
        from medtranslate.workflows.simulate import simulate

        simulation = simulate(
            self.model,
            baseline,
            parse_durations(self.at),
            self.out,
            region=self.region,
            covariates=parse_assignments(self.covariates),
            history=parse_history(self.history),
            samples=self.samples,
            seed=self.seed,
            progress=progress,
        )
        return show_simulation(simulation)

    def _simulate_everybody(self, progress: Progress) -> Outcome:
        from medtranslate.cli.summaries_ahead import show_cohort_simulation
        from medtranslate.data.durations import parse_durations
        from medtranslate.workflows.simulate import FutureChoices
        from medtranslate.workflows.simulate_cohort import simulate_cohort

        choices = FutureChoices(parse_durations(self.at), self.samples, self.seed)
        result = simulate_cohort(
            self.model,
            self.datasets,
            choices,
            self.out,
            cluster=self.cluster,
            progress=progress,
        )
        return show_cohort_simulation(result)
