"""A segmentation that lies on the target scan, brought onto the model grid with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.compose import Compose
from monai.transforms.spatial.array import Orientation, ResampleToMatch
from monai.transforms.spatial.dictionary import Orientationd

from medtranslate.preprocess.loading import load_images, track, voxels_of
from medtranslate.preprocess.preparation import run_chain
from medtranslate.preprocess.settings import PreprocessSettings
from medtranslate.preprocess.steps import AlignTarget
from medtranslate.volume import Volume


def labels_on_grid(
    settings: PreprocessSettings,
    labels: Volume,
    *,
    name: str,
    source: Path,
    target: Path,
    transform: Path | None,
    grid: MetaTensor,
) -> np.ndarray:
    """Bring labels onto the model grid as the target is brought there, by nearest neighbour.

    A registration is made again, for a prepared case does not keep its transform.

    Args:
        settings: Only ``orientation`` and ``align`` matter here.
        labels: On the target's own grid, whole numbers from 0.
        name: Names the case in messages.
        source: The case's source scan.
        target: The case's target scan.
        transform: ITK file, used if ``settings.align`` is ``transforms``.
        grid: The prepared source.

    Returns:
        Shape ``(i, j, k)`` of ``grid``, int16; 0 beyond the labels.

    Raises:
        VolumeReadError: If a file cannot be used.
        GeometryError: If the grids do not fit together.
    """
    images = ("source", "target")
    chain = Compose(
        [
            load_images(images),
            Orientationd(images, axcodes=settings.orientation, labels=None),
            AlignTarget(settings.align, register_same_grid=settings.register_same_grid),
        ]
    )
    files: dict[str, Path | str] = {"name": name, "source": source, "target": target}
    if transform is not None and settings.align == "transforms":
        files["transform"] = transform
    aligned: MetaTensor = run_chain(chain, files)["target"]
    stored = MetaTensor(
        torch.from_numpy(labels.array.astype(np.float32)),
        affine=torch.from_numpy(labels.geometry.affine),
    )
    turned = Orientation(axcodes=settings.orientation, labels=None)(stored)
    moved = track(voxels_of(turned), like=aligned)
    resample = ResampleToMatch(mode="nearest", padding_mode="zeros")
    on_grid: np.ndarray = np.rint(voxels_of(resample(moved, grid))).astype(np.int16)
    return on_grid
