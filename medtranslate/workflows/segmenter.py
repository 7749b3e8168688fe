"""A small network that segments scans of one contrast, to judge synthetic ones by."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from monai.losses import DiceCELoss
from monai.networks.nets import SegResNet
from torch import Tensor

from medtranslate.data.augmentation import AugmentationSettings, build_augmentation
from medtranslate.data.patches import PatchSampler, TrainingCase
from medtranslate.inference.predict import plan_inference, predict_with_plan
from medtranslate.inference.settings import InferenceSettings
from medtranslate.methods.optimisation import GuardedOptimiser
from medtranslate.workflows.progress import Progress

if TYPE_CHECKING:
    from lightning_fabric import Fabric

FILTERS = 8
"""Channels at full resolution; makes about 180,000 weights."""

_BLOCKS = (1, 2, 2)
_DIVISOR = 4
_OVERLAP = 0.25
_LEAST_SHARE = 1e-4
_LEARNING_RATE = 5e-3
_WEIGHT_DECAY = 1e-4
_MAX_GRADIENT_NORM = 1.0
_ONLY_MIRRORING = AugmentationSettings(
    affine_probability=0,
    deformation_probability=0,
    contrast_probability=0,
    bias_probability=0,
    noise_probability=0,
    blur_probability=0,
)


@dataclass(frozen=True)
class Recipe:
    """How a segmenter is trained.

    Attributes:
        num_steps: Optimiser updates.
        patch_size: Voxels of a patch along each axis; a multiple of 4.
        batch_size: Patches in one update.
        gain: Largest relative change of the intensities of a patch.
        shift: Largest shift of the intensities of a patch, in the normalised unit.
        seed: Seed of weights, patches and augmentation.
    """

    num_steps: int = 500
    patch_size: int = 48
    batch_size: int = 2
    gain: float = 0.1
    shift: float = 0.05
    seed: int = 0

    def describe(self) -> str:
        """The recipe in words."""
        return (
            f"{self.num_steps:,} steps of {self.batch_size} patches of {self.patch_size}\u00b3 "
            f"voxels, mirrored left and right, intensities changed by up to {100 * self.gain:g} % "
            f"and {self.shift:g}; seed {self.seed}"
        )


@dataclass(frozen=True, eq=False)
class LabelledScan:
    """One scan to learn from.

    Attributes:
        image: Shape ``(1, i, j, k)``, normalised, 0 outside the mask.
        labels: Same shape, whole numbers from 0, the background; 0 outside the mask.
        mask: Same shape, 1 where the scan is judged.
    """

    image: Tensor
    labels: Tensor
    mask: Tensor


@dataclass(frozen=True, eq=False)
class Segmenter:
    """A trained network.

    Attributes:
        network: On the device of ``fabric``.
        num_labels: Labels beside the background.
        fabric: Device and precision.
        window: Edge of the windows that are segmented one by one and blended: that of the patches
            it learned from, for a network also learns how far it sees.
    """

    network: torch.nn.Module
    num_labels: int
    fabric: Fabric
    window: int

    def segment(self, image: Tensor, mask: Tensor) -> np.ndarray:
        """Label every voxel of a mask.

        Args:
            image: Shape ``(1, i, j, k)``, in the unit of the scans that were learned from; what
                lies outside the mask is not looked at.
            mask: Same shape, above 0 inside.

        Returns:
            Shape ``(i, j, k)``, int16, 0 to ``num_labels``; 0 outside the mask.
        """
        inside = mask.as_subclass(Tensor).cpu() > 0
        shown = torch.where(inside, image.as_subclass(Tensor).detach().float().cpu(), 0.0)
        i, j, k = shown.shape[1:]
        settings = InferenceSettings(window=(self.window,) * 3, overlap=_OVERLAP)
        plan = plan_inference((i, j, k), settings=settings, divisor=_DIVISOR)
        with self.fabric.autocast():
            scores = predict_with_plan(
                self.network, self.fabric.to_device(shown), plan=plan, divisor=_DIVISOR
            )
        labels = scores.argmax(dim=0).cpu()
        found: np.ndarray = torch.where(inside[0], labels, 0).numpy().astype(np.int16)
        return found


def train_segmenter(
    scans: Sequence[LabelledScan],
    *,
    num_labels: int,
    recipe: Recipe,
    fabric: Fabric,
    progress: Progress,
) -> Segmenter:
    """Train a small MONAI ``SegResNet`` with Dice plus cross-entropy.

    On one kind of CPU the same scans and recipe give the same network; a GPU rounds differently.

    Args:
        scans: What to learn from.
        num_labels: Labels beside the background.
        recipe: How long and on what.
        fabric: Device and precision.
        progress: Told how far things are.
    """
    network = _build_network(num_labels, seed=recipe.seed)
    optimiser = GuardedOptimiser(
        fabric,
        network,
        learning_rate=_LEARNING_RATE,
        weight_decay=_WEIGHT_DECAY,
        max_gradient_norm=_MAX_GRADIENT_NORM,
    )
    weights = fabric.to_device(weigh_labels(scans, num_labels=num_labels))
    loss = DiceCELoss(to_onehot_y=True, softmax=True, batch=True, weight=weights)
    progress.stage("train the segmenter", recipe.num_steps)
    with closing(_make_sampler(scans, recipe).batches(0)) as batches:
        for step in range(recipe.num_steps):
            batch = {key: fabric.to_device(value) for key, value in next(batches).items()}
            shown = _change_intensity(batch["source"][:, :1], batch["mask"], recipe, step=step)
            scores = optimiser.network(shown)
            optimiser.step(loss(scores.float(), batch["target"]), progress=step / recipe.num_steps)
            progress.update(step + 1)
    return Segmenter(optimiser.network.eval(), num_labels, fabric, recipe.patch_size)


def weigh_labels(scans: Sequence[LabelledScan], *, num_labels: int) -> Tensor:
    """Weight of each label in the loss: the inverse square root of its share of the voxels.

    Without it a small network soon calls a rare label by the name of what surrounds it, and is not
    told strongly enough that this is wrong. Shares below one in 10,000 count as that.

    Returns:
        Shape ``(num_labels + 1,)``, the background first, mean 1.
    """
    counts = sum(
        torch.bincount(scan.labels.long().flatten(), minlength=num_labels + 1) for scan in scans
    )
    shares = torch.as_tensor(counts, dtype=torch.float32)
    weights = (shares / shares.sum()).clamp(min=_LEAST_SHARE).rsqrt()
    return weights / weights.mean()


def _build_network(num_labels: int, *, seed: int) -> SegResNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SegResNet(
            spatial_dims=3,
            init_filters=FILTERS,
            in_channels=1,
            out_channels=num_labels + 1,
            blocks_down=_BLOCKS,
            blocks_up=(1,) * (len(_BLOCKS) - 1),
            # One rule for every scan: norms over the scan at hand would brighten a dark one.
            norm="BATCH",
        )


def _make_sampler(scans: Sequence[LabelledScan], recipe: Recipe) -> PatchSampler:
    """Patches as the translator's training draws them; the ranks it also draws are not shown."""
    return PatchSampler(
        [TrainingCase(scan.image, scan.image, scan.labels, scan.mask) for scan in scans],
        patch_size=(recipe.patch_size,) * 3,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        augmentation=partial(build_augmentation, _ONLY_MIRRORING),
    )


def _change_intensity(image: Tensor, mask: Tensor, recipe: Recipe, *, step: int) -> Tensor:
    """Another gain and shift for each patch; the background stays 0."""
    generator = np.random.default_rng((recipe.seed, step, 1))
    shape = (len(image), 1, 1, 1, 1)
    gain = 1 + generator.uniform(-recipe.gain, recipe.gain, shape)
    shift = generator.uniform(-recipe.shift, recipe.shift, shape)
    factor, offset = (torch.from_numpy(one).to(image) for one in (gain, shift))
    return torch.where(mask > 0, image * factor + offset, 0.0)
