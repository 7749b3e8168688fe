"""Make a cohort of simulated people, telling how far it is."""

from __future__ import annotations

from pathlib import Path

from medtranslate.errors import ConfigError
from medtranslate.phantom.cohort import check_request, make_cohort
from medtranslate.phantom.courses import Disease
from medtranslate.phantom.longitudinal import check_longitudinal, make_longitudinal_cohort
from medtranslate.workflows.progress import NoProgress, Progress


def make_phantom(
    out: Path,
    *,
    subjects: int,
    seed: int,
    spacing_mm: float = 2.0,
    visits: int = 1,
    disease: Disease | None = None,
    progress: Progress | None = None,
) -> None:
    """Write simulated people as a BIDS dataset.

    Arguments as :func:`make_cohort`, or with a disease as :func:`make_longitudinal_cohort`.

    Raises:
        ConfigError: If a number is out of range, or more than two visits are asked for without a
            disease.
        DatasetError: If ``out`` holds anything.
        MissingExtraError: If nilearn is not installed.
    """
    if disease is None and visits > 2:
        raise ConfigError(
            f"visits is {visits}, but nothing tells what changes the people: give --disease "
            "atrophy, tumour or lesions"
        )
    numbers = {"subjects": subjects, "seed": seed, "visits": visits}
    try:
        if disease is None:
            check_request(**numbers, spacing_mm=spacing_mm)
        else:
            check_longitudinal(**numbers, spacing_mm=spacing_mm, disease=disease)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    shown = progress if progress is not None else NoProgress()
    shown.stage("simulating people", subjects)

    def tell(number: int, name: str) -> None:
        shown.update(number, name)

    if disease is None:
        make_cohort(out, **numbers, spacing_mm=spacing_mm, on_person=tell)
    else:
        make_longitudinal_cohort(
            out, **numbers, spacing_mm=spacing_mm, disease=disease, on_person=tell
        )
