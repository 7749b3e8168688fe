"""Where a model is trained and predicts, and in which precision."""

from __future__ import annotations

import torch
from lightning_fabric import Fabric

from medtranslate.pipeline import Pipeline


def make_fabric(pipeline: Pipeline) -> Fabric:
    """Device and precision; bf16 autocast where the processor computes in it."""
    precision = pipeline.train.precision
    if precision == "auto":
        if torch.cuda.is_available():
            fast = torch.cuda.is_bf16_supported()
        else:
            fast = torch.cpu._is_avx512_bf16_supported()
        precision = "bf16-mixed" if fast else "32-true"
    return Fabric(accelerator="auto", devices=1, precision=precision)
