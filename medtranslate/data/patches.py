"""Training batches: patches drawn from prepared subjects, each step a function of its seed."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from medtranslate.data.ahead import work_ahead
from medtranslate.data.augmentation import AugmentationSettings, build_augmentation

_KEYS = ("source", "ranks", "target", "mask")
_STEPS_AHEAD = 4


@dataclass(frozen=True, eq=False)
class TrainingCase:
    """One prepared subject in memory.

    Attributes:
        source: Shape ``(1, i, j, k)``, normalised.
        ranks: Same shape, the ranks of the source.
        target: Same shape, normalised.
        mask: Same shape, 1 inside the subject.
    """

    source: Tensor
    ranks: Tensor
    target: Tensor
    mask: Tensor


class PatchSampler:
    """Draw the batch of any training step.

    The batch is a function of ``(seed, step)`` alone, so a resumed training sees what an
    uninterrupted one would have seen, and batches can be prepared ahead in any order.
    """

    def __init__(
        self,
        cases: Sequence[TrainingCase],
        *,
        patch_size: tuple[int, int, int],
        batch_size: int,
        seed: int,
        augmentation: AugmentationSettings,
    ) -> None:
        """Keep the cases, padded where a volume is smaller than a patch."""
        self._cases = [_pad_case(case, patch_size) for case in cases]
        self._centres = [_mask_voxels(case.mask, seed) for case in self._cases]
        self._patch_size = patch_size
        self._batch_size = batch_size
        self._seed = seed
        self._augmentation = augmentation

    def draw(self, step: int) -> dict[str, Tensor]:
        """The batch of ``step``: ``source``, ``target``, ``mask``, each ``(n, c, i, j, k)``.

        ``source`` has two channels, the intensity and its rank; the others have one.
        """
        generator = np.random.default_rng((self._seed, step))
        patches = [self._draw_patch(generator) for _ in range(self._batch_size)]
        batch = {key: torch.stack([patch[key] for patch in patches]) for key in _KEYS}
        batch["source"] = torch.cat([batch["source"], batch.pop("ranks")], dim=1)
        return batch

    def batches(self, first_step: int) -> Generator[dict[str, Tensor], None, None]:
        """The batches from ``first_step`` on, without end, drawn ahead by a thread."""
        with closing(work_ahead(self.draw, count(first_step), depth=_STEPS_AHEAD)) as ahead:
            for batch in ahead:
                yield batch.result()

    def _draw_patch(self, generator: np.random.Generator) -> dict[str, Tensor]:
        number = int(generator.integers(len(self._cases)))
        case, centres = self._cases[number], self._centres[number]
        centre = centres[generator.integers(len(centres))]
        box = tuple(
            slice(start, start + size)
            for start, size in zip(
                _patch_start(centre, self._patch_size, case.source.shape[1:]),
                self._patch_size,
                strict=True,
            )
        )
        patch = {key: getattr(case, key)[(slice(None), *box)].clone() for key in _KEYS}
        augment = build_augmentation(self._augmentation)
        augment.set_random_state(seed=int(generator.integers(2**31)))
        changed = augment(patch)
        return {key: torch.as_tensor(changed[key]).contiguous() for key in _KEYS}


def _pad_case(case: TrainingCase, patch_size: tuple[int, int, int]) -> TrainingCase:
    missing = [max(0, p - n) for p, n in zip(patch_size, case.source.shape[1:], strict=True)]
    widths = [width for m in reversed(missing) for width in (m // 2, m - m // 2)]
    return TrainingCase(*(functional.pad(getattr(case, key), widths) for key in _KEYS))


def _mask_voxels(mask: Tensor, seed: int) -> np.ndarray:
    """Up to 20,000 voxel indices inside the mask, as centres of patches."""
    inside = np.argwhere(mask[0].numpy() > 0)
    order = np.random.default_rng(seed).permutation(len(inside))[:20_000]
    return inside[order]


def _patch_start(
    centre: np.ndarray, patch_size: tuple[int, int, int], shape: Sequence[int]
) -> list[int]:
    return [
        int(np.clip(c - p // 2, 0, n - p))
        for c, p, n in zip(centre, patch_size, shape, strict=True)
    ]
