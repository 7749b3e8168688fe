"""Calls of the command line with hostile input: how they end, and what they cost."""

from __future__ import annotations

import contextlib
import io
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from medtranslate.cli import main

MOST_SECONDS = 20.0
MOST_BYTES = 600 << 20
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Ended:
    """What a call left behind.

    Attributes:
        code: With which it left.
        told: Standard output and error.
        seconds: How long it took.
        grown: By how many bytes the largest memory use exceeded that before the call.
    """

    code: int
    told: str
    seconds: float
    grown: int


def call(*arguments: object) -> Ended:
    """Run the command line in this process."""
    told = io.StringIO()
    argv, sys.argv = sys.argv, ["medtranslate", *map(str, arguments)]
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, start = _memory("VmRSS"), time.monotonic()
    try:
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
            main()
    except SystemExit as leaving:
        code = leaving.code
    finally:
        sys.argv = argv
    seconds = time.monotonic() - start
    return Ended(int(code or 0), told.getvalue(), seconds, _memory("VmHWM") - before)


def check_refused(*arguments: object, naming: str, out: Path | None = None) -> str:
    """Call, expect a refusal that costs little and leaves nothing behind; what it says."""
    ended = call(*arguments)
    assert ended.code == 2, ended.told
    check_harmless(ended)
    assert naming in ended.told, ended.told
    left = [] if out is None else [path for path in out.rglob("*") if path.is_file()]
    assert {path.parent.name for path in left} <= {"status"}, "what became of it, and no more"
    return ended.told


def check_harmless(ended: Ended) -> None:
    """A call that is refused by name or gives a result, without a traceback, at bounded cost."""
    assert ended.code in (0, 2, 3), ended.told
    assert "Traceback" not in ended.told
    assert ("Error: " in ended.told) == (ended.code == 2)
    if ended.seconds > MOST_SECONDS or ended.grown > MOST_BYTES:
        pytest.fail(f"took {ended.seconds:.1f} s and {ended.grown:,} bytes: {ended.told}")


def _memory(name: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) << 10
