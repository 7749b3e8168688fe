"""Make a cohort of simulated people, telling how far it is."""

from __future__ import annotations

from pathlib import Path

from medtranslate.errors import ConfigError
from medtranslate.phantom.cohort import check_request, make_cohort
from medtranslate.workflows.progress import NoProgress, Progress


def make_phantom(
    out: Path,
    *,
    subjects: int,
    seed: int,
    spacing_mm: float = 2.0,
    visits: int = 1,
    progress: Progress | None = None,
) -> None:
    """Write simulated people as a BIDS dataset; arguments as :func:`make_cohort`.

    Raises:
        ConfigError: If a number is out of range.
        DatasetError: If ``out`` holds anything.
        MissingExtraError: If nilearn is not installed.
    """
    try:
        check_request(subjects=subjects, seed=seed, spacing_mm=spacing_mm, visits=visits)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    shown = progress if progress is not None else NoProgress()
    shown.stage("simulating people", subjects)
    make_cohort(
        out,
        subjects=subjects,
        seed=seed,
        spacing_mm=spacing_mm,
        visits=visits,
        on_person=lambda number, name: shown.update(number, name),
    )
