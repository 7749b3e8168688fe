"""The record of a training: ``metrics.csv`` and TensorBoard events."""

from __future__ import annotations

import csv
from pathlib import Path
from types import TracebackType

import numpy as np
from torch.utils.tensorboard import SummaryWriter

_COLUMNS = (
    "step",
    "seconds",
    "loss",
    "adversarial",
    "discriminator",
    "num_skipped",
    "val_psnr",
    "val_ssim",
    "val_mae",
)
_EVERY_STEPS = 10


class TrainingLog:
    """Writes loss terms every ten steps (their mean) and validation scores when they come."""

    def __init__(self, folder: Path, *, first_step: int) -> None:
        """Open the log; rows after ``first_step``, left by an interrupted training, go."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "metrics.csv"
        kept = _rows_until(path, first_step)
        self._file = path.open("w", newline="", encoding="utf-8")
        self._table = csv.DictWriter(self._file, _COLUMNS)
        self._table.writeheader()
        self._table.writerows(kept)
        self._events = SummaryWriter(str(folder), purge_step=first_step)
        self._waiting: list[dict[str, float]] = []

    def __enter__(self) -> TrainingLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._events.close()
        self._file.close()

    def add_terms(
        self, step: int, seconds: float, terms: dict[str, float], num_skipped: int
    ) -> None:
        """Remember the loss terms of a step; every tenth step writes their means."""
        self._waiting.append(terms)
        if step % _EVERY_STEPS:
            return
        names = sorted({name for row in self._waiting for name in row})
        means = {
            name: float(np.mean([row[name] for row in self._waiting if name in row]))
            for name in names
        }
        self._waiting.clear()
        self._write(
            {"step": step, "seconds": round(seconds, 2), "num_skipped": num_skipped} | means
        )

    def add_scores(self, step: int, scores: dict[str, float]) -> None:
        """Write validation scores."""
        if scores:
            self._write({"step": step} | {f"val_{name}": value for name, value in scores.items()})

    def add_picture(self, step: int, panels: np.ndarray) -> None:
        """Add a sample picture: shape ``(rows, columns)``, 0 black to 1 white."""
        self._events.add_image(
            "validation/source_prediction_target", panels, step, dataformats="HW"
        )

    def _write(self, row: dict[str, float]) -> None:
        self._table.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
        self._file.flush()
        for name, value in row.items():
            if name != "step":
                self._events.add_scalar(name, value, int(row["step"]))


def _rows_until(path: Path, step: int) -> list[dict[str, str]]:
    if not step or not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if int(row["step"]) <= step]
