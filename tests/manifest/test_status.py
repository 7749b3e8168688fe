"""Status files are whole or absent, and damaged ones count for nothing."""

import json

import pytest

from medtranslate.manifest.status import read_done, write_done, write_failed


def test_what_is_done_comes_back_and_what_failed_does_not(tmp_path):
    write_done(tmp_path, "toy/01 a", {"output": "a.nii.gz"})
    write_failed(tmp_path, "02", "no scan")

    assert read_done(tmp_path, "toy/01 a") == {"output": "a.nii.gz"}
    assert read_done(tmp_path, "02") is None
    told = json.loads((tmp_path / "status" / "02.json").read_text())
    assert (told["case"], told["state"], told["why"]) == ("02", "failed", "no scan")


def test_a_case_is_done_as_long_as_its_files_are_as_they_were_written(tmp_path):
    scan = tmp_path / "sub" / "a.nii"
    scan.parent.mkdir()
    scan.write_bytes(b"written")
    write_done(tmp_path, "01", {"output": "a"}, files=[scan])
    assert read_done(tmp_path, "01") == {"output": "a"}

    scan.write_bytes(b"changed")
    assert read_done(tmp_path, "01") is None
    scan.unlink()
    assert read_done(tmp_path, "01") is None


def test_a_case_is_not_done_if_its_record_was_altered(tmp_path):
    write_done(tmp_path, "01", {"output": "a"})
    path = tmp_path / "status" / "01.json"
    path.write_text(path.read_text().replace('"output": "a"', '"output": "b"'))

    assert read_done(tmp_path, "01") is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"state": "done"}', '{"state": "done", "rec'])
def test_a_damaged_file_says_nothing(tmp_path, text):
    (tmp_path / "status").mkdir()
    (tmp_path / "status" / "01.json").write_text(text)

    assert read_done(tmp_path, "01") is None
    assert read_done(tmp_path, "absent") is None
