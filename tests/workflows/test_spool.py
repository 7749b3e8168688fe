"""Incoming series on disk: when they are whole, and how much there may be."""

import pytest

from medtranslate.io.dicom.network import Arrival
from medtranslate.workflows import spool as module
from medtranslate.workflows.spool import Spool


class Clock:
    """Seconds that pass when told to."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def spool(tmp_path, clock):
    return Spool(tmp_path, max_bytes=100, quiet_seconds=30, clock=clock)


def arrival(sop, *, series="1.2", size=10, association=1):
    return Arrival(bytes(size), series, sop, association)


def test_a_series_is_whole_soon_after_its_connection_has_ended(spool, clock):
    spool.store(arrival("1"))
    spool.store(arrival("2"))
    clock.now = 10
    assert spool.take() is None
    spool.close(1)

    series = spool.take()

    assert series.num_instances == 2
    assert [path.name for path in sorted(series.folder.iterdir())] == ["00001.dcm", "00002.dcm"]
    assert spool.take() is None


def test_it_is_whole_after_a_long_pause_though_the_connection_stays(spool, clock):
    spool.store(arrival("1"))
    clock.now = 29
    assert spool.take() is None
    clock.now = 31

    assert spool.take().num_instances == 1


def test_slices_that_come_over_several_connections_are_one_series(spool, clock):
    for number in range(3):
        spool.store(arrival(str(number), association=number))
        spool.close(number)
        clock.now += 1
        assert spool.take() is None
    clock.now += 2

    assert spool.take().num_instances == 3


def test_disk_is_bounded_and_free_again_when_a_series_is_done_with(spool, clock, tmp_path):
    assert [spool.store(arrival(str(n), size=40)) for n in range(3)] == [True, True, False]
    spool.close(1)
    clock.now = 5
    series = spool.take()
    assert not spool.store(arrival("9", series="1.3", size=40))

    spool.remove(series)

    assert list(tmp_path.iterdir()) == []
    assert spool.num_bytes == 0
    assert spool.store(arrival("9", series="1.3", size=40))


def test_many_small_files_are_bounded_too(spool, monkeypatch):
    monkeypatch.setattr(module, "MAX_FILES", 3)
    kept = [spool.store(arrival("1", series=f"1.{n}", size=0)) for n in range(4)]
    assert kept == [True, True, True, False]


def test_an_instance_that_comes_twice_is_kept_once(spool, clock):
    for _ in range(2):
        spool.store(arrival("../../etc/1"))
    spool.close(1)
    clock.now = 5

    series = spool.take()

    assert series.num_instances == 1
    assert [path.name for path in series.folder.iterdir()] == ["00001.dcm"]
