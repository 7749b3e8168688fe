"""From the model grid back to the source's own voxels, and the target brought onto them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.compose import Compose
from monai.transforms.spatial.dictionary import Orientationd

from medtranslate.geometry import Geometry
from medtranslate.preprocess.intensity import restore_stored
from medtranslate.preprocess.loading import load_images, track, voxels_of
from medtranslate.preprocess.preparation import Prepared, run_chain
from medtranslate.preprocess.registration import RegistrationReport
from medtranslate.preprocess.settings import PreprocessSettings
from medtranslate.preprocess.steps import AlignTarget, BringTargetOntoSource, RecordInputs
from medtranslate.volume import IntensityScale, Unit, Volume


@dataclass(frozen=True, eq=False)
class Reference:
    """The target on the source's own grid, to score predictions against.

    Attributes:
        volume: Stored values; the file's own voxels if the grids agree, else resampled once.
        seen: Shape ``(i, j, k)``; where the target scan has voxels. Score nowhere else.
        registration: How it was registered; None if it was not.
    """

    volume: Volume
    seen: np.ndarray
    registration: RegistrationReport | None


def restore(
    prediction: torch.Tensor,
    prepared: Prepared,
    *,
    scale: IntensityScale,
    blank_outside_mask: bool = False,
) -> Volume:
    """Bring a prediction onto the source's own grid and into stored values.

    MONAI undoes the steps that made ``prepared.source``. Where nothing was resampled voxels are
    only moved; else they are interpolated linearly, once. Where nothing was predicted, outside
    the cropped box, stands ``scale.offset``, the background.

    Args:
        prediction: Shape ``(1, i, j, k)``, normalised, on the grid of ``prepared.source``.
        prepared: What :func:`prepare` returned for the source.
        scale: How normalised values become stored ones: the target's, not the source's.
        blank_outside_mask: Also write the background outside the patient's mask.

    Returns:
        Float32 volume in ``scale.unit`` on ``prepared.native``.

    Raises:
        ValueError: If the prediction has another shape than the source.
    """
    if tuple(prediction.shape) != tuple(prepared.source.shape):
        raise ValueError(
            f"prediction has shape {tuple(prediction.shape)}, expected that of the source, "
            f"{tuple(prepared.source.shape)}"
        )
    tracked = track(voxels_of(prediction.to(torch.float32)), like=prepared.source)
    normalised = _undo(tracked, prepared.chain, "source")
    if blank_outside_mask:
        inside = native_mask(prepared)
        stored = np.full_like(normalised, scale.offset)
        stored[inside] = restore_stored(normalised[inside], scale)
    else:
        stored = restore_stored(normalised, scale)
    return Volume(stored[None], prepared.native, unit=scale.unit)


def native_mask(prepared: Prepared) -> np.ndarray:
    """The patient's mask on the source's own grid.

    Returns:
        Boolean, shape ``(i, j, k)`` in the file's order; exact where nothing was resampled, else
        the nearest voxel.
    """
    return _undo(prepared.mask, prepared.chain, "mask") > 0.5


def _undo(image: MetaTensor, chain: Compose, key: str) -> np.ndarray:
    """Voxels ``(i, j, k)`` of ``image`` after undoing what MONAI recorded in it."""
    tracked = track(voxels_of(image), like=image)  # undoing empties the record of its copy
    # Compose.inverse carries no type hints.
    restored: dict[str, MetaTensor] = chain.inverse({key: tracked})  # type: ignore[no-untyped-call]
    return voxels_of(restored[key])


def reference_on_source(
    settings: PreprocessSettings,
    *,
    name: str,
    source: Path,
    target: Path,
    transform: Path | None = None,
) -> Reference:
    """Bring the target onto the source's own grid for scoring; never looks at a prediction.

    Args:
        settings: Only ``align`` and the target's background matter here.
        name: Names the case in messages.
        source: Scan whose grid is wanted.
        target: Scan to bring there.
        transform: ITK file, used if ``settings.align`` is ``transforms``.

    Raises:
        VolumeReadError: If a file cannot be used.
        GeometryError: If the grids do not fit together.
    """
    chain = Compose(
        [
            load_images(["source", "target"]),
            RecordInputs(),
            Orientationd(
                ["source", "target", "seen"],
                settings.orientation,
                labels=None,
                allow_missing_keys=True,
            ),
            AlignTarget(settings.align, register_same_grid=settings.register_same_grid),
            BringTargetOntoSource(settings.target_intensity),
        ]
    )
    files: dict[str, Path | str] = {"name": name, "source": source, "target": target}
    if transform is not None and settings.align == "transforms":
        files["transform"] = transform
    data = run_chain(chain, files)
    geometry: Geometry = data["native"]
    unit: Unit = "HU" if settings.target_intensity.name == "window" else "arbitrary"
    return Reference(
        Volume(_undo(data["target"], chain, "target")[None], geometry, unit=unit),
        _undo(data["seen"], chain, "seen") > 0.5,
        data.get("registration"),
    )
