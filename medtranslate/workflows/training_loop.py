"""The training loop: update, validate, keep the best, save what resuming needs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from medtranslate.checkpoint import load_newest_checkpoint, save_checkpoint
from medtranslate.data.patches import PatchSampler
from medtranslate.errors import CheckpointError, VolumeWriteError
from medtranslate.methods.base import Batch, Trainable
from medtranslate.methods.sharding import gather
from medtranslate.methods.training import TrainingSettings
from medtranslate.workflows.interruption import StopRequested, StopWatch
from medtranslate.workflows.progress import Progress
from medtranslate.workflows.training_log import TrainingLog
from medtranslate.workflows.unread import ToldStep, UnreadSteps

_LOGGER = logging.getLogger(__name__)

CHECKPOINTS = "checkpoints"
"""Of the run folder: what resuming needs."""

Validate = Callable[[Trainable], tuple[dict[str, float], np.ndarray | None]]
"""Scores of the averaged weights (empty if nobody validates) and a sample picture."""

_DB_PER_SSIM = 10.0
"""The best weights have the highest PSNR + 10 SSIM: a hundredth of SSIM counts as 0.1 dB."""


@dataclass
class _State:
    """Where the training stands."""

    step: int = 0
    seconds: float = 0.0
    num_validated: int = -1
    best_score: float = float("-inf")
    best_step: int = 0
    best_psnr: float = 0.0


@dataclass(frozen=True)
class Divergence:
    """Why a training ended early: too many updates had no finite loss or gradient.

    Attributes:
        step: Of the update that was one too many.
        num_skipped: Updates that were left out, that one too.
        best_step: Updates after which the weights were kept that are the best.
        told: The same and what to do, for the person who trains; names scans.
    """

    step: int
    num_skipped: int
    best_step: int
    told: str

    def to_json(self) -> dict[str, int]:
        """Plain data for the model's provenance; names nobody."""
        return {
            "step": self.step,
            "num_skipped": self.num_skipped,
            "weights_of_step": self.best_step,
        }


@dataclass(frozen=True)
class Learned:
    """What a training came to.

    Attributes:
        weights: The best averaged weights by validation score, on the CPU.
        divergence: Why the training ended early; None if it did not.
    """

    weights: dict[str, Tensor]
    divergence: Divergence | None = None


class _DivergedError(Exception):
    """Ends the loop."""

    def __init__(self, divergence: Divergence) -> None:
        super().__init__(divergence.told)
        self.divergence = divergence


class TrainingLoop:
    """Trains a method until its steps or its time are used up.

    What resuming needs is saved after each validation, between two of them whenever
    ``checkpoint_every`` went by, and when somebody asks to stop. With ``num_steps``, stopping and
    resuming gives the weights of an uninterrupted training, bit for bit on the CPU; with
    ``time_budget`` too if each step takes what it took. The clock stands still while a checkpoint
    is written: what is saved cannot hold the time that saving it took.
    """

    def __init__(
        self,
        method: Trainable,
        sampler: PatchSampler,
        *,
        settings: TrainingSettings,
        validate: Validate,
        folder: Path,
        progress: Progress,
        agree: Callable[[Sequence[float]], list[float]] = list,
        send: Callable[[Batch], Batch] = dict,
        read_every: int = 1,
    ) -> None:
        """``folder`` is the run folder; checkpoints and logs go below it.

        ``agree`` gives the largest of each value over the processes that train together; ``send``
        brings a batch to where the method learns. After ``read_every`` steps, 1 or 10, the program
        waits for the device to tell what became of them.
        """
        self._agree, self._send = agree, send
        self._read_every, self._unread = read_every, UnreadSteps()
        self._method = method
        self._sampler = sampler
        self._settings = settings
        self._validate = validate
        self._checkpoints = folder / CHECKPOINTS
        self._logs = folder / "logs"
        self._progress = progress
        self._state = _State()
        self._best: dict[str, Tensor] = {}
        self._saved_at = 0.0
        self._num_skipped = 0
        self._told_skipped = False
        self._loss = "-"

    def run(self, *, resume: bool) -> Learned:
        """Train to the end, or until too many updates had no finite loss or gradient.

        Raises:
            CheckpointError: If what is resumed is another training, or damaged.
            StopRequested: If somebody asked to stop; what resuming needs is saved.
            VolumeWriteError: If a checkpoint or the log cannot be written.
        """
        if resume:
            self._load()
        settings = self._settings
        self._progress.stage("train", settings.num_steps or settings.budget_seconds or 0)
        with StopWatch() as watch:
            try:
                self._train(watch)
            except StopRequested as request:
                self._save()
                raise StopRequested(request.signal, self._describe_stop()) from None
            except _DivergedError as error:
                return Learned(self._best, error.divergence)
        if self._state.best_step == 0 < self._state.step:
            _LOGGER.warning(
                "the training did not help: no weights scored better on the validation scans than"
                " those it started from, which are kept. Train for longer, or with another"
                " method.optimiser.learning_rate"
            )
        return Learned(self._best)

    def _train(self, watch: StopWatch) -> None:
        with (
            TrainingLog(self._logs, first_step=self._state.step) as log,
            closing(self._sampler.batches(self._state.step)) as batches,
        ):
            while True:
                self._agree_with_others(watch, log)
                # A training that was stopped in a validation begins with it when it goes on.
                if self._is_validation_due():
                    self._read(log)
                    with self._validating(watch):
                        started = time.monotonic()
                        scores, picture = self._validate(self._method)
                    self._keep_best(scores)
                    log.add_validation(self._state.step, scores, picture)
                    self._state.seconds += time.monotonic() - started
                    self._save()
                    self._agree_with_others(watch, log)
                elif self._is_saving_due():
                    self._read(log)
                    self._save()
                if self._fraction() >= 1:
                    return
                self._advance(batches, log)

    def _validating(self, watch: StopWatch) -> AbstractContextManager[None]:
        """Whoever holds a part of the weights must not leave the others in a validation."""
        return nullcontext() if self._settings.sharding == "full" else watch.droppable()

    def _agree_with_others(self, watch: StopWatch, log: TrainingLog) -> None:
        """All processes stop after the same step, and count the same time."""
        asked, self._state.seconds = self._agree([watch.asked, self._state.seconds])
        if asked:
            self._read(log)
            raise StopRequested(int(asked))

    def _advance(self, batches: Iterator[Batch], log: TrainingLog) -> None:
        started = time.monotonic()
        batch = self._send(next(batches))
        terms = self._method.update(batch, progress=self._fraction())
        self._unread.add(self._state.step, terms, self._method.num_skipped)
        self._state.step += 1
        self._state.seconds += time.monotonic() - started
        if self._state.step % self._read_every == 0:
            self._read(log)
        done = self._state.step if self._settings.num_steps else self._state.seconds
        self._progress.update(done, f"loss {self._loss}  best {self._describe_best()}")

    def _read(self, log: TrainingLog) -> None:
        """Wait for the steps that nobody waited for yet, and write down what became of them."""
        started = time.monotonic()
        told = self._unread.read()
        self._state.seconds += time.monotonic() - started
        for one in told:
            if one.num_skipped > self._num_skipped:
                self._tell_skipped(one, log)
            self._num_skipped, self._loss = one.num_skipped, f"{one.terms['loss']:.4f}"
            log.add_terms(one.step + 1, self._state.seconds, dict(one.terms), one.num_skipped)

    def _fraction(self) -> float:
        if self._settings.num_steps is not None:
            return self._state.step / self._settings.num_steps
        return min(1.0, self._state.seconds / (self._settings.budget_seconds or 1.0))

    def _is_validation_due(self) -> bool:
        return self._fraction() * self._settings.num_validations >= self._state.num_validated + 1

    def _is_saving_due(self) -> bool:
        """Alike in all processes, which have just agreed on the time."""
        return self._state.seconds - self._saved_at >= self._settings.checkpoint_seconds

    def _keep_best(self, scores: dict[str, float]) -> None:
        score = rate_weights(scores) if scores else float(self._state.step)
        if score > self._state.best_score:
            self._state.best_score, self._state.best_step = score, self._state.step
            self._state.best_psnr = scores.get("psnr", 0.0)
            weights = gather(self._method.generator.state_dict())
            self._best = {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}
        self._state.num_validated = int(self._fraction() * self._settings.num_validations)

    def _save(self) -> None:
        try:
            save_checkpoint(self._checkpoints, self._state.step, self._to_save())
        except VolumeWriteError as error:
            raise VolumeWriteError(f"{error}; earlier steps are kept") from error
        self._saved_at = self._state.seconds

    def _to_save(self) -> dict[str, Any]:
        return {"method": self._method.state(), "best": self._best, "loop": vars(self._state)}

    def _load(self) -> None:
        newest = load_newest_checkpoint(self._checkpoints, tell=self._progress.tell)
        if newest is None:
            return
        _, saved = newest
        try:
            self._method.load_state(saved["method"])
            self._num_skipped = int(self._method.num_skipped)
            self._best = _read_weights(saved["best"], self._method.generator.state_dict())
            self._state = _read_state(saved["loop"])
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self._checkpoints}: the newest checkpoint is not of this training"
                f" ({type(error).__name__}). Train into a new folder"
            ) from error
        self._saved_at = self._state.seconds
        self._progress.tell(f"goes on from {self._describe_place()}")

    def _tell_skipped(self, told: ToldStep, log: TrainingLog) -> None:
        """Name the batch of an update that was left out; stop if there were too many."""
        step, batch = told.step, self._sampler.describe(told.step)
        log.add_skipped(step, batch)
        if not self._told_skipped:
            _LOGGER.warning(
                "step %d was left out: the loss or its gradient is not finite (%s); this and"
                " further ones are listed in %s",
                step,
                batch,
                log.skipped_file.name,
            )
        self._told_skipped = True
        if told.num_skipped > self._settings.max_skipped:
            raise _DivergedError(self._describe_divergence(told, batch, log))

    def _describe_divergence(self, told: ToldStep, batch: str, log: TrainingLog) -> Divergence:
        text = (
            f"training stopped at step {told.step}: {told.num_skipped} updates had non-finite"
            f" losses or gradients (limit train.max_skipped = {self._settings.max_skipped}), the"
            f" last from {batch}; all are in {log.skipped_file}. Look at these scans, or lower"
            " method.optimiser.learning_rate or set train.precision: 32-true, and train into a new"
            " folder"
        )
        return Divergence(told.step, told.num_skipped, self._state.best_step, text)

    def _describe_stop(self) -> str:
        return f"training was stopped as asked, and saved after step {self._state.step}"

    def _describe_place(self) -> str:
        """The step, and how much of the training is done."""
        if self._settings.num_steps is not None:
            return f"step {self._state.step:,} of {self._settings.num_steps:,}"
        minutes = self._state.seconds / 60
        return f"step {self._state.step:,}, after {minutes:.3g} min of {self._settings.time_budget}"

    def _describe_best(self) -> str:
        return f"{self._state.best_psnr:.2f} dB" if self._state.best_psnr else "-"


def _read_state(saved: Mapping[str, Any]) -> _State:
    """Where a saved training stood, if every entry is the number it ought to be."""
    state = _State(**saved)
    for name, value in vars(_State()).items():
        kinds = (int, float) if isinstance(value, float) else (int,)
        if type(getattr(state, name)) not in kinds:
            raise TypeError(name)
    return state


def _read_weights(saved: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The best weights so far, none before the first validation."""
    if saved and {n: t.shape for n, t in saved.items()} != {n: t.shape for n, t in like.items()}:
        raise ValueError("weights of another network")
    return dict(saved)


def rate_weights(scores: dict[str, float]) -> float:
    """How good weights are, by their validation scores; more is better.

    PSNR plus ten times SSIM; of a followed region, the share of its change that is explained, for
    the scan itself hardly changes.
    """
    if "region" in scores:
        return scores["region"]
    return scores["psnr"] + _DB_PER_SSIM * scores["ssim"]


def mean_scores(scores: Sequence[dict[str, float]]) -> dict[str, float]:
    """Mean of each score over subjects; empty if there are none."""
    return {key: sum(s[key] for s in scores) / len(scores) for key in scores[0]} if scores else {}
