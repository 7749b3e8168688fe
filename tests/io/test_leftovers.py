"""What killed writers leave behind is cleared, what living ones write is not."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from medtranslate.io.atomic import atomic_folder, atomic_path, write_bytes
from medtranslate.io.leftovers import clear_leftovers


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


KILLED_WRITER = """
import sys, time
from medtranslate.io.atomic import {writer}
from pathlib import Path
with {writer}(Path(sys.argv[1])) as temporary:
    print(temporary, flush=True)
    time.sleep(60)
"""


@pytest.fixture(params=["atomic_path", "atomic_folder"])
def writer(request, tmp_path):
    """A process that is writing ``a.bin``."""
    program = KILLED_WRITER.format(writer=request.param)
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "deep" / "a.bin")],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        process.temporary = process.stdout.readline().strip()
        yield process
        process.kill()


def test_a_living_writer_keeps_its_temporary(writer, tmp_path):
    clear_leftovers(tmp_path)

    assert Path(writer.temporary).exists()


def test_a_killed_writer_s_temporary_is_cleared(writer, tmp_path):
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert Path(writer.temporary).exists()

    clear_leftovers(tmp_path)

    assert not Path(writer.temporary).exists()


def test_the_next_writer_of_the_same_name_clears_it(writer, tmp_path):
    writer.send_signal(signal.SIGKILL)
    writer.wait()

    write_bytes(tmp_path / "deep" / "a.bin", b"whole")

    assert names_in(tmp_path / "deep") == ["a.bin"]


def test_files_that_only_look_alike_are_left_alone(tmp_path):
    names = [".a.0123456789AB.tmp", ".a.tmp", "a.0123456789ab.tmp"]
    for name in names:
        (tmp_path / name).touch()

    clear_leftovers(tmp_path)

    assert names_in(tmp_path) == names


def test_two_writers_of_one_name_do_not_disturb_each_other(tmp_path):
    with atomic_path(tmp_path / "a") as first:
        first.write_text("first")
        with atomic_path(tmp_path / "a") as second:
            second.write_text("second")
        assert (tmp_path / "a").read_text() == "second"

    assert (tmp_path / "a").read_text() == "first"


def test_a_folder_is_complete_or_absent(tmp_path):
    with atomic_folder(tmp_path / "made") as aside:
        (aside / "a").touch()
        assert not (tmp_path / "made").exists()
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "other"):
        raise RuntimeError

    assert names_in(tmp_path) == ["made"]
    assert names_in(tmp_path / "made") == ["a"]


def test_a_folder_takes_the_place_of_the_one_before(tmp_path):
    for name in ("old", "new"):
        with atomic_folder(tmp_path / "made") as aside:
            (aside / name).touch()

    assert names_in(tmp_path) == ["made"]
    assert names_in(tmp_path / "made") == ["new"]
