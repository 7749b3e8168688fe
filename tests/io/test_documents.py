import os
from pathlib import Path

import pytest

from medtranslate.io.documents import read_document, read_text


def test_an_object_is_read(tmp_path):
    (tmp_path / "a.json").write_text('{"a": [1, "ä"]}', encoding="utf-8")
    assert read_document(tmp_path / "a.json") == {"a": [1, "ä"]}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"[" * 200_000, "deep"),
        (b"[1]", "list"),
        (b"{", "Expecting"),
        (b'{"\xff": 1}', "utf-8"),
        (b'{"a": 1, "b": 2, "a": 1}', "a is given twice"),
        (b'{"a": NaN}', "NaN, which is not JSON"),
        (b'{"a": 1e999}', "too large"),
    ],
)
def test_anything_else_is_a_value_error(tmp_path, data, why):
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(ValueError, match=why):
        read_document(tmp_path / "a.json")


def test_a_file_that_is_too_large_is_not_parsed(tmp_path):
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ValueError, match="more than 33,554,432 bytes"):
        read_document(tmp_path / "a.json")


@pytest.mark.timeout(10)
def test_what_is_no_regular_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    for place in (tmp_path / "pipe.json", Path("/dev/zero"), tmp_path):
        with pytest.raises(ValueError, match="is not a regular file"):
            read_document(place)


def test_text_loses_its_byte_order_mark_and_its_line_ends(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n")
    assert read_text(tmp_path / "a.txt") == "a\nb\nc\n"
