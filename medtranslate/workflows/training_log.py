"""The record of a training: ``metrics.csv``, ``skipped.csv`` and TensorBoard events."""

from __future__ import annotations

import contextlib
import csv
import io
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from medtranslate.io.atomic import append_text, describe_failure, write_text

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
    "val_region",
)
_SKIPPED_COLUMNS = ("step", "batch")
_EVERY_STEPS = 10
_EVENT_BYTES = 4096
"""What any event takes on a disk at least: a block."""


class TrainingLog:
    """Writes loss terms every ten steps (their mean) and validation scores when they come.

    Attributes:
        skipped_file: Lists the updates that were left out.
    """

    def __init__(self, folder: Path, *, first_step: int) -> None:
        """Open the log; rows after ``first_step``, left by an interrupted training, go."""
        self._path = folder / "metrics.csv"
        self.skipped_file = folder / "skipped.csv"
        for path, columns in ((self._path, _COLUMNS), (self.skipped_file, _SKIPPED_COLUMNS)):
            _cut_table(path, columns, first_step)
        self._first_step = first_step
        self._waiting: list[dict[str, float]] = []
        self._hook = threading.excepthook

    def __enter__(self) -> TrainingLog:
        self._hook, threading.excepthook = threading.excepthook, self._pass_over_events
        with self._telling():
            self._events = SummaryWriter(str(self._path.parent), purge_step=self._first_step)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # After an error, most likely a full disk, closing fails too and would hide it.
        try:
            with self._telling() if kind is None else contextlib.suppress(OSError):
                self._events.close()
        finally:
            threading.excepthook = self._hook

    def _pass_over_events(self, told: threading.ExceptHookArgs) -> None:
        """The thread that writes events raises its error here again, at the next event."""
        if not type(told.thread).__module__.startswith("tensorboard."):
            self._hook(told)

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

    def add_skipped(self, step: int, batch: str) -> None:
        """Write down an update that was left out, and of which patches."""
        append_text(self.skipped_file, _format_row([step, batch]))

    def add_validation(
        self, step: int, scores: dict[str, float], picture: np.ndarray | None
    ) -> None:
        """Write validation scores.

        Args:
            step: Updates done so far.
            scores: By name; none if nobody validates.
            picture: Sample, shape ``(rows, columns)``, 0 black to 1 white.
        """
        if scores:
            self._write({"step": step} | {f"val_{name}": value for name, value in scores.items()})
        if picture is not None:
            with self._telling():
                self._events.add_image(
                    "validation/source_prediction_target", picture, step, dataformats="HW"
                )

    def _write(self, row: dict[str, float]) -> None:
        told = {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()}
        append_text(self._path, _format_row([told.get(name, "") for name in _COLUMNS]))
        with self._telling():
            for name, value in row.items():
                if name != "step":
                    self._events.add_scalar(name, value, int(row["step"]))

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Tell a full disk that events did not fit on as what it is."""
        try:
            yield
        except OSError as error:
            events = self._path.with_name("events.out.tfevents")
            left = "what was logged before is whole"
            raise describe_failure(events, error, num_bytes=_EVENT_BYTES, left=left) from error


def _format_row(cells: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _cut_table(path: Path, columns: Sequence[str], step: int) -> None:
    """Leave a table that ends at ``step``; a last row that was cut off goes too."""
    rows = _rows_until(path, len(columns), step) if step and path.exists() else []
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    write_text(path, text.getvalue())


def _rows_until(path: Path, width: int, step: int) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if len(row) == width and row[0].isdigit()]
    return [row for row in rows if int(row[0]) <= step]
