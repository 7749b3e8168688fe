"""Series that come in over the network, on disk until they are complete and done with."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from medtranslate.io.dicom.files import MAX_FILES
from medtranslate.io.dicom.network import Arrival

_SETTLE_SECONDS = 2.0


@dataclass
class _Incoming:
    """A series that may still grow; changed only under the spool's lock."""

    folder: Path
    last: float
    sizes: dict[str, int] = field(default_factory=dict)
    open: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class SpooledSeries:
    """A series that is complete.

    Attributes:
        number: Counts the series from 1.
        folder: Its files, and nothing else.
        num_instances: How many.
    """

    number: int
    folder: Path
    num_instances: int


class Spool:
    """A bounded folder of incoming series, used from several threads.

    A series is complete when every connection that brought it has ended and nothing came for two
    seconds, or when nothing came for ``quiet_seconds`` even though one is still open. Names of
    files are counted, never taken from what arrives.
    """

    def __init__(
        self, folder: Path, *, max_bytes: int, quiet_seconds: float, clock: Callable[[], float]
    ) -> None:
        """Keep at most ``max_bytes`` below ``folder``; ``clock`` counts seconds."""
        self._folder, self._max_bytes = folder, max_bytes
        self._quiet_seconds, self._clock = quiet_seconds, clock
        self._lock = threading.Lock()
        self._incoming: dict[str, _Incoming] = {}
        self._taken: dict[int, int] = {}
        self._count = 0

    @property
    def num_bytes(self) -> int:
        """What lies in the folder now."""
        incoming = sum(sum(one.sizes.values()) for one in self._incoming.values())
        return incoming + sum(self._taken.values())

    def store(self, arrival: Arrival) -> bool:
        """Keep one instance; one that comes twice is kept once.

        Returns:
            Whether there was room.
        """
        with self._lock:
            if self.num_bytes + len(arrival.data) > self._max_bytes or self._is_full():
                return False
            series = self._incoming.get(arrival.series_uid) or self._begin(arrival.series_uid)
            names = list(series.sizes)
            known = arrival.sop_uid in series.sizes
            number = names.index(arrival.sop_uid) if known else len(names)
            try:
                (series.folder / f"{number + 1:05d}.dcm").write_bytes(arrival.data)
            except OSError:
                return False
            series.sizes[arrival.sop_uid] = len(arrival.data)
            series.last = self._clock()
            series.open.add(arrival.association)
            return True

    def _is_full(self) -> bool:
        """Whether there are as many files as are looked at in one place, however small."""
        return sum(len(one.sizes) for one in self._incoming.values()) >= MAX_FILES

    def close(self, association: int) -> None:
        """A connection has ended."""
        with self._lock:
            for series in self._incoming.values():
                series.open.discard(association)

    def take(self) -> SpooledSeries | None:
        """A series that is complete, for good; None if there is none."""
        with self._lock:
            now = self._clock()
            for uid, series in self._incoming.items():
                idle = now - series.last
                wanted = self._quiet_seconds if series.open else _SETTLE_SECONDS
                if idle >= min(wanted, self._quiet_seconds):
                    del self._incoming[uid]
                    number = int(series.folder.name)
                    self._taken[number] = sum(series.sizes.values())
                    return SpooledSeries(number, series.folder, len(series.sizes))
        return None

    def remove(self, series: SpooledSeries) -> None:
        """Delete a series that was taken."""
        shutil.rmtree(series.folder, ignore_errors=True)
        with self._lock:
            self._taken.pop(series.number, None)

    def _begin(self, uid: str) -> _Incoming:
        self._count += 1
        folder = self._folder / str(self._count)
        folder.mkdir()
        self._incoming[uid] = _Incoming(folder, self._clock())
        return self._incoming[uid]
