"""Trials with one case: lesions put into its source, and its own taken out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from medtranslate.data.lesion_edits import draw_lesions, erase_lesions, insert_lesions
from medtranslate.metrics.lesions import (
    SHELL_MM,
    InsertedLesion,
    RealLesion,
    Region,
    count_false_lesions,
    judge_insertion,
    judge_real,
    make_region,
    measure_contrast,
    split_lesions,
)

_SEED = 0

Translate = Callable[[np.ndarray], np.ndarray]
"""A changed source, as ``Scene.source``, to what the model makes of it, as ``Scene.synthetic``."""


@dataclass(frozen=True, eq=False)
class Scene:
    """The images of one case, all of shape ``(i, j, k)`` with background 0.

    Attributes:
        source: Stored values above the background.
        source_range: What counts as their range.
        real: The real scan, in scored units.
        synthetic: What the model made of the source, in scored units.
        data_range: Range of scored units.
        mask: Boolean; the patient.
        lesions: Boolean; the given lesions, nowhere if there are none.
        spacing: Voxel size in millimetres.
    """

    source: np.ndarray
    source_range: float
    real: np.ndarray
    synthetic: np.ndarray
    data_range: float
    mask: np.ndarray
    lesions: np.ndarray
    spacing: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class InsertionTrial:
    """What became of the lesions that were put in.

    Attributes:
        lesions: Radius in millimetres and what the model made of it, for each that found a place.
        false_lesions: Places elsewhere where the synthetic image changed.
    """

    lesions: tuple[tuple[float, InsertedLesion], ...]
    false_lesions: int


def try_inserting(
    scene: Scene, translate: Translate, *, radii_mm: Sequence[float], contrast: float
) -> InsertionTrial | None:
    """Put lesions into healthy places, all into one source, and look there and elsewhere.

    Args:
        scene: The case.
        translate: The model.
        radii_mm: Of the lesions, largest first.
        contrast: What they add, as a fraction of what is there.

    Returns:
        None if no lesion found a place.

    Raises:
        MedTranslateError: If the changed source cannot be translated.
    """
    drawn = draw_lesions(
        scene.source,
        scene.mask,
        avoid=scene.lesions,
        spacing=scene.spacing,
        radii_mm=radii_mm,
        margin_mm=SHELL_MM[1],
        generator=np.random.default_rng(_SEED),
    )
    covers = [lesion.cover(scene.mask.shape, scene.spacing) for lesion in drawn]
    if not covers:
        return None
    changed = np.logical_or.reduce([cover > 0 for cover in covers])
    healthy = scene.mask & ~changed & ~scene.lesions
    found = [make_region(cover >= 0.5, healthy=healthy, spacing=scene.spacing) for cover in covers]
    regions = {n: region for n, region in enumerate(found) if region is not None}
    if not regions:
        return None
    source = insert_lesions(scene.source, drawn, contrast=contrast, spacing=scene.spacing)
    synthetic = translate(source)
    judged = [
        (
            drawn[number].radius_mm,
            judge_insertion(
                region,
                source=(scene.source, source),
                synthetic=(scene.synthetic, synthetic),
                source_range=scene.source_range,
                synthetic_range=scene.data_range,
            ),
        )
        for number, region in regions.items()
    ]
    number_false = count_false_lesions(
        scene.synthetic,
        synthetic,
        changed=changed,
        mask=scene.mask,
        threshold=_typical_threshold(scene, list(regions.values())),
        spacing=scene.spacing,
    )
    return InsertionTrial(tuple(judged), number_false)


def try_erasing(scene: Scene, translate: Translate) -> list[tuple[Region, RealLesion]]:
    """Look at the given lesions in the synthetic image, with them in the source and without.

    Args:
        scene: A case with lesions.
        translate: The model.

    Raises:
        MedTranslateError: If the changed source cannot be translated.
    """
    regions = list(split_lesions(scene.lesions, mask=scene.mask, spacing=scene.spacing))
    if not regions:
        return []
    erased = translate(
        erase_lesions(scene.source, scene.lesions, mask=scene.mask, spacing=scene.spacing)
    )
    return [
        (
            region,
            judge_real(
                region,
                real=scene.real,
                synthetic=scene.synthetic,
                erased=erased,
                data_range=scene.data_range,
            ),
        )
        for region in regions
    ]


def _typical_threshold(scene: Scene, regions: Sequence[Region]) -> float:
    """Least difference seen in the untouched synthetic image, median over the places."""
    contrasts = [
        measure_contrast(scene.synthetic, region, data_range=scene.data_range) for region in regions
    ]
    return float(np.median([one.threshold for one in contrasts]))
