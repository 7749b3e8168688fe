"""One comparison of what is with what was recorded, and all of them together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Check:
    """One comparison with a record.

    Attributes:
        case: Name of the case or file.
        what: What was compared, such as ``settings``, ``input source``, ``signature`` or
            ``header extension``.
        holds: Whether it is there and fits.
        detail: What differs, is absent, or could not be compared; may be empty if it holds.
    """

    case: str
    what: str
    holds: bool
    detail: str = ""


@dataclass(frozen=True)
class Verification:
    """Every comparison made for one file or folder.

    Attributes:
        path: What was looked at.
        checks: In the order made.
        notes: What was not looked at, and what to give for it.
    """

    path: Path
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether all of them hold."""
        return all(check.holds for check in self.checks)


def compare_hashes(case: str, what: str, recorded: str, found: str) -> Check:
    """A check of two hashes, the start of each told where they differ."""
    if recorded == found:
        return Check(case, what, True)
    return Check(case, what, False, f"recorded {recorded[:12]}, found {found[:12]}")
