"""Status files are whole or absent, and damaged ones count for nothing."""

import json

import pytest

from medtranslate.workflows.status import read_done, write_done, write_failed


def test_what_is_done_comes_back_and_what_failed_does_not(tmp_path):
    write_done(tmp_path, "toy/01 a", {"output": "a.nii.gz"})
    write_failed(tmp_path, "02", "no scan")

    assert read_done(tmp_path, "toy/01 a") == {"output": "a.nii.gz"}
    assert read_done(tmp_path, "02") is None
    assert json.loads((tmp_path / "status" / "02.json").read_text()) == {
        "case": "02", "state": "failed", "why": "no scan"
    }  # fmt: skip


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"state": "done"}', '{"state": "done", "rec'])
def test_a_damaged_file_says_nothing(tmp_path, text):
    (tmp_path / "status").mkdir()
    (tmp_path / "status" / "01.json").write_text(text)

    assert read_done(tmp_path, "01") is None
    assert read_done(tmp_path, "absent") is None
