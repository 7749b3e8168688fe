"""Fuzz the readers for some minutes: ``python -m tests.fuzz.run [--minutes N]``.

Each kind of input is tried in a process of its own whose memory is bounded. What is neither read
nor refused by name is kept below ``tests/findings``, where a test reads it again for ever after.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import hashlib
import json
import resource
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.changes import changed
from tests.fuzz.targets import ROOT, Target, attempt, make_targets

FINDINGS = ROOT / "tests" / "findings"
KINDS = ("scan", "dicom", "pipeline", "model", "manifest")
_ROOM_BYTES = 3 << 30
_MOST_SECONDS = {signal.ITIMER_PROF: 10.0, signal.ITIMER_REAL: 120.0}
"""Of work, and by the clock where something is waited for; a busy machine is no finding."""
_SHRINK_SECONDS = 30.0
_SETTINGS = settings(
    max_examples=200,
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
_LATEST = "latest"
_SAID = "said"


class OutOfTime(BaseException):
    """The minutes are over; not an error of what is tried."""


def main() -> int:
    """Fuzz every kind in turn, print how many inputs were tried, and say whether any is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="Time for all kinds together.")
    parser.add_argument("--seed", type=int, default=None, help="Where to begin; else the clock.")
    parser.add_argument("--kind", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--scratch", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    first = int(time.time()) if asked.seed is None else asked.seed
    if asked.kind is not None:
        print(json.dumps(fuzz(asked.kind, asked.minutes * 60, first, asked.scratch)))
        return 0
    kept = 0
    for kind in KINDS:
        kept += _fuzz_apart(kind, asked.minutes / len(KINDS), first)
    return 1 if kept else 0


def _fuzz_apart(kind: str, minutes: float, first: int) -> int:
    """One kind in a process of its own; how many findings were kept."""
    scratch = FINDINGS / f".{kind}"
    scratch.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.fuzz.run", "--kind", kind, "--minutes", str(minutes),
               "--seed", str(first), "--scratch", str(scratch)]  # fmt: skip
    with (scratch / _SAID).open("w") as said:  # libraries talk on standard error
        ended = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=said, text=True)
    try:
        counts = json.loads(ended.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        print((scratch / _SAID).read_text()[-2000:], file=sys.stderr)
        if not (scratch / _LATEST).exists():
            raise RuntimeError(f"{kind}: the fuzzer itself failed") from None
        name, data = _latest(scratch)
        path = keep(kind, name, data)
        print(f"{kind:10} the process died with code {ended.returncode}; kept {path}")
        return 1
    finally:
        for path in scratch.iterdir():
            path.unlink()
        scratch.rmdir()
    print(
        f"{kind:10} {counts['tried']:8,} inputs tried, {counts['refused']:,} refused by name,"
        f" {counts['read']:,} read, {len(counts['kept'])} findings (seed {first})"
    )
    for line in counts["kept"]:
        print(f"           {line}")
    return len(counts["kept"])


def fuzz(kind: str, seconds: float, first: int, scratch: Path) -> dict[str, object]:
    """Try changed inputs of one kind until the time is over."""
    warnings.simplefilter("error")  # a warning may quote what stands in a file
    faulthandler.enable()
    kept: list[str] = []
    with make_targets() as targets:
        fuzzer = _Fuzzer(targets[kind], scratch, time.monotonic() + seconds)
        _bound_memory()
        for alarm in (signal.SIGPROF, signal.SIGALRM):
            signal.signal(alarm, _complain)
        number = first
        while not fuzzer.is_over:
            found = fuzzer.try_batch(number)
            if found is not None:
                path = keep(kind, found.name, found.data).relative_to(ROOT)
                kept.append(f"{path}: {found.why}")
            number += 1
    return {"tried": fuzzer.tried, "refused": fuzzer.refused, "read": fuzzer.read, "kept": kept}


@dataclass(frozen=True)
class _Found:
    """An input that was neither read nor refused by name."""

    name: str
    data: bytes
    why: str


class _Fuzzer:
    """Tries inputs and counts them."""

    def __init__(self, target: Target, scratch: Path, end: float) -> None:
        self._target, self._scratch, self._end = target, scratch, end
        self.tried = self.refused = self.read = 0
        self._found: _Found | None = None

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self._end

    def try_batch(self, number: int) -> _Found | None:
        """Some hundred inputs that the number decides; the smallest that fails, if one does."""
        self._found = None
        test = given(changed(self._target.examples))(self._try)
        test = seed(number)(_SETTINGS(test))
        with contextlib.suppress(OutOfTime, Exception):  # what failed was noted where it failed
            test()
        return self._found

    def _try(self, given_input: tuple[str, bytes]) -> None:
        if time.monotonic() > self._end + (_SHRINK_SECONDS if self._found else 0):
            raise OutOfTime
        name, data = given_input
        (self._scratch / _LATEST).write_bytes(name.encode() + b"\n" + data)
        self.tried += 1
        for timer, most in _MOST_SECONDS.items():
            signal.setitimer(timer, most)
        try:
            was_read = attempt(self._target, name, data)
        except Exception as error:
            self._found = _Found(name, data, f"{type(error).__name__}: {error}"[:300])
            raise
        finally:
            for timer in _MOST_SECONDS:
                signal.setitimer(timer, 0)
        self.read += was_read
        self.refused += not was_read


def keep(kind: str, name: str, data: bytes) -> Path:
    """Write a finding where the test of findings looks."""
    path = FINDINGS / kind / name / f"{hashlib.sha256(data).hexdigest()[:12]}.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def _latest(scratch: Path) -> tuple[str, bytes]:
    name, _, data = (scratch / _LATEST).read_bytes().partition(b"\n")
    return name.decode(), data


def _bound_memory() -> None:
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + _ROOM_BYTES, resource.RLIM_INFINITY))


def _complain(signal_number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"took too long: signal {signal_number}")


if __name__ == "__main__":
    sys.exit(main())
