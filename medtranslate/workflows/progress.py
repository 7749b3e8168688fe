"""How a long job tells whoever started it where it stands."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the state of a long job; the command line shows it as a bar."""

    def stage(self, name: str, total: float) -> None:
        """A new stage begins; ``total`` is what :meth:`update` will count up to."""

    def update(self, done: float, note: str = "") -> None:
        """``done`` of the stage's total is finished; ``note`` is one short line."""

    def tell(self, text: str) -> None:
        """Something to know while it runs, in one sentence."""


class NoProgress:
    """Tells nobody."""

    def stage(self, name: str, total: float) -> None:
        """Do nothing."""

    def update(self, done: float, note: str = "") -> None:
        """Do nothing."""

    def tell(self, text: str) -> None:
        """Do nothing."""
