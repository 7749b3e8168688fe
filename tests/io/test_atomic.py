"""A final name holds the whole file or what it held before."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from medtranslate.errors import VolumeWriteError
from medtranslate.io.atomic import (
    atomic_path,
    atomic_writer,
    write_bytes,
    write_json,
    write_text,
)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_final_name_appears_only_when_the_block_ends(tmp_path):
    path = tmp_path / "deep" / "a.bin"
    with atomic_writer(path) as file:
        file.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert names_in(path.parent) == ["a.bin"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interruption_keeps_the_old_content_and_leaves_no_temporary(tmp_path, error):
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")

    def write_half() -> None:
        with atomic_writer(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["a.bin"]


def test_a_new_file_gets_the_permissions_any_new_file_gets(tmp_path):
    (tmp_path / "plain").touch()
    write_bytes(tmp_path / "atomic", b"")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_libraries_that_go_by_the_name_get_the_suffix_they_need(tmp_path):
    with atomic_path(tmp_path / "weights.safetensors", suffix=".safetensors") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".weights.safetensors.")
        assert temporary.name.endswith(".tmp.safetensors")
        temporary.write_bytes(b"w")
    assert (tmp_path / "weights.safetensors").read_bytes() == b"w"


def test_very_long_names_are_written(tmp_path):
    path = tmp_path / ("ü" * 120 + ".json")
    write_text(path, "x")
    assert path.read_text() == "x"


def test_the_data_are_on_the_disk_before_the_name_and_the_folder_after(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, type(tmp_path).replace

    def record_flush(handle: int) -> None:
        order.append("folder" if Path(f"/proc/self/fd/{handle}").is_dir() else "file")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", record_flush)
    monkeypatch.setattr(
        type(tmp_path), "replace", lambda self, to: (order.append("rename"), replace(self, to))[1]
    )
    write_bytes(tmp_path / "a", b"1")
    assert order == ["file", "rename", "folder"]


def test_json_keeps_order_and_names_and_ends_with_a_line(tmp_path):
    data = {"Zeta": 1, "Alpha": ["ß", None, True, 0.1]}
    write_json(tmp_path / "a.json", data)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert (
        text == '{\n  "Zeta": 1,\n  "Alpha": [\n    "ß",\n    null,\n    true,\n    0.1\n  ]\n}\n'
    )
    assert json.loads(text) == data


def test_numbers_json_cannot_hold_are_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"psnr": float("inf")})
    assert names_in(tmp_path) == []


def test_a_folder_under_the_final_name_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(VolumeWriteError, match="is a folder"):
        write_bytes(tmp_path / "a", b"")


def test_a_parent_that_is_a_file_is_told_as_a_failure_to_write(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(VolumeWriteError, match="cannot be written"):
        write_bytes(tmp_path / "a" / "b", b"")
