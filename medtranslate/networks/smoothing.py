"""Gaussian smoothing inside a network."""

from __future__ import annotations

from typing import Any

import torch
from monai.networks.layers import gaussian_1d, separable_filtering
from torch import Tensor, nn

_TRUNCATED = 4.0


class Smoothing(nn.Module):
    """MONAI's ``GaussianFilter`` with a width that does not change, and weights of the same names.

    The kernel is computed once. MONAI's computes it anew each time, and waits for the device to
    tell how wide it is.
    """

    kernel: Tensor

    def __init__(self, sigma: float) -> None:
        """Smooth by a standard deviation of ``sigma`` voxels along each of three axes."""
        super().__init__()
        for axis in range(3):
            width = nn.Parameter(torch.tensor(float(sigma)), requires_grad=False)
            self.register_parameter(f"kernel_sigma_{axis}", width)
        # On the CPU also where a network without values is built, to be compared with weights.
        kernel = _build_kernel(torch.tensor(float(sigma), device="cpu"))
        self.register_buffer("kernel", kernel.to(width.device), persistent=False)
        self.register_load_state_dict_post_hook(_rebuild)  # type: ignore[no-untyped-call]  # in torch

    def forward(self, image: Tensor) -> Tensor:
        """Shape ``(n, c, i, j, k)`` in and out."""
        smooth: Tensor = separable_filtering(image, [self.kernel] * 3)
        return smooth


def _build_kernel(width: Tensor) -> Tensor:
    return gaussian_1d(width, truncated=_TRUNCATED)


def _rebuild(module: nn.Module, _: Any) -> None:  # Any: the keys that were not found
    """Weights that are loaded may come from a network of another width."""
    width = module.get_parameter("kernel_sigma_0").detach()
    module.kernel = _build_kernel(width.cpu()).to(width.device)
