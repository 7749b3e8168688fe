"""Scores and a picture during training, on the model grid and in the normalised unit."""

from __future__ import annotations

import numpy as np
import torch

from medtranslate.geometry import Geometry
from medtranslate.metrics.protocol import Protocol
from medtranslate.metrics.scoring import score_case
from medtranslate.preprocess.cache import PreparedArrays
from medtranslate.volume import Volume
from medtranslate.workflows.training_start import training_mask

_MODEL_GRID_PROTOCOL = Protocol(name="validation", scale="none", data_range=1.0)
"""During training scores are taken on the model grid, in the normalised unit."""


def score_on_grid(
    arrays: PreparedArrays, target: torch.Tensor, prediction: torch.Tensor
) -> dict[str, float]:
    """PSNR, SSIM and MAE where the target was seen, in the normalised unit."""
    i, j, k = target.shape[1:]
    grid = Geometry((i, j, k), arrays.affine)
    reference, synthetic = (
        Volume(image.numpy(), grid, unit="normalised") for image in (target, prediction)
    )
    mask = training_mask(arrays)[0].numpy() > 0
    values = score_case(reference, synthetic, mask, protocol=_MODEL_GRID_PROTOCOL).values
    return {name: values[name] for name in ("psnr", "ssim", "mae")}


def draw_panels(*images: torch.Tensor) -> np.ndarray:
    """Middle axial slices side by side, front up, 0 to 1."""
    middle = images[0].shape[3] // 2
    slices = [np.rot90(image[0, :, :, middle].numpy()) for image in images]
    panels: np.ndarray = np.clip(np.concatenate(slices, axis=1), 0, 1)
    return panels
