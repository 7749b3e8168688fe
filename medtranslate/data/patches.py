"""Training batches: patches drawn from prepared subjects, each step a function of its seed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count

import numpy as np
import torch
from monai.transforms import Compose
from torch import Tensor
from torch.nn import functional

from medtranslate.data.ahead import work_ahead
from medtranslate.data.side_stream import SideStream

_KEYS = ("source", "ranks", "target", "mask")
_STEPS_AHEAD = 4
_CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class TrainingCase:
    """One prepared subject in memory; images of any number format, patches of them are float32.

    Attributes:
        source: Shape ``(1, i, j, k)``, normalised.
        ranks: Same shape, the ranks of the source.
        target: Same shape, normalised.
        mask: Same shape, 1 inside the subject.
        name: Of the case, for messages.
        others: Further images of the same shape, such as a labelled region.
        facts: What is known of the subject as a whole, each of shape ``(c,)`` or ``()``.
    """

    source: Tensor
    ranks: Tensor
    target: Tensor
    mask: Tensor
    name: str = ""
    others: Mapping[str, Tensor] = field(default_factory=dict)
    facts: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def images(self) -> dict[str, Tensor]:
        """Every image by its key in a batch."""
        return {key: getattr(self, key) for key in _KEYS} | dict(self.others)

    def with_images(self, images: Mapping[str, Tensor]) -> TrainingCase:
        """The case with other images, by their keys in a batch."""
        source, ranks, target, mask = (images[key] for key in _KEYS)
        others = {key: image for key, image in images.items() if key not in _KEYS}
        return replace(self, source=source, ranks=ranks, target=target, mask=mask, others=others)

    def to(self, device: torch.device) -> TrainingCase:
        """The case in the memory of ``device``; itself if it lies there."""
        images = {key: image.to(device) for key, image in self.images.items()}
        facts = {key: fact.to(device) for key, fact in self.facts.items()}
        return replace(self.with_images(images), facts=facts)


@dataclass(frozen=True)
class _Place:
    """Where a patch is cut, and how it is augmented."""

    case: int
    start: list[int]
    seed: int


@dataclass(frozen=True)
class Share:
    """Which part of each batch is drawn: one of ``count`` equal ones, ``number`` from 0."""

    number: int
    count: int


WHOLE = Share(0, 1)


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
        augmentation: Callable[[], Compose],
        share: Share = WHOLE,
        device: torch.device = _CPU,
    ) -> None:
        """Keep the cases, padded where a volume is smaller than a patch.

        ``augmentation`` builds the random changes of a patch, which are seeded anew for each.
        ``share`` is the part of each batch that is drawn here; a batch has ``batch_size`` patches
        for each part. Cases are kept, and patches cut and changed, in the memory of ``device``.
        """
        padded = [_pad_case(case, patch_size) for case in cases]
        self._centres = [_mask_voxels(case.mask, seed) for case in padded]
        self._cases = [case.to(device) for case in padded]
        self._device = device
        self._patch_size = patch_size
        self._batch_size = batch_size
        self._share = share
        self._seed = seed
        self._augmentation = augmentation

    def draw(self, step: int) -> dict[str, Tensor]:
        """The batch of ``step``: ``source``, ``target``, ``mask``, each ``(n, c, i, j, k)``.

        ``source`` has two channels, the intensity and its rank; the others have one. Further images
        and facts of the cases stand beside them under their own keys.
        """
        patches = [self._cut(place) for place in self._choose_batch(step)]
        batch = {key: torch.stack([patch[key] for patch in patches]) for key in patches[0]}
        batch["source"] = torch.cat([batch["source"], batch.pop("ranks")], dim=1)
        return batch

    def describe(self, step: int) -> str:
        """Which patches the batch of ``step`` holds: case and first voxel on the model grid."""
        chosen = self._choose_batch(step)
        return "; ".join(
            f"{self._cases[place.case].name} at {', '.join(map(str, place.start))}"
            for place in chosen
        )

    def batches(self, first_step: int) -> Generator[dict[str, Tensor], None, None]:
        """The batches from ``first_step`` on, without end, drawn ahead by a thread."""
        if self._device.type == "cuda":
            return self._batches_aside(first_step)
        return self._batches_here(first_step)

    def _batches_here(self, first_step: int) -> Generator[dict[str, Tensor], None, None]:
        with closing(work_ahead(self.draw, count(first_step), depth=_STEPS_AHEAD)) as ahead:
            for batch in ahead:
                yield batch.result()

    def _batches_aside(self, first_step: int) -> Generator[dict[str, Tensor], None, None]:
        side = SideStream(self._device)
        make = partial(side.make, self.draw)
        with closing(work_ahead(make, count(first_step), depth=_STEPS_AHEAD)) as ahead:
            for made in ahead:
                yield side.take_over(*made.result())

    def _choose_batch(self, step: int) -> list[_Place]:
        """All parts draw the same places in the same order; each keeps its own."""
        generator = np.random.default_rng((self._seed, step))
        count, first = self._share.count, self._share.number * self._batch_size
        chosen = [self._choose(generator) for _ in range(count * self._batch_size)]
        return chosen[first : first + self._batch_size]

    def _choose(self, generator: np.random.Generator) -> _Place:
        number = int(generator.integers(len(self._cases)))
        case, centres = self._cases[number], self._centres[number]
        centre = centres[generator.integers(len(centres))]
        start = _patch_start(centre, self._patch_size, case.source.shape[1:])
        return _Place(number, start, int(generator.integers(2**31)))

    def _cut(self, place: _Place) -> dict[str, Tensor]:
        case = self._cases[place.case]
        box = tuple(
            slice(start, start + size)
            for start, size in zip(place.start, self._patch_size, strict=True)
        )
        patch = {
            key: image[(slice(None), *box)].to(torch.float32, copy=True)
            for key, image in case.images.items()
        }
        augment = self._augmentation()
        augment.set_random_state(seed=place.seed)
        changed = augment(patch)
        images = {key: torch.as_tensor(changed[key]).contiguous() for key in patch}
        return images | dict(case.facts)


def _pad_case(case: TrainingCase, patch_size: tuple[int, int, int]) -> TrainingCase:
    missing = [max(0, p - n) for p, n in zip(patch_size, case.source.shape[1:], strict=True)]
    if not any(missing):
        return case
    widths = [width for m in reversed(missing) for width in (m // 2, m - m // 2)]
    return case.with_images(
        {key: functional.pad(image, widths) for key, image in case.images.items()}
    )


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
