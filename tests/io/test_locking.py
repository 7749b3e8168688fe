"""One run a folder."""

import errno
import fcntl
import os
import signal
import subprocess
import sys

import pytest

from medtranslate.errors import ConfigError, VolumeWriteError
from medtranslate.io.atomic import write_text
from medtranslate.io.locking import LOCK_FILE, lock_folder


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


HOLDER = """
import sys, time
from pathlib import Path
from medtranslate.io.atomic import write_text
from medtranslate.io.locking import lock_folder
with lock_folder(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that writes into ``run``."""
    arguments = [sys.executable, "-c", HOLDER, str(tmp_path / "run")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


def test_a_second_run_is_refused_and_told_by_whom(holder, tmp_path):
    with pytest.raises(ConfigError, match=rf"process {holder.pid} on .* is writing into"):
        lock_folder(tmp_path / "run").__enter__()

    (tmp_path / "other").mkdir()
    with lock_folder(tmp_path / "other"):
        assert (tmp_path / "other" / LOCK_FILE).read_text().split()[0] == str(os.getpid())


def test_the_lock_of_a_killed_run_locks_nothing_and_tells_of_it(holder, tmp_path, caplog):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    leftover = tmp_path / "run" / ".a.json.0123456789ab.tmp"
    leftover.touch()
    assert (tmp_path / "run" / LOCK_FILE).exists()

    with lock_folder(tmp_path / "run"):
        assert not leftover.exists()
    assert f"process {holder.pid} on" in caplog.text
    assert "did not end by itself" in caplog.text

    assert not (tmp_path / "run").exists() or names_in(tmp_path / "run") == []


def test_the_folder_is_as_before_when_nothing_was_written(tmp_path, caplog):
    with pytest.raises(RuntimeError), lock_folder(tmp_path / "new"):
        raise RuntimeError
    with lock_folder(tmp_path / "kept"):
        (tmp_path / "kept" / "a").touch()

    assert caplog.text == "", "nobody was killed"
    assert names_in(tmp_path) == ["kept"]
    assert names_in(tmp_path / "kept") == ["a"]


def test_two_blocks_of_one_process_exclude_each_other(tmp_path):
    with lock_folder(tmp_path), pytest.raises(ConfigError, match=f"process {os.getpid()} on"):
        lock_folder(tmp_path).__enter__()


@pytest.fixture(params=[errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL])
def without_locks(request, monkeypatch):
    """A file system that cannot lock."""

    def refuse(*_):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_where_nothing_can_be_locked_nobody_is_kept_out_and_that_is_told(
    without_locks, tmp_path, caplog
):
    with lock_folder(tmp_path / "run"):
        write_text(tmp_path / "run" / "a", "written")
        assert len(caplog.records) == 1
        assert "nobody is kept out" in caplog.text
        with lock_folder(tmp_path / "run"):
            pass

    assert names_in(tmp_path / "run") == ["a"]


def test_a_lock_that_fails_otherwise_is_told(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", fail)
    with (
        pytest.raises(VolumeWriteError, match="cannot be written .Input/output error"),
        lock_folder(tmp_path / "run"),
    ):
        pass
