"""How a long job shows on the terminal: a bar with the time left, or a line now and then."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from medtranslate.workflows.progress import Progress as Told

_LINE_EVERY_SECONDS = 15.0


class BarProgress:
    """A bar for each stage, with the time left; for people who watch."""

    def __init__(self, console: Console) -> None:
        """Draw on ``console``, which stands for standard error."""
        self._bars = Progress(
            TextColumn("{task.description}", style="bold"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("left", style="dim"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", style="dim", markup=False),
            console=console,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._finish()
        self._bars.stop()

    def stage(self, name: str, total: float) -> None:
        """A new stage begins; the one before is finished."""
        self._bars.start()
        self._finish()
        self._task = self._bars.add_task(name, total=total, note="")

    def update(self, done: float, note: str = "") -> None:
        """``done`` of the stage's total is finished."""
        if self._task is not None:
            self._bars.update(self._task, completed=done, note=note)

    def tell(self, text: str) -> None:
        """A line above the bars."""
        self._bars.console.print(Text(text))

    def _finish(self) -> None:
        if self._task is not None:
            total = self._bars.tasks[-1].total
            self._bars.update(self._task, completed=total, note="")
            self._bars.stop_task(self._task)


class LineProgress:
    """A line for each stage and one every quarter of a minute; for logs."""

    def __init__(self, console: Console) -> None:
        """Write to ``console``, which stands for standard error."""
        self._console = console
        self._name = ""
        self._total = 0.0
        self._began = 0.0
        self._told = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to put away."""

    def stage(self, name: str, total: float) -> None:
        """A new stage begins."""
        self._name, self._total = name, total
        self._began = self._told = time.monotonic()
        self._console.print(Text(name))

    def update(self, done: float, note: str = "") -> None:
        """``done`` of the stage's total is finished."""
        now = time.monotonic()
        if now - self._told < _LINE_EVERY_SECONDS or not self._total:
            return
        self._told = now
        share = min(max(done / self._total, 0.0), 1.0)
        left = (now - self._began) * (1 - share) / share if share > 0 else None
        remaining = "" if left is None else f", {format_seconds(left)} left"
        self._console.print(Text(f"{self._name}: {share:.0%}{remaining}  {note}".rstrip()))

    def tell(self, text: str) -> None:
        """A line of its own."""
        self._console.print(Text(text))


def tell_loading(progress: Told) -> None:
    """Say why nothing happens for some seconds, before the libraries are imported."""
    progress.stage("load torch and MONAI", 1)


def format_seconds(seconds: float) -> str:
    """A duration as people say it.

    Example:
        >>> format_seconds(95), format_seconds(7), format_seconds(4000)
        ('1 min 35 s', '7 s', '1 h 6 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
